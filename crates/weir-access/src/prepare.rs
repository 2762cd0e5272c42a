//! Names and passwords as they are compared: prepared by SASLprep (RFC 4013).
//!
//! Kafka's clients prepare nothing, others do. So whatever preparation changes is refused where users are
//! made: what is stored is the same either way.

use std::borrow::Cow;

use crate::{
    limit::{MAX_PASSWORD_BYTES, MAX_USER_NAME_BYTES},
    principal::{ANONYMOUS, EVERYONE},
};

/// Why a text cannot be a name or a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short or too long.
    #[error("has {found} bytes, where 1 to {max} may be")]
    Length {
        /// Its length, in bytes.
        found: usize,
        /// Most that may be.
        max: usize,
    },
    /// It means something else.
    #[error("is reserved")]
    Reserved,
    /// It has characters that SASLprep forbids.
    #[error("has characters that no login may have (RFC 4013)")]
    Forbidden,
    /// SASLprep makes another one of it.
    #[error("is not what clients make of it before they log in (RFC 4013)")]
    Changed,
}

/// The text as it is compared; `None`: no login may have it.
pub fn prepared(text: &str) -> Option<Cow<'_, str>> {
    let is_plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    match is_plain {
        true => Some(Cow::Borrowed(text)),
        false => stringprep::saslprep(text).ok(),
    }
}

/// Why a text cannot be a user's name.
pub fn is_valid_name(name: &str) -> Result<(), NameError> {
    if name == ANONYMOUS || name == EVERYONE {
        return Err(NameError::Reserved);
    }
    check(name, MAX_USER_NAME_BYTES)
}

/// Why a text cannot be a password.
pub fn password_fault(password: &str) -> Result<(), NameError> {
    check(password, MAX_PASSWORD_BYTES)
}

fn check(text: &str, max: usize) -> Result<(), NameError> {
    let found = text.len();
    if !(1..=max).contains(&found) {
        return Err(NameError::Length { found, max });
    }
    match prepared(text) {
        None => Err(NameError::Forbidden),
        Some(same) if same == text => Ok(()),
        Some(_) => Err(NameError::Changed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_prepared_as_rfc_4013_shows() {
        for (text, expected) in [
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("\u{627}1", None),
        ] {
            assert_eq!(prepared(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_allowed_unreserved_and_already_prepared() {
        let long = "a".repeat(MAX_USER_NAME_BYTES);
        assert_eq!(is_valid_name(&long), Ok(()));
        assert_eq!(is_valid_name("jürgen müller"), Ok(()));
        for (name, error) in [
            (ANONYMOUS, NameError::Reserved),
            (EVERYONE, NameError::Reserved),
            ("\u{2168}", NameError::Changed),
            ("a\nb", NameError::Forbidden),
        ] {
            assert_eq!(is_valid_name(name), Err(error), "{name:?}");
        }
        for name in ["", &format!("{long}a")] {
            assert!(matches!(is_valid_name(name), Err(NameError::Length { .. })));
        }
        assert_eq!(password_fault(&"a".repeat(MAX_PASSWORD_BYTES)), Ok(()));
        assert!(password_fault(&"a".repeat(MAX_PASSWORD_BYTES + 1)).is_err());
    }
}
