use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::Exchange;
use crate::{
    limit::{MAX_LOGIN_BYTES, MAX_NONCE_BYTES, SALT_BYTES},
    plain::AuthError,
    store::{Access, Seed},
    user::User,
    verifier::{Hash, Verifier},
};

const CLIENT: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

fn salt() -> [u8; SALT_BYTES] {
    STANDARD.decode(SALT).unwrap().try_into().unwrap()
}

fn access(hashes: &[Hash], name: &str, password: &str) -> Access {
    let mut user = User::new(name);
    for hash in hashes {
        user.put_verifier(Verifier::of_password(*hash, password, &salt(), 4_096).unwrap());
    }
    let mut access = Access::default();
    access.create_user(user, Seed([3; 32])).unwrap();
    access
}

fn begin(access: &Access, hash: Hash, first: &str) -> Result<(Exchange, String), AuthError> {
    Exchange::begin(access, hash, SERVER, first.as_bytes())
}

/// What a client with a password answers.
fn last(hash: Hash, header: &str, bare: &str, answer: &str, password: &str) -> String {
    last_after("", hash, header, bare, answer, password)
}

/// The same with something before the nonce.
fn last_after(
    before: &str,
    hash: Hash,
    header: &str,
    bare: &str,
    answer: &str,
    password: &str,
) -> String {
    let part = |name: &str| {
        answer
            .split(',')
            .find_map(|part| part.strip_prefix(name))
            .unwrap()
    };
    let salt = STANDARD.decode(part("s=")).unwrap();
    let rounds = part("i=").parse().unwrap();
    let salted = match hash {
        Hash::Sha256 => derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
            32,
            &salt,
            rounds,
            password,
        ),
        Hash::Sha512 => derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA512,
            64,
            &salt,
            rounds,
            password,
        ),
    };
    let client_key = hash.sign(&salted, b"Client Key");
    let stored_key = hash.digest(client_key.as_ref());
    let without = format!("c={},r={before}{}", STANDARD.encode(header), part("r="));
    let spoken = format!("{bare},{answer},{without}");
    let signature = hash.sign(stored_key.as_ref(), spoken.as_bytes());
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    let proof: Vec<u8> = pairs.map(|(key, signature)| key ^ signature).collect();
    format!("{without},p={}", STANDARD.encode(proof))
}

fn derive(
    algorithm: aws_lc_rs::pbkdf2::Algorithm,
    size_bytes: usize,
    salt: &[u8],
    rounds: u32,
    password: &str,
) -> Vec<u8> {
    let mut out = vec![0; size_bytes];
    let rounds = rounds.try_into().unwrap();
    aws_lc_rs::pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut out);
    out
}

fn log_in(access: &Access, hash: Hash, header: &str, bare: &str, password: &str) -> bool {
    let (exchange, answer) = begin(access, hash, &format!("{header}{bare}")).unwrap();
    let last = last(hash, header, bare, &answer, password);
    let done = exchange.finish(access, last.as_bytes());
    match done {
        Ok(logged_in) => logged_in.answer.starts_with("v="),
        Err(error) => {
            assert_eq!(error, AuthError::Credentials);
            false
        }
    }
}

#[test]
fn a_client_that_repeats_its_part_of_the_nonce_logs_in_as_with_kafka() {
    // librdkafka before 2.6.1, which Debian 12 has.
    for hash in Hash::ALL {
        for (password, is_right) in [("pencil", true), ("pen", false)] {
            let access = access(&[hash], "user", "pencil");
            let bare = format!("n=user,r={CLIENT}");
            let (exchange, answer) = begin(&access, hash, &format!("n,,{bare}")).unwrap();
            let last = last_after(CLIENT, hash, "n,,", &bare, &answer, password);
            let done = exchange.finish(&access, last.as_bytes());
            assert_eq!(done.is_ok(), is_right);
        }
    }
}

