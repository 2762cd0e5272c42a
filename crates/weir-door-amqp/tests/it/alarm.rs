//! Publishers that wait while a disk is full.

use weir_broker::api::queues::{QueueOutcome, Tiding};
use weir_door::{Millis, Session};
use weir_door_amqp::codec::{FrameKind, Method, PROTOCOL_HEADER, method};

use crate::client::{
    Client, delivered, frame_bytes, message_bytes, method_bytes, name, of_queue, session, start_ok,
    stored,
};

const LOW: Option<&str> = Some("low on disk");

fn reason(method: &Method) -> &str {
    match method {
        Method::ConnectionBlocked(blocked) => blocked.reason.as_str(),
        method => panic!("{method:?}"),
    }
}

fn ack(delivery_tag: u64) -> method::BasicAck {
    method::BasicAck {
        delivery_tag,
        multiple: false,
    }
}

#[test]
fn who_publishes_under_an_alarm_is_told_so_once_and_told_of_its_end() {
    let mut client = Client::open();
    client.tell(Tiding::Blocked(LOW));
    assert!(client.said().is_empty(), "it has not published");
    client.raw(&message_bytes(1, "q", false, "a"));
    assert_eq!(reason(&client.one()), "low on disk");
    client.raw(&message_bytes(1, "q", false, "b"));
    client.tell(Tiding::Blocked(LOW));
    assert!(client.said().is_empty());
    client.tell(Tiding::Blocked(None));
    assert!(matches!(client.one(), Method::ConnectionUnblocked(_)));
    client.raw(&message_bytes(1, "q", false, "c"));
    assert!(client.said().is_empty());
}

#[test]
fn who_has_messages_under_way_when_the_alarm_comes_is_told_at_once() {
    let mut client = Client::open();
    client.raw(&message_bytes(1, "q", false, "a"));
    client.tell(Tiding::Blocked(LOW));
    assert_eq!(reason(&client.one()), "low on disk");
}

#[test]
fn who_only_consumes_hears_nothing_of_an_alarm_and_settles() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.tell(Tiding::Blocked(LOW));
    client.tell(Tiding::Delivered(consumer, delivered(1)));
    assert!(matches!(client.one(), Method::BasicDeliver(_)));
    client.send(1, ack(1));
    client.answer_next(QueueOutcome::Done);
    client.tell(Tiding::Blocked(None));
    assert!(client.said().is_empty() && client.session.wants_read());
}

#[test]
fn a_client_that_did_not_say_it_understands_is_held_up_and_not_told() {
    let mut client = Client::new(session());
    client.session.handle_timeout(client.now);
    let start = method::ConnectionStartOk {
        client_properties: Default::default(),
        ..start_ok(b"\0guest\0guest")
    };
    client.raw(&PROTOCOL_HEADER);
    client.raw(&method_bytes(0, start));
    client.raw(&method_bytes(0, method::ConnectionTuneOk::default()));
    let open = method::ConnectionOpen {
        virtual_host: name("/"),
        ..Default::default()
    };
    client.send(0, open);
    client.opened();
    client.send(1, method::ChannelOpen::default());
    client.said();
    client.tell(Tiding::Blocked(LOW));
    client.raw(&message_bytes(1, "q", false, &"a".repeat(16 << 10)));
    assert!(client.said().is_empty() && !client.session.wants_read());
    client.tell(Tiding::Blocked(None));
    assert!(client.said().is_empty() && client.session.wants_read());
}

#[test]
fn little_is_read_of_a_blocked_publisher_and_all_of_it_goes_on_afterwards() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.tell(Tiding::Delivered(consumer, delivered(1)));
    client.said();
    client.tell(Tiding::Blocked(LOW));
    client.raw(&message_bytes(1, "q", false, "a"));
    // Who stops when it is told can still settle.
    client.send(1, ack(1));
    let (publish, messages) = client.ask_publish();
    assert_eq!(messages.messages.len(), 1);
    client.answer_next(QueueOutcome::Done);
    assert!(client.session.wants_read());
    let large = message_bytes(1, "q", false, &"b".repeat(20 << 10));
    client.raw(&large);
    assert!(!client.session.wants_read());
    client.raw(&large);
    let (second, messages) = client.ask_publish();
    assert_eq!(messages.messages.len(), 1);
    assert!(client.asks_nothing(), "the other one is not looked at");
    client.tell(Tiding::Blocked(None));
    assert!(client.session.wants_read());
    let (third, messages) = client.ask_publish();
    assert_eq!(messages.messages.len(), 1);
    for ticket in [publish, second, third] {
        client.answer(ticket, stored(1));
    }
    assert_eq!(client.session.held_bytes(), 0);
}

#[test]
fn heartbeats_go_on_while_a_publisher_is_not_read() {
    let mut client = Client::tuned(method::ConnectionTuneOk {
        heartbeat: 10,
        ..Default::default()
    });
    client.send(1, method::ChannelOpen::default());
    client.tell(Tiding::Blocked(LOW));
    client.raw(&message_bytes(1, "q", false, &"a".repeat(16 << 10)));
    client.sent();
    for _ in 0..10 {
        client.now = Millis(client.now.0 + 5_000);
        client.session.handle_timeout(client.now);
        assert_eq!(client.sent(), frame_bytes(FrameKind::Heartbeat, 0, b""));
    }
    assert!(client.session.close_reason().is_none());
}
