//! Records by time, from memory and from segments.

use weir_model::{Offset, batch::Codec};

use crate::{
    partition::{Lookup, PartitionManifest, ReadError, TimestampOffset},
    testing::{Bench, Make, TempDir},
};

fn answer(bench: &Bench, lookup: Lookup) -> Result<Option<(u64, i64)>, ReadError> {
    let found = match lookup {
        Lookup::Found(found) => Some(found),
        Lookup::NotFound => None,
        Lookup::Cold(cold) => bench.store.run_lookup(&cold)?,
    };
    Ok(found.map(|found: TimestampOffset| {
        assert_eq!(found.leader_epoch, 4);
        (found.offset.0, found.timestamp_ms)
    }))
}

fn at(bench: &Bench, time_ms: i64) -> Option<(u64, i64)> {
    answer(bench, bench.log.lookup_timestamp(time_ms)).unwrap()
}

fn latest(bench: &Bench) -> Option<(u64, i64)> {
    answer(bench, bench.log.max_timestamp()).unwrap()
}

/// Per n: two records at 100 n and 100 n + 50; the pair at 7 is swapped with the one at 8.
fn fill(dir: &TempDir, codec: Codec) -> Bench {
    let mut bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    bench.policy.segment_bytes = 300;
    let value = "x".repeat(200);
    for n in [0, 1, 2, 3, 4, 5, 6, 8, 7, 9] {
        let times = [n * 100, n * 100 + 50];
        let records = [
            (0, times[0], None, Some(value.as_str())),
            (1, times[1], None, Some(value.as_str())),
        ];
        bench.append(Make::codec(codec).batch(&records));
    }
    bench
}

fn check(bench: &Bench) {
    assert_eq!(at(bench, -5), Some((0, 0)));
    assert_eq!(at(bench, 1), Some((1, 50)));
    assert_eq!(at(bench, 600), Some((12, 600)));
    assert_eq!(at(bench, 651), Some((14, 800)));
    assert_eq!(at(bench, 801), Some((15, 850)));
    assert_eq!(at(bench, 851), Some((18, 900)));
    assert_eq!(at(bench, 951), None);
    assert_eq!(latest(bench), Some((19, 950)));
}

#[test]
fn the_first_record_at_or_after_a_time_is_found_in_memory_and_on_disk() {
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        let dir = TempDir::new();
        let bench = fill(&dir, codec);
        check(&bench);
        bench.flush().unwrap();
        assert!(bench.log.manifest().segments.len() > 2);
        check(&bench);
    }
}

#[test]
fn an_uncompressed_tail_answers_at_once() {
    let dir = TempDir::new();
    let bench = fill(&dir, Codec::None);
    let lookup = bench.log.lookup_timestamp(600);
    assert!(matches!(lookup, Lookup::Found(_)), "{lookup:?}");
}

#[test]
fn trimmed_records_are_not_found() {
    for flush in [false, true] {
        let dir = TempDir::new();
        let bench = fill(&dir, Codec::Lz4);
        if flush {
            bench.flush().unwrap();
        }
        bench.log.trim(Offset(5));
        assert_eq!(at(&bench, 0), Some((5, 250)));
        bench.log.trim(Offset(16));
        assert_eq!(at(&bench, 800), Some((18, 900)));
        bench.log.trim(Offset(20));
        assert_eq!((at(&bench, 0), latest(&bench)), (None, None));
    }
}

#[test]
fn an_empty_log_has_no_latest_record() {
    let dir = TempDir::new();
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    assert_eq!((at(&bench, 0), latest(&bench)), (None, None));
}

#[test]
fn log_append_time_counts_for_every_record_of_a_batch() {
    let dir = TempDir::new();
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    let make = Make {
        attributes: 1 << 3,
        ..Make::default()
    };
    bench.append(make.batch(&[(0, 5, None, Some("a")), (1, 9, None, Some("b"))]));
    assert_eq!(at(&bench, 7), Some((0, 9)));
    bench.flush().unwrap();
    assert_eq!(at(&bench, 7), Some((0, 9)));
}

#[test]
fn long_segments_are_searched_by_their_index() {
    let dir = TempDir::new();
    let mut bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    bench.policy.segment_bytes = 1 << 20;
    let value = "x".repeat(3000);
    for n in 0..100_i64 {
        bench.append(Make::default().batch(&[(0, n * 10, None, Some(&value))]));
    }
    bench.flush().unwrap();
    assert!(bench.log.manifest().segments[0].index_count > 10);
    for n in 0..100_i64 {
        let expected = Some((n.unsigned_abs(), n * 10));
        assert_eq!(
            (at(&bench, n * 10 - 9), at(&bench, n * 10)),
            (expected, expected)
        );
    }
    assert_eq!(latest(&bench), Some((99, 990)));
}
