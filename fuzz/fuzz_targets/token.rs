//! No text is a token that lets somebody in who has no key, and neither it, nor a login that has one, nor a key set
//! make anything panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir_access::{
    BearerMessage,
    token::{KeySet, TokenRules, check_token, is_token},
};

/// One of each kind, whose other halves nobody has.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let number = |length: usize| "A_".repeat(length / 2);
    let set = format!(
        r#"{{"keys":[{{"kty":"RSA","n":"{}","e":"AQAB"}},{{"kty":"EC","crv":"P-256","x":"{}w","y":"{}w"}},
        {{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#,
        number(344),
        number(42),
        number(42),
    );
    KeySet::parse(set.as_bytes()).expect("it is a key set")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keys) = KeySet::parse(bytes) {
        assert!(!keys.is_empty());
    }
    let _ = BearerMessage::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = is_token(text);
    assert!(check_token(text, &KEYS, &TokenRules::default(), 0).is_err());
});
