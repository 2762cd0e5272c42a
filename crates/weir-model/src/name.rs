//! Names that users choose.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Longest topic name, in bytes (Kafka's own limit).
pub const MAX_TOPIC_NAME_BYTES: usize = 249;

/// A topic's name: 1 to 249 of `a-z A-Z 0-9 . _ -`, neither `.` nor `..` (Kafka's rule).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a text is not a topic name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("name is empty")]
    Empty,
    /// Over [`MAX_TOPIC_NAME_BYTES`].
    #[error("name has {0} bytes, limit {MAX_TOPIC_NAME_BYTES}")]
    TooLong(usize),
    /// `.`, `..` or a byte outside the allowed set.
    #[error("name has a character outside a-z A-Z 0-9 . _ -, or is . or ..")]
    Forbidden,
}

impl TopicName {
    /// Checks `text` against Kafka's rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_TOPIC_NAME_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text == "." || text == ".." || !text.bytes().all(allowed) {
            return Err(NameError::Forbidden);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_allowed_and_one_past_it_is_not() {
        assert!(TopicName::new(&"a".repeat(MAX_TOPIC_NAME_BYTES)).is_ok());
        let long = "a".repeat(MAX_TOPIC_NAME_BYTES + 1);
        assert_eq!(
            TopicName::new(&long),
            Err(NameError::TooLong(MAX_TOPIC_NAME_BYTES + 1))
        );
    }

    #[test]
    fn path_like_names_are_refused() {
        for text in [".", "..", "a/b", "a b", "ü", "a\0"] {
            assert_eq!(TopicName::new(text), Err(NameError::Forbidden), "{text:?}");
        }
        assert_eq!(TopicName::new(""), Err(NameError::Empty));
    }
}
