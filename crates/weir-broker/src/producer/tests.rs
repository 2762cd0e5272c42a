use weir_model::batch::Codec;

use super::*;
use crate::encoding::{DecodeError, trial};

const NOW: Millis = Millis(1_000_000);

fn at(now: Millis) -> Arrival {
    Arrival {
        now,
        is_settling: false,
        verified: None,
    }
}

const SETTLING: Arrival = Arrival {
    now: NOW,
    is_settling: true,
    verified: None,
};

fn batch(id: i64, epoch: i16, first: i32, count: u32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        size_bytes: 61,
        leader_epoch: 0,
        crc: 0,
        attributes: 0,
        codec: Codec::None,
        last_offset_delta: count - 1,
        base_timestamp_ms: 0,
        max_timestamp_ms: 0,
        producer_id: (id >= 0).then_some(ProducerId(id)),
        producer_epoch: epoch,
        base_sequence: first,
        record_count: count,
    }
}

/// Producer 1, epoch 3: batches of ten records, sequences 0 to 79, offsets 100 to 179.
fn table() -> ProducerTable {
    let mut table = ProducerTable::default();
    for n in 0..8 {
        let header = batch(1, 3, n * 10, 10);
        assert_eq!(table.check(&header, at(NOW)), Verdict::Append);
        table.record(&header, Offset(100 + u64::from(n.unsigned_abs()) * 10), NOW);
    }
    table
}

#[test]
fn verdicts_follow_kafkas_rules() {
    use ErrorKind as E;
    use Verdict::{Append, Duplicate, Refused};
    let stored = |base| Duplicate {
        base_offset: Offset(base),
    };
    let cases = [
        ("no producer id", batch(-1, -1, -1, 5), Append),
        ("next in line", batch(1, 3, 80, 1), Append),
        (
            "unknown producer, any sequence",
            batch(2, 0, 4711, 3),
            Append,
        ),
        ("newest again", batch(1, 3, 70, 10), stored(170)),
        ("fifth newest again", batch(1, 3, 30, 10), stored(130)),
        (
            "sixth newest again",
            batch(1, 3, 20, 10),
            Refused(E::DuplicateSequence),
        ),
        (
            "oldest again",
            batch(1, 3, 0, 10),
            Refused(E::DuplicateSequence),
        ),
        (
            "cut differently, in the window",
            batch(1, 3, 70, 5),
            Refused(E::OutOfOrderSequence),
        ),
        (
            "across the window's start",
            batch(1, 3, 25, 10),
            Refused(E::OutOfOrderSequence),
        ),
        (
            "gap of one",
            batch(1, 3, 81, 1),
            Refused(E::OutOfOrderSequence),
        ),
        (
            "far behind the first",
            batch(1, 3, i32::MAX, 1),
            Refused(E::OutOfOrderSequence),
        ),
        (
            "old epoch",
            batch(1, 2, 80, 1),
            Refused(E::InvalidProducerEpoch),
        ),
        ("new epoch at 0", batch(1, 4, 0, 1), Append),
        (
            "new epoch not at 0",
            batch(1, 4, 80, 1),
            Refused(E::OutOfOrderSequence),
        ),
    ];
    let table = table();
    for (name, header, verdict) in cases {
        assert_eq!(table.check(&header, at(NOW)), verdict, "{name}");
    }
}

#[test]
fn a_gap_is_no_error_of_the_clients_shortly_after_leadership_changed() {
    use ErrorKind as E;
    use Verdict::{Append, Refused};
    let cases = [
        ("next in line", batch(1, 3, 80, 1), Append),
        ("gap of one", batch(1, 3, 81, 1), Refused(E::SequenceGap)),
        ("new epoch at 0", batch(1, 4, 0, 1), Append),
        (
            "new epoch not at 0",
            batch(1, 4, 10, 1),
            Refused(E::SequenceGap),
        ),
        ("unknown producer at 0", batch(2, 0, 0, 3), Append),
        (
            "unknown producer further on",
            batch(2, 0, 3, 3),
            Refused(E::SequenceGap),
        ),
        (
            "long stored",
            batch(1, 3, 0, 10),
            Refused(E::DuplicateSequence),
        ),
        (
            "cut differently, in the window",
            batch(1, 3, 70, 5),
            Refused(E::OutOfOrderSequence),
        ),
        (
            "old epoch",
            batch(1, 2, 81, 1),
            Refused(E::InvalidProducerEpoch),
        ),
    ];
    let table = table();
    for (name, header, verdict) in cases {
        assert_eq!(table.check(&header, SETTLING), verdict, "{name}");
    }
}

/// A leader that was stopped has stored the first of three batches and answers none; its followers
/// have elected another one. The third arrives there before the first two.
#[test]
fn what_an_earlier_leader_left_unanswered_closes_the_gap_under_the_same_epoch() {
    let mut table = table();
    let [first, second, third] = [80, 90, 100].map(|sequence| batch(1, 3, sequence, 10));
    table.record(&first, Offset(180), NOW);
    let early = Verdict::Refused(ErrorKind::SequenceGap);
    assert_eq!(table.check(&third, SETTLING), early);
    assert!(ErrorKind::SequenceGap.retriable());
    let again = Verdict::Duplicate {
        base_offset: Offset(180),
    };
    assert_eq!(table.check(&first, SETTLING), again);
    for (header, base) in [(second, 190), (third, 200)] {
        assert_eq!(table.check(&header, SETTLING), Verdict::Append);
        table.record(&header, Offset(base), NOW);
    }
}

