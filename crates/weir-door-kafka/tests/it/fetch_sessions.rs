//! Fetch sessions as their clients see them.

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        FetchRequest, FetchResponse, ResponseKind,
        fetch_request::{FetchPartition, FetchTopic, ForgottenTopic},
    },
    protocol::Encodable,
};
use weir_broker::api::{Fetch, Fetched, FetchedBatches, Outcome, ReadFrom, Request};
use weir_door::Session;
use weir_door_kafka::{
    KafkaSession, codec::versions, session::fetch_session::MAX_SESSION_PARTITIONS_COUNT,
};
use weir_model::{ErrorKind, Offset};

use crate::{
    samples::{TOPIC_ID, framed, text},
    wire::{NOW, asked, decoded, sent, session},
};

/// One connection that fetches at one version.
struct Reader {
    session: KafkaSession,
    version: i16,
    rack: &'static str,
}

impl Reader {
    fn new(version: i16) -> Self {
        Self {
            session: session(),
            version,
            rack: "east",
        }
    }

    fn send(&mut self, id: i32, epoch: i32, wanted: &[(i32, i64)], forgotten: &[i32]) {
        let partitions = wanted.iter().map(|(index, offset)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(1 << 20)
        });
        let topic = FetchTopic::default().with_partitions(partitions.collect());
        let gone = ForgottenTopic::default().with_partitions(forgotten.to_vec());
        let (topic, gone) = if self.version >= 13 {
            (topic.with_topic_id(TOPIC_ID), gone.with_topic_id(TOPIC_ID))
        } else {
            let name = text("topic");
            (
                topic.with_topic(name.clone().into()),
                gone.with_topic(name.into()),
            )
        };
        let mut request = FetchRequest::default()
            .with_max_wait_ms(1)
            .with_max_bytes(1 << 20)
            .with_session_id(id)
            .with_session_epoch(epoch);
        if !wanted.is_empty() {
            request.topics = vec![topic];
        }
        if !forgotten.is_empty() {
            request.forgotten_topics_data = vec![gone];
        }
        if self.version >= 11 {
            request.rack_id = text(self.rack);
        }
        let mut body = BytesMut::new();
        request.encode(&mut body, self.version).unwrap();
        let line = versions::by_key(1).unwrap();
        let frame = framed(line, self.version, 1, &body);
        self.session.receive(NOW, frame);
    }

    /// Lets the node answer; gives what it was asked for and what the client reads.
    fn answer(&mut self, answers: Vec<Fetched>) -> (Fetch, FetchResponse) {
        let (ticket, Request::Fetch(fetch)) = asked(&mut self.session) else {
            panic!("not a Fetch request");
        };
        self.session.complete(NOW, ticket, Outcome::Fetch(answers));
        (fetch, self.heard())
    }

    fn heard(&mut self) -> FetchResponse {
        let line = versions::by_key(1).unwrap();
        let sent = sent(&mut self.session);
        let (_, ResponseKind::Fetch(answer)) = decoded(line, self.version, sent) else {
            panic!("not a Fetch answer");
        };
        answer
    }
}

fn fetched(records: &'static [u8], high_watermark: u64) -> Fetched {
    Fetched {
        batches: Ok(FetchedBatches {
            chunks: vec![Bytes::from_static(records)],
            size_bytes: records.len(),
        }),
        high_watermark: Offset(high_watermark),
        ..Fetched::default()
    }
}

fn indexes(fetch: &Fetch) -> Vec<(i32, i64)> {
    let partitions = fetch.partitions.iter();
    partitions.map(|each| (each.index, each.offset)).collect()
}

fn told(answer: &FetchResponse) -> Vec<i32> {
    let topics = answer.responses.iter();
    let partitions = topics.flat_map(|topic| &topic.partitions);
    partitions.map(|each| each.partition_index).collect()
}

