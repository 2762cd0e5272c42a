//! What is heard late of a transaction changes nothing of the next one, although a client without
//! KIP-890 keeps its epoch.

use std::num::NonZeroU64;

use weir_model::{
    ErrorKind, Offset, PartitionId, ProducerId,
    batch::{BatchHeader, Codec},
};

use super::{
    tests::{NOW, World, bring, ending, producer},
    *,
};
use crate::{
    api::TransactionState,
    producer::{Arrival, ProducerTable, Verdict},
};

fn marker(ordinal: u64, commit: bool) -> Marker {
    Marker {
        partition: PartitionId(1),
        ordinal: NonZeroU64::new(ordinal),
        ..ending(producer(100, 0), commit)
    }
}

#[test]
fn word_from_partitions_of_an_earlier_transaction_does_not_end_a_later_one() {
    let mut world = World::new();
    let it = world.init(None).unwrap();
    world.add(it, 1).unwrap();
    world.end(it, false, false).unwrap();
    let first = world.tell();
    world.add(it, 1).unwrap();
    world.end(it, true, false).unwrap();
    let late = TransactionCommand::Ended {
        transaction: "tx".to_owned(),
        producer: first.producer,
        ordinal: first.ordinal,
        partitions: first.partitions,
    };
    let answer = world.apply(late);
    assert_eq!(answer.result, Err(ErrorKind::InvalidTxnState));
    assert_eq!(world.state(), TransactionState::PrepareCommit);
    assert!(world.tell().ordinal > first.ordinal);
    assert_eq!(world.state(), TransactionState::CompleteCommit);
}

fn batch(sequence: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        size_bytes: 61,
        leader_epoch: 0,
        crc: 0,
        attributes: 1 << 4,
        codec: Codec::None,
        last_offset_delta: 0,
        base_timestamp_ms: 0,
        max_timestamp_ms: 0,
        producer_id: Some(ProducerId(100)),
        producer_epoch: 0,
        base_sequence: sequence,
        record_count: 1,
    }
}

#[test]
fn a_marker_that_is_heard_again_does_not_end_the_next_transaction_in_a_partition() {
    let mut table = ProducerTable::default();
    table.record(&batch(0), Offset(10), NOW);
    assert_eq!(table.check_end(&marker(1, false)), Ok(true));
    assert_eq!(table.end(&marker(1, false), 5, NOW), Some(Offset(10)));
    table.record(&batch(1), Offset(12), NOW);
    // Also by a coordinator that has been elected since, and after a checkpoint.
    let again = Marker {
        coordinator_epoch: 99,
        ..marker(1, false)
    };
    let table_back = ProducerTable::decode(&table.encode()).unwrap();
    for table in [&table, &table_back] {
        assert_eq!(table.check_end(&again), Ok(false));
        assert_eq!(table.first_open(), Some(Offset(12)));
    }
    assert_eq!(table.check_end(&marker(2, true)), Ok(true));
    assert_eq!(table.end(&marker(2, true), 6, NOW), Some(Offset(12)));
    // An administrator's marker knows no number, and ends what is open.
    table.record(&batch(2), Offset(14), NOW);
    assert_eq!(table.check_end(&marker(0, false)), Ok(true));
    assert_eq!(table.end(&marker(0, false), 7, NOW), Some(Offset(14)));
    assert_eq!(table.check_end(&marker(2, true)), Ok(false));
}

/// librdkafka drops what waits to be sent again when it aborts, and numbers what comes next as if
/// none of that had ever been stored. Told that it is stored already, it would take its new message
/// for the old one, which nobody can read.
#[test]
fn a_sequence_of_an_ended_transaction_is_no_repeat_in_the_next_one() {
    let mut table = ProducerTable::default();
    let arrival = Arrival {
        now: NOW,
        is_settling: true,
        verified: Some(5),
    };
    table.record(&batch(0), Offset(10), NOW);
    table.record(&batch(1), Offset(11), NOW);
    let repeat = Verdict::Duplicate {
        base_offset: Offset(11),
    };
    assert_eq!(table.check(&batch(1), arrival), repeat);
    table.end(&marker(1, false), 5, NOW);
    let refused = Verdict::Refused(ErrorKind::UnknownProducer);
    for sequence in [0, 1] {
        assert_eq!(table.check(&batch(sequence), arrival), refused);
    }
    assert_eq!(table.check(&batch(2), arrival), Verdict::Append);
    table.record(&batch(2), Offset(13), NOW);
    assert_eq!(table.check(&batch(1), arrival), refused);
    let repeat = Verdict::Duplicate {
        base_offset: Offset(13),
    };
    assert_eq!(table.check(&batch(2), arrival), repeat);
}

#[test]
fn a_marker_that_is_heard_again_leaves_the_offsets_of_the_next_transaction_alone() {
    let mut pending = PendingOffsets::default();
    let it = producer(100, 0);
    assert_eq!(pending.bring(bring(it, Some(0), 5), NOW), [Ok(())]);
    assert_eq!(pending.end(&marker(1, false), 30, NOW), Ok(Vec::new()));
    assert_eq!(pending.bring(bring(it, Some(30), 6), NOW), [Ok(())]);
    assert_eq!(pending.end(&marker(1, false), 31, NOW), Ok(Vec::new()));
    assert!(pending.has_pending("g"));
    let commits = pending.end(&marker(2, true), 32, NOW).unwrap();
    assert_eq!(commits, [bring(it, None, 6).commit]);
}
