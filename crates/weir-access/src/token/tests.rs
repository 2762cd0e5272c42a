use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::{
    limit::{MAX_KEY_SET_BYTES, MAX_KEY_TRIES, MAX_TOKEN_BYTES, MAX_TOKEN_KEYS},
    principal::Principal,
};

/// The time of these tests, in s.
const NOW_S: i64 = 1_795_000_000;

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ed25519(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap()
}

fn jwk(id: &str, key: &Ed25519KeyPair) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": text(key.public_key()) })
}

/// Of a key in DER: both numbers stand at its end.
fn rsa_jwk(public: &[u8]) -> Value {
    let (rest, e) = public.split_at(public.len() - 3);
    let n = &rest[rest.len() - 2 - 256..rest.len() - 2];
    json!({ "kty": "RSA", "n": text(n), "e": text(e) })
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", text(signature))
}

/// By the first key, with these claims beside an end and a name.
fn by_first(changed: Value) -> String {
    let mut claims = json!({ "sub": "alice", "exp": NOW_S + 600 });
    let Value::Object(changed) = changed else {
        panic!("claims are an object");
    };
    for (name, value) in changed {
        claims[name] = value;
    }
    let header = json!({ "alg": "EdDSA", "kid": "first" });
    signed(&header, &claims, |message| {
        ed25519(1).sign(message).as_ref().to_vec()
    })
}

fn first() -> KeySet {
    set(&[jwk("first", &ed25519(1))])
}

fn error(token: &str, keys: &KeySet, rules: &TokenRules) -> Option<TokenError> {
    let found = check_token(token, keys, rules, NOW_S * 1_000);
    found.err().map(|refused| refused.error)
}

fn fault(changed: Value, rules: &TokenRules) -> Option<TokenError> {
    error(&by_first(changed), &first(), rules)
}

#[test]
fn a_token_that_a_known_key_has_signed_names_somebody_until_its_end() {
    let rules = TokenRules::default();
    let token = check_token(&by_first(json!({})), &first(), &rules, NOW_S * 1_000).unwrap();
    assert_eq!(token.principal, Principal::Vouched("alice".into()));
    assert_eq!(token.holds_until_ms, (NOW_S + 600) * 1_000 + 30_000);
}

#[test]
fn every_kind_of_signature_is_believed_by_a_key_of_its_kind_alone() {
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_key = rsa_jwk(rsa.public_key().as_ref());
    let curve = |algorithm: &'static EcdsaSigningAlgorithm, name| {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let key = json!({ "kty": "EC", "crv": name, "x": text(x), "y": text(y) });
        (pair, key)
    };
    let (p256, p256_key) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    let (p384, p384_key) = curve(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384");
    let of_rsa = |encoding: &'static dyn RsaEncoding| {
        let (rsa, random) = (&rsa, &random);
        move |message: &[u8]| {
            let mut signature = vec![0; rsa.public_modulus_len()];
            rsa.sign(encoding, random, message, &mut signature).unwrap();
            signature
        }
    };
    let of_curve = |pair: &EcdsaKeyPair, message: &[u8]| {
        pair.sign(&random, message).unwrap().as_ref().to_vec()
    };
    let ed_key = jwk("any", &ed25519(1));
    let claims = json!({ "sub": "alice", "exp": NOW_S + 60 });
    let keys = [&rsa_key, &p256_key, &p384_key, &ed_key];
    type Sign<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let cases: [(&str, &Value, Sign<'_>); 8] = [
        ("RS256", &rsa_key, Box::new(of_rsa(&RSA_PKCS1_SHA256))),
        ("RS512", &rsa_key, Box::new(of_rsa(&RSA_PKCS1_SHA512))),
        ("PS256", &rsa_key, Box::new(of_rsa(&RSA_PSS_SHA256))),
        ("PS384", &rsa_key, Box::new(of_rsa(&RSA_PSS_SHA384))),
        ("ES256", &p256_key, Box::new(|it| of_curve(&p256, it))),
        ("ES384", &p384_key, Box::new(|it| of_curve(&p384, it))),
        (
            "EdDSA",
            &ed_key,
            Box::new(|it| ed25519(1).sign(it).as_ref().to_vec()),
        ),
        (
            "Ed25519",
            &ed_key,
            Box::new(|it| ed25519(1).sign(it).as_ref().to_vec()),
        ),
    ];
    for (algorithm, right, sign) in &cases {
        let token = signed(&json!({ "alg": algorithm }), &claims, sign);
        for key in keys {
            let found = error(
                &token,
                &set(std::slice::from_ref(key)),
                &TokenRules::default(),
            );
            let expected = (key != *right).then_some(TokenError::UnknownKey);
            assert_eq!(found, expected, "{algorithm} by {key}");
        }
        let mut other = (*right).clone();
        other["alg"] = "RS384".into();
        let found = error(&token, &set(&[other]), &TokenRules::default());
        assert_eq!(found, Some(TokenError::UnknownKey), "{algorithm}");
    }
    // Under another name than it was made by.
    let token = signed(&json!({ "alg": "RS256" }), &claims, of_rsa(&RSA_PSS_SHA256));
    let found = error(&token, &set(&[rsa_key]), &TokenRules::default());
    assert_eq!(found, Some(TokenError::Signature));
}

