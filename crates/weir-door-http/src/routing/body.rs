//! A request's body: one JSON object, and said to be that.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    HeaderMap, StatusCode,
    body::{Body, Incoming},
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Map, Value};

use super::{problem::Problem, route::Verb};

/// Longest body, in bytes: that of a request to a node.
pub(crate) const MAX_BODY_BYTES: usize = weir_broker::queue_admin::MAX_QUEUE_ADMIN_REQUEST_BYTES;
/// A body is whole after this long.
pub(crate) const BODY_LIMIT: Duration = Duration::from_secs(5);
/// Deepest nesting of a body: whoever reads it behind us goes that deep.
const MAX_NESTING: usize = 32;

/// Waits for the whole body.
pub(crate) async fn receive(body: Incoming) -> Result<Bytes, Problem> {
    let too_long = || {
        let detail = format!("a body has {MAX_BODY_BYTES} bytes at most");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", detail)
    };
    let is_long = |bytes: u64| bytes > MAX_BODY_BYTES as u64;
    if body.size_hint().exact().is_some_and(is_long) {
        return Err(too_long());
    }
    let whole = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(BODY_LIMIT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => Err(Problem::invalid("the body broke off")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timed_out",
            "the body did not come in time",
        )),
    }
}

/// Whether the client says that its body is JSON. Where it changes something by a method that a page of a
/// browser may use without asking, it has to say so for no body too: such a page cannot.
pub(crate) fn check_type(verb: Verb, headers: &HeaderMap, is_empty: bool) -> Result<(), Problem> {
    let is_free = match verb {
        Verb::Post => false,
        Verb::Get | Verb::Put | Verb::Patch | Verb::Delete => is_empty,
    };
    let said = headers
        .get(CONTENT_TYPE)
        .and_then(|said| said.to_str().ok());
    let is_json = said.is_some_and(|said| {
        let said = said.split(';').next().unwrap_or_default().trim();
        said.eq_ignore_ascii_case("application/json")
    });
    let is_plain = headers.get(CONTENT_ENCODING).is_none();
    match is_free || (is_json && is_plain) {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "bodies are sent as application/json, without another encoding",
        )),
    }
}

/// The object that the bytes are; an empty one where there are none.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::invalid(format!("the body is no JSON: {error}")))?;
    if nesting(&value) > MAX_NESTING {
        return Err(Problem::invalid("the body is nested too deeply"));
    }
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::invalid("the body is no JSON object")),
    }
}

/// Bounded by the reader's own limit.
fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(nesting).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(nesting).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(content) = content {
            headers.insert(CONTENT_TYPE, content.parse().unwrap());
        }
        headers
    }

    #[test]
    fn whoever_sends_something_says_that_it_is_json() {
        let is_taken = |verb, content, is_empty| check_type(verb, &said(content), is_empty).is_ok();
        let json = Some("application/json");
        assert!(is_taken(Verb::Put, json, false));
        assert!(is_taken(
            Verb::Put,
            Some("Application/JSON; charset=utf-8"),
            false
        ));
        assert!(is_taken(Verb::Put, None, true));
        assert!(is_taken(Verb::Post, json, true));
        for content in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("text/plain; application/json"),
        ] {
            assert!(!is_taken(Verb::Put, content, false), "{content:?}");
            assert!(!is_taken(Verb::Post, content, true), "{content:?}");
        }
        let mut packed = said(json);
        packed.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(check_type(Verb::Put, &packed, false).is_err());
    }

    #[test]
    fn a_body_is_one_object() {
        assert!(object(b"").unwrap().is_empty());
        assert_eq!(object(b" {\"a\":1} ").unwrap().len(), 1);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
        let deepest = format!("{{\"a\":{}", "[".repeat(60_000));
        for bad in [
            "[]",
            "1",
            "null",
            "{",
            "{}{}",
            "\u{feff}{}",
            &deep,
            &deepest,
        ] {
            assert!(object(bad.as_bytes()).is_err());
        }
    }
}
