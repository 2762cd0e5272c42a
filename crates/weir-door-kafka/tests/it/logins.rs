//! Logins: what is served before them, what they say, and how they end.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ResponseKind, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::{Encodable, StrBytes},
};
use weir_access::{Access, Hash, MIN_ITERATIONS, SALT_BYTES, Seed, User, Verifier};
use weir_broker::access::AccessView;
use weir_door::{Millis, Session, limits::FAILED_LOGIN_DELAY_MS};
use weir_door_kafka::{
    KafkaConfig, KafkaSession,
    codec::{
        frame::MAX_LOGIN_FRAME_BYTES,
        versions::{Api, SERVED, Served},
    },
    session::{connection::MAX_STRANGER_UNSENT_BYTES, login::MAX_LOGIN_MS},
};

use crate::{
    outcomes::outcome,
    samples::{all_versions, frame, framed},
    wire::{NOW, decoded, sent, session_from, session_with},
};

pub(crate) const FAR: [u8; 4] = [192, 0, 2, 7];

pub(crate) fn line(api: Api) -> Served {
    SERVED.into_iter().find(|line| line.api == api).unwrap()
}

pub(crate) fn user(name: &str, is_administrator: bool) -> User {
    let mut user = User::new(name);
    for hash in Hash::ALL {
        let salt = [1; SALT_BYTES];
        let verifier = Verifier::of_password(hash, "secret", &salt, MIN_ITERATIONS);
        user.put_verifier(verifier.unwrap());
    }
    if is_administrator {
        user.tags.insert("administrator".to_owned());
    }
    user
}

/// With the administrator `root` and the user `tim`, whose password is `secret`.
pub(crate) fn with_users() -> Access {
    let mut access = Access::default();
    access
        .create_user(user("root", true), Seed([9; 32]))
        .unwrap();
    access
        .create_user(user("tim", false), Seed([9; 32]))
        .unwrap();
    access
}

fn view() -> AccessView {
    let view = AccessView::open();
    view.replace(with_users());
    view
}

