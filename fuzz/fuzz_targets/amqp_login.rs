//! No bytes of an AMQP client who knows no password open a session, or make it panic, however they
//! are cut on their way.
#![no_main]

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use weir_access::{Access, Seed, User};
use weir_broker::access::AccessView;
use weir_door::{Connection, Door, Millis, Session};
use weir_door_amqp::{
    AmqpConfig, AmqpDoor,
    codec::{Frame, FrameKind, PROTOCOL_HEADER},
};

/// With a user whom no password lets in.
static ACCESS: LazyLock<AccessView> = LazyLock::new(|| {
    let mut access = Access::default();
    let created = access.create_user(User::new("user"), Seed([7; 32]));
    created.expect("the first user is taken");
    let view = AccessView::open();
    view.replace(access);
    view
});

const START_OK: [u8; 4] = [0, 10, 0, 11];

fn play<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let door = AmqpDoor::new(AmqpConfig::default()).of(ACCESS.clone());
    let mut session = door.open(Connection {
        peer: ([127, 0, 0, 1], 5).into(),
        local: ([127, 0, 0, 1], 5672).into(),
        number: 0,
        tls: None,
    });
    session.handle_timeout(Millis(0));
    for chunk in chunks {
        let bounds = session.bounds(chunk);
        assert!(bounds.whole_bytes <= chunk.len());
        session.receive(Millis(0), Bytes::copy_from_slice(chunk));
    }
    assert!(session.poll_request().is_none(), "a stranger asked the node");
    let mut sent = Vec::new();
    while session.poll_transmit(&mut sent, 1 << 20) > 0 {}
    if let Some(due) = session.poll_timeout() {
        session.handle_timeout(due);
    }
    session.held_bytes();
    sent.concat()
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(play([bytes]), play(bytes.chunks(1)));
    // Frames are hard to guess: here the bytes are the arguments of a `start-ok`.
    let mut wire = BytesMut::from(&PROTOCOL_HEADER[..]);
    let frame = Frame {
        kind: FrameKind::Method,
        channel: 0,
        payload: [&START_OK[..], bytes].concat().into(),
    };
    frame.write(&mut wire);
    play([&wire[..]]);
});
