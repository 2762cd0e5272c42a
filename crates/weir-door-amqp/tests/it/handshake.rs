//! From the first byte to an open connection, and its end.

use bytes::Bytes;
use weir_access::Principal;
use weir_broker::api::queues::{QueueOutcome, QueueRequest, Refused};
use weir_door::{Door, Millis, Session, limits::FAILED_LOGIN_DELAY_MS};
use weir_door_amqp::{
    AmqpConfig, AmqpDoor, AmqpSession,
    codec::{Method, PROTOCOL_HEADER, method},
};
use weir_model::fields::{FieldTable, FieldValue, examples::short};

use crate::client::{
    Client, connection, handshake_bytes, method_bytes, session, session_from, start_ok, stored,
};

#[test]
fn a_client_hears_what_the_server_can_do_and_which_limits_it_has() {
    let mut client = Client::new(session());
    client.raw(&PROTOCOL_HEADER);
    let Method::ConnectionStart(start) = client.one() else {
        panic!("no start");
    };
    let properties = start.server_properties;
    let product = properties.get("product");
    assert_eq!(product, Some(&FieldValue::LongString("RabbitMQ".into())));
    let Some(FieldValue::Table(capabilities)) = properties.get("capabilities") else {
        panic!("no capabilities");
    };
    assert_eq!(capabilities.0.len(), 9);
    assert_eq!(start.mechanisms, "PLAIN AMQPLAIN ANONYMOUS");
    client.send(0, start_ok(b"\0guest\0guest"));
    let Method::ConnectionTune(tune) = client.one() else {
        panic!("no tune");
    };
    let limits = (tune.channel_max, tune.frame_max, tune.heartbeat);
    assert_eq!(limits, (2047, 131_072, 60));
}

#[test]
fn other_protocols_hear_which_one_is_spoken() {
    for header in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ] {
        let mut client = Client::new(session());
        assert_eq!(
            client.session.bounds(header).whole_bytes.min(8),
            8,
            "{header:?}"
        );
        client.raw(header);
        assert_eq!(client.sent(), &PROTOCOL_HEADER[..]);
        assert_eq!(client.reason(), "peer: another protocol");
    }
    let mut client = Client::new(session());
    client.raw(b"AMQP\x01\x01\x00\x09");
    assert!(matches!(client.one(), Method::ConnectionStart(_)));
}

#[test]
fn a_refused_login_is_told_to_those_who_understand_it_and_ends_late() {
    let mut client = Client::new(session_from([192, 0, 2, 1]));
    client.raw(&PROTOCOL_HEADER);
    client.sent();
    client.send(0, start_ok(b"\0guest\0guest"));
    assert!(client.said().is_empty() && !client.session.wants_read());
    let due = client.now.plus(FAILED_LOGIN_DELAY_MS);
    client.session.handle_timeout(due);
    let Some((0, Method::ConnectionClose(close), _)) = client.said().pop() else {
        panic!("no close");
    };
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (403, 0, 0)
    );
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    assert_eq!(close.reply_text.as_str(), text);
    client.send(0, method::ConnectionCloseOk {});
    assert!(client.session.close_reason().is_some());

    let mut client = Client::new(session());
    client.session.handle_timeout(client.now);
    client.raw(&PROTOCOL_HEADER);
    client.sent();
    let start = method::ConnectionStartOk {
        client_properties: FieldTable::default(),
        ..start_ok(b"\0guest\0wrong")
    };
    client.send(0, start);
    assert!(client.said().is_empty());
    assert!(client.session.close_reason().is_none() && !client.session.wants_read());
    let due = client.session.poll_timeout().unwrap();
    assert!(due > client.now);
    client.session.handle_timeout(due);
    assert!(client.reason().contains("Login was refused"));
}

