//! What flushing leaves on disk.

use std::{fs, sync::atomic::Ordering};

use weir_model::{Offset, PartitionId};

use crate::{
    partition::{FlushError, FlushJob, PartitionManifest},
    testing::{Bench, MemDisk, P, TempDir, append, headers, sized},
};

const NO_BUDGET: u64 = 0;

#[test]
fn segments_roll_by_length_and_a_large_batch_gets_its_own() {
    let (disk, _) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), NO_BUDGET);
    for size in [400, 300, 5000, 300, 300] {
        bench.append(sized(1, size));
    }
    let manifest = bench.flush().unwrap();
    let bases: Vec<_> = manifest.segments.iter().map(|s| s.base_offset.0).collect();
    assert_eq!(bases, [0, 2, 3]);
    bench.append(sized(1, 10));
    assert_eq!(bench.flush().unwrap().segments.len(), 3);
}

#[test]
fn segments_roll_by_age_when_something_is_written() {
    let (disk, _) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), NO_BUDGET);
    bench.append(sized(1, 10));
    bench.flush().unwrap();
    bench.clock.0.store(999_999, Ordering::Relaxed);
    bench.append(sized(1, 10));
    assert_eq!(bench.flush().unwrap().segments.len(), 1);
    bench.clock.0.store(1_000_000, Ordering::Relaxed);
    assert!(!bench.log.is_dirty());
    assert_eq!(bench.flush().unwrap().segments.len(), 1);
    bench.append(sized(1, 10));
    assert_eq!(bench.flush().unwrap().segments.len(), 2);
}

#[test]
fn bytes_and_files_that_the_manifest_does_not_count_are_ignored_and_removed() {
    let dir = TempDir::new();
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), NO_BUDGET);
    bench.append(sized(1, 100));
    let manifest = bench.flush().unwrap();
    // A later flush whose checkpoint was lost, a file that came back, and one from elsewhere.
    for _ in 0..12 {
        bench.append(sized(1, 300));
    }
    bench.store.flush(&[bench.job()]).unwrap();
    for name in ["00000000000000000000-7.seg", "junk"] {
        fs::write(dir.partition_file(name), "old").unwrap();
    }
    let again = Bench::open(dir.disk(), manifest, NO_BUDGET);
    assert_eq!(again.log.end_offset(), Offset(1));
    assert_eq!(headers(&again.read_all(0, 1 << 20).unwrap()).len(), 1);
    again.append(sized(1, 20));
    let manifest = again.flush().unwrap();
    assert_eq!(headers(&again.read_all(0, 1 << 20).unwrap()).len(), 2);
    let files = dir.disk().list(&format!("partitions/{P}")).unwrap();
    let sizes: Vec<_> = files.iter().map(|file| file.size_bytes).collect();
    assert_eq!(sizes, [manifest.segments[0].size_bytes]);
}

#[test]
fn a_full_disk_changes_nothing_and_the_same_flush_works_when_space_returns() {
    let (disk, shared) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), NO_BUDGET);
    bench.append(sized(1, 500));
    bench.flush().unwrap();
    for _ in 0..10 {
        bench.append(sized(1, 500));
    }
    let before = (
        shared.files(),
        bench.log.manifest(),
        bench.store.unflushed_bytes(),
    );
    let expected = bench.read_all(0, 1 << 20).unwrap();
    for left in [0, 1, 700, 3000] {
        shared.left_bytes.store(left, Ordering::Relaxed);
        let full = bench.flush();
        assert!(matches!(full, Err(FlushError::Full { .. })), "{full:?}");
        let now = (
            shared.files(),
            bench.log.manifest(),
            bench.store.unflushed_bytes(),
        );
        assert_eq!(now, before);
        assert_eq!(bench.read_all(0, 1 << 20).unwrap(), expected);
    }
    shared.left_bytes.store(-1, Ordering::Relaxed);
    bench.flush().unwrap();
    assert_eq!(bench.read_all(0, 1 << 20).unwrap(), expected);
    assert_eq!(
        (bench.store.unflushed_bytes(), bench.store.tail_bytes()),
        (0, 0)
    );
}

#[test]
fn a_failed_sync_fails_the_flush() {
    let (disk, shared) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), NO_BUDGET);
    bench.append(sized(1, 10));
    shared.sync_fails.store(1, Ordering::Relaxed);
    assert!(matches!(bench.flush(), Err(FlushError::Failed { .. })));
    assert_eq!(bench.log.manifest().end(), Offset(0));
}

#[test]
fn an_active_segment_that_lost_bytes_is_damage() {
    let dir = TempDir::new();
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), NO_BUDGET);
    bench.append(sized(1, 100));
    bench.flush().unwrap();
    let path = dir.partition_file("00000000000000000000-0.seg");
    fs::write(&path, "short").unwrap();
    bench.append(sized(1, 100));
    assert!(matches!(
        bench.flush(),
        Err(FlushError::Corrupt { position: 5, .. })
    ));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        bench.flush(),
        Err(FlushError::Corrupt { position: 0, .. })
    ));
}

