//! A client's messages, taken apart.

use std::borrow::Cow;

use crate::{
    gs2::{Gs2Header, unescaped},
    limit::{MAX_LOGIN_BYTES, MAX_NONCE_BYTES},
    plain::AuthError,
};

type Parsed<T> = Result<T, AuthError>;

pub(super) fn text(message: &[u8]) -> Parsed<&str> {
    if message.len() > MAX_LOGIN_BYTES {
        return Err(AuthError::TooLong);
    }
    std::str::from_utf8(message).map_err(|_| AuthError::Malformed)
}

/// The client's first message.
pub(super) struct First<'a> {
    /// The header with its last comma.
    pub header: &'a str,
    /// All after the header.
    pub bare: &'a str,
    /// The user's name as it was sent, without escapes.
    pub user: Cow<'a, str>,
    pub nonce: &'a str,
}

impl<'a> First<'a> {
    pub(super) fn parse(text: &'a str) -> Parsed<Self> {
        let Gs2Header {
            text: header,
            act_for,
            rest: bare,
        } = Gs2Header::parse(text)?;
        let mut attributes = bare.split(',');
        let mut next = || attributes.next().ok_or(AuthError::Malformed);
        let name = next()?;
        if name.starts_with("m=") {
            return Err(AuthError::Extension);
        }
        let user = unescaped(value(name, "n=")?)?;
        let nonce = value(next()?, "r=")?;
        let is_fit =
            (1..=MAX_NONCE_BYTES).contains(&nonce.len()) && nonce.bytes().all(is_printable);
        if user.is_empty() || !is_fit || !attributes.all(is_attribute) {
            return Err(AuthError::Malformed);
        }
        if act_for.is_some_and(|act_for| act_for != user) {
            return Err(AuthError::Impersonation);
        }
        Ok(Self {
            header,
            bare,
            user,
            nonce,
        })
    }
}

/// The client's final message.
pub(super) struct Final<'a> {
    /// The channel binding in base64.
    pub binding: &'a str,
    pub nonce: &'a str,
    /// The proof in base64.
    pub proof: &'a str,
    /// All before the proof's comma.
    pub without_proof: &'a str,
}

impl<'a> Final<'a> {
    pub(super) fn parse(text: &'a str) -> Parsed<Self> {
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(AuthError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let mut next = || attributes.next().ok_or(AuthError::Malformed);
        let (binding, nonce) = (value(next()?, "c=")?, value(next()?, "r=")?);
        if !attributes.all(is_attribute) {
            return Err(AuthError::Malformed);
        }
        Ok(Self {
            binding,
            nonce,
            proof,
            without_proof,
        })
    }
}

fn value<'a>(attribute: &'a str, name: &str) -> Parsed<&'a str> {
    attribute.strip_prefix(name).ok_or(AuthError::Malformed)
}

/// An extension: one letter (Kafka's have more), and anything.
fn is_attribute(text: &str) -> bool {
    let name = text.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

fn is_printable(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b','
}