fn with_tim() -> AmqpSession {
    let salt = [1; weir_access::SALT_BYTES];
    let hash = weir_access::Hash::Sha256;
    let verifier = weir_access::Verifier::of_password(hash, "secret", &salt, 4_096);
    let mut user = weir_access::User::new("tim");
    user.put_verifier(verifier.unwrap());
    let mut access = weir_access::Access::default();
    access
        .create_user(user, weir_access::Seed::default())
        .unwrap();
    let view = weir_broker::access::AccessView::open();
    view.replace(access);
    let door = AmqpDoor::new(AmqpConfig::default()).of(view);
    door.open(connection([127, 0, 0, 1]))
}

#[test]
fn a_password_is_work_for_others_and_nothing_is_read_meanwhile() {
    for (password, is_right) in [(&b"\0tim\0secret"[..], true), (b"\0tim\0other", false)] {
        let mut client = Client::new(with_tim());
        client.raw(&PROTOCOL_HEADER);
        client.sent();
        client.send(0, start_ok(password));
        assert!(client.said().is_empty() && !client.session.wants_read());
        assert_eq!(client.session.in_flight_count(), 1);
        let work = client.session.poll_work().unwrap();
        assert!(client.session.poll_work().is_none());
        work();
        client.session.worked(client.now);
        let said = client.said().pop();
        let is_in = matches!(said, Some((0, Method::ConnectionTune(_), _)));
        assert_eq!((is_in, client.session.wants_read()), (is_right, is_right));
        let due = client.now.plus(FAILED_LOGIN_DELAY_MS);
        client.session.handle_timeout(due);
        let said = client.said().pop();
        let is_refused = matches!(said, Some((0, Method::ConnectionClose(_), _)));
        assert_eq!(is_refused, !is_right);
    }
}

#[test]
fn a_check_of_a_password_that_was_never_done_lets_nobody_in() {
    let mut client = Client::new(with_tim());
    client.raw(&PROTOCOL_HEADER);
    client.sent();
    client.send(0, start_ok(b"\0tim\0secret"));
    drop(client.session.poll_work());
    client.session.worked(client.now);
    assert!(client.said().is_empty());
    client
        .session
        .handle_timeout(client.now.plus(FAILED_LOGIN_DELAY_MS));
    assert!(matches!(client.one(), Method::ConnectionClose(_)));
}

#[test]
fn a_virtual_host_that_is_none_ends_the_connection() {
    let mut client = Client::new(session());
    for bytes in handshake_bytes(method::ConnectionTuneOk::default()) {
        client.raw(&bytes);
    }
    client.sent();
    let refused = Refused::NoVhost("/".to_owned());
    let request = client.answer_next(QueueOutcome::Refused(refused));
    let QueueRequest::Open(open) = request else {
        panic!("{request:?}");
    };
    let guest = Principal::User("guest".into());
    assert_eq!((&*open.vhost, open.principal), ("/", Some(guest)));
    assert_eq!(open.name, "127.0.0.1:40000 -> 127.0.0.1:5672");
    let Method::ConnectionClose(close) = client.one() else {
        panic!("no close");
    };
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (530, 10, 40)
    );
    assert_eq!(close.reply_text.as_str(), "NOT_ALLOWED - vhost / not found");
}

#[test]
fn limits_beyond_those_offered_are_refused() {
    for (tune, is_taken) in [
        ((2047, 131_072), true),
        ((1, 4096), true),
        ((0, 0), true),
        ((2048, 131_072), false),
        ((2047, 131_073), false),
        ((2047, 4095), false),
    ] {
        let mut client = Client::new(session());
        let (channel_max, frame_max) = tune;
        let tune_ok = method::ConnectionTuneOk {
            channel_max,
            frame_max,
            heartbeat: 0,
        };
        for bytes in handshake_bytes(tune_ok) {
            client.raw(&bytes);
        }
        assert_eq!(!client.asks_nothing(), is_taken, "{tune:?}");
    }
}

