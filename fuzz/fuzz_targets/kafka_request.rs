//! No bytes from a Kafka client make a session panic, however they are cut on their way, and what
//! it asks of the node and answers does not depend on the cuts.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_broker::{
    access::{AccessView, TopicNames},
    api::TopicRef,
};
use weir_door::{Connection, Entropy, Millis, Session};
use weir_door_kafka::{KafkaConfig, KafkaSession, session::connection::Shared};
use weir_model::{TopicId, TopicName};

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

const NOW: Millis = Millis(0);

/// The requests that come of the chunks, the answers, and whether the session goes on.
fn play<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (String, Vec<u8>, bool) {
    let connection = Connection {
        peer: ([127, 0, 0, 1], 5).into(),
        local: ([127, 0, 0, 1], 9092).into(),
        number: 0,
        tls: None,
    };
    let shared = Shared::new(AccessView::open(), Arc::new(Fixed), Arc::new(Fixed));
    let mut session = KafkaSession::sharing(connection, KafkaConfig::default(), &shared);
    for chunk in chunks {
        let bounds = session.bounds(chunk);
        assert!(bounds.whole_bytes <= chunk.len());
        session.receive(NOW, Bytes::copy_from_slice(chunk));
    }
    let mut requests = String::new();
    while let Some(request) = session.poll_request() {
        requests += &format!("{request:?}");
    }
    let mut sent = Vec::new();
    while session.poll_transmit(&mut sent, 1 << 20) > 0 {}
    (requests, sent.concat(), session.close_reason().is_none())
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(play([bytes]), play(bytes.chunks(1)));
    // A frame's length is hard to guess: here the bytes are the body of one.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    play([&[&length[..], bytes].concat()[..]]);
});