#[test]
fn neither_no_signature_nor_one_by_a_public_key_as_a_secret_is_believed() {
    use aws_lc_rs::hmac;
    let claims = json!({ "sub": "alice", "exp": NOW_S + 60 });
    let pair = ed25519(1);
    let public = pair.public_key().as_ref().to_vec();
    let by_public = |message: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
        hmac::sign(&key, message).as_ref().to_vec()
    };
    let secret = json!({ "kty": "oct", "kid": "first", "k": text(&public) });
    let keys = set(&[jwk("first", &pair), secret]);
    assert_eq!((keys.len(), keys.passed_over_count()), (1, 1));
    for algorithm in [
        "none", "None", "", "HS256", "HS384", "HS512", "RS1", "ES256K",
    ] {
        let header = json!({ "alg": algorithm, "kid": "first" });
        for token in [
            signed(&header, &claims, by_public),
            signed(&header, &claims, |_| Vec::new()),
        ] {
            let found = error(&token, &keys, &TokenRules::default());
            assert_eq!(found, Some(TokenError::Algorithm), "{algorithm}");
        }
    }
}

#[test]
fn a_token_that_was_changed_or_is_by_another_key_is_refused() {
    let token = by_first(json!({}));
    let rules = TokenRules::default();
    let parts: Vec<&str> = token.split('.').collect();
    let claims = text(json!({ "sub": "root", "exp": NOW_S + 600 }).to_string());
    let forged = [parts[0], &claims, parts[2]].join(".");
    assert_eq!(
        error(&forged, &first(), &rules),
        Some(TokenError::Signature)
    );
    let others = set(&[jwk("first", &ed25519(2))]);
    assert_eq!(error(&token, &others, &rules), Some(TokenError::Signature));
    let unknown = set(&[jwk("second", &ed25519(1))]);
    assert_eq!(
        error(&token, &unknown, &rules),
        Some(TokenError::UnknownKey)
    );
    let none = KeySet::default();
    assert_eq!(error(&token, &none, &rules), Some(TokenError::UnknownKey));
    // Two keys of one name, as while keys are changed.
    let both = set(&[jwk("first", &ed25519(2)), jwk("first", &ed25519(1))]);
    assert_eq!(error(&token, &both, &rules), None);
}

