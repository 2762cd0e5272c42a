//! Reads from segments.

use std::{fs, sync::Arc, sync::mpsc};

use weir_model::Offset;

use crate::{
    partition::{PartitionManifest, Read, ReadError, StoreConfig},
    testing::{Bench, HandClock, Make, P, TempDir, headers, sized},
};

/// Twenty batches of about 300 bytes in segments of three.
fn flushed(dir: &TempDir) -> (Bench, Vec<u8>) {
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    for n in 0..20 {
        bench.append(sized(1000 + n, 230));
    }
    let expected = bench.read_all(0, 1 << 20).unwrap();
    bench.flush().unwrap();
    assert_eq!(bench.store.tail_bytes(), 0);
    (bench, expected)
}

fn reopened(dir: &TempDir, bench: &Bench) -> Bench {
    Bench::open(dir.disk(), (*bench.log.manifest()).clone(), 0)
}

#[test]
fn reads_go_over_segments_into_the_tail_byte_for_byte() {
    let dir = TempDir::new();
    let (bench, mut expected) = flushed(&dir);
    for n in 0..5 {
        bench.append(sized(2000 + n, 6000));
    }
    expected.extend(bench.read(20, 1 << 20, true).unwrap().chunks.concat());
    assert!(bench.log.manifest().segments.len() > 3);
    for max_bytes in [1, 299, 1000, 1 << 20] {
        assert_eq!(bench.read_all(0, max_bytes).unwrap(), expected);
    }
    let offsets: Vec<_> = headers(&expected).iter().map(|h| h.base_offset).collect();
    assert_eq!(offsets, (0..25).collect::<Vec<_>>());
}

#[test]
fn a_small_answer_does_not_keep_what_was_read_ahead() {
    let dir = TempDir::new();
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    for n in 0..20 {
        bench.append(sized(1000 + n, 10));
    }
    bench.flush().unwrap();
    let small = bench.read(3, 1, true).unwrap();
    assert!(small.size_bytes * 8 < 1000, "{}", small.size_bytes);
    assert!(small.chunks.iter().all(bytes::Bytes::is_unique));
}

#[test]
fn a_restart_reads_the_same_and_goes_on_at_the_end() {
    let dir = TempDir::new();
    let (bench, expected) = flushed(&dir);
    let again = reopened(&dir, &bench);
    assert_eq!(again.log.end_offset(), Offset(20));
    assert_eq!(again.read_all(0, 777).unwrap(), expected);
    again.append(sized(1, 10));
    again.flush().unwrap();
    assert_eq!(headers(&again.read_all(0, 777).unwrap()).len(), 21);
}

#[test]
fn the_first_batch_comes_whole_only_where_one_is_wanted() {
    let dir = TempDir::new();
    let (bench, _) = flushed(&dir);
    assert_eq!(
        headers(&bench.read(4, 1, true).unwrap().chunks.concat()).len(),
        1
    );
    let none = bench.read(4, 1, false).unwrap();
    assert_eq!((none.size_bytes, none.next_offset), (0, Offset(4)));
    bench.append(sized(1, 10));
    let none = bench.read(20, 1, false).unwrap();
    assert_eq!((none.size_bytes, none.next_offset), (0, Offset(20)));
}

#[test]
fn a_read_starts_with_the_batch_that_holds_the_offset() {
    let dir = TempDir::new();
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    for _ in 0..3 {
        let batch = Make::default().batch(&[(0, 1, None, Some("a")), (4, 2, None, Some("b"))]);
        bench.append(batch);
    }
    let hot = bench.read(7, 1, true).unwrap();
    bench.flush().unwrap();
    let cold = bench.read(7, 1, true).unwrap();
    assert_eq!(hot.chunks.concat(), cold.chunks.concat());
    assert_eq!(headers(&cold.chunks.concat())[0].base_offset, 5);
    assert_eq!(cold.next_offset, Offset(10));
}

#[test]
fn offsets_outside_the_log_are_named() {
    let dir = TempDir::new();
    let (bench, _) = flushed(&dir);
    bench.log.trim(Offset(3));
    let range = Err(ReadError::OutOfRange {
        start: Offset(3),
        end: Offset(20),
    });
    assert_eq!(bench.read(2, 1, true), range);
    assert_eq!(bench.read(21, 1, true), range);
    assert!(matches!(bench.log.read(Offset(20), 1, true), Read::AtEnd));
}