#[test]
fn a_producer_id_needs_a_sequence_and_an_epoch() {
    for header in [batch(1, 3, -1, 1), batch(9, -1, 0, 1)] {
        let refused = Verdict::Refused(ErrorKind::InvalidRecord);
        assert_eq!(table().check(&header, at(NOW)), refused);
    }
}

#[test]
fn a_sequence_from_before_the_producer_was_known_is_never_called_a_duplicate() {
    let mut table = ProducerTable::default();
    for n in 1..8 {
        table.record(&batch(1, 0, n * 10, 10), Offset(0), NOW);
    }
    let lost = batch(1, 0, 0, 10);
    assert_eq!(
        table.check(&lost, at(NOW)),
        Verdict::Refused(ErrorKind::OutOfOrderSequence)
    );
    assert_eq!(
        table.check(&batch(1, 0, 10, 10), at(NOW)),
        Verdict::Refused(ErrorKind::DuplicateSequence)
    );
}

#[test]
fn a_new_epoch_forgets_the_old_epochs_batches() {
    let mut table = table();
    table.record(&batch(1, 4, 0, 10), Offset(180), NOW);
    assert_eq!(
        table.check(&batch(1, 4, 0, 10), at(NOW)),
        Verdict::Duplicate {
            base_offset: Offset(180)
        }
    );
    assert_eq!(
        table.check(&batch(1, 4, 70, 10), at(NOW)),
        Verdict::Refused(ErrorKind::OutOfOrderSequence)
    );
}

#[test]
fn sequences_wrap_to_zero() {
    let mut table = ProducerTable::default();
    table.record(&batch(1, 0, i32::MAX - 4, 5), Offset(0), NOW);
    assert_eq!(table.check(&batch(1, 0, 0, 1), at(NOW)), Verdict::Append);
    let mut table = ProducerTable::default();
    let across = batch(1, 0, i32::MAX - 1, 5);
    table.record(&across, Offset(7), NOW);
    assert_eq!(table.check(&batch(1, 0, 3, 1), at(NOW)), Verdict::Append);
    assert_eq!(
        table.check(&across, at(NOW)),
        Verdict::Duplicate {
            base_offset: Offset(7)
        }
    );
    for n in 0..6 {
        table.record(&batch(1, 0, 3 + n, 1), Offset(12), NOW);
    }
    assert_eq!(
        table.check(&across, at(NOW)),
        Verdict::Refused(ErrorKind::DuplicateSequence)
    );
}

#[test]
fn an_idle_producer_is_unknown_after_a_day_and_not_before() {
    let mut table = table();
    let odd = batch(1, 0, 500, 1);
    let almost = NOW.plus(PRODUCER_EXPIRY_MS - 1);
    let day = NOW.plus(PRODUCER_EXPIRY_MS);
    assert_ne!(table.check(&odd, at(almost)), Verdict::Append);
    assert_eq!(table.check(&odd, at(day)), Verdict::Append);
    table.expire(almost);
    assert_eq!(table.len(), 1);
    let mut swept = table.clone();
    swept.expire(day);
    assert!(swept.is_empty());
    table.record(&odd, Offset(0), day);
    swept.record(&odd, Offset(0), day);
    assert_eq!(table, swept);
}

#[test]
fn past_the_limit_the_longest_idle_producers_go_first() {
    let mut table = ProducerTable::default();
    let count = i64::try_from(MAX_PRODUCERS).unwrap();
    let evicted = i64::try_from(EVICTION_COUNT).unwrap();
    for id in 0..count {
        // Higher ids are older.
        table.record(
            &batch(id, 0, 5, 1),
            Offset(0),
            NOW.plus(u64::try_from(count - id).unwrap()),
        );
    }
    assert_eq!(table.len(), MAX_PRODUCERS);
    table.record(&batch(count, 0, 5, 1), Offset(0), NOW.plus(1));
    assert_eq!(table.len(), MAX_PRODUCERS - EVICTION_COUNT + 1);
    let is_known = |id| table.check(&batch(id, 0, 99, 1), at(NOW)) != Verdict::Append;
    assert!(is_known(count) && is_known(count - evicted - 1) && is_known(0));
    assert!(!is_known(count - 1) && !is_known(count - evicted));
}

#[test]
fn an_encoded_table_comes_back_and_damage_is_an_error() {
    let mut table = table();
    table.record(&batch(7, 0, 1, 1), Offset(300), NOW);
    let bytes = table.encode();
    assert_eq!(ProducerTable::decode(&bytes), Ok(table));
    trial::damage(&bytes, ProducerTable::decode);
}

#[test]
fn batches_that_do_not_follow_each_other_do_not_decode() {
    let mut table = table();
    let producer = table.producers.get_mut(&ProducerId(1)).unwrap();
    producer.batches[2].first += 1;
    assert!(matches!(
        ProducerTable::decode(&table.encode()),
        Err(DecodeError::Value { .. })
    ));
}