#[test]
fn a_token_that_names_no_key_is_tried_by_some_of_them() {
    let claims = json!({ "sub": "alice", "exp": NOW_S + 60 });
    let token = signed(&json!({ "alg": "EdDSA" }), &claims, |message| {
        ed25519(1).sign(message).as_ref().to_vec()
    });
    for (before, expected) in [
        (MAX_KEY_TRIES - 1, None),
        (MAX_KEY_TRIES, Some(TokenError::Signature)),
    ] {
        let mut keys = vec![jwk("other", &ed25519(2)); before];
        keys.push(jwk("last", &ed25519(1)));
        assert_eq!(error(&token, &set(&keys), &TokenRules::default()), expected);
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let rules = TokenRules::default();
    let token = by_first(json!({}));
    for at in 0..token.len() {
        assert!(error(&token[..at], &first(), &rules).is_some(), "{at}");
    }
    let header = |header: &str| format!("{}.e30.AA", text(header));
    for wrong in [
        "",
        "..",
        "a.b.c",
        &format!("{token}.x"),
        &format!("{token}="),
        &format!(" {token}"),
        &header("[]"),
        &header("{}"),
        &header(r#"{"alg": 7}"#),
        &header(r#"{"alg": "EdDSA", "kid": 7}"#),
        &header(&format!(
            r#"{{"alg": "EdDSA", "kid": "{}"}}"#,
            "a".repeat(256)
        )),
        &header(&"[".repeat(5_000)),
    ] {
        assert_eq!(
            error(wrong, &first(), &rules),
            Some(TokenError::Malformed),
            "{wrong}"
        );
    }
    let critical = header(r#"{"alg": "EdDSA", "crit": ["b64"], "b64": false}"#);
    assert_eq!(
        error(&critical, &first(), &rules),
        Some(TokenError::Critical)
    );
    for (bytes, expected) in [
        (MAX_TOKEN_BYTES, TokenError::Malformed),
        (MAX_TOKEN_BYTES + 1, TokenError::TooLong),
    ] {
        assert_eq!(error(&"a".repeat(bytes), &first(), &rules), Some(expected));
    }
}

#[test]
fn a_token_holds_from_its_beginning_to_its_end_give_or_take_the_clocks() {
    let rules = TokenRules {
        clock_skew_ms: 10_000,
        ..TokenRules::default()
    };
    let expired = Some(TokenError::Expired);
    assert_eq!(fault(json!({ "exp": NOW_S - 9 }), &rules), None);
    assert_eq!(fault(json!({ "exp": NOW_S - 10 }), &rules), expired);
    assert_eq!(fault(json!({ "exp": 0 }), &rules), expired);
    assert_eq!(fault(json!({ "exp": 1e300 }), &rules), None);
    for begins in ["nbf", "iat"] {
        assert_eq!(fault(json!({ begins: NOW_S + 10 }), &rules), None);
        let early = Some(TokenError::Early);
        assert_eq!(fault(json!({ begins: NOW_S + 11 }), &rules), early);
        let malformed = Some(TokenError::Malformed);
        assert_eq!(fault(json!({ begins: "soon" }), &rules), malformed);
    }
    for wrong in [json!("never"), json!(-1), json!(null), json!([NOW_S])] {
        let found = fault(json!({ "exp": wrong }), &rules);
        assert_eq!(found, Some(TokenError::Malformed));
    }
    let header = json!({ "alg": "EdDSA" });
    let endless = signed(&header, &json!({ "sub": "alice" }), |message| {
        ed25519(1).sign(message).as_ref().to_vec()
    });
    let found = error(&endless, &first(), &rules);
    assert_eq!(found, Some(TokenError::Endless));
}

#[test]
fn a_token_has_to_be_by_the_issuer_and_for_the_audience_that_are_wanted() {
    let rules = TokenRules {
        issuer: Some("https://id.example".to_owned()),
        audiences: vec!["weir".to_owned(), "broker".to_owned()],
        ..TokenRules::default()
    };
    let by =
        |issuer: &str, audience: Value| fault(json!({ "iss": issuer, "aud": audience }), &rules);
    let issuer = "https://id.example";
    assert_eq!(by(issuer, json!("weir")), None);
    assert_eq!(by(issuer, json!(["other", "broker"])), None);
    for audience in [
        json!("we"),
        json!([]),
        json!(["other", 7]),
        json!({ "weir": 1 }),
    ] {
        assert_eq!(by(issuer, audience), Some(TokenError::Audience));
    }
    let other = Some(TokenError::Issuer);
    assert_eq!(by("https://id.example/", json!("weir")), other);
    assert_eq!(fault(json!({ "aud": "weir" }), &rules), other);
}

#[test]
fn who_is_named_is_told_by_the_first_claim_that_is_there() {
    let rules = TokenRules {
        principal_claims: vec!["client_id".to_owned(), "sub".to_owned()],
        ..TokenRules::default()
    };
    let named = |changed| {
        let token = by_first(changed);
        let found = check_token(&token, &first(), &rules, NOW_S * 1_000);
        found.map(|token| token.principal.name().to_owned()).ok()
    };
    assert_eq!(named(json!({})).as_deref(), Some("alice"));
    let by_client = named(json!({ "client_id": "orders" }));
    assert_eq!(by_client.as_deref(), Some("orders"));
    for nobody in ["", "*", "ANONYMOUS", &"a".repeat(256)] {
        assert_eq!(named(json!({ "client_id": nobody })), None);
    }
    let nobody = Some(TokenError::Nobody);
    let rules = TokenRules::default();
    assert_eq!(fault(json!({ "sub": 7 }), &rules), nobody);
}

#[test]
fn a_refusal_tells_whom_a_token_names_only_where_somebody_believed_says_so() {
    let rules = TokenRules::default();
    let refused = |token: &str| check_token(token, &first(), &rules, NOW_S * 1_000).unwrap_err();
    let expired = refused(&by_first(json!({ "exp": 1 })));
    assert_eq!(expired.name.as_deref(), Some("alice"));
    let header = json!({ "alg": "EdDSA", "kid": "first" });
    let forged = signed(&header, &json!({ "sub": "alice", "exp": 1 }), |message| {
        ed25519(2).sign(message).as_ref().to_vec()
    });
    assert_eq!(refused(&forged).name, None);
}

#[test]
fn keys_that_are_of_no_use_are_passed_over_and_sets_without_others_refused() {
    let good = jwk("good", &ed25519(1));
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let rsa = |modulus_bytes, exponent: &[u8]| {
        let modulus = text(vec![0xff; modulus_bytes]);
        json!({ "kty": "RSA", "n": modulus, "e": text(exponent) })
    };
    for useless in [
        with("use", "enc".into()),
        with("key_ops", json!(["sign"])),
        with("crv", "X25519".into()),
        with("x", "AA".into()),
        with("x", "no base64!".into()),
        with("kty", "EC".into()),
        with("kid", "a".repeat(256).into()),
        rsa(128, &[1, 0, 1]),
        rsa(1_025, &[1, 0, 1]),
        rsa(256, &[1, 0, 0, 0, 1]),
        rsa(256, &[0]),
        json!("key"),
        json!({}),
    ] {
        let keys = set(&[good.clone(), useless.clone()]);
        assert_eq!((keys.len(), keys.passed_over_count()), (1, 1), "{useless}");
        let alone = json!({ "keys": [useless] }).to_string();
        let found = KeySet::parse(alone.as_bytes());
        assert_eq!(found, Err(KeySetError::Unusable));
    }
    assert_eq!(
        set(&[
            with("use", "sig".into()),
            with("key_ops", json!(["verify"]))
        ])
        .len(),
        2
    );
    assert_eq!(set(&[rsa(256, &[0, 1, 0, 1])]).len(), 1);
    for wrong in ["", "[]", "{}", r#"{"keys": {}}"#, "{\"keys\": [}"] {
        let found = KeySet::parse(wrong.as_bytes());
        assert_eq!(found, Err(KeySetError::Malformed), "{wrong}");
    }
    let many = json!({ "keys": vec![good.clone(); MAX_TOKEN_KEYS + 1] }).to_string();
    assert_eq!(KeySet::parse(many.as_bytes()), Err(KeySetError::TooMany));
    assert_eq!(set(&vec![good; MAX_TOKEN_KEYS]).len(), MAX_TOKEN_KEYS);
    let long = " ".repeat(MAX_KEY_SET_BYTES + 1);
    assert_eq!(KeySet::parse(long.as_bytes()), Err(KeySetError::TooLong));
}

#[test]
fn a_password_that_begins_as_a_token_is_one() {
    assert!(is_token(&by_first(json!({}))));
    for other in ["", "secret", "a.b.c", "eyJhbGciOiJub25lIn0", "eyJ.a"] {
        assert!(!is_token(other), "{other}");
    }
}
