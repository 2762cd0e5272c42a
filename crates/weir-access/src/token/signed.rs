//! A token's outer form (RFC 7515): `header.payload.signature`, each in base64url without padding. The header is a
//! JSON object with `alg`, and where it is known `kid`; one with `crit` wants what nobody here understands.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::check::TokenError;
use crate::limit::{MAX_KEY_ID_BYTES, MAX_TOKEN_BYTES};

/// What `{"` is in base64url: every header begins so, unless it has blanks.
const OBJECT: &str = "eyJ";

/// A token, taken apart, of which nothing is believed yet.
pub(super) struct SignedToken<'a> {
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
    /// What is signed.
    pub(super) message: &'a [u8],
    pub(super) payload: Map<String, Value>,
    pub(super) signature: Vec<u8>,
}

impl<'a> SignedToken<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = object(header)?;
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str);
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) if id.len() <= MAX_KEY_ID_BYTES => Some(id.clone()),
            Some(_) => return Err(TokenError::Malformed),
        };
        Ok(Self {
            algorithm: algorithm.ok_or(TokenError::Malformed)?.to_owned(),
            key_id,
            message: message.as_bytes(),
            payload: object(payload)?,
            signature: decoded(signature).ok_or(TokenError::Malformed)?,
        })
    }
}

/// What a token says, whoever has made it: for people to look at.
#[derive(Clone, Debug)]
pub struct Unverified {
    /// How it is signed, and by which key.
    pub header: Map<String, Value>,
    /// What it says.
    pub claims: Map<String, Value>,
}

impl Unverified {
    /// Takes a token apart, and checks nothing.
    pub fn read(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims)) = (parts.next(), parts.next()) else {
            return Err(TokenError::Malformed);
        };
        match text.len() > MAX_TOKEN_BYTES {
            true => Err(TokenError::TooLong),
            false => Ok(Self {
                header: object(header)?,
                claims: object(claims)?,
            }),
        }
    }
}

/// Whether a password is a token: three parts, of which the first begins as a JSON object does.
pub fn is_token(password: &str) -> bool {
    password.starts_with(OBJECT) && password.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Bytes in base64url.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn object(text: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = decoded(text).ok_or(TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}
