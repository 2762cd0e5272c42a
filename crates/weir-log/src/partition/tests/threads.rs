//! Readers, worker, flusher and compactor at the same time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use weir_model::Offset;

use crate::{
    clock::Millis,
    compaction::{CompactionPolicy, run},
    partition::{PartitionManifest, PartitionStore, Read, StoreConfig},
    testing::{Bench, HandClock, MemDisk, P, TempDir, append, headers, sized},
};

const BATCH_COUNT: u64 = 3000;

/// Sets the flag even when the thread that owns it panics.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_see_every_batch_once_while_others_append_and_flush() {
    let dir = TempDir::new();
    let mut bench = Bench::open(dir.disk(), PartitionManifest::default(), 20_000);
    bench.policy.segment_bytes = 50_000;
    let bench = Arc::new(bench);
    let is_done = Arc::new(AtomicBool::new(false));
    let stop = SetOnDrop(Arc::clone(&is_done));
    let flusher = {
        let (bench, is_done) = (Arc::clone(&bench), Arc::clone(&is_done));
        thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                bench.flush().unwrap();
            }
        })
    };
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (bench, is_done) = (Arc::clone(&bench), Arc::clone(&is_done));
            thread::spawn(move || {
                let mut at = 0;
                while at < BATCH_COUNT && !is_done.load(Ordering::Relaxed) {
                    let read = bench.read(at, 3000, true).unwrap();
                    for header in headers(&read.chunks.concat()) {
                        assert_eq!(header.base_offset.unsigned_abs(), at);
                        at += 1;
                    }
                }
                at
            })
        })
        .collect();
    for n in 0..BATCH_COUNT {
        bench.append(sized(1, usize::try_from(n % 300).unwrap()));
    }
    for reader in readers {
        assert_eq!(reader.join().unwrap(), BATCH_COUNT);
    }
    drop(stop);
    flusher.join().unwrap();
}

#[test]
fn reads_go_on_while_segments_are_rewritten_and_dropped() {
    let dir = TempDir::new();
    let bench = Arc::new(Bench::open(dir.disk(), PartitionManifest::default(), 0));
    let is_done = Arc::new(AtomicBool::new(false));
    let stop = SetOnDrop(Arc::clone(&is_done));
    let reader = {
        let (bench, is_done) = (Arc::clone(&bench), Arc::clone(&is_done));
        thread::spawn(move || {
            let mut count = 0;
            while !is_done.load(Ordering::Relaxed) {
                let start = bench.log.start_offset().0;
                match bench.read(start, 3000, true) {
                    Ok(read) => count += headers(&read.chunks.concat()).len(),
                    Err(crate::ReadError::OutOfRange { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            count
        })
    };
    for n in 0..60_u64 {
        for _ in 0..5 {
            bench.append(sized(1, 400));
        }
        bench.flush().unwrap();
        let policy = CompactionPolicy {
            delete_retention_ms: 0,
            min_dirty_percent: 0,
            min_lag_ms: 0,
            max_lag_ms: u64::MAX,
            segment_bytes: 2000,
            key_map_bytes: 1 << 20,
            now: Millis(1),
        };
        run(&bench.store, &bench.log, policy).unwrap();
        if n % 3 == 0 {
            bench.log.trim(Offset(n * 4));
        }
    }
    drop(stop);
    reader.join().unwrap();
}

#[test]
fn a_cold_read_that_hangs_holds_up_neither_appends_nor_tail_reads_nor_flushes() {
    let (disk, shared) = MemDisk::shared();
    let config = StoreConfig {
        tail_budget_bytes: 1_000,
        cold_thread_count: 1,
        ..StoreConfig::default()
    };
    let store = PartitionStore::open(disk, Arc::new(HandClock::default()), config);
    let log = store.partition(P, PartitionManifest::default());
    let job = |up_to| crate::FlushJob {
        partition: Arc::clone(&log),
        up_to,
        policy: crate::SegmentPolicy::default(),
    };
    append(&store, &log, sized(1, 2000));
    store.installed(store.flush(&[job(Offset(1))]).unwrap());
    append(&store, &log, sized(1, 2000));
    let Read::Cold(cold) = log.read(Offset(0), 1, true) else {
        panic!("the first batch was evicted");
    };
    let (tx, rx) = mpsc::channel();
    let hanging = shared.reads_hang.lock().unwrap();
    store.read_cold(cold, Box::new(move |read| tx.send(read).unwrap()));
    append(&store, &log, sized(1, 2000));
    assert!(matches!(log.read(Offset(1), 1, true), Read::Batches(_)));
    store.installed(store.flush(&[job(Offset(3))]).unwrap());
    assert!(rx.try_recv().is_err(), "the read still hangs");
    drop(hanging);
    assert_eq!(rx.recv().unwrap().unwrap().next_offset, Offset(1));
    store.close();
}
