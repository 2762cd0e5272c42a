//! Rules of bringing batches from another log and of taking over its manifest.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use weir_model::Offset;

use crate::{
    clock::Millis,
    compaction::{self, CompactionPolicy},
    disk::FileKind,
    ingest::{Ingest, IngestError},
    partition::{FlushError, MissingRange, PartitionManifest, ReadBatches},
    testing::{Bench, Make, MemDisk, MemShared, P, headers, sized},
};

fn bench() -> (Bench, Arc<MemShared>) {
    let (disk, shared) = MemDisk::shared();
    (
        Bench::open(disk, PartitionManifest::default(), 1 << 20),
        shared,
    )
}

fn filled(batch_count: i64) -> Bench {
    let (bench, _) = bench();
    for at in 0..batch_count {
        bench.append(sized(at, 200));
    }
    bench.flush().unwrap();
    bench
}

/// What the source has of a range from `from` on.
fn read(source: &Bench, from: Offset, to: Offset) -> (Bytes, Offset) {
    let ReadBatches {
        chunks,
        next_offset,
        ..
    } = source.read(from.0, 500, true).unwrap();
    let mut bytes = chunks.concat();
    let mut length = 0;
    for header in headers(&bytes) {
        if header.base_offset >= to.wire() {
            bytes.truncate(length);
            return (bytes.into(), to);
        }
        length += header.size_bytes;
    }
    let next = if bytes.is_empty() { to } else { next_offset };
    (bytes.into(), next.min(to))
}

fn begin(target: &Bench, range: MissingRange) -> Ingest {
    Ingest::begin(&target.store, &target.log, range, target.policy).unwrap()
}

/// Brings at most `call_count` pieces. `true`: nothing is missing any more.
fn bring(source: &Bench, target: &Bench, wanted: &PartitionManifest, call_count: usize) -> bool {
    let mut left = call_count;
    for range in target.log.missing(wanted, wanted.start).unwrap() {
        let mut ingest = begin(target, range);
        while ingest.next_offset() < range.to && left > 0 {
            let (batches, next) = read(source, ingest.next_offset(), range.to);
            ingest.push(&batches, next).unwrap();
            left -= 1;
        }
        let is_whole = ingest.next_offset() == range.to;
        ingest.finish().unwrap();
        if !is_whole {
            return false;
        }
    }
    true
}

fn take_over(source: &Bench, target: &Bench, wanted: &PartitionManifest) {
    assert!(bring(source, target, wanted, usize::MAX));
    target
        .store
        .sync_brought(&[Arc::clone(&target.log)])
        .unwrap();
    let manifest = target.log.with_brought(wanted.start, wanted.end()).unwrap();
    let mut encoded = Vec::new();
    manifest.encode(&mut encoded);
    assert_eq!(PartitionManifest::decode(&encoded).unwrap(), manifest);
    target.log.take_over(manifest);
}

fn assert_equal(source: &Bench, target: &Bench, wanted: &PartitionManifest) {
    assert_eq!(target.log.start_offset(), wanted.start);
    assert_eq!(target.log.end_offset(), wanted.end());
    let had = target.read_all(wanted.start.0, 700).unwrap();
    let mut all = source.read_all(wanted.start.0, 700).unwrap();
    let length = headers(&all)
        .iter()
        .take_while(|header| header.base_offset < wanted.end().wire())
        .map(|header| header.size_bytes)
        .sum();
    all.truncate(length);
    assert!(had == all, "{} bytes, {} wanted", had.len(), all.len());
}

#[test]
fn an_empty_log_becomes_what_the_other_is_and_goes_on_from_there() {
    let source = filled(20);
    let (target, shared) = bench();
    let wanted = source.log.manifest();
    take_over(&source, &target, &wanted);
    assert_equal(&source, &target, &wanted);
    assert!(shared.sync_count.load(Ordering::Relaxed) > 0);
    target.append(sized(99, 50));
    source.append(sized(99, 50));
    let manifest = target.flush().unwrap();
    assert_eq!(
        manifest.segments.last().unwrap().generation,
        0,
        "a segment of its own"
    );
    source.flush().unwrap();
    assert_equal(&source, &target, &source.log.manifest());
}

