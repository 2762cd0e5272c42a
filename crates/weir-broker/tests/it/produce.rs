//! What becomes of batches: which are refused, and who hears of them when.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use weir_broker::{
    Mailbox, Reply, Ticket,
    api::{
        AckLevel, Backend, CreateTopics, NewTopic, Outcome, Produce, ProducePartition, Request,
        TopicRef,
    },
};
use weir_model::{
    ErrorKind, Offset, TopicName,
    batch::{HEADER_BYTES, MAGIC, PATCHED_BYTES, patched_head},
    record::write_record,
};

use crate::cluster::Cluster;

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

type Answer = Vec<Result<Offset, ErrorKind>>;

/// A node with the topic `t` of two partitions, and a client.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            cluster: Cluster::founded(),
            mailbox: Mailbox::new(Box::new(|| {})),
        };
        world.create();
        world
    }

    pub(crate) fn create(&mut self) {
        let topic = NewTopic {
            name: "t".to_owned(),
            partition_count: Some(2),
            replication_factor: None,
            configs: Vec::new(),
            assignments: None,
        };
        self.ask(Request::CreateTopics(CreateTopics {
            topics: vec![topic],
            validate_only: false,
        }));
        self.cluster.settle();
        let mut answers = Vec::new();
        self.mailbox.take(&mut answers);
        assert_eq!(answers.len(), 1);
    }

    pub(crate) fn ask(&mut self, request: Request) {
        let reply = Reply::new(Arc::clone(&self.mailbox), Ticket(0));
        self.cluster.members[0].node.submit(request, reply);
    }

    fn send(&mut self, ack: AckLevel, timeout_ms: u64, batches: Vec<(i32, Bytes)>) {
        let topic = TopicRef::Name(TopicName::new("t").unwrap());
        let partitions = batches.into_iter().map(|(index, batch)| ProducePartition {
            topic: topic.clone(),
            index,
            batch,
        });
        self.ask(Request::Produce(Produce {
            transaction: None,
            ack,
            timeout_ms,
            partitions: partitions.collect(),
        }));
    }

    /// Moves the clock, and lets the node take what it was sent, but not answer it: that takes
    /// another turn, after the write.
    fn pass_unanswered(&mut self, time_ms: u64) {
        let clock = &self.cluster.clock.0;
        clock.fetch_add(time_ms, Ordering::Relaxed);
        self.cluster.members[0].engine.step().unwrap();
    }

    fn heard(&self) -> Vec<Answer> {
        let mut arrived = Vec::new();
        self.mailbox.take(&mut arrived);
        let answers = arrived.into_iter().map(|(_, outcome)| match outcome {
            Outcome::Produce(all) => all.into_iter().map(|one| one.base_offset).collect(),
            other => panic!("{other:?}"),
        });
        answers.collect()
    }

    pub(crate) fn answer(&mut self, batch: Bytes) -> Result<Offset, ErrorKind> {
        self.send(AckLevel::Majority, SECOND_MS, vec![(0, batch)]);
        self.cluster.settle();
        let mut heard = self.heard();
        assert_eq!((heard.len(), heard[0].len()), (1, 1));
        heard.remove(0).remove(0)
    }
}

fn records(deltas: &[u32]) -> Vec<u8> {
    let mut body = Vec::new();
    for delta in deltas {
        write_record(0, *delta, Some(b"key"), Some(b"value"), &mut body);
    }
    body
}

fn batch(codec: u8, count: i32, body: &[u8]) -> Bytes {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(body);
    let head = patched_head(Offset(0), bytes.len(), -1);
    bytes[..PATCHED_BYTES].copy_from_slice(&head);
    bytes[16] = MAGIC.to_be_bytes()[0];
    bytes[22] = codec;
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

pub(crate) fn sound() -> Bytes {
    batch(0, 2, &records(&[0, 1]))
}

#[test]
fn records_that_are_not_what_the_header_says_are_refused() {
    let mut world = World::new();
    let two = records(&[0, 1]);
    let cut = &two[..two.len() - 1];
    let longer = [&two[..], &[0]].concat();
    let refused = [
        batch(0, 1, &two),
        batch(0, 3, &two),
        batch(0, 2, cut),
        batch(0, 2, &longer),
        batch(0, 2, &records(&[0, 2])),
        batch(0, 2, &records(&[1, 0])),
        batch(0, 1, b""),
        batch(0, 1, b"no record"),
        batch(0, i32::MAX, &two),
    ];
    for batch in refused {
        let answer = world.answer(batch.clone());
        assert_eq!(answer, Err(ErrorKind::InvalidRecord), "{batch:?}");
    }
    assert_eq!(world.answer(sound()), Ok(Offset(0)));
    // What is compressed is not looked into.
    assert_eq!(world.answer(batch(4, 2, b"zstd")), Ok(Offset(2)));
    assert_eq!(world.answer(sound()), Ok(Offset(4)));
}

#[test]
fn an_append_that_takes_too_long_is_answered_once_and_stored_nevertheless() {
    let mut world = World::new();
    let wanted = vec![(0, sound()), (1, batch(0, 1, b"")), (7, sound())];
    world.send(AckLevel::Majority, SECOND_MS, wanted);
    assert!(world.heard().is_empty());
    world.pass_unanswered(SECOND_MS);
    let expected = vec![
        Err(ErrorKind::TimedOut),
        Err(ErrorKind::InvalidRecord),
        Err(ErrorKind::UnknownTopicOrPartition),
    ];
    assert_eq!(world.heard(), [expected]);
    world.cluster.settle();
    assert!(world.heard().is_empty(), "the late outcome is dropped");
    assert_eq!(world.answer(sound()), Ok(Offset(2)));
}

#[test]
fn an_append_that_is_answered_in_time_is_not_answered_again() {
    let mut world = World::new();
    world.send(AckLevel::Majority, SECOND_MS, vec![(0, sound())]);
    world.pass_unanswered(SECOND_MS - 1);
    assert!(world.heard().is_empty());
    world.cluster.settle();
    assert_eq!(world.heard(), [[Ok(Offset(0))]]);
    world.cluster.pass(DAY_MS);
    assert!(world.heard().is_empty());
}

#[test]
fn who_does_not_wait_or_waits_for_hours_has_no_limit() {
    let mut world = World::new();
    world.send(AckLevel::None, 0, vec![(0, sound())]);
    world.send(AckLevel::Majority, u64::MAX, vec![(1, sound())]);
    world.pass_unanswered(DAY_MS);
    assert!(world.heard().is_empty());
    world.cluster.settle();
    assert_eq!(world.heard(), [[Ok(Offset(0))], [Ok(Offset(0))]]);
}
