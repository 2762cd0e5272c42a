//! Rules for logs of which ranges die.

use std::sync::{Arc, atomic::Ordering};

use weir_model::Offset;

use super::{Compaction, Live, LiveRange, drop_dead};
use crate::{
    disk::Disk,
    partition::{FlushError, PartitionManifest},
    testing::{Bench, MemDisk, headers, sized},
};

const BATCH_BYTES: usize = 1_000;

fn bench(batch_count: i64, per_segment: usize) -> Bench {
    bench_on(MemDisk::shared().0, batch_count, per_segment)
}

/// Batches of one record, so many in a segment.
fn bench_on(disk: Arc<dyn Disk>, batch_count: i64, per_segment: usize) -> Bench {
    let mut bench = Bench::open(disk, PartitionManifest::default(), 0);
    bench.policy.segment_bytes = (per_segment * BATCH_BYTES) as u64;
    for at in 0..batch_count {
        bench.append(sized(at, BATCH_BYTES));
        bench.flush().unwrap();
    }
    bench
}

fn live(bench: &Bench, ranges: &[(u64, u64)]) -> Live {
    let all = bench.read_all(0, 1 << 20).unwrap();
    let size_bytes = |first: u64, end: u64| {
        let inside = headers(&all)
            .into_iter()
            .filter(|header| (first..end).contains(&u64::try_from(header.base_offset).unwrap()));
        inside.map(|header| header.size_bytes as u64).sum()
    };
    let ranges = ranges.iter().map(|(first, end)| LiveRange {
        first: Offset(*first),
        end: Offset(*end),
        size_bytes: size_bytes(*first, *end),
    });
    Live {
        ranges: ranges.collect(),
        end: bench.log.end_offset(),
    }
}

fn drop_all(bench: &Bench, live: &Live) -> u32 {
    let mut count = 0;
    while drop_dead(&bench.store, &bench.log, live, 1 << 20).unwrap() != Compaction::Nothing {
        bench.flush().unwrap();
        count += 1;
        assert!(count < 100, "it ends");
    }
    count
}

fn offsets(bench: &Bench) -> Vec<i64> {
    let all = bench.read_all(0, 1 << 20).unwrap();
    let bases = headers(&all).into_iter().map(|header| header.base_offset);
    bases.collect()
}

#[test]
fn segments_that_are_mostly_dead_keep_what_lives_and_others_stay_as_they_are() {
    let bench = bench(16, 4);
    let before = bench.log.manifest();
    let count = before.segments.len();
    assert!(count >= 3, "{count} segments");
    // One of four, three of four, none.
    let live = live(&bench, &[(1, 2), (4, 7), (14, 16)]);
    drop_all(&bench, &live);
    let left = offsets(&bench);
    for offset in [1, 4, 5, 6, 14, 15] {
        assert!(left.contains(&offset), "{offset} of {left:?}");
    }
    assert!(!left.contains(&0) && !left.contains(&2) && !left.contains(&9));
    let stored: u64 = bench
        .log
        .manifest()
        .segments
        .iter()
        .map(|s| s.size_bytes)
        .sum();
    let stored_before: u64 = before.segments.iter().map(|s| s.size_bytes).sum();
    assert!(
        stored < stored_before * 3 / 4,
        "{stored} of {stored_before}"
    );
    assert_eq!(bench.log.end_offset(), Offset(16));
}

#[test]
fn segments_that_are_all_dead_leave_one_entry_and_no_file() {
    let bench = bench(40, 2);
    let segments_before = bench.log.manifest().segments.len();
    let live = live(&bench, &[(0, 2), (38, 40)]);
    drop_all(&bench, &live);
    let manifest = bench.log.manifest();
    assert!(manifest.segments.len() < segments_before / 2);
    assert!(
        manifest
            .segments
            .iter()
            .any(|segment| segment.size_bytes == 0)
    );
    manifest.check().unwrap();
    assert_eq!(offsets(&bench)[..2], [0, 1]);
    // Once more there is nothing to do.
    assert_eq!(drop_all(&bench, &live), 0);
}

#[test]
fn what_is_not_known_of_and_what_lives_by_half_stays() {
    let bench = bench(12, 4);
    let all: Vec<i64> = (0..12).collect();
    let mut nothing_known = live(&bench, &[]);
    nothing_known.end = Offset(0);
    assert_eq!(drop_all(&bench, &nothing_known), 0);
    let most = live(&bench, &[(0, 3), (4, 7), (8, 12)]);
    assert_eq!(drop_all(&bench, &most), 0);
    assert_eq!(offsets(&bench), all);
}

#[test]
fn no_byte_is_copied_more_than_once_on_the_whole_however_ranges_die() {
    for step in [1, 3, 7] {
        let bench = bench(64, 8);
        let written: u64 = bench
            .log
            .manifest()
            .segments
            .iter()
            .map(|s| s.size_bytes)
            .sum();
        let mut alive: Vec<u64> = (0..64).collect();
        let (mut copied, mut at) = (0, 0);
        while !alive.is_empty() {
            at = (at + step * 5) % alive.len();
            alive.remove(at);
            let ranges: Vec<(u64, u64)> =
                alive.iter().map(|offset| (*offset, offset + 1)).collect();
            let live = live(&bench, &ranges);
            while let Compaction::Staged { after_bytes, .. } =
                drop_dead(&bench.store, &bench.log, &live, 1 << 20).unwrap()
            {
                copied += after_bytes;
                bench.flush().unwrap();
            }
            let left = offsets(&bench);
            let is_there = |offset: &u64| left.contains(&i64::try_from(*offset).unwrap());
            assert!(
                alive.iter().all(is_there),
                "step {step}: {alive:?} of {left:?}"
            );
        }
        assert!(copied <= written, "step {step}: {copied} of {written}");
    }
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let (disk, shared) = MemDisk::shared();
    let bench = bench_on(disk, 16, 4);
    let live = live(&bench, &[(1, 2)]);
    let before = shared.files();
    shared.left_bytes.store(20, Ordering::Relaxed);
    let full = drop_dead(&bench.store, &bench.log, &live, 1 << 20);
    assert!(matches!(full, Err(FlushError::Full { .. })), "{full:?}");
    assert_eq!(shared.files(), before);
    assert!(!bench.log.is_dirty());
    shared.left_bytes.store(-1, Ordering::Relaxed);
    drop_all(&bench, &live);
    assert_eq!(offsets(&bench)[0], 1);
}
