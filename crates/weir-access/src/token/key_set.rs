//! The keys of those whose tokens are believed: a JWK set (RFC 7517).
//!
//! `{"keys": [{"kty": ..., "kid": ..., "alg": ..., "use": ..., "key_ops": [...], ...}]}`, with `n` and `e` of RSA
//! (2,048 to 8,192 bits), `crv`, `x` and `y` of `EC` (P-256, P-384), `crv` and `x` of `OKP` (Ed25519), each in
//! base64url. Keys that are of no use here, by their type, their length or what they are for, are passed over.

use std::fmt;

use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::{
    algorithm::{Algorithm, Curve, Method},
    signed::decoded,
};
use crate::limit::{MAX_KEY_ID_BYTES, MAX_KEY_SET_BYTES, MAX_KEY_TRIES, MAX_TOKEN_KEYS};

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is longer than any.
    #[error("a key set of more than {MAX_KEY_SET_BYTES} bytes")]
    TooLong,
    /// It is not what a key set is.
    #[error("no key set: a JSON object with an array `keys` is needed")]
    Malformed,
    /// There are more than there may be.
    #[error("a key set of more than {MAX_TOKEN_KEYS} keys")]
    TooMany,
    /// None of them can be used.
    #[error("a key set without a key that signatures could be checked by")]
    Unusable,
}

/// Keys by which signatures are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    passed_over_count: usize,
}

/// One of them.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for.
    algorithm: Option<String>,
    numbers: Numbers,
}

#[derive(Clone, PartialEq, Eq)]
enum Numbers {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Point(Curve, Vec<u8>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.id)
    }
}

impl KeySet {
    /// From its text.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLong);
        }
        let set: Map<String, Value> =
            serde_json::from_slice(text).map_err(|_| KeySetError::Malformed)?;
        let given = set.get("keys").and_then(Value::as_array);
        let given = given.ok_or(KeySetError::Malformed)?;
        if given.len() > MAX_TOKEN_KEYS {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Key> = given.iter().filter_map(Key::parse).collect();
        match keys.is_empty() {
            true => Err(KeySetError::Unusable),
            false => Ok(Self {
                passed_over_count: given.len() - keys.len(),
                keys,
            }),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// There are none: nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many others there were, which are of no use.
    pub fn passed_over_count(&self) -> usize {
        self.passed_over_count
    }

    /// Whether one of the keys that are meant has made the signature; `None`: none is meant. One that has a name is
    /// meant by it alone.
    pub(super) fn verify(
        &self,
        algorithm: &Algorithm,
        id: Option<&str>,
        (message, signature): (&[u8], &[u8]),
    ) -> Option<bool> {
        let is_meant = |key: &&Key| id.is_none_or(|id| key.id.as_deref() == Some(id));
        let meant = self.keys.iter().filter(is_meant);
        let mut meant = meant.filter(|key| key.is_for(algorithm)).peekable();
        meant.peek()?;
        let mut tried = meant.take(MAX_KEY_TRIES);
        Some(tried.any(|key| key.has_signed(algorithm, message, signature)))
    }
}

impl Key {
    fn parse(given: &Value) -> Option<Self> {
        let given = given.as_object()?;
        let text = |name| given.get(name).and_then(Value::as_str);
        let number = |name| decoded(text(name)?);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(operations) = given.get("key_ops").and_then(Value::as_array)
            && !operations.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        let id = text("kid").map(str::to_owned);
        if id.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return None;
        }
        let key_type = text("kty")?;
        let numbers = match key_type {
            "RSA" => Numbers::rsa(number("n")?, number("e")?)?,
            "EC" | "OKP" => {
                let curve = Curve::named(key_type, text("crv")?)?;
                Numbers::point(curve, number("x")?, number("y"))?
            }
            _ => return None,
        };
        let algorithm = text("alg").map(str::to_owned);
        Some(Self {
            id,
            algorithm,
            numbers,
        })
    }

    fn is_for(&self, algorithm: &Algorithm) -> bool {
        let only = self.algorithm.as_deref();
        // Both names mean the same one.
        let is_same = |only: &str| match algorithm.name {
            "EdDSA" | "Ed25519" => matches!(only, "EdDSA" | "Ed25519"),
            name => only == name,
        };
        let fits = match (&self.numbers, &algorithm.method) {
            (Numbers::Rsa { .. }, Method::Rsa(_)) => true,
            (Numbers::Point(curve, _), Method::Point(needed, _)) => curve == needed,
            (Numbers::Rsa { .. }, Method::Point(..)) | (Numbers::Point(..), Method::Rsa(_)) => {
                false
            }
        };
        fits && only.is_none_or(is_same)
    }

    fn has_signed(&self, algorithm: &Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.numbers, &algorithm.method) {
            (Numbers::Rsa { modulus, exponent }, Method::Rsa(parameters)) => {
                let (n, e) = (modulus, exponent);
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).is_ok()
            }
            (Numbers::Point(curve, point), Method::Point(needed, check)) if curve == needed => {
                let key = UnparsedPublicKey::new(*check, point);
                key.verify(message, signature).is_ok()
            }
            (Numbers::Rsa { .. }, Method::Point(..))
            | (Numbers::Point(..), Method::Rsa(_) | Method::Point(..)) => false,
        }
    }
}

impl Numbers {
    const MIN_MODULUS_BYTES: usize = 2_048 / 8;
    const MAX_MODULUS_BYTES: usize = 8_192 / 8;
    /// An exponent of more makes each check cost what a signature does.
    const MAX_EXPONENT_BYTES: usize = 4;
    /// What a point begins with that is told by both its numbers.
    const UNCOMPRESSED: u8 = 4;

    fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Option<Self> {
        let whole = |number: Vec<u8>| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].to_vec()
        };
        let (modulus, exponent) = (whole(modulus), whole(exponent));
        let lengths = Self::MIN_MODULUS_BYTES..=Self::MAX_MODULUS_BYTES;
        let is_fit = lengths.contains(&modulus.len())
            && (1..=Self::MAX_EXPONENT_BYTES).contains(&exponent.len());
        is_fit.then_some(Self::Rsa { modulus, exponent })
    }

    fn point(curve: Curve, x: Vec<u8>, y: Option<Vec<u8>>) -> Option<Self> {
        let is_fit = |number: &Vec<u8>| number.len() == curve.coordinate_bytes();
        if !is_fit(&x) {
            return None;
        }
        let point = match curve {
            Curve::Ed25519 => x,
            Curve::P256 | Curve::P384 => {
                let y = y.filter(is_fit)?;
                [&[Self::UNCOMPRESSED][..], &x, &y].concat()
            }
        };
        Some(Self::Point(curve, point))
    }
}
