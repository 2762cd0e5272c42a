//! Reads from memory, its budget, watchers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use weir_model::{Offset, PartitionId};

use crate::{
    partition::{MAX_WATCHERS, PartitionManifest, Read, Watcher, WatchersFull},
    testing::{Bench, MemDisk, append, headers, sized},
};

fn bench(budget: u64) -> Bench {
    let (disk, _) = MemDisk::shared();
    Bench::open(disk, PartitionManifest::default(), budget)
}

fn is_hot(bench: &Bench, from: u64) -> bool {
    matches!(bench.log.read(Offset(from), 1, true), Read::Batches(_))
}

#[test]
fn large_batches_are_served_without_a_copy_and_small_ones_in_one_piece() {
    let bench = bench(u64::MAX);
    let large = sized(1, 10_000);
    for batch in [sized(1, 5), sized(1, 5), large.clone(), sized(1, 5)] {
        bench.append(batch);
    }
    let Read::Batches(read) = bench.log.read(Offset(0), 1 << 20, true) else {
        panic!("the data is in memory");
    };
    assert_eq!(read.chunks.len(), 3);
    assert_eq!(read.chunks[1].as_ptr(), large[16..].as_ptr());
    let offsets: Vec<_> = headers(&read.chunks.concat())
        .iter()
        .map(|header| header.base_offset)
        .collect();
    assert_eq!((offsets, read.next_offset), (vec![0, 1, 2, 3], Offset(4)));
}

#[test]
fn a_read_stops_at_its_limit() {
    let bench = bench(u64::MAX);
    let size = sized(1, 10).len();
    for _ in 0..5 {
        bench.append(sized(1, 10));
    }
    let read = |max| bench.read(1, max, true).unwrap().next_offset.0;
    assert_eq!((read(size * 2), read(size * 2 - 1), read(0)), (3, 2, 2));
}

#[test]
fn many_small_batches_are_read_at_once() {
    let bench = bench(u64::MAX);
    for _ in 0..3000 {
        bench.append(sized(1, 1));
    }
    let read = bench.read(5, 1 << 20, true).unwrap();
    assert_eq!((read.next_offset, read.chunks.len()), (Offset(3000), 1));
    assert_eq!(headers(&read.chunks.concat()).len(), 2995);
}

#[test]
fn only_flushed_batches_are_evicted_and_the_oldest_of_all_partitions_first() {
    let bench = bench(5_000_000);
    let other = bench
        .store
        .partition(PartitionId(9), PartitionManifest::default());
    for _ in 0..40 {
        bench.append(sized(1, 100_000));
        append(&bench.store, &other, sized(1, 100_000));
    }
    assert!(bench.store.tail_bytes() > 8_000_000);
    assert!(is_hot(&bench, 0), "unflushed batches stay");
    let mut jobs = vec![bench.job(), bench.job()];
    jobs[1].partition = Arc::clone(&other);
    let manifests = bench.store.flush(&jobs).unwrap();
    bench.store.installed(manifests);
    assert!(bench.store.tail_bytes() <= 5_000_000);
    assert!(!is_hot(&bench, 0) && is_hot(&bench, 39));
    assert!(matches!(other.read(Offset(0), 1, true), Read::Cold(_)));
    assert!(matches!(other.read(Offset(39), 1, true), Read::Batches(_)));
    for _ in 0..40 {
        append(&bench.store, &other, sized(1, 100_000));
    }
    assert!(!is_hot(&bench, 39), "appends evict what is flushed");
}

#[test]
fn a_buffer_counts_until_its_last_batch_leaves() {
    let bench = bench(u64::MAX);
    let pin = bench.store.pin(1_000_000, 2);
    let counted = bench.store.tail_bytes();
    assert!(counted > 1_000_000);
    for n in 0..2 {
        bench.log.append(crate::TailBatch {
            base_offset: Offset(n),
            last_offset: Offset(n),
            max_timestamp_ms: 1,
            leader_epoch: 4,
            bytes: sized(1, 1),
            pin: Arc::clone(&pin),
        });
    }
    drop(pin);
    bench.flush().unwrap();
    bench.log.trim(Offset(1));
    assert_eq!(bench.store.tail_bytes(), counted);
    bench.log.trim(Offset(2));
    assert_eq!(bench.store.tail_bytes(), 0);
}

#[test]
fn the_start_only_rises_and_stays_within_the_log() {
    let bench = bench(u64::MAX);
    for _ in 0..3 {
        bench.append(sized(1, 1));
    }
    for (to, start) in [(2, 2), (1, 2), (9, 3)] {
        bench.log.trim(Offset(to));
        assert_eq!(bench.log.start_offset(), Offset(start));
    }
}

#[derive(Default)]
struct Counter {
    calls: AtomicUsize,
    keep: bool,
}

impl Watcher for Counter {
    fn appended(&self, size_bytes: usize) -> bool {
        assert!(size_bytes > 0);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.keep
    }

    fn is_over(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0 && !self.keep
    }
}

#[test]
fn watchers_that_are_over_make_room_on_a_partition_that_stays_idle() {
    let bench = bench(u64::MAX);
    for _ in 0..3 * MAX_WATCHERS {
        let over = Arc::new(Counter {
            calls: AtomicUsize::new(1),
            keep: false,
        });
        bench.log.watch(over).unwrap();
    }
}

#[test]
fn watchers_are_called_until_they_decline() {
    let bench = bench(u64::MAX);
    let once = Arc::new(Counter::default());
    let always = Arc::new(Counter {
        keep: true,
        ..Counter::default()
    });
    bench.log.watch(Arc::<Counter>::clone(&once)).unwrap();
    bench.log.watch(Arc::<Counter>::clone(&always)).unwrap();
    for _ in 0..3 {
        bench.append(sized(1, 1));
    }
    let calls = |counter: &Counter| counter.calls.load(Ordering::Relaxed);
    assert_eq!((calls(&once), calls(&always)), (1, 3));
}

#[test]
fn one_watcher_past_the_limit_is_refused() {
    let bench = bench(u64::MAX);
    let watcher = Arc::new(Counter::default());
    for _ in 0..MAX_WATCHERS {
        bench.log.watch(Arc::<Counter>::clone(&watcher)).unwrap();
    }
    assert_eq!(bench.log.watch(watcher), Err(WatchersFull));
}
