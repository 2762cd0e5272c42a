//! Tokens in place of passwords.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use weir_access::{
    Access, Principal, Seed, User,
    token::{KeySet, TokenRules},
};
use weir_broker::{
    access::{AccessView, TokenView},
    api::queues::{QueueOutcome, QueueRequest, QueueSession},
};
use weir_door::{Clock, Door as _, Millis, Session as _, limits::FAILED_LOGIN_DELAY_MS};
use weir_door_amqp::{
    AmqpConfig, AmqpDoor, AmqpSession,
    codec::{Method, PROTOCOL_HEADER, method},
};
use weir_model::fields::examples::short;

use crate::client::{Client, connection, start_ok};

/// The wall clock of these tests, in s.
const WALL_S: i64 = 1_795_000_000;

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

fn jwt(name: &str, left_s: i64, scope: &str) -> String {
    let text = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let header = text(r#"{"alg":"EdDSA","kid":"first"}"#);
    let ends_s = WALL_S + left_s;
    let claims = format!(r#"{{"sub":"{name}","exp":{ends_s},"scope":"{scope}"}}"#);
    let message = format!("{header}.{}", text(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key().sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn tokens() -> TokenView {
    let rules = TokenRules {
        clock_skew_ms: 0,
        scope_prefix: Some("weir.".to_owned()),
        ..TokenRules::default()
    };
    let clock = Arc::new(Wall(AtomicI64::new(WALL_S * 1_000)));
    let view = TokenView::new(rules, clock, Box::new(|| ()));
    let public = URL_SAFE_NO_PAD.encode(key().public_key());
    let set =
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"first","x":"{public}"}}]}}"#);
    view.replace(KeySet::parse(set.as_bytes()).unwrap());
    view
}

/// Of a cluster with a user.
fn session(peer: [u8; 4], tokens: TokenView) -> AmqpSession {
    let mut access = Access::default();
    let created = access.create_user(User::new("root"), Seed([9; 32]));
    created.unwrap();
    let view = AccessView::open();
    view.replace(access);
    let door = AmqpDoor::new(AmqpConfig::default()).believing(tokens);
    door.of(view).open(connection(peer))
}

/// A client that has said this as its password.
fn said(session: AmqpSession, password: &str) -> Client {
    let mut client = Client::new(session);
    client.session.handle_timeout(client.now);
    client.raw(&PROTOCOL_HEADER);
    let mut start = start_ok(b"");
    start.response = Bytes::from(format!("\0whoever\0{password}"));
    client.send(0, start);
    client
}

/// Whom the node is asked to let in, and has.
fn let_in(client: &mut Client) -> (Principal, bool) {
    client.send(0, method::ConnectionTuneOk::default());
    let open = method::ConnectionOpen {
        virtual_host: short("/"),
        ..Default::default()
    };
    client.send(0, open);
    let opened = QueueOutcome::Opened(QueueSession::detached("/"));
    let QueueRequest::Open(open) = client.answer_next(opened) else {
        panic!("no session");
    };
    let last = client.said().pop();
    assert!(matches!(last, Some((0, Method::ConnectionOpenOk(_), _))));
    let is_granted = open.grants.is_some_and(|grants| !grants.is_empty());
    (open.principal.unwrap(), is_granted)
}

fn here(password: &str) -> Client {
    said(session([127, 0, 0, 1], tokens()), password)
}

fn update(client: &mut Client, token: &str) -> Method {
    let update = method::ConnectionUpdateSecret {
        new_secret: Bytes::copy_from_slice(token.as_bytes()),
        reason: short("it ends soon"),
    };
    client.send(0, update);
    client.one()
}

/// The code and the text of the end that the client is told.
fn end(method: Method) -> (u16, String) {
    match method {
        Method::ConnectionClose(close) => (close.reply_code, close.reply_text.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_in_place_of_a_password_logs_in_whom_it_names_whatever_the_name_beside_it() {
    let alice = Principal::Vouched("alice".into());
    for (scope, is_granted) in [("openid", false), ("openid weir.read:*/*", true)] {
        let mut client = here(&jwt("alice", 60, scope));
        assert_eq!(let_in(&mut client), (alice.clone(), is_granted));
    }
}

#[test]
fn a_token_that_is_not_believed_or_could_be_overheard_is_a_login_that_fails() {
    let good = jwt("alice", 60, "");
    let expired = jwt("alice", 0, "");
    let forged = good.replacen("eyJzdWIi", "eyJzdWJi", 1);
    let far = [192, 0, 2, 1];
    for mut client in [
        here(&expired),
        here(&forged),
        here("eyJ.a.b"),
        said(session(far, tokens()), &good),
    ] {
        let later = client.now.plus(FAILED_LOGIN_DELAY_MS);
        client.said();
        client.session.handle_timeout(later);
        let (code, text) = end(client.one());
        assert_eq!(code, 403);
        assert!(
            text.starts_with("ACCESS_REFUSED - Login was refused"),
            "{text}"
        );
    }
    // Where no tokens are taken it is a password, which takes a while to check.
    let mut client = said(session([127, 0, 0, 1], TokenView::default()), &good);
    assert!(client.session.poll_work().is_some());
}

#[test]
fn a_connection_ends_with_its_token_unless_another_one_follows() {
    let mut client = here(&jwt("alice", 60, ""));
    let_in(&mut client);
    let until = client.now.plus(60_000);
    assert!(
        client
            .session
            .poll_timeout()
            .is_some_and(|due| due <= until)
    );
    client.session.handle_timeout(client.now.plus(29_999));
    assert!(client.said().is_empty());
    let renewed = update(&mut client, &jwt("alice", 600, ""));
    assert!(matches!(renewed, Method::ConnectionUpdateSecretOk(_)));
    client.send(0, method::ConnectionTuneOk::default());
    let mut client = here(&jwt("alice", 20, ""));
    let_in(&mut client);
    client.session.handle_timeout(client.now.plus(20_000));
    let told = end(client.one());
    assert_eq!(
        told,
        (320, "CONNECTION_FORCED - credential expired".to_owned())
    );
    // Before it is open it ends without a word.
    let mut client = here(&jwt("alice", 5, ""));
    client.said();
    client.session.handle_timeout(client.now.plus(5_000));
    assert!(client.said().is_empty() && client.session.close_reason().is_some());
}

#[test]
fn a_renewed_token_counts_until_its_own_end() {
    let mut client = here(&jwt("alice", 20, ""));
    let_in(&mut client);
    update(&mut client, &jwt("alice", 25, ""));
    client.session.handle_timeout(client.now.plus(24_999));
    assert!(client.said().is_empty());
    client.session.handle_timeout(client.now.plus(25_000));
    assert_eq!(end(client.one()).0, 320);
}

#[test]
fn a_secret_that_is_no_token_of_the_same_name_ends_the_connection() {
    for wrong in [&*jwt("bob", 60, ""), &jwt("alice", 0, ""), "secret", ""] {
        let mut client = here(&jwt("alice", 60, ""));
        let_in(&mut client);
        let (code, text) = end(update(&mut client, wrong));
        let expected = "NOT_ALLOWED - New secret was refused by one of the backends";
        assert_eq!((code, &*text), (530, expected));
    }
}
