//! Rules of compaction.

use std::sync::atomic::Ordering;

use weir_model::{Offset, batch::Codec};

use super::{Compaction, CompactionPolicy, run};
use crate::{
    clock::Millis,
    disk::Disk,
    partition::{FlushError, PartitionManifest},
    testing::{Bench, Make, MemDisk, Rec, headers, records, sized},
};

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

fn policy(now_ms: i64) -> CompactionPolicy {
    CompactionPolicy {
        delete_retention_ms: 1000,
        min_dirty_percent: 0,
        min_lag_ms: 0,
        max_lag_ms: u64::MAX,
        segment_bytes: 1 << 20,
        key_map_bytes: 1 << 20,
        now: Millis(now_ms),
    }
}

/// Every batch in a segment of its own, so that all but the last are sealed.
fn bench_on(disk: std::sync::Arc<dyn Disk>, batches: &[(Make, &[Rec<'_>])]) -> Bench {
    let mut bench = Bench::open(disk, PartitionManifest::default(), 0);
    bench.policy.segment_bytes = 1;
    for (make, records) in batches {
        bench.append(make.batch(records));
    }
    bench.append(sized(9000, 1));
    bench.flush().unwrap();
    bench
}

fn bench(batches: &[(Make, &[Rec<'_>])]) -> Bench {
    bench_on(MemDisk::shared().0, batches)
}

/// Compacts and lets the next flush take it over.
fn compact(bench: &Bench, policy: CompactionPolicy) -> Compaction {
    let done = run(&bench.store, &bench.log, policy).unwrap();
    if done != Compaction::Nothing {
        assert!(bench.log.is_dirty());
        bench.flush().unwrap();
    }
    done
}

/// Offset and value of all records but the one in the active segment.
fn values(bench: &Bench) -> Vec<(i64, Option<String>)> {
    let all = bench.read_all(0, 1 << 20).unwrap();
    headers(&all);
    let mut values: Vec<_> = records(&all).into_iter().map(|r| (r.0, r.3)).collect();
    values.pop();
    values
}

fn some(offset: i64, value: &str) -> (i64, Option<String>) {
    (offset, Some(value.to_owned()))
}

#[test]
fn the_latest_record_of_each_key_stays_with_offset_time_and_codec_in_every_codec() {
    for codec in CODECS {
        let make = Make::codec(codec);
        let bench = bench(&[
            (
                make,
                &[
                    (0, 10, Some("a"), Some("a1")),
                    (1, 12, Some("b"), Some("b1")),
                ],
            ),
            (
                make,
                &[
                    (0, 20, Some("a"), Some("a2")),
                    (1, 21, None, Some("keyless")),
                ],
            ),
            (
                make,
                &[
                    (0, 30, Some("c"), Some("c1")),
                    (1, 31, Some("a"), Some("a3")),
                ],
            ),
        ]);
        compact(&bench, policy(100));
        let all = bench.read_all(0, 1 << 20).unwrap();
        let got: Vec<_> = records(&all).iter().map(|r| (r.0, r.1)).collect();
        assert_eq!(got, [(1, 12), (4, 30), (5, 31), (6, 9000)], "{codec:?}");
        assert_eq!(
            values(&bench),
            [some(1, "b1"), some(4, "c1"), some(5, "a3")]
        );
        let headers = headers(&all);
        assert!(headers[..2].iter().all(|header| header.codec == codec));
        assert_eq!(headers[0].max_timestamp_ms, 12);
    }
}

#[test]
fn readers_get_what_compaction_left_also_while_memory_has_the_rest() {
    let make = Make::default();
    let disk = MemDisk::shared().0;
    let mut bench = Bench::open(disk, PartitionManifest::default(), u64::MAX);
    bench.policy.segment_bytes = 1;
    for value in ["1", "2", "3"] {
        bench.append(make.batch(&[(0, 1, Some("a"), Some(value))]));
    }
    bench.append(sized(9000, 1));
    bench.flush().unwrap();
    assert_eq!(values(&bench).len(), 3);
    compact(&bench, policy(100));
    assert_eq!(values(&bench), [some(2, "3")]);
    assert_eq!(bench.log.start_offset(), Offset(0));
    assert_eq!(bench.log.end_offset(), Offset(4));
}

#[test]
fn a_read_in_a_gap_goes_on_behind_it() {
    let make = Make::default();
    let bench = bench(&[
        (make, &[(0, 1, Some("a"), Some("1"))]),
        (make, &[(0, 1, Some("a"), Some("2"))]),
        (make, &[(0, 1, Some("a"), Some("3"))]),
        (make, &[(0, 1, None, Some("x"))]),
    ]);
    compact(&bench, policy(100));
    for (from, next) in [(0, 3), (1, 3), (2, 3), (3, 5), (4, 5)] {
        let read = bench.read(from, 1, true).unwrap();
        assert_eq!(read.next_offset, Offset(next), "from {from}");
    }
    let lookup = bench.log.lookup_timestamp(0);
    let crate::partition::Lookup::Cold(cold) = lookup else {
        panic!("the data is cold");
    };
    let found = bench.store.run_lookup(&cold).unwrap().unwrap();
    assert_eq!(found.offset, Offset(2));
}

#[test]
fn a_log_of_superseded_records_alone_becomes_a_segment_without_a_file() {
    let (disk, shared) = MemDisk::shared();
    let bench = bench_on(
        disk,
        &[
            (Make::default(), &[(0, 1, None, Some("1"))]),
            (Make::default(), &[(0, 1, None, Some("2"))]),
        ],
    );
    compact(&bench, policy(100));
    assert_eq!(shared.files().len(), 1);
    assert_eq!(bench.log.manifest().segments.len(), 2);
    assert_eq!(bench.read(0, 1, true).unwrap().next_offset, Offset(3));
}

#[test]
fn a_tombstone_stays_for_its_time_and_then_goes() {
    for codec in CODECS {
        let make = Make::codec(codec);
        let mut bench = bench(&[
            (
                make,
                &[
                    (0, 10, Some("a"), Some("a1")),
                    (1, 12, Some("b"), Some("b1")),
                ],
            ),
            (
                make,
                &[(0, 20, Some("a"), None), (1, 23, Some("z"), Some("z1"))],
            ),
        ]);
        compact(&bench, policy(100));
        let expected = [some(1, "b1"), (2, None), some(3, "z1")];
        assert_eq!(values(&bench), expected);
        let times: Vec<_> = records(&bench.read_all(0, 1 << 20).unwrap())
            .iter()
            .map(|record| record.1)
            .collect();
        assert_eq!(times[..3], [12, 20, 23], "a horizon moves no record's time");
        for (now_ms, count) in [(1099, 3), (1100, 2)] {
            bench.append(Make::default().batch(&[(0, 1, None, Some("x"))]));
            bench.policy.segment_bytes = 1;
            bench.flush().unwrap();
            compact(&bench, policy(now_ms));
            let all = records(&bench.read_all(0, 1 << 20).unwrap());
            let below: Vec<_> = all.iter().filter(|record| record.0 < 4).collect();
            assert_eq!(below.len(), count, "at {now_ms}");
        }
    }
}

#[test]
fn a_horizon_that_a_client_made_up_counts_for_nothing() {
    let make = Make {
        attributes: 1 << 6,
        ..Make::default()
    };
    let bench = bench(&[(make, &[(0, 10, Some("a"), None)])]);
    compact(&bench, policy(100));
    assert_eq!(values(&bench), [(0, None)]);
}

#[test]
fn the_last_batch_of_each_producer_keeps_its_header() {
    let of = |producer, base_sequence| Make {
        producer,
        base_sequence,
        codec: Codec::Lz4,
        ..Make::default()
    };
    let two = |value| {
        [
            (0, 1, Some("a"), Some(value)),
            (1, 1, Some("a"), Some(value)),
        ]
    };
    let bench = bench(&[
        (of(5, 0), &two("1")),
        (of(5, 2), &two("2")),
        (of(6, 0), &two("3")),
        (of(-1, -1), &two("4")),
    ]);
    for _ in 0..2 {
        compact(&bench, policy(100));
        let headers = headers(&bench.read_all(0, 1 << 20).unwrap());
        let got: Vec<_> = headers
            .iter()
            .map(|h| {
                (
                    h.base_offset,
                    h.base_sequence,
                    h.last_offset_delta,
                    h.record_count,
                )
            })
            .collect();
        assert_eq!(got[..3], [(2, 2, 1, 0), (4, 0, 1, 0), (6, -1, 1, 1)]);
        bench.append(sized(1, 1));
        bench.flush().unwrap();
    }
}

#[test]
fn control_transactional_and_undecodable_batches_stay_as_they_are() {
    let with = |attributes| Make {
        attributes,
        producer: 7,
        ..Make::default()
    };
    let mut bench = bench(&[(with(1 << 4), &[(0, 1, Some("a"), Some("t"))])]);
    bench.append(with(1 << 4 | 1 << 5).batch(&[(0, 1, Some("a"), Some("c"))]));
    // Says gzip and is not.
    bench.append(with(1).batch(&[(0, 1, Some("a"), Some("g"))]));
    bench.append(Make::default().batch(&[(0, 1, Some("a"), Some("last"))]));
    bench.append(sized(1, 1));
    bench.policy.segment_bytes = 1;
    bench.flush().unwrap();
    let before = bench.read_all(0, 1 << 20).unwrap();
    compact(&bench, policy(100));
    let size = |n: usize| headers(&before)[n].size_bytes;
    let after = bench.read_all(0, 1 << 20).unwrap();
    let offsets: Vec<_> = headers(&after).iter().map(|h| h.base_offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
    assert_eq!(after[..size(0)], before[..size(0)]);
}

#[test]
fn more_keys_than_the_map_holds_take_more_passes_and_give_the_same() {
    let keys: Vec<String> = (0..30).map(|n| format!("key-{n:02}")).collect();
    let mut expected = None;
    for (map_bytes, many) in [(1 << 20, false), (200, true), (1, true)] {
        let (disk, shared) = MemDisk::shared();
        let mut bench = Bench::open(disk, PartitionManifest::default(), 0);
        bench.policy.segment_bytes = 700;
        for round in 0..4 {
            for key in &keys[..30 - round * 5] {
                let value = format!("{round}");
                bench.append(Make::default().batch(&[(0, 1, Some(key), Some(&value))]));
            }
        }
        bench.append(sized(1, 900));
        bench.flush().unwrap();
        let policy = CompactionPolicy {
            key_map_bytes: map_bytes,
            segment_bytes: 700,
            ..policy(100)
        };
        let Compaction::Staged { pass_count, .. } = compact(&bench, policy) else {
            panic!("there is something to do");
        };
        assert_eq!(pass_count > 1, many, "{pass_count}");
        let values = values(&bench);
        assert_eq!(values.len(), 30);
        assert_eq!(expected.get_or_insert_with(|| values.clone()), &values);
        let named = bench
            .log
            .manifest()
            .segments
            .iter()
            .filter(|s| s.size_bytes > 0)
            .count();
        assert_eq!(shared.files().len(), named, "nothing else is left");
    }
}

#[test]
fn a_clean_log_and_one_that_is_not_dirty_enough_are_left_alone() {
    let make = Make::default();
    let bench = bench(&[(make, &[(0, 1, Some("a"), Some("1"))])]);
    assert_ne!(compact(&bench, policy(1)), Compaction::Nothing);
    assert_eq!(compact(&bench, policy(2)), Compaction::Nothing);
    bench.append(sized(1, 1));
    bench.flush().unwrap();
    let strict = CompactionPolicy {
        min_dirty_percent: 90,
        ..policy(3)
    };
    assert_eq!(compact(&bench, strict), Compaction::Nothing);
    assert_ne!(compact(&bench, policy(3)), Compaction::Nothing);
}

#[test]
fn young_records_wait_and_old_ones_are_compacted_however_few() {
    let make = Make::default();
    let bench = bench(&[(make, &[(0, 1, Some("a"), Some("1"))])]);
    let lag = |now_ms, min_lag_ms| CompactionPolicy {
        min_lag_ms,
        ..policy(now_ms)
    };
    assert_eq!(compact(&bench, lag(5, 100)), Compaction::Nothing);
    assert_ne!(compact(&bench, lag(500, 100)), Compaction::Nothing);
    bench.append(sized(1, 1));
    bench.flush().unwrap();
    let strict = |max_lag_ms| CompactionPolicy {
        min_dirty_percent: 90,
        max_lag_ms,
        ..policy(20_000)
    };
    assert_eq!(compact(&bench, strict(100_000)), Compaction::Nothing);
    assert_ne!(compact(&bench, strict(10)), Compaction::Nothing);
}

#[test]
fn an_unflushed_replacement_counts_for_nothing_after_a_restart() {
    let (disk, shared) = MemDisk::shared();
    let make = Make::default();
    let records: &[Rec<'_>] = &[(0, 1, Some("a"), Some("1"))];
    let bench = bench_on(
        std::sync::Arc::clone(&disk),
        &[(make, records), (make, records)],
    );
    let before = bench.read_all(0, 1 << 20).unwrap();
    run(&bench.store, &bench.log, policy(1)).unwrap();
    assert_eq!(
        run(&bench.store, &bench.log, policy(1)),
        Ok(Compaction::Nothing)
    );
    assert_eq!(shared.files().len(), 4);
    let again = Bench::open(disk, (*bench.log.manifest()).clone(), 0);
    assert_eq!(again.read_all(0, 1 << 20).unwrap(), before);
    again.append(sized(1, 1));
    again.flush().unwrap();
    assert_eq!(shared.files().len(), 3);
}

#[test]
fn a_trim_between_compaction_and_flush_is_respected() {
    let (disk, shared) = MemDisk::shared();
    let make = Make::default();
    let records: &[Rec<'_>] = &[(0, 1, Some("a"), Some("1"))];
    let bench = bench_on(disk, &[(make, records), (make, records)]);
    run(&bench.store, &bench.log, policy(1)).unwrap();
    bench.log.trim(Offset(2));
    let manifest = bench.flush().unwrap();
    assert_eq!((manifest.start, manifest.segments.len()), (Offset(2), 1));
    assert_eq!(shared.files().len(), 1);
}

#[test]
fn a_full_disk_or_damage_leaves_the_log_as_it_was() {
    let (disk, shared) = MemDisk::shared();
    let make = Make::default();
    let records: &[Rec<'_>] = &[(0, 1, Some("a"), Some("1"))];
    let bench = bench_on(
        std::sync::Arc::clone(&disk),
        &[(make, records), (make, records)],
    );
    let before = shared.files();
    shared.left_bytes.store(20, Ordering::Relaxed);
    let full = run(&bench.store, &bench.log, policy(1));
    assert!(matches!(full, Err(FlushError::Full { .. })), "{full:?}");
    assert_eq!(shared.files(), before);
    assert!(!bench.log.is_dirty());
    shared.left_bytes.store(-1, Ordering::Relaxed);
    let path = &before[1].0;
    let file = disk.open(path, crate::FileKind::Buffered).unwrap();
    file.write_at(&[99], 65).unwrap();
    match run(&bench.store, &bench.log, policy(1)) {
        Err(FlushError::Corrupt { path: named, .. }) => assert_eq!(named, *path),
        other => panic!("{other:?}"),
    }
    assert_eq!(shared.files(), before);
}
