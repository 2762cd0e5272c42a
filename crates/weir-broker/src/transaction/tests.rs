use std::num::NonZeroU64;

use weir_log::Millis;
use weir_model::{
    ErrorKind, Offset, PartitionId, ProducerId,
    batch::{BatchHeader, verify_crc},
    record::Records,
};

use super::{
    command::{End, Init},
    marker::{offsets_of_shard, shard_of_offsets},
    pending::BringOffsets,
    table::{Described, TRANSACTIONAL_ID_EXPIRY_MS},
    *,
};
use crate::{
    api::{AbortedTransaction, ProducerEpoch, TransactionState},
    encoding::{Reader, Writer, trial},
    group::{CommitOffsets, StoredOffset},
};

pub(super) const NOW: Millis = Millis(1_000_000);
pub(super) const TIMEOUT_MS: i32 = 60_000;

pub(super) fn producer(id: i64, epoch: i16) -> ProducerEpoch {
    ProducerEpoch {
        id: ProducerId(id),
        epoch,
    }
}

/// A table in which `tx` is known, and what its clients do. Fresh ids are 100, 101 and so on.
pub(super) struct World {
    pub(super) table: TransactionTable,
    next_id: i64,
    pub(super) now: Millis,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            table: TransactionTable::default(),
            next_id: 100,
            now: NOW,
        }
    }

    pub(super) fn apply(&mut self, command: TransactionCommand) -> TransactionAnswer {
        let bytes = command.encode();
        assert_eq!(TransactionCommand::decode(&bytes), Ok(command.clone()));
        trial::damage(&bytes, TransactionCommand::decode);
        let answer = self.table.apply(self.now, command);
        assert_eq!(
            TransactionTable::decode(&self.table.encode()),
            Ok(self.table.clone()),
            "a checkpoint keeps everything"
        );
        answer
    }

    fn fresh(&mut self) -> ProducerId {
        self.next_id += 1;
        ProducerId(self.next_id - 1)
    }

    pub(super) fn init(
        &mut self,
        known: Option<ProducerEpoch>,
    ) -> Result<ProducerEpoch, ErrorKind> {
        let fresh = self.fresh();
        let init = Init {
            transaction: "tx".to_owned(),
            timeout_ms: TIMEOUT_MS,
            known,
            fresh,
        };
        self.apply(TransactionCommand::Init(init)).result
    }

    pub(super) fn add(
        &mut self,
        producer: ProducerEpoch,
        partition: u64,
    ) -> Result<ProducerEpoch, ErrorKind> {
        let add = TransactionCommand::Add {
            transaction: "tx".to_owned(),
            producer,
            partitions: vec![PartitionId(partition)],
        };
        self.apply(add).result
    }

    pub(super) fn end(
        &mut self,
        producer: ProducerEpoch,
        commit: bool,
        bumps: bool,
    ) -> Result<ProducerEpoch, ErrorKind> {
        let fresh = Some(self.fresh());
        let end = End {
            transaction: "tx".to_owned(),
            producer,
            commit,
            bumps,
            fresh,
        };
        self.apply(TransactionCommand::End(end)).result
    }

    /// All partitions hear of the end.
    pub(super) fn tell(&mut self) -> Ending {
        let ending = self.table.ending("tx").unwrap();
        let ended = TransactionCommand::Ended {
            transaction: "tx".to_owned(),
            producer: ending.producer,
            ordinal: ending.ordinal,
            partitions: ending.partitions.clone(),
        };
        self.apply(ended).result.unwrap();
        ending
    }

    fn described(&self) -> Described {
        self.table.describe("tx", self.now).unwrap()
    }

    pub(super) fn state(&self) -> TransactionState {
        self.described().state
    }
}

#[test]
fn a_transaction_of_the_older_kind_keeps_its_epoch_and_may_be_ended_twice_alike() {
    let mut world = World::new();
    let it = world.init(None).unwrap();
    assert_eq!(it, producer(100, 0));
    assert_eq!(world.end(it, true, false), Err(ErrorKind::InvalidTxnState));
    world.add(it, 1).unwrap();
    world.add(it, 2).unwrap();
    assert_eq!(world.state(), TransactionState::Ongoing);
    assert_eq!(world.end(it, true, false), Ok(it));
    let later = Err(ErrorKind::ConcurrentTransactions);
    assert_eq!(world.end(it, true, false), later);
    assert_eq!(world.add(it, 3), later);
    assert_eq!(world.init(None), later);
    assert_eq!(world.end(it, false, false), Err(ErrorKind::InvalidTxnState));
    let ending = world.tell();
    assert_eq!((ending.producer, ending.commit), (it, true));
    assert_eq!(ending.partitions, [PartitionId(1), PartitionId(2)]);
    assert_eq!(world.state(), TransactionState::CompleteCommit);
    assert_eq!(world.end(it, true, false), Ok(it));
    assert_eq!(world.end(it, false, false), Err(ErrorKind::InvalidTxnState));
    world.add(it, 1).unwrap();
    assert_eq!(world.end(it, false, false), Ok(it));
    assert!(!world.tell().commit);
}

