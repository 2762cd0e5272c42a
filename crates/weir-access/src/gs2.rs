//! What SASL's mechanisms of the family GS2 begin with (RFC 5801), and how names are escaped there.

use std::borrow::Cow;

use crate::plain::AuthError;

/// `n,[a=whom to act for],` and what follows.
pub(crate) struct Gs2Header<'a> {
    /// With its last comma.
    pub(crate) text: &'a str,
    /// Whom the client wants to act as, if as another one.
    pub(crate) act_for: Option<Cow<'a, str>>,
    /// All behind it.
    pub(crate) rest: &'a str,
}

impl<'a> Gs2Header<'a> {
    /// Of a client that binds to no channel.
    pub(crate) fn parse(message: &'a str) -> Result<Self, AuthError> {
        let mut parts = message.splitn(3, ',');
        let (Some(binding), Some(act_for), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::Malformed);
        };
        match binding {
            "n" | "y" => {}
            other if other.starts_with("p=") => return Err(AuthError::ChannelBinding),
            _ => return Err(AuthError::Malformed),
        }
        let act_for = match act_for.strip_prefix("a=") {
            Some(name) => Some(unescaped(name)?),
            None if act_for.is_empty() => None,
            None => return Err(AuthError::Malformed),
        };
        Ok(Self {
            text: &message[..message.len() - rest.len()],
            act_for,
            rest,
        })
    }
}

/// A name without its escapes: `=2C` is a comma, `=3D` an equals sign.
pub(crate) fn unescaped(name: &str) -> Result<Cow<'_, str>, AuthError> {
    if !name.contains('=') {
        return Ok(Cow::Borrowed(name));
    }
    let mut pieces = name.split('=');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (character, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return Err(AuthError::Malformed),
        };
        out.push(character);
        out.push_str(rest);
    }
    Ok(Cow::Owned(out))
}
