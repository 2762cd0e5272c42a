//! What a token says.

use serde_json::{Map, Value};

use super::check::TokenError;

/// The claims of a token.
pub(super) struct Claims<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Claims<'a> {
    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A claim that is a text, or several of them.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let (one, several) = match self.0.get(name) {
            Some(Value::String(text)) => (Some(text.as_str()), &[][..]),
            Some(Value::Array(texts)) => (None, texts.as_slice()),
            _ => (None, &[][..]),
        };
        let several = several.iter().filter_map(Value::as_str);
        one.into_iter().chain(several)
    }

    /// A claim that is a time, in ms; on the wire in seconds, which may have a fraction.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a time past all times is the last one"
    )]
    pub(super) fn time_ms(&self, name: &str) -> Result<Option<i64>, TokenError> {
        let Some(given) = self.0.get(name) else {
            return Ok(None);
        };
        match given.as_f64() {
            Some(seconds) if seconds.is_finite() && seconds >= 0.0 => {
                Ok(Some((seconds * 1_000.0) as i64))
            }
            Some(_) | None => Err(TokenError::Malformed),
        }
    }
}
