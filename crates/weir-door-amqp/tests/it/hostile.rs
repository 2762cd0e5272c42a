//! Frames that break the protocol.

use bytes::BytesMut;
use weir_door::Session;
use weir_door_amqp::codec::{FrameKind, Method, method};
use weir_model::fields::BasicProperties;

use crate::client::{Client, frame_bytes, header_bytes, message_bytes, method_bytes};

fn code_of(wire: &[u8]) -> u16 {
    let mut client = Client::open();
    client.raw(wire);
    let said = client.said();
    let [(0, Method::ConnectionClose(close), None)] = &said[..] else {
        panic!("{said:#?}");
    };
    // Whatever comes now, the connection waits for its end.
    client.raw(&message_bytes(1, "q", false, "late"));
    assert!(client.asks_nothing() && client.said().is_empty());
    client.send(0, method::ConnectionCloseOk {});
    assert!(client.session.close_reason().is_some());
    close.reply_code
}

#[test]
fn frames_out_of_order_have_the_code_of_the_specification() {
    let publish = || method_bytes(1, method::BasicPublish::default());
    let header = |channel, size| header_bytes(channel, &BasicProperties::default(), size);
    let body = |bytes: &[u8]| frame_bytes(FrameKind::Body, 1, bytes);
    let ack = || method_bytes(1, method::BasicAck::default());
    let other_class = frame_bytes(
        FrameKind::Header,
        1,
        &[0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    for (what, wire, code) in [
        ("header first", vec![header(1, 1)], 505),
        ("body first", vec![body(b"b")], 505),
        ("body for header", vec![publish(), body(b"b")], 505),
        ("method for header", vec![publish(), ack()], 505),
        ("method for body", vec![publish(), header(1, 1), ack()], 505),
        (
            "header for body",
            vec![publish(), header(1, 1), header(1, 1)],
            505,
        ),
        ("long body", vec![publish(), header(1, 1), body(b"bb")], 505),
        ("other class", vec![publish(), other_class], 505),
        (
            "beat on channel",
            vec![frame_bytes(FrameKind::Heartbeat, 1, b"")],
            505,
        ),
        ("content on 0", vec![header(0, 1)], 505),
    ] {
        assert_eq!(code_of(&wire.concat()), code, "{what}");
    }
}

#[test]
fn what_is_no_frame_and_what_is_not_the_clients_to_send_has_the_code_of_the_specification() {
    for (what, wire, code) in [
        (
            "type",
            vec![b"\x05\x00\x01\x00\x00\x00\x00\xce".as_slice().into()],
            501,
        ),
        (
            "end",
            vec![b"\x01\x00\x01\x00\x00\x00\x00\xcd".as_slice().into()],
            501,
        ),
        (
            "too long",
            vec![b"\x03\x00\x01\x00\x10\x00\x00".as_slice().into()],
            501,
        ),
        (
            "cut method",
            vec![frame_bytes(FrameKind::Method, 1, &[0, 60])],
            502,
        ),
        (
            "no method",
            vec![frame_bytes(FrameKind::Method, 1, &[0, 60, 0, 99])],
            540,
        ),
        (
            "server's",
            vec![method_bytes(1, method::QueueDeclareOk::default())],
            503,
        ),
        (
            "server's content",
            vec![method_bytes(1, method::BasicDeliver::default())],
            503,
        ),
        (
            "class on 0",
            vec![method_bytes(0, method::ChannelOpen::default())],
            503,
        ),
        (
            "connection on 1",
            vec![method_bytes(1, method::ConnectionOpen::default())],
            503,
        ),
        (
            "no channel",
            vec![method_bytes(9, method::QueuePurge::default())],
            504,
        ),
        (
            "again",
            vec![method_bytes(0, method::ConnectionStartOk::default())],
            503,
        ),
    ] {
        assert_eq!(code_of(&wire.concat()), code, "{what}");
    }
}

#[test]
fn nothing_is_done_before_the_connection_is_open() {
    let mut client = Client::new(crate::client::session());
    client.raw(&weir_door_amqp::codec::PROTOCOL_HEADER);
    client.said();
    client.send(1, method::ChannelOpen::default());
    assert!(matches!(client.one(), Method::ConnectionClose(close) if close.reply_code == 503));
}

#[test]
fn frames_may_be_as_long_as_agreed() {
    let tune = method::ConnectionTuneOk {
        frame_max: 4096,
        ..Default::default()
    };
    let mut client = Client::tuned(tune);
    client.send(1, method::ChannelOpen::default());
    let whole = frame_bytes(FrameKind::Body, 1, &[0; 4096 - 8]);
    assert_eq!(client.session.bounds(&whole).whole_bytes, whole.len());
    let longer = frame_bytes(FrameKind::Body, 1, &[0; 5000]);
    client.said();
    client.raw(&longer);
    assert!(matches!(client.one(), Method::ConnectionClose(close) if close.reply_code == 501));
}

/// One change at a time in a conversation: whatever it is, the session stays whole.
#[test]
fn mutated_conversations_end_or_go_on() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(limit).unwrap()).unwrap()
    };
    let mut wire = BytesMut::new();
    for bytes in [
        method_bytes(1, method::ConfirmSelect { nowait: true }),
        message_bytes(1, "q", true, "hello"),
        method_bytes(1, crate::client::of_queue("q")),
        method_bytes(
            1,
            method::BasicQos {
                prefetch_count: 1,
                ..Default::default()
            },
        ),
        method_bytes(
            1,
            method::BasicAck {
                delivery_tag: 0,
                multiple: true,
            },
        ),
        method_bytes(1, method::ChannelClose::default()),
        method_bytes(0, method::ConnectionClose::default()),
    ] {
        wire.extend_from_slice(&bytes);
    }
    let mut closed_count = 0;
    for _ in 0..5_000 {
        let mut bytes = wire.to_vec();
        let at = below(bytes.len());
        match below(3) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes.insert(at, 0),
            _ => {
                bytes.remove(at);
            }
        }
        let mut client = Client::open();
        client.raw(&bytes);
        while !client.asks_nothing() {
            let (ticket, _) = client.ask();
            client.answer(ticket, weir_broker::api::queues::QueueOutcome::Done);
        }
        client.sent();
        closed_count += usize::from(client.session.close_reason().is_some());
    }
    assert!((1..5_000).contains(&closed_count));
}
