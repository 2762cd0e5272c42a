//! Logins by tokens that somebody else has signed.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use weir_access::{
    acl::{Acl, Operation, ResourceType},
    token::{KeySet, TokenRules},
};
use weir_broker::access::{AccessView, TokenView};
use weir_door::{Clock, Connection, Millis, Session, TlsSession};
use weir_door_kafka::{KafkaConfig, KafkaSession, codec::versions::Api};

use crate::{
    logins::{FAR, handshake, is_served, line, log_in, reason, token, with_users},
    outcomes::outcome,
    permissions::acl_on,
    samples::frame,
    wire::{NOW, sent, shared},
};

/// The wall clock of these tests, in s.
const WALL_S: i64 = 1_795_000_000;
const REFUSED: &[u8] = br#"{"status":"invalid_token"}"#;

struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        0
    }
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap()
}

fn jwt(name: &str, ends_s: i64) -> String {
    let text = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let header = text(r#"{"alg":"EdDSA","kid":"first"}"#);
    let claims = text(&format!(r#"{{"sub":"{name}","exp":{ends_s}}}"#));
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key().sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn keys() -> KeySet {
    let public = URL_SAFE_NO_PAD.encode(key().public_key());
    let set =
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"first","x":"{public}"}}]}}"#);
    KeySet::parse(set.as_bytes()).unwrap()
}

fn rules() -> TokenRules {
    TokenRules {
        clock_skew_ms: 0,
        ..TokenRules::default()
    }
}

/// Tokens of that key, and how often an unknown one was asked for.
fn tokens() -> (TokenView, Arc<AtomicUsize>) {
    let clock = Arc::new(Wall(AtomicI64::new(WALL_S * 1_000)));
    let missing = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&missing);
    let hears = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let view = TokenView::new(rules(), clock, Box::new(hears));
    view.replace(keys());
    (view, missing)
}

/// A session of somebody there, with the users of `access`.
fn session_at(host: IpAddr, is_over_tls: bool, access: AccessView) -> KafkaSession {
    let connection = Connection {
        peer: (host, 5).into(),
        local: ([127, 0, 0, 1], 9092).into(),
        number: 0,
        tls: is_over_tls.then_some(TlsSession {
            identity: None,
            version: "TLSv1.3",
        }),
    };
    let mut shared = shared(access);
    shared.tokens = tokens().0;
    KafkaSession::sharing(connection, KafkaConfig::default(), &shared)
}

fn closed() -> AccessView {
    let mut access = with_users();
    let acl = Acl {
        principal: "alice".into(),
        ..acl_on(Operation::Read, ResourceType::Group, "*")
    };
    access.add_acls(vec![acl]).unwrap();
    let view = AccessView::open();
    view.replace(access);
    view
}

fn session() -> KafkaSession {
    session_at([127, 0, 0, 1].into(), false, closed())
}

fn said(jwt: &str) -> Vec<u8> {
    format!("n,,\x01auth=Bearer {jwt}\x01\x01").into_bytes()
}

fn by_token(
    session: &mut KafkaSession,
    now: Millis,
    jwt: &str,
) -> kafka_protocol::messages::SaslAuthenticateResponse {
    assert_eq!(handshake(session, now, 1, "OAUTHBEARER").error_code, 0);
    token(session, now, 2, &said(jwt))
}

fn may_act(session: &mut KafkaSession, now: Millis) -> bool {
    session.receive(now, frame(line(Api::Heartbeat), 4, 3));
    let Some((ticket, request)) = session.poll_request() else {
        return false;
    };
    session.complete(now, ticket, outcome(&request, None));
    !sent(session).is_empty()
}

#[test]
fn a_token_logs_in_whom_it_names_who_need_not_be_a_user() {
    let mut session = session();
    let response = by_token(&mut session, NOW, &jwt("alice", WALL_S + 60));
    assert_eq!(response.error_code, 0);
    assert_eq!(response.session_lifetime_ms, 60_000);
    assert!(response.auth_bytes.is_empty());
    assert!(is_served(&mut session, NOW) && may_act(&mut session, NOW));
    // For ever is a year.
    let mut session = self::session();
    let response = by_token(&mut session, NOW, &jwt("alice", i64::MAX));
    assert_eq!(response.session_lifetime_ms, 365 * 24 * 3_600_000);
    // Known, and may do nothing.
    let mut session = self::session();
    let response = by_token(&mut session, NOW, &jwt("bob", WALL_S + 60));
    assert_eq!(response.error_code, 0);
    assert!(!may_act(&mut session, NOW) && reason(&session).is_empty());
}

#[test]
fn a_token_is_taken_where_a_password_is_and_where_there_are_keys() {
    for (host, is_over_tls, is_offered) in [
        ([127, 0, 0, 1], false, true),
        (FAR, false, false),
        (FAR, true, true),
    ] {
        let mut session = session_at(host.into(), is_over_tls, closed());
        let response = handshake(&mut session, NOW, 1, "OAUTHBEARER");
        assert_eq!(response.error_code, if is_offered { 0 } else { 33 });
        let names = response.mechanisms.iter();
        let names: Vec<&str> = names.map(|name| &**name).collect();
        assert_eq!(names.contains(&"OAUTHBEARER"), is_offered);
    }
    let mut without = crate::wire::session_with(closed());
    let response = handshake(&mut without, NOW, 1, "OAUTHBEARER");
    assert_eq!(response.error_code, 33);
}