#[test]
fn who_does_not_finish_the_handshake_is_closed() {
    let mut client = Client::new(session());
    assert_eq!(client.session.poll_timeout(), Some(Millis(0)));
    client.session.handle_timeout(client.now);
    let due = client.session.poll_timeout().unwrap();
    assert_eq!(due, client.now.plus(10_000));
    client.session.handle_timeout(due);
    assert_eq!(client.reason(), "peer: no handshake in time");
    // Who did is not.
    let mut client = Client::open();
    client.session.handle_timeout(Millis(100_000));
    assert_eq!(client.reason(), "");
}

#[test]
fn silence_is_ended_by_heartbeats_and_a_silent_client_is_closed() {
    let tune = method::ConnectionTuneOk {
        heartbeat: 4,
        ..Default::default()
    };
    let mut client = Client::tuned(tune);
    let due = client.session.poll_timeout().unwrap();
    assert_eq!(due, client.now.plus(2000));
    client.session.handle_timeout(due);
    assert_eq!(client.sent(), &b"\x08\x00\x00\x00\x00\x00\x00\xce"[..]);
    client.now = client.now.plus(7000);
    client.raw(b"\x08\x00\x00\x00\x00\x00\x00\xce");
    client.session.handle_timeout(client.now.plus(7999));
    assert_eq!(client.reason(), "");
    client.session.handle_timeout(client.now.plus(8000));
    assert_eq!(client.reason(), "peer: missed heartbeats from the client");
}

#[test]
fn a_connection_closes_once_all_before_is_done_and_the_session_has_ended() {
    let mut client = Client::open();
    client.raw(&crate::client::message_bytes(1, "q", false, "a"));
    client.send(0, method::ConnectionClose::default());
    let (ticket, _) = client.ask_publish();
    assert!(client.asks_nothing() && client.said().is_empty());
    client.answer(ticket, stored(1));
    let request = client.answer_next(QueueOutcome::Done);
    assert!(matches!(request, QueueRequest::End { .. }), "{request:?}");
    assert!(matches!(client.one(), Method::ConnectionCloseOk(_)));
    assert_eq!(client.reason(), "done");
}

#[test]
fn a_node_that_goes_down_says_so_once_all_before_is_done() {
    let mut client = Client::open();
    client.raw(&crate::client::message_bytes(1, "q", false, "a"));
    client.session.go_down(client.now);
    assert!(client.said().is_empty() && !client.session.wants_read());
    client.answer_next(stored(1));
    let Method::ConnectionClose(close) = client.one() else {
        panic!("no close");
    };
    let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!((close.reply_code, close.reply_text.as_str()), (320, text));
    assert_eq!(client.session.in_flight_count(), 0);
}

#[test]
fn a_secret_is_renewed() {
    let mut client = Client::open();
    let update = method::ConnectionUpdateSecret {
        new_secret: Bytes::from_static(b"s"),
        reason: short("r"),
    };
    client.send(0, update);
    assert!(matches!(client.one(), Method::ConnectionUpdateSecretOk(_)));
}

#[test]
fn a_session_that_others_have_ended_is_a_connection_that_closes() {
    let mut client = Client::open();
    client.tell(weir_broker::api::queues::Tiding::Lost);
    let Method::ConnectionClose(close) = client.one() else {
        panic!("no close");
    };
    assert_eq!(close.reply_code, 320);
    // It is said once.
    client.tell(weir_broker::api::queues::Tiding::Lost);
    assert!(client.said().is_empty());
}

#[test]
fn a_cut_header_is_waited_for() {
    let mut client = Client::new(session());
    for octet in PROTOCOL_HEADER {
        assert!(client.said().is_empty());
        client.raw(&[octet]);
    }
    assert!(matches!(client.one(), Method::ConnectionStart(_)));
    let bounds = session().bounds(b"AMQ");
    assert_eq!((bounds.whole_bytes, bounds.missing_bytes), (0, 5));
    let start = method_bytes(0, start_ok(b"\0guest\0guest"));
    let both = [&PROTOCOL_HEADER[..], &start[..start.len() - 1]].concat();
    let bounds = session().bounds(&both);
    assert_eq!((bounds.whole_bytes, bounds.missing_bytes), (8, 1));
}