pub(crate) fn handshake(
    session: &mut KafkaSession,
    now: Millis,
    version: i16,
    name: &str,
) -> SaslHandshakeResponse {
    let mut body = BytesMut::new();
    SaslHandshakeRequest::default()
        .with_mechanism(StrBytes::from_string(name.to_owned()))
        .encode(&mut body, version)
        .unwrap();
    let line = line(Api::SaslHandshake);
    session.receive(now, framed(line, version, 1, &body));
    match decoded(line, version, sent(session)).1 {
        ResponseKind::SaslHandshake(response) => response,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn token(
    session: &mut KafkaSession,
    now: Millis,
    version: i16,
    token: &[u8],
) -> SaslAuthenticateResponse {
    let mut body = BytesMut::new();
    SaslAuthenticateRequest::default()
        .with_auth_bytes(Bytes::copy_from_slice(token))
        .encode(&mut body, version)
        .unwrap();
    let line = line(Api::SaslAuthenticate);
    session.receive(now, framed(line, version, 2, &body));
    work(session, now);
    match decoded(line, version, sent(session)).1 {
        ResponseKind::SaslAuthenticate(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stranger_that_does_not_read_is_answered_little_and_all_once_it_reads() {
    const COUNT: usize = 1_000;
    let mut body = BytesMut::new();
    SaslHandshakeRequest::default()
        .with_mechanism(StrBytes::from_static_str("SCRAM-SHA-256"))
        .encode(&mut body, 1)
        .unwrap();
    let line = line(Api::SaslHandshake);
    let all = framed(line, 1, 1, &body).repeat(COUNT);
    let mut session = session_with(view());
    session.receive(NOW, all.into());
    let (mut chunks, mut sent_bytes) = (Vec::new(), 0);
    loop {
        let mut moved_bytes = 0;
        loop {
            let more_bytes = session.poll_transmit(&mut chunks, 1 << 20);
            moved_bytes += more_bytes;
            if more_bytes == 0 {
                break;
            }
        }
        if moved_bytes == 0 {
            break;
        }
        assert!(moved_bytes < 2 * MAX_STRANGER_UNSENT_BYTES, "{moved_bytes}");
        session.note_written(moved_bytes);
        sent_bytes += moved_bytes;
    }
    assert_eq!(chunks.len(), COUNT);
    assert_eq!(sent_bytes, COUNT * chunks[0].len());
    assert!(session.wants_read());
}

/// Does what the session wants computed, and lets pass the time that a login that failed takes.
fn work(session: &mut KafkaSession, now: Millis) {
    if let Some(work) = session.poll_work() {
        assert!(!session.wants_read() && session.in_flight_count() == 1);
        work();
        session.worked(now);
    }
    if !session.wants_read() && session.close_reason().is_none() {
        session.handle_timeout(now.plus(FAILED_LOGIN_DELAY_MS));
    }
}

/// Logs in by PLAIN.
pub(crate) fn log_in(
    session: &mut KafkaSession,
    now: Millis,
    name: &str,
) -> SaslAuthenticateResponse {
    assert_eq!(handshake(session, now, 1, "PLAIN").error_code, 0);
    token(session, now, 2, format!("\0{name}\0secret").as_bytes())
}

pub(crate) fn is_served(session: &mut KafkaSession, now: Millis) -> bool {
    session.receive(now, frame(line(Api::Metadata), 12, 3));
    let Some((ticket, request)) = session.poll_request() else {
        return false;
    };
    session.complete(now, ticket, outcome(&request, None));
    !sent(session).is_empty()
}

pub(crate) fn reason(session: &KafkaSession) -> String {
    session
        .close_reason()
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn nothing_but_a_login_is_served_before_it_once_there_has_been_a_user() {
    for (line, version) in all_versions() {
        let mut session = session_with(view());
        session.receive(NOW, frame(line, version, 1));
        let ends = session.close_reason().is_some();
        let may = matches!(line.api, Api::ApiVersions | Api::SaslHandshake);
        if line.api == Api::SaslAuthenticate {
            // Told so, and then the end.
            let code = match decoded(line, version, sent(&mut session)).1 {
                ResponseKind::SaslAuthenticate(response) => response.error_code,
                other => panic!("{other:?}"),
            };
            assert_eq!(code, 34);
        }
        assert_eq!(ends, !may, "{line:?} {version}: {}", reason(&session));
        assert!(session.poll_request().is_none(), "{line:?} {version}");
    }
}

#[test]
fn everybody_is_served_until_there_is_a_user_and_nobody_from_then_on() {
    let allowed = KafkaConfig {
        allows_anonymous: true,
        ..KafkaConfig::default()
    };
    let near: IpAddr = [127, 0, 0, 1].into();
    for (host, config) in [(near, KafkaConfig::default()), (FAR.into(), allowed)] {
        let view = AccessView::open();
        let mut session = session_from(host, view.clone(), config);
        assert!(is_served(&mut session, NOW));
        assert_eq!(session.poll_timeout(), None);
        view.replace(with_users());
        assert!(!is_served(&mut session, NOW));
        // It still has an answer to come: the end follows that.
        assert!(!session.wants_read());
    }
}

#[test]
fn before_there_is_a_user_other_machines_are_refused_with_what_to_do() {
    let view = AccessView::open();
    let mut session = session_from(FAR.into(), view.clone(), KafkaConfig::default());
    session.receive(NOW, frame(line(Api::ApiVersions), 3, 1));
    assert!(!sent(&mut session).is_empty());
    assert!(!is_served(&mut session, NOW));
    let told = reason(&session);
    assert!(
        told.contains("weir user add") && told.contains("allow-anonymous"),
        "{told}"
    );
    // Those that wait log in once there is one.
    let mut waiting = session_from(FAR.into(), view.clone(), KafkaConfig::default());
    assert!(waiting.poll_timeout().is_some());
    view.replace(with_users());
    let response = handshake(&mut waiting, NOW, 1, "SCRAM-SHA-256");
    assert_eq!(response.error_code, 0);
}

#[test]
fn plain_is_offered_only_where_nobody_hears_it() {
    let near: [IpAddr; 2] = [[127, 0, 0, 1].into(), "::ffff:127.0.0.1".parse().unwrap()];
    for (host, is_private) in [(near[0], true), (near[1], true), (FAR.into(), false)] {
        let mut session = session_from(host, view(), KafkaConfig::default());
        let response = handshake(&mut session, NOW, 1, "PLAIN");
        let offered: Vec<&str> = response.mechanisms.iter().map(|name| &**name).collect();
        let all = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"];
        assert_eq!(offered, all[..if is_private { 3 } else { 2 }], "{host}");
        assert_eq!(response.error_code, if is_private { 0 } else { 33 });
        assert_eq!(session.close_reason().is_some(), !is_private);
    }
}

#[test]
fn a_right_password_logs_in_and_a_wrong_one_ends_the_connection() {
    let mut session = session_with(view());
    assert_eq!(log_in(&mut session, NOW, "root").error_code, 0);
    assert!(is_served(&mut session, NOW));
    for (name, password) in [("root", "Secret"), ("nobody", "secret")] {
        let mut session = session_with(view());
        handshake(&mut session, NOW, 1, "PLAIN");
        let said = format!("\0{name}\0{password}");
        let response = token(&mut session, NOW, 2, said.as_bytes());
        assert_eq!(response.error_code, 58);
        let words = response.error_message.unwrap();
        assert_eq!(
            &*words,
            "Authentication failed: Invalid username or password"
        );
        assert!(reason(&session).contains("wrong name or password"));
    }
}

#[test]
fn a_login_that_fails_is_answered_late_and_nothing_is_read_meanwhile() {
    let mut session = session_with(view());
    session.handle_timeout(NOW);
    handshake(&mut session, NOW, 1, "PLAIN");
    let mut body = BytesMut::new();
    SaslAuthenticateRequest::default()
        .with_auth_bytes(Bytes::from_static(b"\0root\0wrong"))
        .encode(&mut body, 2)
        .unwrap();
    session.receive(NOW, framed(line(Api::SaslAuthenticate), 2, 2, &body));
    // Refused by whoever did nothing, too.
    drop(session.poll_work().unwrap());
    session.worked(NOW);
    let due = NOW.plus(FAILED_LOGIN_DELAY_MS);
    assert_eq!(session.poll_timeout(), Some(due));
    session.handle_timeout(NOW.plus(FAILED_LOGIN_DELAY_MS - 1));
    assert!(sent(&mut session).is_empty() && !session.wants_read());
    session.handle_timeout(due);
    assert!(!sent(&mut session).is_empty());
    assert!(reason(&session).contains("wrong name or password"));
}

#[test]
fn a_connection_ends_when_its_user_is_gone_and_one_too_many_is_refused() {
    let view = AccessView::open();
    let mut access = with_users();
    let limits = weir_access::UserLimits {
        max_connections: Some(1),
        max_channels: None,
    };
    access.set_limits("tim", limits).unwrap();
    view.replace(access.clone());
    let open = || session_with(view.clone());
    let mut session = open();
    let woken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let wakes = Arc::clone(&woken);
    session.wake_by(Arc::new(move || {
        wakes.store(true, std::sync::atomic::Ordering::Relaxed);
    }));
    assert_eq!(log_in(&mut session, NOW, "tim").error_code, 0);
    let mut second = open();
    let response = log_in(&mut second, NOW, "tim");
    assert_eq!(response.error_code, 58);
    let words = response.error_message.unwrap();
    assert!(
        words.contains("user connection limit (1) is reached"),
        "{words}"
    );
    assert!(second.close_reason().is_some());

    access.delete_user("tim").unwrap();
    view.replace(access);
    assert!(woken.load(std::sync::atomic::Ordering::Relaxed));
    let due = session.poll_timeout().unwrap();
    assert!(due <= NOW);
    session.handle_timeout(NOW);
    assert!(reason(&session).contains("user 'tim' was deleted"));
}

/// The client's side of SCRAM: its first message, and the final one to the server's first.
fn scram(hash: Hash, password: &str, first: &str) -> String {
    let mut parts = first.split(',');
    let nonce = parts.next().unwrap();
    let salt = STANDARD.decode(&parts.next().unwrap()[2..]).unwrap();
    let iterations = parts.next().unwrap()[2..].parse().unwrap();
    let algorithm = match hash {
        Hash::Sha256 => (
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
            aws_lc_rs::hmac::HMAC_SHA256,
            &aws_lc_rs::digest::SHA256,
        ),
        Hash::Sha512 => (
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA512,
            aws_lc_rs::hmac::HMAC_SHA512,
            &aws_lc_rs::digest::SHA512,
        ),
    };
    let mut salted = vec![0; hash.size_bytes()];
    let rounds = std::num::NonZeroU32::new(iterations).unwrap();
    aws_lc_rs::pbkdf2::derive(algorithm.0, rounds, &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], text: &[u8]| {
        aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(algorithm.1, key), text)
    };
    let client_key = sign(&salted, b"Client Key");
    let stored = aws_lc_rs::digest::digest(algorithm.2, client_key.as_ref());
    let last = format!("c=biws,{nonce}");
    let spoken = format!("n=tim,r=mine,{first},{last}");
    let signature = sign(stored.as_ref(), spoken.as_bytes());
    let pairs = client_key.as_ref().iter().zip(signature.as_ref());
    let proof: Vec<u8> = pairs.map(|(key, signed)| key ^ signed).collect();
    format!("{last},p={}", STANDARD.encode(proof))
}

#[test]
fn scram_logs_in_by_both_hashes_from_everywhere() {
    for hash in Hash::ALL {
        for (password, code) in [("secret", 0), ("wrong", 58)] {
            let mut session = session_from(FAR.into(), view(), KafkaConfig::default());
            assert_eq!(
                handshake(&mut session, NOW, 1, hash.mechanism()).error_code,
                0
            );
            let response = token(&mut session, NOW, 1, b"n,,n=tim,r=mine");
            assert_eq!(response.error_code, 0);
            let first = String::from_utf8(response.auth_bytes.to_vec()).unwrap();
            let last = scram(hash, password, &first);
            let response = token(&mut session, NOW, 1, last.as_bytes());
            assert_eq!(response.error_code, code);
            assert_eq!(response.auth_bytes.starts_with(b"v="), code == 0);
            assert_eq!(session.close_reason().is_some(), code != 0);
        }
    }
}

#[test]
fn tokens_come_without_a_header_after_the_first_version_of_the_handshake() {
    let mut session = session_with(view());
    assert_eq!(handshake(&mut session, NOW, 0, "PLAIN").error_code, 0);
    let said = b"\0root\0secret";
    let mut raw = BytesMut::new();
    raw.put_u32(u32::try_from(said.len()).unwrap());
    raw.put_slice(said);
    // Cut in two, with a request right behind it.
    raw.extend_from_slice(&frame(line(Api::Metadata), 12, 3));
    let rest = raw.split_off(7);
    session.receive(NOW, raw.freeze());
    assert_eq!(&sent(&mut session)[..], b"");
    session.receive(NOW, rest.freeze());
    assert!(session.poll_request().is_none());
    work(&mut session, NOW);
    assert_eq!(&sent(&mut session)[..], &[0; 4]);
    assert!(session.poll_request().is_some());

    let mut session = session_with(view());
    handshake(&mut session, NOW, 0, "PLAIN");
    session.receive(NOW, Bytes::from_static(b"\0\0\0\x04\0a\0b"));
    work(&mut session, NOW);
    assert_eq!(&sent(&mut session)[..], b"");
    assert!(reason(&session).contains("PLAIN"));
}

#[test]
fn a_stranger_sends_small_frames_alone_and_logs_in_in_time() {
    let size = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    for (bytes, is_taken) in [
        (MAX_LOGIN_FRAME_BYTES, true),
        (MAX_LOGIN_FRAME_BYTES + 1, false),
    ] {
        let mut session = session_with(view());
        let bounds = session.bounds(&size(bytes));
        assert_eq!(bounds.whole_bytes > 0, !is_taken);
        session.receive(NOW, Bytes::copy_from_slice(&size(bytes)));
        assert_eq!(session.close_reason().is_none(), is_taken);
    }
    let mut session = session_with(view());
    let late = |ms: u64| NOW.plus(ms);
    assert!(session.poll_timeout().is_some_and(|due| due <= NOW));
    session.handle_timeout(NOW);
    assert_eq!(session.poll_timeout(), Some(late(MAX_LOGIN_MS)));
    session.handle_timeout(late(MAX_LOGIN_MS - 1));
    assert!(session.close_reason().is_none());
    session.handle_timeout(late(MAX_LOGIN_MS));
    assert!(reason(&session).contains("no login"));
    let mut session = session_with(view());
    log_in(&mut session, NOW, "root");
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn who_has_logged_in_does_not_do_it_again_where_a_login_holds() {
    let mut session = session_with(view());
    assert_eq!(log_in(&mut session, NOW, "root").session_lifetime_ms, 0);
    let later = NOW.plus(100_000_000);
    assert_eq!(handshake(&mut session, later, 1, "PLAIN").error_code, 34);
    assert_eq!(
        token(&mut session, later, 2, b"\0root\0secret").error_code,
        34
    );
    assert!(is_served(&mut session, later));
}

#[test]
fn a_login_with_a_lifetime_is_made_anew_by_the_same_user_or_ends() {
    let config = KafkaConfig {
        session_lifetime_ms: 60_000,
        ..KafkaConfig::default()
    };
    let open = || session_from([127, 0, 0, 1].into(), view(), config);
    let mut session = open();
    assert_eq!(
        log_in(&mut session, NOW, "root").session_lifetime_ms,
        60_000
    );
    assert_eq!(
        handshake(&mut session, NOW.plus(999), 1, "PLAIN").error_code,
        34
    );
    assert!(is_served(&mut session, NOW.plus(50_000)));
    assert_eq!(log_in(&mut session, NOW.plus(59_000), "root").error_code, 0);
    assert!(is_served(&mut session, NOW.plus(118_999)));
    assert!(!is_served(&mut session, NOW.plus(119_000)));

    let mut session = open();
    log_in(&mut session, NOW, "root");
    assert_eq!(log_in(&mut session, NOW.plus(5_000), "tim").error_code, 58);
    assert!(reason(&session).contains("another user"));

    let mut session = open();
    log_in(&mut session, NOW, "root");
    let response = handshake(&mut session, NOW.plus(5_000), 1, "SCRAM-SHA-256");
    assert_eq!(response.error_code, 58);
}