#[test]
fn the_exchange_of_rfc_7677_is_as_it_stands_there() {
    let access = access(&[Hash::Sha256], "user", "pencil");
    let first = format!("n,,n=user,r={CLIENT}");
    let (exchange, answer) = begin(&access, Hash::Sha256, &first).unwrap();
    assert_eq!(answer, format!("r={CLIENT}{SERVER},s={SALT},i=4096"));
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let last = format!("c=biws,r={CLIENT}{SERVER},p={proof}");
    let done = exchange.finish(&access, last.as_bytes()).unwrap();
    assert_eq!(
        done.answer,
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
    assert_eq!(&*done.user.name, "user");
}

#[test]
fn with_sha_512_it_is_as_another_implementation_says() {
    let access = access(&[Hash::Sha512], "user", "pencil");
    let first = format!("n,,n=user,r={CLIENT}");
    let (exchange, _) = begin(&access, Hash::Sha512, &first).unwrap();
    let proof =
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    let last = format!("c=biws,r={CLIENT}{SERVER},p={proof}");
    let done = exchange.finish(&access, last.as_bytes()).unwrap();
    let expected = "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";
    assert_eq!(done.answer, expected);
}

#[test]
fn only_the_password_logs_in() {
    for hash in Hash::ALL {
        let access = access(&Hash::ALL, "a,b=c", "pencil");
        for header in ["n,,", "y,,", "n,a=a=2Cb=3Dc,"] {
            let bare = format!("n=a=2Cb=3Dc,r={CLIENT}");
            assert!(log_in(&access, hash, header, &bare, "pencil"));
            assert!(!log_in(&access, hash, header, &bare, "pencils"));
        }
    }
}

#[test]
fn extensions_that_need_not_be_understood_are_no_hindrance() {
    let access = access(&Hash::ALL, "user", "pencil");
    let bare = format!("n=user,r={CLIENT},tokenauth=true,x=y");
    assert!(log_in(&access, Hash::Sha256, "n,,", &bare, "pencil"));
}

#[test]
fn a_name_that_nobody_has_is_answered_alike_each_time_and_never_logs_in() {
    let access = access(&[Hash::Sha256], "user", "pencil");
    let answer = |hash, name: &str| {
        let (_, answer) = begin(&access, hash, &format!("n,,n={name},r=x")).unwrap();
        answer
    };
    assert_eq!(
        answer(Hash::Sha256, "nobody"),
        answer(Hash::Sha256, "nobody")
    );
    assert_ne!(
        answer(Hash::Sha256, "nobody"),
        answer(Hash::Sha256, "other")
    );
    let known = answer(Hash::Sha256, "user");
    assert_eq!(answer(Hash::Sha256, "nobody").len(), known.len());
    // A user without a verifier for the mechanism is no other than nobody.
    assert!(!log_in(
        &access,
        Hash::Sha512,
        "n,,",
        "n=user,r=x",
        "pencil"
    ));
    assert!(!log_in(
        &access,
        Hash::Sha256,
        "n,,",
        "n=nobody,r=x",
        "pencil"
    ));
}

#[test]
fn a_user_who_is_disabled_or_gets_another_password_meanwhile_is_not_let_in() {
    let mut changed = access(&Hash::ALL, "user", "pencil");
    let bare = "n=user,r=x";
    let (exchange, answer) = begin(&changed, Hash::Sha256, &format!("n,,{bare}")).unwrap();
    let last = last(Hash::Sha256, "n,,", bare, &answer, "pencil");
    let other = Verifier::of_password(Hash::Sha256, "pen", &salt(), 4_096).unwrap();
    changed
        .put_verifiers("user", vec![other], false, Seed([0; 32]))
        .unwrap();
    let done = exchange.finish(&changed, last.as_bytes());
    assert_eq!(done.err(), Some(AuthError::Credentials));
    changed.set_enabled("user", false).unwrap();
    assert!(!log_in(&changed, Hash::Sha256, "n,,", bare, "pen"));
    changed.set_enabled("user", true).unwrap();
    assert!(log_in(&changed, Hash::Sha256, "n,,", bare, "pen"));
}

#[test]
fn a_first_message_that_is_malformed_or_asks_too_much_is_refused() {
    let access = access(&Hash::ALL, "user", "pencil");
    let long = format!("n,,n=user,r={}", "a".repeat(MAX_NONCE_BYTES + 1));
    let longer = format!("n,,n={},r=x", "a".repeat(MAX_LOGIN_BYTES));
    for (first, error) in [
        ("", AuthError::Malformed),
        ("n,,", AuthError::Malformed),
        ("n,n=user,r=x", AuthError::Malformed),
        ("x,,n=user,r=x", AuthError::Malformed),
        ("n,,n=user", AuthError::Malformed),
        ("n,,r=x,n=user", AuthError::Malformed),
        ("n,,n=,r=x", AuthError::Malformed),
        ("n,,n=user,r=", AuthError::Malformed),
        ("n,,n=user,r=a b", AuthError::Malformed),
        ("n,,n=us=er,r=x", AuthError::Malformed),
        ("n,,n=user,r=x,nothing", AuthError::Malformed),
        ("n,,m=x,n=user,r=x", AuthError::Extension),
        ("p=tls-unique,,n=user,r=x", AuthError::ChannelBinding),
        ("n,a=root,n=user,r=x", AuthError::Impersonation),
        ("n,b,n=user,r=x", AuthError::Malformed),
        (&long, AuthError::Malformed),
        (&longer, AuthError::TooLong),
    ] {
        let begun = begin(&access, Hash::Sha256, first);
        assert_eq!(begun.err(), Some(error), "{first}");
    }
    let begun = Exchange::begin(&access, Hash::Sha256, SERVER, b"n,,n=\xff,r=x");
    assert_eq!(begun.err(), Some(AuthError::Malformed));
}

#[test]
fn a_final_message_must_bind_and_repeat_what_was_said_first() {
    let access = access(&Hash::ALL, "user", "pencil");
    let (bare, nonce) = ("n=user,r=x", format!("x{SERVER}"));
    let (_, answer) = begin(&access, Hash::Sha256, &format!("n,,{bare}")).unwrap();
    let right = last(Hash::Sha256, "n,,", bare, &answer, "pencil");
    let proof = right.rsplit_once(",p=").unwrap().1;
    for (last, error) in [
        (
            format!("c=eSws,r={nonce},p={proof}"),
            AuthError::ChannelBinding,
        ),
        (format!("c=biws,r={nonce}1,p={proof}"), AuthError::Malformed),
        (format!("c=biws,r={SERVER},p={proof}"), AuthError::Malformed),
        (format!("c=biws,r={nonce},p="), AuthError::Malformed),
        (format!("c=biws,r={nonce},p=AAAA"), AuthError::Malformed),
        (format!("c=biws,r={nonce},p={proof}="), AuthError::Malformed),
        (format!("c=biws,r={nonce}"), AuthError::Malformed),
        (format!("r={nonce},c=biws,p={proof}"), AuthError::Malformed),
        (
            format!("c=biws,r={nonce},x=1,p={proof}"),
            AuthError::Credentials,
        ),
        (right.clone(), AuthError::Credentials),
    ] {
        let (exchange, _) = begin(&access, Hash::Sha256, &format!("n,,{bare}")).unwrap();
        let done = exchange.finish(&access, last.as_bytes());
        assert_eq!(done.err(), (last != right).then_some(error), "{last}");
    }
}

#[test]
fn messages_cut_at_every_byte_are_no_panic() {
    let access = access(&Hash::ALL, "user", "pencil");
    let first = format!("n,a=user,n=us=2Cer,r={CLIENT},x=y");
    for cut in 0..first.len() {
        let _ = begin(&access, Hash::Sha256, &first[..cut]);
    }
    let (bare, first) = ("n=user,r=x", "n,,n=user,r=x");
    let (_, answer) = begin(&access, Hash::Sha256, first).unwrap();
    let last = last(Hash::Sha256, "n,,", bare, &answer, "pencil");
    for cut in 0..last.len() {
        let (exchange, _) = begin(&access, Hash::Sha256, first).unwrap();
        assert!(exchange.finish(&access, &last.as_bytes()[..cut]).is_err());
    }
}