#[test]
fn a_flush_covers_its_end_and_no_more() {
    let (disk, _) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), u64::MAX);
    for _ in 0..5 {
        bench.append(sized(1, 10));
    }
    let job = FlushJob {
        up_to: Offset(3),
        ..bench.job()
    };
    bench.log.trim(Offset(4));
    let flushed = bench.store.flush(&[job]).unwrap();
    let expected = PartitionManifest {
        start: Offset(3),
        segments: Vec::new(),
    };
    assert_eq!(flushed, [(P, expected)]);
    bench.store.installed(flushed);
    let manifest = bench.flush().unwrap();
    assert_eq!(
        (manifest.start, manifest.segments[0].base_offset),
        (Offset(4), Offset(3))
    );
}

#[test]
fn wholly_trimmed_segments_leave_the_manifest_and_then_the_disk() {
    let (disk, shared) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), NO_BUDGET);
    for _ in 0..10 {
        bench.append(sized(1, 400));
    }
    bench.flush().unwrap();
    bench.log.trim(Offset(5));
    assert!(bench.log.is_dirty());
    assert_eq!(shared.files().len(), 5);
    let manifest = bench.flush().unwrap();
    assert_eq!(
        (manifest.start, manifest.segments[0].base_offset),
        (Offset(5), Offset(4))
    );
    assert_eq!(shared.files().len(), 3);
    bench.log.trim(Offset(10));
    assert_eq!(bench.flush().unwrap().segments, []);
    assert_eq!(shared.files(), []);
    bench.append(sized(1, 5));
    assert_eq!(bench.flush().unwrap().segments[0].base_offset, Offset(10));
}

#[test]
fn many_partitions_are_synced_at_once_and_few_one_by_one() {
    let (disk, shared) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), NO_BUDGET);
    let jobs: Vec<_> = (0..40)
        .map(|n| {
            let partition = bench
                .store
                .partition(PartitionId(n), PartitionManifest::default());
            append(&bench.store, &partition, sized(1, 10));
            FlushJob {
                up_to: partition.end_offset(),
                partition,
                policy: bench.policy,
            }
        })
        .collect();
    bench.store.flush(&jobs[..2]).unwrap();
    let count = || {
        let everything = shared.sync_everything_count.load(Ordering::Relaxed);
        (shared.sync_count.load(Ordering::Relaxed), everything)
    };
    assert_eq!(count(), (2, 0));
    bench.store.flush(&jobs).unwrap();
    assert_eq!(count(), (2, 1));
}

#[test]
fn dropped_and_unknown_partitions_leave_the_disk() {
    let dir = TempDir::new();
    let bench = Bench::open(dir.disk(), PartitionManifest::default(), NO_BUDGET);
    bench.append(sized(1, 10));
    bench.flush().unwrap();
    bench.append(sized(1, 10));
    fs::create_dir_all(dir.0.join("partitions/00000000000000ff")).unwrap();
    fs::write(dir.0.join("partitions/00000000000000ff/x"), "x").unwrap();
    bench.store.remove_unknown(&[P].into()).unwrap();
    let dirs = || dir.disk().list_dirs("partitions").unwrap();
    assert_eq!(dirs(), [P.to_string()]);
    bench.store.drop_partition(P).unwrap();
    assert!(dirs().is_empty());
    assert_eq!(bench.store.unflushed_bytes(), 0);
}

#[test]
fn ten_thousand_idle_partitions_open_without_touching_a_file() {
    let (disk, shared) = MemDisk::shared();
    let bench = Bench::open(disk, PartitionManifest::default(), NO_BUDGET);
    bench.append(sized(1, 10));
    let manifest = bench.flush().unwrap();
    let opened = shared.open_count.load(Ordering::Relaxed);
    let logs: Vec<_> = (0..10_000)
        .map(|n| bench.store.partition(PartitionId(n), manifest.clone()))
        .collect();
    assert_eq!(logs[9_999].end_offset(), Offset(1));
    assert_eq!(shared.open_count.load(Ordering::Relaxed), opened);
    assert_eq!(bench.store.files().open_count(), 0);
    // What an idle partition with one segment takes, its place in the store's map left out.
    let own = size_of::<crate::PartitionLog>() + size_of::<PartitionManifest>();
    let each = own + size_of::<crate::partition::SegmentMeta>();
    assert!(each <= 400, "{each} bytes");
}

#[test]
fn flushes_longer_than_the_writers_buffer_go_on_at_any_position() {
    let dir = TempDir::new();
    let mut bench = Bench::open(dir.disk(), PartitionManifest::default(), NO_BUDGET);
    bench.policy.segment_bytes = 64 << 20;
    let mut whole = Vec::new();
    for (count, size) in [(1, 37), (3, 700_001), (1, 5), (2, 2_500_000), (9, 350_003)] {
        for _ in 0..count {
            bench.append(sized(1, size));
        }
        let manifest = bench.flush().unwrap();
        assert_eq!(manifest.segments.len(), 1);
        whole = bench.read_all(0, 64 << 20).unwrap();
        assert_eq!(whole.len() as u64, manifest.segments[0].size_bytes);
    }
    // Verifies every checksum.
    assert_eq!(headers(&whole).len(), 16);
    let stored = fs::read(dir.partition_file("00000000000000000000-0.seg")).unwrap();
    assert!(
        stored == whole,
        "the file holds what is read, and nothing else"
    );
}
