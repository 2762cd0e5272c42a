//! What a member is given of batches that were read.

use bytes::Bytes;
use weir_model::{
    Offset,
    batch::{MAGIC, patched_head},
};

use crate::share::{Chosen, Limits, Stretch, choose};

const CONTROL: i16 = 1 << 5;
const ALL: Limits = Limits {
    wanted_count: 1_000,
    room_count: 1_000,
    by_records: false,
};

/// A batch without records of its own: nobody looks into it.
fn batch(base: u64, count: u32, attributes: i16) -> Vec<u8> {
    let mut bytes = patched_head(Offset(base), 70, 0).to_vec();
    bytes.resize(70, 0xff);
    bytes[16] = MAGIC.cast_unsigned();
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes
}

fn stretches(of: &[Stretch]) -> Vec<(u64, u64)> {
    of.iter().map(|each| (each.first, each.last)).collect()
}

fn bases(chosen: &Chosen) -> Vec<i64> {
    let bytes = chosen.chunks.concat();
    assert_eq!(bytes.len(), chosen.size_bytes);
    let heads = bytes.chunks(70);
    heads
        .map(|head| i64::from_be_bytes(*head.first_chunk().unwrap()))
        .collect()
}

/// 0 to 4, 5 to 9, a marker, nothing at 11 to 13, 14 to 16.
fn log() -> Vec<Bytes> {
    let whole = [
        batch(0, 5, 0),
        batch(5, 5, 0),
        batch(10, 1, CONTROL),
        batch(14, 3, 0),
    ];
    let whole: Bytes = whole.concat().into();
    // Chunks need not end where batches do.
    vec![whole.slice(..3), whole.slice(3..100), whole.slice(100..)]
}

#[test]
fn gaps_and_markers_are_nobodys() {
    let chosen = choose(log(), 0..17, ALL, |_| true, |_| false);
    assert_eq!(stretches(&chosen.take.wanted), [(0, 9), (14, 16)]);
    assert_eq!(stretches(&chosen.take.void), [(10, 13)]);
    assert_eq!(bases(&chosen), [0, 5, 14]);
    assert_eq!(chosen.take.end, 17);
}

#[test]
fn a_batch_of_which_nothing_is_ready_is_left_out() {
    let is_ready = |offset| [3, 4, 15].contains(&offset);
    let chosen = choose(log(), 3..17, ALL, is_ready, |_| false);
    assert_eq!(stretches(&chosen.take.wanted), [(3, 4), (15, 15)]);
    assert_eq!(bases(&chosen), [0, 14]);
}

#[test]
fn whole_batches_are_given_unless_records_are_counted() {
    let limits = Limits {
        wanted_count: 6,
        ..ALL
    };
    let chosen = choose(log(), 0..17, limits, |_| true, |_| false);
    assert_eq!(stretches(&chosen.take.wanted), [(0, 9)]);
    let by_records = Limits {
        by_records: true,
        ..limits
    };
    let chosen = choose(log(), 0..17, by_records, |_| true, |_| false);
    assert_eq!(stretches(&chosen.take.wanted), [(0, 5)]);
    assert_eq!(bases(&chosen), [0, 5]);
}

#[test]
fn locks_are_never_more_than_there_is_room_for() {
    let limits = Limits {
        wanted_count: 500,
        room_count: 7,
        by_records: false,
    };
    let chosen = choose(log(), 0..17, limits, |_| true, |_| false);
    assert_eq!(stretches(&chosen.take.wanted), [(0, 6)]);
}

#[test]
fn what_is_not_decided_yet_is_not_given() {
    let chosen = choose(log(), 0..10, ALL, |_| true, |_| false);
    assert_eq!(stretches(&chosen.take.wanted), [(0, 9)]);
    assert!(chosen.take.void.is_empty());
    let chosen = choose(log(), 0..7, ALL, |_| true, |_| false);
    assert_eq!(bases(&chosen), [0]);
}

#[test]
fn what_was_aborted_is_nobodys() {
    let is_void = |header: &weir_model::batch::BatchHeader| header.base_offset == 5;
    let chosen = choose(log(), 0..17, ALL, |_| true, is_void);
    assert_eq!(stretches(&chosen.take.void), [(5, 13)]);
    assert_eq!(bases(&chosen), [0, 14]);
}

#[test]
fn a_batch_that_is_cut_off_ends_the_look() {
    let whole = Bytes::from(log().concat());
    for cut in 0..whole.len() {
        let chosen = choose(vec![whole.slice(..cut)], 0..17, ALL, |_| true, |_| false);
        assert_eq!(chosen.size_bytes / 70, (cut / 70).min(2), "cut at {cut}");
    }
}
