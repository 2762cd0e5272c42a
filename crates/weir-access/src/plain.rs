//! SASL's PLAIN (RFC 4616), checked against what is kept of passwords.

use std::sync::Arc;

use crate::{
    limit::{DEFAULT_ITERATIONS, MAX_LOGIN_BYTES, MAX_PASSWORD_BYTES, MAX_USER_NAME_BYTES},
    prepare::prepared,
    store::Access,
    user::User,
    verifier::{Hash, Verifier},
};

/// Why a login fails. Which of name and password is wrong is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not what the mechanism says.
    #[error("a malformed message")]
    Malformed,
    /// It is longer than any login.
    #[error("a message of more than {MAX_LOGIN_BYTES} bytes")]
    TooLong,
    /// The client wants to act for another one.
    #[error("acting for another user is not supported")]
    Impersonation,
    /// The client binds the login to its channel.
    #[error("channel binding is not supported")]
    ChannelBinding,
    /// The client wants something that it says must be understood.
    #[error("a mandatory extension is not supported")]
    Extension,
    /// Name or password is wrong, or the user is disabled.
    #[error("wrong name or password")]
    Credentials,
}

/// What a client says of itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PlainMessage<'a> {
    /// The name.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

impl<'a> PlainMessage<'a> {
    /// `[whom to act for] 0 name 0 password`, all UTF-8.
    pub fn parse(message: &'a [u8]) -> Result<Self, AuthError> {
        if message.len() > MAX_LOGIN_BYTES {
            return Err(AuthError::TooLong);
        }
        let text = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let mut parts = text.split('\0');
        let (Some(act_for), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::Malformed);
        };
        if user.is_empty() || password.is_empty() {
            return Err(AuthError::Malformed);
        }
        if !act_for.is_empty() && act_for != user {
            return Err(AuthError::Impersonation);
        }
        Ok(Self { user, password })
    }
}

/// The user with that name and password. Takes as long for a name that nobody has, and as long as the
/// rounds of the derivation do.
pub fn check_password(access: &Access, user: &str, password: &str) -> Result<Arc<User>, AuthError> {
    if user.len() > MAX_USER_NAME_BYTES || password.len() > MAX_PASSWORD_BYTES {
        return Err(AuthError::Credentials);
    }
    let name = prepared(user).ok_or(AuthError::Credentials)?;
    let password = prepared(password).ok_or(AuthError::Credentials)?;
    let known = access.user(&name);
    // A wrong password costs both derivations, whoever's it is.
    let is_right = Hash::ALL.into_iter().any(|hash| {
        let nobodys = || Verifier::of_nobody(hash, &access.seed().0, &name, DEFAULT_ITERATIONS);
        match known.and_then(|user| user.verifier(hash)) {
            Some(verifier) => verifier.is_of(&password),
            None => nobodys().is_of(&password),
        }
    });
    let user = known.filter(|user| is_right && user.is_enabled);
    user.cloned().ok_or(AuthError::Credentials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limit::{MIN_ITERATIONS, SALT_BYTES},
        store::Seed,
    };

    fn with_user(is_enabled: bool, hashes: &[Hash]) -> Access {
        let mut user = User::new("tim");
        user.is_enabled = is_enabled;
        for hash in hashes {
            let salt = [1; SALT_BYTES];
            let verifier = Verifier::of_password(*hash, "secret", &salt, MIN_ITERATIONS);
            user.put_verifier(verifier.unwrap());
        }
        let mut access = Access::default();
        access.create_user(user, Seed([9; 32])).unwrap();
        access
    }

    #[test]
    fn a_message_is_three_texts_with_zeros_between_them() {
        let of = |message: &'static [u8]| PlainMessage::parse(message).map(|said| said.user);
        assert_eq!(of(b"\0tim\0tanstaaftanstaaf"), Ok("tim"));
        assert_eq!(of(b"tim\0tim\0x"), Ok("tim"));
        assert_eq!(of(b"Ursel\0Kurt\0xipj3plmq"), Err(AuthError::Impersonation));
        for wrong in [
            &b""[..],
            b"tim\0x",
            b"\0\0x",
            b"\0tim\0",
            b"\0a\0b\0c",
            b"\0a\0\xff",
        ] {
            assert_eq!(of(wrong), Err(AuthError::Malformed), "{wrong:?}");
        }
        let long = vec![b'a'; MAX_LOGIN_BYTES + 1];
        assert_eq!(PlainMessage::parse(&long).err(), Some(AuthError::TooLong));
    }

    #[test]
    fn a_password_is_checked_against_any_of_its_verifiers() {
        for hashes in [&[Hash::Sha256][..], &[Hash::Sha512], &Hash::ALL] {
            let access = with_user(true, hashes);
            assert!(check_password(&access, "tim", "secret").is_ok());
            for (name, password) in [("tim", "Secret"), ("Tim", "secret"), ("tim", "\u{7}")] {
                let found = check_password(&access, name, password);
                assert_eq!(found.err(), Some(AuthError::Credentials));
            }
        }
    }

    #[test]
    fn nobody_logs_in_as_one_who_is_disabled_or_has_no_password() {
        for access in [with_user(false, &Hash::ALL), with_user(true, &[])] {
            let found = check_password(&access, "tim", "secret");
            assert_eq!(found.err(), Some(AuthError::Credentials));
        }
    }

    #[test]
    fn what_is_longer_than_allowed_is_wrong_without_a_look() {
        let access = with_user(true, &Hash::ALL);
        let long = "a".repeat(MAX_PASSWORD_BYTES + 1);
        assert!(check_password(&access, "tim", &long).is_err());
        assert!(check_password(&access, &long, "secret").is_err());
    }
}
