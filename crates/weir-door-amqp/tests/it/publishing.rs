//! Messages, verdicts, returns and confirms.

use weir_broker::api::queues::{QueueOutcome, QueueRequest, Refused, Verdict};
use weir_door::Session;
use weir_door_amqp::codec::{FrameKind, Method, method};
use weir_model::{
    ErrorKind,
    fields::{BasicProperties, examples::full},
};

use crate::client::{
    Client, content_bytes, frame_bytes, header_bytes, message_bytes, method_bytes, name, stored,
};

fn confirming() -> Client {
    let mut client = Client::open();
    client.send(1, method::ConfirmSelect { nowait: false });
    assert!(matches!(client.one(), Method::ConfirmSelectOk(_)));
    client
}

fn messages(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|at| message_bytes(1, "q", false, &at.to_string()))
        .collect()
}

fn ack(delivery_tag: u64, multiple: bool) -> Method {
    let ack = method::BasicAck {
        delivery_tag,
        multiple,
    };
    ack.into()
}

#[test]
fn messages_that_come_together_are_one_request_a_channel() {
    let mut client = Client::open();
    client.send(2, method::ChannelOpen::default());
    let both = [
        message_bytes(1, "q", false, "a"),
        message_bytes(2, "q", false, "b"),
        message_bytes(1, "q", false, ""),
    ];
    client.raw(&both.concat());
    let bodies = |client: &mut Client| {
        let (_, publish) = client.ask_publish();
        assert!(!publish.is_atomic);
        let bodies = publish.messages.into_iter();
        bodies.map(|message| message.body).collect::<Vec<_>>()
    };
    assert_eq!(bodies(&mut client), ["a", ""]);
    assert_eq!(bodies(&mut client), ["b"]);
    assert!(client.asks_nothing());
}

#[test]
fn a_message_is_put_together_from_its_frames_with_all_it_says_of_itself() {
    let mut client = Client::open();
    let publish = method::BasicPublish {
        exchange: name("x"),
        routing_key: name("rk"),
        mandatory: true,
        ..Default::default()
    };
    client.raw(&method_bytes(1, publish));
    client.raw(&header_bytes(1, &full(), 5));
    for part in ["he", "", "llo"] {
        assert!(client.asks_nothing());
        let held = client.session.held_bytes();
        client.raw(&frame_bytes(FrameKind::Body, 1, part.as_bytes()));
        assert!(part == "llo" || client.session.held_bytes() == held + part.len());
    }
    let (_, publish) = client.ask_publish();
    let message = &publish.messages[0];
    assert_eq!(
        (&message.exchange, &message.routing_key),
        (&name("x"), &name("rk"))
    );
    assert!(message.is_mandatory);
    assert_eq!(
        (&message.properties, &message.body[..]),
        (&full(), &b"hello"[..])
    );
}

#[test]
fn confirms_are_numbered_from_one_and_come_together_where_all_before_are_told() {
    let mut client = confirming();
    client.raw(&messages(3));
    client.raw(&messages(2));
    let (first, _) = client.ask_publish();
    let (second, _) = client.ask_publish();
    client.answer(second, stored(2));
    let said: Vec<_> = client.said().into_iter().map(|said| said.1).collect();
    assert_eq!(said, [ack(4, false), ack(5, false)]);
    client.answer(first, stored(3));
    assert_eq!(client.one(), ack(3, true));
    client.raw(&messages(1));
    client.answer_next(stored(1));
    assert_eq!(client.one(), ack(6, false));
}

#[test]
fn nobody_takes_a_mandatory_message_it_comes_back_before_it_is_confirmed() {
    let mut client = confirming();
    client.raw(&message_bytes(1, "nowhere", true, "m"));
    client.answer_next(QueueOutcome::Published(vec![Verdict::Unroutable]));
    let said = client.said();
    let [
        (1, Method::BasicReturn(back), Some((_, body))),
        (1, confirm, None),
    ] = &said[..]
    else {
        panic!("{said:#?}");
    };
    assert_eq!(
        (back.reply_code, back.reply_text.as_str()),
        (312, "NO_ROUTE")
    );
    assert_eq!(
        (&back.routing_key, &body[..]),
        (&name("nowhere"), &b"m"[..])
    );
    assert_eq!(*confirm, ack(1, false));
    client.raw(&message_bytes(1, "nowhere", false, "m"));
    client.answer_next(QueueOutcome::Published(vec![Verdict::Unroutable]));
    assert_eq!(client.one(), ack(2, false));
}