#[test]
fn an_incremental_request_reads_all_and_an_answer_has_the_news_alone() {
    for version in [7, 11, 12, 13, 18] {
        let mut reader = Reader::new(version);
        reader.send(0, 0, &[(0, 5), (1, 0), (2, 0)], &[]);
        let all = vec![fetched(b"", 5), fetched(b"one", 9), fetched(b"", 0)];
        let (fetch, whole) = reader.answer(all);
        assert_eq!(indexes(&fetch), [(0, 5), (1, 0), (2, 0)]);
        let rack = ReadFrom::Any {
            rack: "east".to_owned(),
        };
        assert_eq!(
            fetch.from,
            if version >= 11 {
                rack
            } else {
                ReadFrom::Leader
            }
        );
        let id = whole.session_id;
        assert!(id > 0);
        assert_eq!(told(&whole), [0, 1, 2]);
        reader.send(id, 1, &[(1, 3)], &[]);
        // Behind the one that got records.
        let quiet = vec![fetched(b"", 0), fetched(b"", 5), fetched(b"", 9)];
        let (fetch, news) = reader.answer(quiet);
        assert_eq!(indexes(&fetch), [(2, 0), (0, 5), (1, 3)]);
        assert_eq!((news.error_code, news.session_id), (0, id));
        assert!(news.responses.is_empty());
        reader.send(id, 2, &[], &[0]);
        let failed = Fetched {
            batches: Err(ErrorKind::NotLeader),
            ..Fetched::default()
        };
        let (fetch, news) = reader.answer(vec![failed, fetched(b"", 10)]);
        assert_eq!(indexes(&fetch), [(2, 0), (1, 3)]);
        assert_eq!(told(&news), [2, 1]);
        assert_eq!(news.responses.len(), 1, "one topic stands once");
    }
}

#[test]
fn a_wrong_epoch_or_kind_of_name_is_refused_and_the_session_goes_on() {
    let mut reader = Reader::new(12);
    reader.send(0, 0, &[(0, 0)], &[]);
    let id = reader.answer(vec![fetched(b"", 0)]).1.session_id;
    reader.send(id, 2, &[], &[]);
    let refused = reader.heard();
    assert_eq!((refused.error_code, refused.session_id), (71, 0));
    reader.version = 13;
    reader.send(id, 1, &[], &[]);
    assert_eq!(reader.heard().error_code, 106);
    reader.version = 12;
    reader.send(id, 1, &[], &[]);
    assert_eq!(reader.answer(vec![fetched(b"", 0)]).1.error_code, 0);
}

#[test]
fn a_session_ends_by_the_last_epoch_by_a_new_one_and_without_partitions() {
    let mut reader = Reader::new(12);
    reader.send(0, 0, &[(0, 0)], &[]);
    let first = reader.answer(vec![fetched(b"", 0)]).1.session_id;
    reader.send(first, 0, &[(0, 0)], &[]);
    let second = reader.answer(vec![fetched(b"", 0)]).1.session_id;
    assert_ne!(first, second);
    reader.send(first, 1, &[], &[]);
    assert_eq!(reader.heard().error_code, 70);
    reader.send(second, -1, &[], &[]);
    let closed = reader.heard();
    assert_eq!((closed.error_code, closed.session_id), (0, 0));
    reader.send(second, 1, &[], &[]);
    assert_eq!(reader.heard().error_code, 70);
    reader.send(0, 0, &[(0, 0)], &[]);
    let third = reader.answer(vec![fetched(b"", 0)]).1.session_id;
    reader.send(third, 1, &[], &[0]);
    let empty = reader.heard();
    assert_eq!((empty.error_code, empty.session_id), (0, 0));
}

#[test]
fn a_request_without_a_session_gets_everything_each_time() {
    let mut reader = Reader::new(12);
    for _ in 0..2 {
        reader.send(0, -1, &[(0, 0), (1, 0)], &[]);
        let (_, answer) = reader.answer(vec![fetched(b"", 0), fetched(b"", 0)]);
        assert_eq!((answer.session_id, told(&answer)), (0, vec![0, 1]));
    }
}

#[test]
fn requests_of_a_large_session_count_for_what_they_read() {
    let count = i32::try_from(MAX_SESSION_PARTITIONS_COUNT).unwrap();
    let wanted: Vec<_> = (0..count).map(|index| (index, 0)).collect();
    let mut reader = Reader::new(12);
    reader.send(0, 0, &wanted, &[]);
    let quiet = (0..count).map(|_| fetched(b"", 0)).collect();
    let id = reader.answer(quiet).1.session_id;
    assert!(id > 0);
    assert!(reader.session.wants_read());
    for epoch in 1..10 {
        reader.send(id, epoch, &[], &[]);
    }
    assert!(!reader.session.wants_read());
}

#[test]
fn a_client_that_does_not_say_where_it_is_may_read_from_any_replica_that_serves_it() {
    let mut reader = Reader::new(12);
    reader.rack = "";
    reader.send(0, -1, &[(0, 0)], &[]);
    let (fetch, _) = reader.answer(vec![fetched(b"", 0)]);
    let rack = String::new();
    assert_eq!(fetch.from, ReadFrom::Any { rack });
}