#[test]
fn a_token_that_is_not_believed_is_answered_as_rfc_7628_says_and_then_refused_as_kafka_does() {
    let expired = jwt("alice", WALL_S);
    let forged = expired.replace("eyJzdWIi", "eyJzdWJi");
    for wrong in [&*expired, &forged, "none"] {
        let mut session = session();
        let response = by_token(&mut session, NOW, wrong);
        assert_eq!(response.error_code, 0);
        assert_eq!(&response.auth_bytes[..], REFUSED);
        assert_eq!(response.session_lifetime_ms, 0);
        assert!(session.close_reason().is_none());
        let response = token(&mut session, NOW, 2, b"\x01");
        assert_eq!(response.error_code, 58);
        let words = response.error_message.unwrap();
        assert_eq!(words.as_bytes(), REFUSED);
        assert!(reason(&session).contains("OAUTHBEARER"));
        assert!(!is_served(&mut session, NOW));
    }
    // Nobody tries again on the same connection.
    let mut session = session();
    by_token(&mut session, NOW, &expired);
    let second = token(&mut session, NOW, 2, &said(&jwt("alice", WALL_S + 60)));
    assert_eq!(second.error_code, 58);
    assert!(session.close_reason().is_some());
}

#[test]
fn a_message_that_is_none_or_acts_for_another_is_refused_at_once() {
    let jwt = jwt("alice", WALL_S + 60);
    let for_root = format!("n,a=root,\x01auth=Bearer {jwt}\x01\x01");
    for wrong in [&b""[..], b"\x01", for_root.as_bytes()] {
        let mut session = session();
        handshake(&mut session, NOW, 1, "OAUTHBEARER");
        let response = token(&mut session, NOW, 2, wrong);
        assert_eq!(response.error_code, 58);
        let words = response.error_message.unwrap();
        assert!(words.contains("SASL mechanism OAUTHBEARER"), "{words}");
    }
    let mut session = session();
    handshake(&mut session, NOW, 1, "OAUTHBEARER");
    let for_alice = format!("n,a=alice,\x01auth=Bearer {jwt}\x01\x01");
    let response = token(&mut session, NOW, 2, for_alice.as_bytes());
    assert_eq!(response.error_code, 0);
}

#[test]
fn a_login_ends_with_its_token_unless_another_one_of_the_same_name_follows() {
    let mut session = session();
    by_token(&mut session, NOW, &jwt("alice", WALL_S + 60));
    assert!(is_served(&mut session, NOW.plus(59_999)));
    assert!(!is_served(&mut session, NOW.plus(60_000)));
    assert!(reason(&session).contains("after the login's time"));

    let mut session = self::session();
    by_token(&mut session, NOW, &jwt("alice", WALL_S + 60));
    let later = NOW.plus(50_000);
    // The wall clock of these tests stands still.
    let response = by_token(&mut session, later, &jwt("alice", WALL_S + 120));
    assert_eq!(
        (response.error_code, response.session_lifetime_ms),
        (0, 120_000)
    );
    assert!(is_served(&mut session, later.plus(119_999)));
    assert!(!is_served(&mut session, later.plus(120_000)));

    let mut session = self::session();
    by_token(&mut session, NOW, &jwt("alice", WALL_S + 60));
    let response = by_token(&mut session, later, &jwt("bob", WALL_S + 60));
    assert_eq!(response.error_code, 58);
    assert!(reason(&session).contains("another user"));

    let mut session = self::session();
    log_in(&mut session, NOW, "tim");
    let again = handshake(&mut session, later, 1, "OAUTHBEARER");
    assert_eq!(again.error_code, 34);
}

#[test]
fn a_name_that_a_disabled_user_has_does_not_come_in_and_its_connections_end() {
    let view = closed();
    let mut session = session_at([127, 0, 0, 1].into(), false, view.clone());
    by_token(&mut session, NOW, &jwt("tim", WALL_S + 60));
    assert!(is_served(&mut session, NOW));
    let mut access = with_users();
    access.set_enabled("tim", false).unwrap();
    view.replace(access);
    assert!(session.poll_timeout().is_some_and(|due| due <= NOW));
    session.handle_timeout(NOW);
    assert!(reason(&session).contains("user 'tim' was disabled"));
    let mut session = session_at([127, 0, 0, 1].into(), false, view);
    let response = by_token(&mut session, NOW, &jwt("tim", WALL_S + 60));
    assert_eq!(response.error_code, 58);
}

#[test]
fn nobody_logs_in_by_a_token_before_there_is_a_user() {
    let mut session = session_at(FAR.into(), true, AccessView::open());
    let response = by_token(&mut session, NOW, &jwt("alice", WALL_S + 60));
    assert_eq!(response.error_code, 58);
}

#[test]
fn who_keeps_the_keys_hears_of_one_that_is_not_known() {
    let (view, missing) = tokens();
    assert!(view.check(&jwt("alice", WALL_S + 60)).is_ok());
    assert!(view.check(&jwt("alice", WALL_S)).is_err());
    assert_eq!(missing.load(Ordering::Relaxed), 0);
    view.replace(KeySet::default());
    assert!(view.check(&jwt("alice", WALL_S + 60)).is_err());
    assert_eq!(missing.load(Ordering::Relaxed), 1);
    assert!(!TokenView::default().is_on());
    assert!(
        TokenView::default()
            .check(&jwt("alice", WALL_S + 60))
            .is_err()
    );
}