#[test]
fn what_is_not_stored_is_told_to_those_who_wait_and_ends_the_connection_of_others() {
    let failed = || QueueOutcome::Refused(Refused::Failed(ErrorKind::StorageFull));
    let nack = |delivery_tag, multiple| {
        Method::from(method::BasicNack {
            delivery_tag,
            multiple,
            requeue: false,
        })
    };
    let mut client = confirming();
    client.raw(&messages(2));
    client.answer_next(failed());
    assert_eq!(client.one(), nack(2, true));
    client.raw(&messages(1));
    client.answer_next(QueueOutcome::Published(vec![Verdict::Rejected]));
    assert_eq!(client.one(), nack(3, false));
    let mut client = Client::open();
    client.raw(&messages(1));
    client.answer_next(QueueOutcome::Published(vec![Verdict::Rejected]));
    assert!(client.said().is_empty());
    client.raw(&messages(1));
    client.answer_next(failed());
    assert!(matches!(client.one(), Method::ConnectionClose(close) if close.reply_code == 506));
}

#[test]
fn a_missing_exchange_ends_the_channel_after_confirms_of_what_came_before() {
    let mut client = confirming();
    client.raw(&messages(3));
    let refused = Refused::NoExchange {
        name: name("x"),
        vhost: "/".to_owned(),
    };
    let verdicts = vec![Verdict::Stored, Verdict::Refused(refused), Verdict::Stored];
    client.answer_next(QueueOutcome::Published(verdicts));
    let said = client.said();
    let [(1, confirm, _), (1, Method::ChannelClose(close), _)] = &said[..] else {
        panic!("{said:#?}");
    };
    assert_eq!(*confirm, ack(1, false));
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (404, 60, 40)
    );
    let text = "NOT_FOUND - no exchange 'x' in vhost '/'";
    assert_eq!(close.reply_text.as_str(), text);
}

#[test]
fn what_a_message_must_not_say_ends_the_channel() {
    let publish = method::BasicPublish::default();
    let of = |properties: BasicProperties| content_bytes(1, publish.clone(), &properties, "m");
    for bytes in [
        of(BasicProperties {
            user_id: Some(name("other")),
            ..Default::default()
        }),
        of(BasicProperties {
            expiration: Some(name("soon")),
            ..Default::default()
        }),
    ] {
        let mut client = Client::open();
        client.raw(&bytes);
        let Method::ChannelClose(close) = client.one() else {
            panic!("no close");
        };
        assert_eq!(
            (close.reply_code, close.class_id, close.method_id),
            (406, 60, 40)
        );
        assert!(client.asks_nothing());
    }
    let mut client = Client::open();
    let immediate = method::BasicPublish {
        immediate: true,
        ..Default::default()
    };
    client.raw(&content_bytes(
        1,
        immediate,
        &BasicProperties::default(),
        "",
    ));
    assert!(matches!(client.one(), Method::ConnectionClose(close) if close.reply_code == 540));
}

#[test]
fn a_body_has_its_longest_length_and_no_byte_more() {
    for (body_bytes, is_taken) in [(16 << 20, true), ((16 << 20) + 1, false)] {
        let mut client = Client::open();
        client.raw(&method_bytes(1, method::BasicPublish::default()));
        let properties = BasicProperties::default();
        client.raw(&header_bytes(1, &properties, body_bytes));
        client.raw(&frame_bytes(FrameKind::Body, 1, b"part"));
        let said = client.said();
        assert_eq!(said.is_empty(), is_taken);
        if is_taken {
            let lacking = (16 << 20) - 4;
            assert_eq!(client.session.bounds(&[]).missing_bytes, lacking);
        } else {
            assert!(
                matches!(&said[..], [(1, Method::ChannelClose(close), _)] if close.reply_code == 406)
            );
        }
    }
}

#[test]
fn publishers_that_do_not_wait_are_held_back_by_what_is_not_stored() {
    let mut client = Client::open();
    let body = "x".repeat(100 << 10);
    let message = message_bytes(1, "q", false, &body);
    let mut sent_count = 0;
    while client.session.wants_read() {
        client.raw(&message);
        sent_count += 1;
    }
    assert_eq!(sent_count, 164, "16 MiB in parts of 100 KiB and a little");
    let (ticket, request) = client.ask();
    assert!(matches!(request, QueueRequest::Publish(_)));
    client.answer(ticket, stored(1));
    assert!(client.session.wants_read());
}