#[test]
fn what_was_in_memory_goes_and_no_longer_counts_as_unflushed() {
    let source = filled(20);
    let target = filled(5);
    for at in 5..9 {
        target.append(sized(at, 200));
    }
    assert!(target.store.unflushed_bytes() > 0);
    let before = target.log.manifest();
    take_over(&source, &target, &source.log.manifest());
    assert_eq!(target.store.unflushed_bytes(), 0);
    assert_equal(&source, &target, &source.log.manifest());
    let after = target.log.manifest();
    assert_eq!(after.segments[..before.segments.len()], before.segments[..]);
}

#[test]
fn a_log_that_ends_before_the_others_start_is_replaced() {
    let source = filled(20);
    source.log.trim(Offset(12));
    source.flush().unwrap();
    let (target, shared) = bench();
    target.append(sized(0, 200));
    target.flush().unwrap();
    take_over(&source, &target, &source.log.manifest());
    assert_equal(&source, &target, &source.log.manifest());
    let dropped = format!("partitions/{P}/{:020}-0.seg", 0);
    let is_there = || shared.files().iter().any(|(name, _)| *name == dropped);
    assert!(
        is_there(),
        "an older checkpoint may still be the durable one"
    );
    assert!(target.log.is_dirty());
    target.flush().unwrap();
    assert!(!is_there());
}

