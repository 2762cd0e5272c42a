//! Messages as lines.

use std::io::{self, BufWriter, Write as _};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::client::{offsets::Place, records::Incoming};

/// What a line has.
#[derive(Clone, Debug)]
pub(super) enum Format {
    /// The value, byte for byte.
    Value,
    /// Key, this text, value.
    KeyValue(String),
    /// All there is, as one JSON object.
    Json,
}

/// Writes to standard output.
pub(super) struct Printer {
    out: BufWriter<io::Stdout>,
    format: Format,
    pub(super) count: u64,
}

impl Printer {
    pub(super) fn new(format: Format) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            format,
            count: 0,
        }
    }

    pub(super) fn print(&mut self, place: &Place, incoming: &Incoming) -> io::Result<()> {
        let message = &incoming.message;
        let bytes = |part: &Option<Bytes>| part.clone().unwrap_or_default();
        match &self.format {
            Format::Value => self.out.write_all(&bytes(&message.value))?,
            Format::KeyValue(separator) => {
                self.out.write_all(&bytes(&message.key))?;
                self.out.write_all(separator.as_bytes())?;
                self.out.write_all(&bytes(&message.value))?;
            }
            Format::Json => serde_json::to_writer(&mut self.out, &as_json(place, incoming))?,
        }
        self.count += 1;
        self.out.write_all(b"\n")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn as_json((topic, partition): &Place, incoming: &Incoming) -> Value {
    let message = &incoming.message;
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(topic));
    object.insert("partition".to_owned(), json!(partition));
    object.insert("offset".to_owned(), json!(incoming.offset));
    object.insert("timestamp_ms".to_owned(), json!(message.timestamp_ms));
    put("key", message.key.as_deref(), &mut object);
    put("value", message.value.as_deref(), &mut object);
    let headers = message.headers.iter().map(|(name, value)| {
        let mut header = Map::new();
        header.insert("name".to_owned(), json!(name));
        put("value", value.as_deref(), &mut header);
        Value::Object(header)
    });
    object.insert("headers".to_owned(), headers.collect());
    Value::Object(object)
}

/// Text as it is; other bytes as `..._base64`.
fn put(name: &str, part: Option<&[u8]>, into: &mut Map<String, Value>) {
    match part.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => into.insert(name.to_owned(), Value::Null),
        Some((_, Ok(text))) => into.insert(name.to_owned(), json!(text)),
        Some((bytes, Err(_))) => into.insert(format!("{name}_base64"), json!(base64(bytes))),
    };
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                let at = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap_or(0);
                text.push(char::from(DIGITS[at]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::records::Outgoing;

    #[test]
    fn bytes_that_are_no_text_come_as_base64() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"\xff\xfe\xfd", "//79"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn a_line_of_json_has_all_there_is() {
        let incoming = Incoming {
            offset: 7,
            message: Outgoing {
                key: None,
                value: Some(Bytes::from_static(b"\xff")),
                headers: vec![("h".to_owned(), Some(Bytes::from_static(b"v")))],
                timestamp_ms: 5,
            },
        };
        let expected = json!({
            "topic": "t", "partition": 1, "offset": 7, "timestamp_ms": 5, "key": null,
            "value_base64": "/w==", "headers": [{ "name": "h", "value": "v" }],
        });
        assert_eq!(as_json(&("t".to_owned(), 1), &incoming), expected);
    }
}
