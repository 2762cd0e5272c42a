//! Tokens as tests make them, and what `weir` says of them.

use std::{
    io::Write as _,
    process::Stdio,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::process::{TestDir, weir};

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

/// Exit code, stdout, stderr of `weir token`.
fn token(words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = weir();
    command.arg("token").args(words).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended before it read all of it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), stdout, stderr)
}

#[test]
fn people_see_what_a_token_says_and_whether_a_node_believes_it() {
    let dir = TestDir::new();
    let file = dir.path().join("keys.json");
    std::fs::write(&file, key_set(1)).unwrap();
    let keys = ["--token-keys", file.to_str().unwrap()];
    let verify = |extra: &[&str], input: &str| {
        let words = [&["verify", "-"][..], &keys, extra].concat();
        token(&words, input)
    };
    let good = format!("{}\n", jwt(1, "carol", 600));
    let (code, stdout, _) = verify(&[], &good);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("believed: it names carol"), "{stdout}");
    let (code, stdout, _) = verify(&["--json"], &good);
    let page: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &page["names"]), (Some(0), &"carol".into()));
    assert_eq!(page["claims"]["sub"], "carol");
    for (token, extra, why) in [
        (&*jwt(1, "carol", -600), &[][..], "a token that has expired"),
        (&jwt(2, "carol", 600), &[], "a token with a wrong signature"),
        (&good, &["--token-audience", "weir"], "another audience"),
        ("secret", &[], "no signed token"),
    ] {
        let (code, _, stderr) = verify(extra, token);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
    let (code, stdout, _) = token(&["show", "-"], &jwt(2, "carol", -600));
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("carol") && stdout.contains(" s ago)"),
        "{stdout}"
    );
    let (code, _, stderr) = token(&["verify", "-"], &good);
    assert!(code == Some(2) && stderr.contains("token-keys"), "{stderr}");
}