#[test]
fn gaps_are_taken_only_where_compaction_may_have_left_them() {
    let source = Bench::open(MemDisk::shared().0, PartitionManifest::default(), 0);
    let key = Make::default();
    for at in 0..12_i64 {
        let name = if at % 3 == 0 { "a" } else { "b" };
        source.append(key.batch(&[(0, at, Some(name), Some(&"v".repeat(300)))]));
    }
    source.append(sized(99, 900));
    source.flush().unwrap();
    let policy = CompactionPolicy {
        delete_retention_ms: 1000,
        min_dirty_percent: 0,
        min_lag_ms: 0,
        max_lag_ms: u64::MAX,
        segment_bytes: 1 << 20,
        key_map_bytes: 1 << 20,
        now: Millis(100),
    };
    compaction::run(&source.store, &source.log, policy).unwrap();
    source.flush().unwrap();
    let wanted = source.log.manifest();
    let (target, _) = bench();
    let range = target.log.missing(&wanted, wanted.start).unwrap()[0];
    assert!(range.may_have_gaps);
    let gapless = MissingRange {
        may_have_gaps: false,
        ..range
    };
    let (batches, next) = read(&source, range.from, range.to);
    let refused = begin(&target, gapless).push(&batches, next);
    assert!(matches!(refused, Err(IngestError::Refused { .. })));
    take_over(&source, &target, &wanted);
    assert_equal(&source, &target, &wanted);
    target.append(sized(99, 900));
    target.flush().unwrap();
    compaction::run(&target.store, &target.log, policy).unwrap();
    let manifest = target.flush().unwrap();
    let first = manifest.segments[0];
    assert!(first.was_compacted(), "generation {}", first.generation);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused_and_nothing_of_it_counts() {
    let source = filled(4);
    let (target, shared) = bench();
    let range = target
        .log
        .missing(&source.log.manifest(), Offset(0))
        .unwrap()[0];
    let (batches, next) = read(&source, range.from, range.to);
    let mut ingest = begin(&target, range);
    let mut refuse = |bytes: Vec<u8>, next| {
        let pushed = ingest.push(&bytes.into(), next);
        assert!(matches!(pushed, Err(IngestError::Refused { .. })));
        assert_eq!(ingest.next_offset(), range.from);
    };
    for cut in 0..batches.len() {
        refuse(batches[..cut].to_vec(), next);
    }
    for bit in 0..batches.len() * 8 {
        let mut damaged = batches.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let header = weir_model::batch::BatchHeader::parse(&batches).unwrap();
        let is_epoch = (12..16).contains(&(bit / 8 % header.size_bytes));
        if !is_epoch {
            refuse(damaged, next);
        }
    }
    refuse(batches.to_vec(), next.plus(1));
    refuse(batches.to_vec(), range.to.plus(1));
    ingest.finish().unwrap();
    assert_eq!((target.log.brought(), shared.files()), (vec![], vec![]));
}

#[test]
fn a_full_disk_loses_nothing_of_what_was_finished_before() {
    let source = filled(20);
    let (target, shared) = bench();
    let wanted = source.log.manifest();
    assert!(!bring(&source, &target, &wanted, 3));
    let before = target.log.brought();
    assert!(!before.is_empty());
    let range = target.log.missing(&wanted, wanted.start).unwrap()[0];
    shared.left_bytes.store(10, Ordering::Relaxed);
    let mut ingest = begin(&target, range);
    let (batches, next) = read(&source, range.from, range.to);
    let is_full = match ingest.push(&batches, next) {
        Ok(()) => matches!(ingest.finish(), Err(FlushError::Full { .. })),
        Err(IngestError::Write(FlushError::Full { .. })) => ingest.finish().is_ok(),
        Err(IngestError::Write(_) | IngestError::Refused { .. }) => false,
    };
    assert!(is_full);
    assert_eq!(target.log.brought(), before);
    shared.left_bytes.store(-1, Ordering::Relaxed);
    take_over(&source, &target, &wanted);
    assert_equal(&source, &target, &wanted);
}

#[test]
fn a_damaged_segment_is_replaced_at_the_next_flush() {
    let source = filled(20);
    let (target, shared) = bench();
    take_over(&source, &target, &source.log.manifest());
    let damaged = target.log.manifest().segments[1];
    let path = format!(
        "partitions/{P}/{:020}-{}.seg",
        damaged.base_offset.0, damaged.generation
    );
    assert_eq!(target.log.segment_in(&path), Some(damaged));
    assert_eq!(target.log.segment_in("partitions"), None);
    let file = target.store.disk().open(&path, FileKind::Buffered).unwrap();
    file.write_at(&[7; 50], 100).unwrap();
    assert!(target.read_all(0, 700).is_err());
    let begin = || {
        let (store, log) = (&target.store, &target.log);
        Ingest::begin_replacement(store, log, damaged, false, target.policy).unwrap()
    };
    let bring = |ingest: &mut Ingest| {
        while ingest.next_offset() < ingest.range().to {
            let (batches, next) = read(&source, ingest.next_offset(), ingest.range().to);
            ingest.push(&batches, next).unwrap();
        }
    };
    let files = shared.files().len();
    let mut given_up = begin();
    bring(&mut given_up);
    given_up.abandon();
    assert_eq!(shared.files().len(), files);
    let (mut first, mut second) = (begin(), begin());
    bring(&mut first);
    bring(&mut second);
    assert_eq!(first.replace(), Ok(true));
    assert_eq!(second.replace(), Ok(false), "one waits");
    target.flush().unwrap();
    assert_equal(&source, &target, &source.log.manifest());
    assert!(!target.log.manifest().names(&damaged));
    assert_eq!(shared.files().len(), files);
}

#[test]
fn a_shorter_log_than_ones_own_is_no_target() {
    let source = filled(3);
    let target = filled(5);
    let manifest = source.log.manifest();
    assert!(target.log.missing(&manifest, manifest.start).is_err());
}

/// Appends, flushes, trims, and take-overs that are cut off at any point.
#[test]
fn whatever_came_before_a_take_over_makes_both_logs_equal() {
    for seed in 0..40_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (source, _) = bench();
        let (target, shared) = bench();
        for _ in 0..30 {
            for at in 0..random(8) {
                source.append(sized(i64::try_from(at).unwrap(), 100));
            }
            if random(4) == 0 {
                let end = source.log.end_offset().0;
                source.log.trim(Offset(random(end + 1)));
            }
            source.flush().unwrap();
            let wanted = source.log.manifest();
            match random(3) {
                0 => drop(bring(&source, &target, &wanted, random(4) as usize)),
                1 => {
                    take_over(&source, &target, &wanted);
                    assert_equal(&source, &target, &wanted);
                }
                _ => {}
            }
            if random(3) == 0 {
                target.flush().unwrap();
            }
        }
        let wanted = source.log.manifest();
        take_over(&source, &target, &wanted);
        target.flush().unwrap();
        assert_equal(&source, &target, &wanted);
        let manifest = target.log.manifest();
        let named = manifest
            .segments
            .iter()
            .filter(|segment| segment.size_bytes > 0);
        let files = shared.files();
        let segments = files.iter().filter(|(name, _)| name.ends_with(".seg"));
        assert_eq!(segments.count(), named.count(), "seed {seed}: {files:?}");
    }
}