#[test]
fn a_transaction_of_the_newer_kind_goes_on_with_the_next_epoch_and_a_repeat_gets_the_same() {
    let mut world = World::new();
    let first = world.init(None).unwrap();
    world.add(first, 1).unwrap();
    let second = world.end(first, true, true).unwrap();
    assert_eq!(second, producer(100, 1));
    let later = Err(ErrorKind::ConcurrentTransactions);
    assert_eq!(world.end(first, true, true), later);
    assert_eq!(world.add(first, 1), Err(ErrorKind::ProducerFenced));
    assert_eq!(world.add(second, 1), later);
    assert_eq!(world.tell().producer, second);
    assert_eq!(world.end(first, true, true), Ok(second));
    assert_eq!(
        world.end(first, false, true),
        Err(ErrorKind::InvalidTxnState)
    );
    // Nothing was begun in the new epoch: no repeat, and nothing to commit.
    assert_eq!(
        world.end(second, true, true),
        Err(ErrorKind::InvalidTxnState)
    );
    // What a client cannot know to be empty may be aborted.
    let third = world.end(second, false, true).unwrap();
    assert_eq!(third, producer(100, 2));
    assert_eq!(world.state(), TransactionState::CompleteAbort);
    world.add(third, 1).unwrap();
    assert_eq!(
        world.end(second, true, true),
        Err(ErrorKind::ProducerFenced)
    );
}

#[test]
fn an_epoch_that_is_used_up_goes_over_to_another_id_once_all_have_heard() {
    let mut world = World::new();
    let mut it = world.init(None).unwrap();
    while it.epoch < i16::MAX - 1 {
        it = world.table_only_init(Some(it));
    }
    world.add(it, 1).unwrap();
    let next = world.end(it, true, true).unwrap();
    assert_eq!(next.epoch, 0);
    assert_ne!(next.id, it.id);
    let marked = world.tell();
    assert_eq!(marked.producer, producer(it.id.0, i16::MAX));
    assert_eq!(world.described().producer, next);
    assert_eq!(world.end(it, true, true), Ok(next));
    world.add(next, 1).unwrap();
}

impl World {
    /// A bump without the checks of every step: there are thousands.
    pub(super) fn table_only_init(&mut self, known: Option<ProducerEpoch>) -> ProducerEpoch {
        let fresh = self.fresh();
        let init = TransactionCommand::Init(Init {
            transaction: "tx".to_owned(),
            timeout_ms: TIMEOUT_MS,
            known,
            fresh,
        });
        self.table.apply(self.now, init).result.unwrap()
    }
}

#[test]
fn a_producer_that_begins_again_fences_the_one_before_and_aborts_what_it_left() {
    let mut world = World::new();
    let old = world.init(None).unwrap();
    world.add(old, 1).unwrap();
    assert_eq!(world.init(None), Err(ErrorKind::ConcurrentTransactions));
    assert_eq!(world.state(), TransactionState::PrepareAbort);
    assert_eq!(world.end(old, true, true), Err(ErrorKind::ProducerFenced));
    assert_eq!(world.end(old, true, false), Err(ErrorKind::ProducerFenced));
    let ending = world.tell();
    assert_eq!((ending.producer, ending.commit), (producer(100, 1), false));
    let new = world.init(None).unwrap();
    assert_eq!(new, producer(100, 2));
    assert_eq!(world.add(old, 1), Err(ErrorKind::ProducerFenced));
    assert_eq!(world.end(old, false, true), Err(ErrorKind::ProducerFenced));
}

#[test]
fn a_producer_that_brings_its_epoch_gets_the_next_and_a_repeat_the_same_one() {
    let mut world = World::new();
    let first = world.init(None).unwrap();
    let second = world.init(Some(first)).unwrap();
    assert_eq!(second, producer(100, 1));
    assert_eq!(world.init(Some(first)), Ok(second));
    let third = world.init(Some(second)).unwrap();
    assert_eq!(third, producer(100, 2));
    let fenced = Err(ErrorKind::ProducerFenced);
    assert_eq!(world.init(Some(first)), fenced);
    assert_eq!(world.init(Some(producer(9, 2))), fenced);
    // Another one has begun since: there is no epoch before.
    let fourth = world.init(None).unwrap();
    assert_eq!(fourth, producer(100, 3));
    assert_eq!(world.init(Some(third)), fenced);
}