#[test]
fn damage_is_named_with_file_and_position_and_never_served() {
    let dir = TempDir::new();
    let (bench, expected) = flushed(&dir);
    let size = headers(&expected)[0].size_bytes;
    let path = dir.partition_file("00000000000000000003-0.seg");
    let whole = fs::read(&path).unwrap();
    // Damage to a head, which the batch's checksum leaves out, is known up to an index entry.
    for (at, from, position) in [
        (0, 3, 0),
        (9, 3, 0),
        (13, 3, 0),
        (17, 4, size),
        (23, 4, size),
        (61, 4, size),
        (size - 1, 4, size),
    ] {
        let mut bytes = whole.clone();
        bytes[size + at] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let again = reopened(&dir, &bench);
        if from == 4 {
            let good = again.read(3, 1 << 20, true).unwrap();
            assert_eq!(good.chunks.concat(), expected[3 * size..4 * size]);
        }
        match again.read(from, 1 << 20, true) {
            Err(ReadError::Corrupt {
                path, position: p, ..
            }) => {
                assert!(path.ends_with("00000000000000000003-0.seg"), "{path}");
                assert_eq!(p, position as u64, "byte {at}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(again.read(6, 1, true).unwrap().next_offset, Offset(7));
    }
}

#[test]
fn no_flipped_bit_of_a_segment_is_ever_served() {
    let dir = TempDir::new();
    let mut bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    bench.policy.segment_bytes = 1 << 20;
    for n in 0..400 {
        bench.append(sized(n, 28));
    }
    let manifest = bench.flush().unwrap();
    assert!(manifest.segments[0].index_count >= 2);
    let path = dir.partition_file("00000000000000000000-0.seg");
    let whole = fs::read(&path).unwrap();
    let size = whole.len() / 400;
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let again = reopened(&dir, &bench);
        let damaged = (at / size) as u64;
        let read = again.read(damaged, 1, true);
        assert!(
            matches!(read, Err(ReadError::Corrupt { .. })),
            "byte {at}: {read:?}"
        );
        let served = again.read(0, 1 << 20, true);
        let served = served.map_or(Vec::new(), |read| read.chunks.concat());
        assert_eq!(served, whole[..served.len()], "byte {at}");
    }
}

#[test]
fn a_missing_or_shorter_file_is_damage() {
    let dir = TempDir::new();
    let (bench, _) = flushed(&dir);
    let path = dir.partition_file("00000000000000000000-0.seg");
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100)
        .unwrap();
    let read = reopened(&dir, &bench).read(0, 1, true);
    assert!(
        matches!(read, Err(ReadError::Corrupt { position: 100, .. })),
        "{read:?}"
    );
    fs::remove_file(&path).unwrap();
    let read = reopened(&dir, &bench).read(0, 1, true);
    assert!(
        matches!(read, Err(ReadError::Corrupt { position: 0, .. })),
        "{read:?}"
    );
}

#[test]
fn a_lost_or_damaged_index_is_made_again() {
    let dir = TempDir::new();
    let mut bench = Bench::open(dir.disk(), PartitionManifest::default(), 0);
    bench.policy.segment_bytes = 1 << 20;
    for n in 0..200 {
        bench.append(sized(1000 + n, 1000));
        if n % 7 == 0 {
            bench.flush().unwrap();
        }
    }
    bench.flush().unwrap();
    let index = dir.partition_file("00000000000000000000-0.idx");
    let good = fs::read(&index).unwrap();
    assert_eq!(
        good.len(),
        32 * bench.log.manifest().segments[0].index_count as usize
    );
    assert!(good.len() > 32 * 5);
    let mut damaged = good.clone();
    damaged[30] ^= 1;
    for bad in [None, Some(&damaged[..]), Some(&good[..40])] {
        match bad {
            Some(bytes) => fs::write(&index, bytes).unwrap(),
            None => fs::remove_file(&index).unwrap(),
        }
        let again = reopened(&dir, &bench);
        for from in [0, 17, 150, 199] {
            let read = again.read(from, 1, true).unwrap();
            assert_eq!(
                headers(&read.chunks.concat())[0].base_offset,
                i64::try_from(from).unwrap()
            );
        }
        assert_eq!(fs::read(&index).unwrap(), good);
    }
}

#[test]
fn open_handles_stay_below_their_limit() {
    let dir = TempDir::new();
    let (bench, _) = flushed(&dir);
    bench.read_all(0, 1).unwrap();
    assert_eq!(bench.store.files().open_count(), 3);
}

#[test]
fn the_pool_answers_as_the_synchronous_call_does() {
    let dir = TempDir::new();
    let (bench, _) = flushed(&dir);
    let config = StoreConfig {
        tail_budget_bytes: 0,
        ..StoreConfig::default()
    };
    let clock = Arc::new(HandClock::default());
    let store = crate::PartitionStore::open(dir.disk(), clock, config);
    let log = store.partition(P, (*bench.log.manifest()).clone());
    let (tx, rx) = mpsc::channel();
    let Read::Cold(cold) = log.read(Offset(5), 900, true) else {
        panic!("the data is cold");
    };
    let expected = store.run_cold(&cold);
    store.read_cold(cold.clone(), Box::new(move |read| tx.send(read).unwrap()));
    assert_eq!(rx.recv().unwrap(), expected);
    store.close();
    let (tx, rx) = mpsc::channel();
    store.read_cold(cold, Box::new(move |read| tx.send(read).unwrap()));
    assert_eq!(rx.recv().unwrap(), Err(ReadError::Closed));
}
