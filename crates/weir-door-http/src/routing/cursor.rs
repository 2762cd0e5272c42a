//! Where a list goes on: a text that stands for the last row of a page, and means nothing to others.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::problem::Problem;

/// Longest that is read, in bytes: a row's key is a few names.
const MAX_CURSOR_BYTES: usize = 8 << 10;

/// The text for a row with this key.
pub(crate) fn write(key: &Value) -> String {
    URL_SAFE_NO_PAD.encode(key.to_string())
}

/// The key that a text stands for.
pub(crate) fn read(text: &str) -> Result<Value, Problem> {
    let bad = || Problem::invalid("'after' is no place in a list: take it from an answer's 'next'");
    if text.len() > MAX_CURSOR_BYTES {
        return Err(bad());
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
    serde_json::from_slice(&json).map_err(|_| bad())
}

/// The key of a row: the value of one of its fields, or of several as a list; the whole row where none is
/// named.
pub(crate) fn key(row: &Value, fields: &[&str]) -> Value {
    match fields {
        [] => row.clone(),
        [field] => row[*field].clone(),
        fields => fields.iter().map(|field| row[*field].clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_in_a_list_comes_back() {
        let row = json!({ "user": "a", "vhost": "/", "more": 1 });
        for (fields, expected) in [
            (&["user"][..], json!("a")),
            (&["user", "vhost"], json!(["a", "/"])),
            (&[], row.clone()),
        ] {
            let key = key(&row, fields);
            assert_eq!(key, expected);
            assert_eq!(read(&write(&key)).unwrap(), expected);
        }
        for bad in ["!", "AA==", "e30=", "e", &"e".repeat(MAX_CURSOR_BYTES + 1)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
