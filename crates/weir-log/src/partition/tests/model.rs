//! Random histories against a plain list of records.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use weir_model::{Offset, batch::Codec};

use crate::{
    clock::Millis,
    compaction::{CompactionPolicy, run},
    disk::Disk,
    partition::{FlushError, PartitionManifest},
    testing::{Bench, Got, Make, MemDisk, MemShared, records},
};

const STEP_COUNT: u64 = 150;
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

struct World {
    dice: Dice,
    disk: Arc<dyn Disk>,
    shared: Arc<MemShared>,
    bench: Bench,
    /// As a durable checkpoint has it, and every batch since: what a write-ahead log brings back.
    checkpoint: PartitionManifest,
    since: Vec<Bytes>,
    all: Vec<Got>,
    start: u64,
    compacts: bool,
}

impl World {
    fn new(seed: u64, compacts: bool) -> Self {
        let (disk, shared) = MemDisk::shared();
        let mut bench = Bench::open(Arc::clone(&disk), PartitionManifest::default(), 2000);
        bench.policy.segment_bytes = 600;
        Self {
            dice: Dice(seed * 7919 + 1),
            disk,
            shared,
            bench,
            checkpoint: PartitionManifest::default(),
            since: Vec::new(),
            all: Vec::new(),
            start: 0,
            compacts,
        }
    }

    fn append(&mut self) {
        let base = i64::try_from(self.bench.log.end_offset().0).unwrap();
        let make = Make::codec(CODECS[usize::try_from(self.dice.roll(3)).unwrap()]);
        let mut batch = Vec::new();
        for delta in 0..=u32::try_from(self.dice.roll(4)).unwrap() {
            let key = KEYS[usize::try_from(self.dice.roll(5)).unwrap()];
            let time_ms = i64::try_from(self.dice.roll(1000)).unwrap();
            let value = "v".repeat(usize::try_from(self.dice.roll(200)).unwrap());
            batch.push((delta, time_ms, key, value));
        }
        let recs: Vec<_> = batch
            .iter()
            .map(|(delta, time_ms, key, value)| (*delta, *time_ms, Some(*key), Some(&value[..])))
            .collect();
        let bytes = make.batch(&recs);
        self.bench.append(bytes.clone());
        self.since.push(bytes);
        for (delta, time_ms, key, value) in batch {
            let offset = base + i64::from(delta);
            self.all
                .push((offset, time_ms, Some(key.to_owned()), Some(value)));
        }
    }

    fn flush(&mut self) {
        let is_full = self.dice.roll(4) == 0;
        let left = i64::try_from(self.dice.roll(900)).unwrap();
        let limit = if is_full { left } else { -1 };
        self.shared.left_bytes.store(limit, Ordering::Relaxed);
        let flushed = self.bench.store.flush(&[self.bench.job()]);
        self.shared.left_bytes.store(-1, Ordering::Relaxed);
        match flushed {
            // The checkpoint is lost in a third of the cases: the flush is repeated later.
            Ok(manifests) if self.dice.roll(3) > 0 => {
                self.checkpoint = manifests[0].1.clone();
                self.since.clear();
                self.bench.store.installed(manifests);
            }
            Ok(_) => {}
            Err(error) => assert!(is_full && matches!(error, FlushError::Full { .. })),
        }
    }

    fn restart(&mut self) {
        let mut bench = Bench::open(Arc::clone(&self.disk), self.checkpoint.clone(), 2000);
        bench.policy.segment_bytes = 600;
        self.bench = bench;
        for batch in &self.since {
            self.bench.append(batch.clone());
        }
        self.bench.log.trim(Offset(self.start));
    }

    fn compact(&mut self) {
        if self.compacts {
            let policy = CompactionPolicy {
                delete_retention_ms: 1,
                min_dirty_percent: 0,
                min_lag_ms: 0,
                max_lag_ms: u64::MAX,
                segment_bytes: 600,
                key_map_bytes: usize::try_from(self.dice.roll(400)).unwrap(),
                now: Millis(1),
            };
            run(&self.bench.store, &self.bench.log, policy).unwrap();
        }
    }

    fn trim(&mut self) {
        let end = self.bench.log.end_offset().0;
        self.start += self.dice.roll(end - self.start + 1) / 4;
        self.bench.log.trim(Offset(self.start));
    }

    fn step(&mut self) {
        match self.dice.roll(12) {
            0..6 => self.append(),
            6..9 => self.flush(),
            9 => self.restart(),
            10 => self.compact(),
            _ => self.trim(),
        }
    }

    /// The records from the start on; of a compacted log at least the latest of each key, and
    /// nothing that was not written.
    fn check(&mut self) {
        let max_bytes = usize::try_from(self.dice.roll(2000)).unwrap();
        let read = self.bench.read_all(self.start, max_bytes).unwrap();
        let start = i64::try_from(self.start).unwrap();
        let keep = |got: &Got| got.0 >= start;
        let got: Vec<Got> = records(&read).into_iter().filter(keep).collect();
        let expected: Vec<Got> = self.all.iter().filter(|got| keep(got)).cloned().collect();
        if !self.compacts {
            assert_eq!(got, expected);
            return;
        }
        let mut written = expected.iter();
        for record in &got {
            assert!(written.any(|other| other == record), "in order, as written");
        }
        for key in KEYS {
            let latest = |list: &[Got]| {
                let of_key = |got: &&Got| got.2.as_deref() == Some(key);
                list.iter().rfind(of_key).cloned()
            };
            assert_eq!(latest(&got), latest(&expected));
        }
    }
}

fn play(compacts: bool) {
    for seed in 1..25 {
        let mut world = World::new(seed, compacts);
        for _ in 0..STEP_COUNT {
            world.step();
            world.check();
        }
        assert!(world.all.len() > 50, "seed {seed} does something");
    }
}

#[test]
fn any_history_of_appends_flushes_losses_trims_and_restarts_reads_as_written() {
    play(false);
}

#[test]
fn any_history_with_compaction_keeps_the_latest_record_of_each_key() {
    play(true);
}