#[test]
fn an_end_is_over_when_every_partition_has_heard_and_no_earlier() {
    let mut world = World::new();
    let it = world.init(None).unwrap();
    for partition in 1..=3 {
        world.add(it, partition).unwrap();
    }
    world.end(it, true, false).unwrap();
    assert_eq!(world.table.all_ending(), ["tx"]);
    for partition in 1..=3 {
        assert_eq!(world.state(), TransactionState::PrepareCommit);
        let ended = TransactionCommand::Ended {
            transaction: "tx".to_owned(),
            producer: it,
            ordinal: 1,
            partitions: vec![PartitionId(partition), PartitionId(77)],
        };
        world.apply(ended.clone()).result.unwrap();
        let stale = TransactionCommand::Ended {
            transaction: "tx".to_owned(),
            producer: producer(100, 7),
            ordinal: 1,
            partitions: vec![PartitionId(3)],
        };
        assert!(world.apply(stale).result.is_err());
    }
    assert_eq!(world.state(), TransactionState::CompleteCommit);
    assert!(world.table.all_ending().is_empty());
}

#[test]
fn who_asks_hears_whether_partitions_are_part_of_what_is_open() {
    let mut world = World::new();
    let it = world.init(None).unwrap();
    let partitions = [PartitionId(1), PartitionId(2)];
    let ask = |world: &World, producer| world.table.verify("tx", producer, &partitions);
    let not = Err(ErrorKind::TransactionAbortable);
    assert_eq!(ask(&world, it), Ok(vec![not, not]));
    world.add(it, 1).unwrap();
    assert_eq!(ask(&world, it), Ok(vec![Ok(()), not]));
    assert_eq!(
        ask(&world, producer(100, 1)),
        Err(ErrorKind::ProducerFenced)
    );
    let unknown = Err(ErrorKind::InvalidProducerIdMapping);
    assert_eq!(ask(&world, producer(101, 0)), unknown);
    assert_eq!(world.table.verify("other", it, &partitions), unknown);
    world.end(it, true, false).unwrap();
    assert_eq!(ask(&world, it), Err(ErrorKind::ConcurrentTransactions));
    world.tell();
    assert_eq!(ask(&world, it), Ok(vec![not, not]));
}

#[test]
fn an_idle_id_is_forgotten_after_a_week_and_an_open_one_is_not() {
    let mut world = World::new();
    let it = world.init(None).unwrap();
    world.now = NOW.plus(TRANSACTIONAL_ID_EXPIRY_MS - 1);
    assert!(world.table.describe("tx", world.now).is_some());
    world.now = NOW.plus(TRANSACTIONAL_ID_EXPIRY_MS);
    assert!(world.table.describe("tx", world.now).is_none());
    assert_eq!(world.table.all(world.now).count(), 0);
    let again = world.init(None).unwrap();
    assert_eq!(again.epoch, 0);
    assert_ne!(again.id, it.id);
    world.add(again, 1).unwrap();
    world.now = world.now.plus(2 * TRANSACTIONAL_ID_EXPIRY_MS);
    assert_eq!(world.state(), TransactionState::Ongoing);
}

#[test]
fn a_marker_is_a_control_batch_as_kafka_writes_it() {
    let marker = Marker {
        partition: PartitionId(5),
        producer: producer(7, 3),
        commit: true,
        coordinator_epoch: 9,
        ordinal: NonZeroU64::new(6),
    };
    let batch = marker.batch(NOW);
    let header = BatchHeader::parse(&batch).unwrap();
    assert!(header.is_control() && header.is_transactional());
    assert_eq!(verify_crc(&batch), Ok(()));
    assert_eq!(header.producer_id, Some(ProducerId(7)));
    let numbers = (
        header.producer_epoch,
        header.base_sequence,
        header.record_count,
        header.last_offset_delta,
    );
    assert_eq!(numbers, (3, -1, 1, 0));
    let record = Records::new(&batch[61..], 1).next().unwrap().unwrap();
    assert_eq!(record.key, Some(&[0, 0, 0, 1][..]));
    assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 9][..]));
    let abort = Marker {
        commit: false,
        ..marker
    };
    let batch = abort.batch(NOW);
    let record = Records::new(&batch[61..], 1).next().unwrap().unwrap();
    assert_eq!(record.key, Some(&[0, 0, 0, 0][..]));
    let mut writer = Writer::new();
    marker.write(&mut writer);
    let bytes = writer.finish();
    assert_eq!(Marker::read(&mut Reader::new(&bytes)), Ok(marker));
}

