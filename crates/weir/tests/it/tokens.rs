//! Tokens as tests make them, and what `weir` says of them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

fn pair(key: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[key; 32]).unwrap()
}

/// A key set with this key, which is called so.
pub(crate) fn key_set(key: u8) -> String {
    let public = URL_SAFE_NO_PAD.encode(pair(key).public_key());
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "first", "x": public });
    json!({ "keys": [key] }).to_string()
}

/// A token by this key that names somebody and ends so much later than now.
pub(crate) fn jwt(key: u8, name: &str, left_s: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ends_s = i64::try_from(now.as_secs()).unwrap() + left_s;
    let text = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = text(json!({ "alg": "EdDSA", "kid": "first" }));
    let claims = text(json!({ "sub": name, "exp": ends_s }));
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(pair(key).sign(message.as_bytes()));
    format!("{message}.{signature}")
}
