//! A session without a socket, and answers as its client reads them.

use std::{net::IpAddr, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, ResponseHeader, ResponseKind},
    protocol::Decodable,
};
use weir_broker::{
    Ticket,
    access::{AccessView, TopicNames},
    api::{Request, TopicRef},
};
use weir_door::{Connection, Entropy, Millis, Session};
use weir_door_kafka::{
    KafkaConfig, KafkaSession,
    codec::versions::{Api, Served},
    session::connection::Shared,
};
use weir_model::{TopicId, TopicName};

use crate::samples::TOPIC_ID;

pub(crate) const NOW: Millis = Millis(0);

/// Always the same.
pub(crate) struct Fixed;

impl Entropy for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

/// One is there, which has two ids.
pub(crate) struct Topics;

impl TopicNames for Topics {
    fn name_of(&self, id: TopicId) -> Option<TopicName> {
        let is_known = id.0 == TOPIC_ID;
        is_known.then(|| TopicName::new("topic").unwrap())
    }

    fn is_known(&self, name: &TopicName) -> bool {
        name.as_str() == "topic"
    }

    fn partition_count(&self, _topic: &TopicRef) -> usize {
        2
    }

    fn default_partition_count(&self) -> usize {
        1
    }
}

pub(crate) fn shared(access: AccessView) -> Shared {
    Shared::new(access, Arc::new(Topics), Arc::new(Fixed))
}

pub(crate) fn session() -> KafkaSession {
    session_with(AccessView::open())
}

/// A session from this machine.
pub(crate) fn session_with(access: AccessView) -> KafkaSession {
    session_from([127, 0, 0, 1].into(), access, KafkaConfig::default())
}

pub(crate) fn session_from(host: IpAddr, access: AccessView, config: KafkaConfig) -> KafkaSession {
    let connection = Connection {
        peer: (host, 5).into(),
        local: ([127, 0, 0, 1], 9092).into(),
        number: 0,
        tls: None,
    };
    KafkaSession::sharing(connection, config, &shared(access))
}

/// A session that received `bytes`.
pub(crate) fn fed(bytes: &[u8]) -> KafkaSession {
    let mut session = session();
    session.receive(NOW, Bytes::copy_from_slice(bytes));
    session
}

/// The next request, which must be there.
pub(crate) fn asked(session: &mut KafkaSession) -> (Ticket, Request) {
    let reason = session.close_reason().map(ToString::to_string);
    session
        .poll_request()
        .unwrap_or_else(|| panic!("no request, closed: {reason:?}"))
}

/// Everything that waits to be sent.
pub(crate) fn sent(session: &mut KafkaSession) -> Bytes {
    let mut chunks = Vec::new();
    loop {
        let moved_bytes = session.poll_transmit(&mut chunks, 1000);
        if moved_bytes == 0 {
            break;
        }
        session.note_written(moved_bytes);
    }
    let mut joined = BytesMut::new();
    chunks
        .iter()
        .for_each(|chunk| joined.extend_from_slice(chunk));
    joined.freeze()
}

/// The correlation ids of the frames in `sent`.
pub(crate) fn correlations(mut sent: Bytes) -> Vec<i32> {
    let mut found = Vec::new();
    while sent.has_remaining() {
        let size = usize::try_from(sent.get_i32()).unwrap();
        found.push(sent.split_to(size).get_i32());
    }
    found
}

/// An answer to ShareAcknowledge 2 as it would be to 1: throttle, error and message come first.
fn without_lock(sent: &Bytes) -> Bytes {
    let message = usize::from(sent[4 + 2]).saturating_sub(1);
    let at = 4 + 2 + 1 + message;
    Bytes::from([&sent[..at], &sent[at + 4..]].concat())
}

/// The samples' answer to DescribeShareGroupOffsets 1 as it would be to 0.
fn without_lags(sent: &Bytes) -> Bytes {
    // Errors have no partitions.
    let lag = 5_i64.to_be_bytes();
    let mut rest = sent.to_vec();
    while let Some(at) = rest.windows(8).position(|bytes| bytes == lag) {
        rest.drain(at..at + 8);
    }
    // Where a place is not told: no place, no epoch, no lag.
    let untold = [&[0xff; 8][..], &[0; 4], &[0xff; 8]].concat();
    while let Some(at) = rest.windows(20).position(|bytes| bytes == untold) {
        rest.drain(at + 12..at + 20);
    }
    rest.into()
}

/// The one answer in `sent`, to a request of `line` at `version`.
pub(crate) fn decoded(line: Served, version: i16, mut sent: Bytes) -> (i32, ResponseKind) {
    let key = ApiKey::try_from(line.key).unwrap();
    let size = usize::try_from(sent.get_i32()).unwrap();
    assert_eq!(size, sent.len(), "the size is that of the frame");
    let header = ResponseHeader::decode(&mut sent, key.response_header_version(version)).unwrap();
    // ListOffsets 11 looks like 10, which is the last one that the decoder knows.
    // ShareFetch 2 is answered like 1, and ShareAcknowledge 2 tells how long locks last besides.
    let shape = match line.api {
        Api::ListOffsets => version.min(10),
        Api::ShareFetch | Api::ShareAcknowledge => 1,
        Api::DescribeShareGroupOffsets => 0,
        _ => version,
    };
    if line.api == Api::ShareAcknowledge && version > 1 {
        sent = without_lock(&sent);
    }
    if line.api == Api::DescribeShareGroupOffsets && version > 0 {
        sent = without_lags(&sent);
    }
    let response = ResponseKind::decode(key, &mut sent, shape).unwrap();
    assert!(sent.is_empty(), "{} bytes left over", sent.len());
    (header.correlation_id, response)
}