#[test]
fn the_offsets_of_a_shard_are_no_partition() {
    assert_eq!(shard_of_offsets(offsets_of_shard(16)), Some(16));
    assert_eq!(shard_of_offsets(PartitionId::new(1, 16)), None);
}

#[test]
fn readers_of_committed_records_see_what_is_decided_and_what_of_it_was_aborted() {
    let view = TransactionView::default();
    let end = Offset(100);
    assert_eq!(view.stable_end(end), end);
    view.set_first_open(Some(Offset(40)));
    assert_eq!(view.stable_end(end), Offset(40));
    assert_eq!(view.stable_end(Offset(30)), Offset(30));
    // Ended in this order: 50 to 60, then 40 to 70.
    view.ended(
        Some(Offset(40)),
        Some((ProducerId(2), Offset(50))),
        Offset(60),
    );
    view.ended(None, Some((ProducerId(1), Offset(40))), Offset(70));
    let aborted = |from, up_to| {
        let stable = view.stable(end, Offset(from), Offset(up_to));
        let firsts = stable.aborted.iter();
        firsts
            .map(|it: &AbortedTransaction| it.first.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(aborted(0, 100), [40, 50]);
    assert_eq!(aborted(0, 40), [0_u64; 0]);
    assert_eq!(aborted(0, 41), [40]);
    assert_eq!(aborted(61, 100), [40]);
    assert_eq!(aborted(70, 71), [40]);
    assert_eq!(aborted(71, 100), [0_u64; 0]);
    let bytes = view.encode();
    let back = TransactionView::decode(&bytes).unwrap();
    assert_eq!(back.encode(), bytes);
    trial::damage(&bytes, TransactionView::decode);
    view.trim(Offset(61));
    assert_eq!(aborted(0, 100), [40]);
    view.trim(Offset(71));
    assert!(view.is_blank());
}

pub(super) fn bring(producer: ProducerEpoch, verified: Option<u64>, offset: i64) -> BringOffsets {
    let stored = StoredOffset {
        offset,
        leader_epoch: -1,
        metadata: Box::default(),
        committed: NOW,
    };
    BringOffsets {
        producer,
        verified,
        commit: CommitOffsets {
            group: "g".to_owned(),
            offsets: vec![(PartitionId(9), stored)],
        },
    }
}

pub(super) fn ending(producer: ProducerEpoch, commit: bool) -> Marker {
    Marker {
        partition: offsets_of_shard(1),
        producer,
        commit,
        coordinator_epoch: 4,
        ordinal: None,
    }
}

#[test]
fn offsets_of_a_transaction_count_once_it_is_committed() {
    let mut pending = PendingOffsets::default();
    let it = producer(7, 0);
    let refused = vec![Err(ErrorKind::InvalidTxnState)];
    assert_eq!(pending.bring(bring(it, None, 5), NOW), refused);
    assert_eq!(pending.bring(bring(it, Some(0), 5), NOW), [Ok(())]);
    assert_eq!(pending.bring(bring(it, None, 6), NOW), [Ok(())]);
    assert!(pending.is_pending("g", PartitionId(9)) && pending.has_pending("g"));
    assert!(!pending.is_pending("g", PartitionId(8)) && !pending.has_pending("h"));
    let bytes = pending.encode();
    assert_eq!(PendingOffsets::decode(&bytes), Ok(pending.clone()));
    trial::damage(&bytes, PendingOffsets::decode);
    let mut aborted = pending.clone();
    assert_eq!(aborted.end(&ending(it, false), 30, NOW), Ok(Vec::new()));
    assert!(!aborted.has_pending("g"));
    let commits = pending.end(&ending(it, true), 30, NOW).unwrap();
    assert_eq!(commits, [bring(it, None, 6).commit]);
    assert!(!pending.has_pending("g"));
    // What was allowed before the end cannot begin another transaction after it.
    assert_eq!(pending.bring(bring(it, Some(0), 7), NOW), refused);
    assert_eq!(pending.bring(bring(it, Some(30), 7), NOW), [Ok(())]);
    let fenced = vec![Err(ErrorKind::InvalidProducerEpoch)];
    pending
        .end(&ending(producer(7, 1), false), 31, NOW)
        .unwrap();
    assert_eq!(pending.bring(bring(it, Some(31), 8), NOW), fenced);
}
