//! SASL's OAUTHBEARER (RFC 7628): a token in place of a name and a password.

use std::{borrow::Cow, fmt};

use crate::{
    gs2::Gs2Header,
    limit::{MAX_BEARER_BYTES, MAX_TOKEN_BYTES},
    plain::AuthError,
};

/// Stands between the parts of a message, and is by itself what a client says that was refused.
const SEPARATOR: char = '\x01';
/// What a client says that has heard that its token was refused: the exchange is over.
pub const BEARER_GIVES_UP: &[u8] = b"\x01";
/// What a client is told whose token is not believed.
pub const INVALID_TOKEN: &str = r#"{"status":"invalid_token"}"#;
/// How the token is shown (RFC 6750), in any case of letters.
const SCHEME: &str = "bearer";

/// What a client says of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerMessage<'a> {
    /// Whom it wants to act as; empty: as whom the token names.
    pub act_for: Cow<'a, str>,
    /// The token.
    pub token: &'a str,
}

impl fmt::Debug for BearerMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerMessage")
    }
}

impl<'a> BearerMessage<'a> {
    /// `n,[a=whom to act for],` and, with 1 behind each and once more at the end, `key=value`, of which one is
    /// `auth=Bearer token`; the others are extensions, which nobody has to understand.
    pub fn parse(message: &'a [u8]) -> Result<Self, AuthError> {
        if message.len() > MAX_BEARER_BYTES {
            return Err(AuthError::TooLong);
        }
        let text = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let Gs2Header { act_for, rest, .. } = Gs2Header::parse(text)?;
        let pairs = rest.strip_prefix(SEPARATOR);
        let pairs = pairs.and_then(|rest| rest.strip_suffix("\x01\x01"));
        let mut token = None;
        for pair in pairs.ok_or(AuthError::Malformed)?.split(SEPARATOR) {
            let (key, value) = pair.split_once('=').ok_or(AuthError::Malformed)?;
            if key == "auth" && token.replace(value).is_some() {
                return Err(AuthError::Malformed);
            }
        }
        let (scheme, token) = token
            .and_then(|auth| auth.split_once(' '))
            .ok_or(AuthError::Malformed)?;
        let token = token.trim_start_matches(' ');
        if !scheme.eq_ignore_ascii_case(SCHEME) || token.is_empty() {
            return Err(AuthError::Malformed);
        }
        match token.len() > MAX_TOKEN_BYTES {
            true => Err(AuthError::TooLong),
            false => Ok(Self {
                act_for: act_for.unwrap_or_default(),
                token,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_among_pairs_with_ones_between_them() {
        for (message, act_for, token) in [
            (&b"n,,\x01auth=Bearer a.b.c\x01\x01"[..], "", "a.b.c"),
            (b"n,a=tim,\x01auth=bearer a.b.c\x01\x01", "tim", "a.b.c"),
            (
                b"y,a=t=2Cm,\x01host=h\x01auth=BEARER  x\x01port=1\x01\x01",
                "t,m",
                "x",
            ),
        ] {
            let said = BearerMessage::parse(message).unwrap();
            assert_eq!((&*said.act_for, said.token), (act_for, token));
        }
    }

    #[test]
    fn what_is_no_such_message_is_refused() {
        for wrong in [
            &b""[..],
            b"\x01",
            b"n,,\x01auth=Bearer a\x01",
            b"n,,auth=Bearer a\x01\x01",
            b"n,,\x01auth=Basic a\x01\x01",
            b"n,,\x01auth=Bearer\x01\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01host=a\x01\x01",
            b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            b"n,tim,\x01auth=Bearer a\x01\x01",
            b"n,a=t=2,\x01auth=Bearer a\x01\x01",
            b"n,,\x01\x01auth=Bearer a\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
        ] {
            assert_eq!(
                BearerMessage::parse(wrong),
                Err(AuthError::Malformed),
                "{wrong:?}"
            );
        }
        let bound = BearerMessage::parse(b"p=tls-unique,,\x01auth=Bearer a\x01\x01");
        assert_eq!(bound, Err(AuthError::ChannelBinding));
        for (token_bytes, is_taken) in [(MAX_TOKEN_BYTES, true), (MAX_TOKEN_BYTES + 1, false)] {
            let long = format!("n,,\x01auth=Bearer {}\x01\x01", "a".repeat(token_bytes));
            let found = BearerMessage::parse(long.as_bytes());
            assert_eq!(found.is_ok(), is_taken);
        }
        let long = vec![b'a'; MAX_BEARER_BYTES + 1];
        assert_eq!(BearerMessage::parse(&long), Err(AuthError::TooLong));
    }
}
