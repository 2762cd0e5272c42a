//! No bytes of a Kafka client who knows no password get anything but a login answered, or make the
//! session panic, however they are cut on their way.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_access::{Access, Seed, User};
use weir_broker::{
    access::{AccessView, TopicNames},
    api::TopicRef,
};
use weir_door::{Connection, Entropy, Millis, Session};
use weir_door_kafka::{KafkaConfig, KafkaSession, session::connection::Shared};
use weir_model::{TopicId, TopicName};

/// With a user whom no password lets in.
static ACCESS: LazyLock<AccessView> = LazyLock::new(|| {
    let mut access = Access::default();
    let created = access.create_user(User::new("user"), Seed([7; 32]));
    created.expect("the first user is taken");
    let view = AccessView::open();
    view.replace(access);
    view
});

/// Always the same.
struct Fixed;

impl Entropy for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

impl TopicNames for Fixed {
    fn name_of(&self, _id: TopicId) -> Option<TopicName> {
        None
    }

    fn is_known(&self, _name: &TopicName) -> bool {
        false
    }

    fn partition_count(&self, _topic: &TopicRef) -> usize {
        1
    }

    fn default_partition_count(&self) -> usize {
        1
    }
}

fn play<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let connection = Connection {
        peer: ([127, 0, 0, 1], 5).into(),
        local: ([127, 0, 0, 1], 9092).into(),
        number: 0,
        tls: None,
    };
    let shared = Shared::new(ACCESS.clone(), Arc::new(Fixed), Arc::new(Fixed));
    let mut session = KafkaSession::sharing(connection, KafkaConfig::default(), &shared);
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
    (sent.concat(), session.close_reason().is_none())
}

/// A request with a header of version 1, whose length is right.
fn request(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(api.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0]);
    frame.extend(body);
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &frame].concat()
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(play([bytes]), play(bytes.chunks(1)));
    // Frames are hard to guess: here the bytes are tokens behind a handshake that is right.
    let Some((how, rest)) = bytes.split_first() else {
        return;
    };
    let mechanism: &[u8] = match how % 3 {
        0 => b"\0\x05PLAIN",
        1 => b"\0\x0dSCRAM-SHA-256",
        _ => b"\0\x0dSCRAM-SHA-512",
    };
    let mut wire = request(17, i16::from(how >> 7), mechanism);
    for token in rest.split(|byte| *byte == b'\n') {
        let length = u32::try_from(token.len()).unwrap_or(u32::MAX).to_be_bytes();
        let token = [&length[..], token].concat();
        wire.extend(match how >> 7 {
            0 => token,
            _ => request(36, 0, &token),
        });
    }
    play([&wire[..]]);
});
