//! Partitions that end with their node's run.

use std::sync::{Arc, atomic::Ordering};

use weir_model::{Offset, PartitionId};

use crate::{
    PartitionLog, PartitionManifest, PartitionStore, Read, StoreConfig, TailBatch,
    partition::{FlushJob, SegmentPolicy},
    testing::{HandClock, MemDisk, MemShared, sized},
};

const BATCH_BYTES: usize = 10_000;
const BUDGET_BYTES: u64 = 100_000;

struct World {
    shared: Arc<MemShared>,
    store: Arc<PartitionStore>,
    log: Arc<PartitionLog>,
}

impl World {
    fn open() -> Self {
        let (disk, shared) = MemDisk::shared();
        let config = StoreConfig {
            transient_budget_bytes: BUDGET_BYTES,
            cold_thread_count: 0,
            ..StoreConfig::default()
        };
        let store = PartitionStore::open(disk, Arc::<HandClock>::default(), config);
        let log = store.transient_partition(PartitionId(7));
        Self { shared, store, log }
    }

    fn append(&self, count: u64) {
        for _ in 0..count {
            let (bytes, at) = (sized(1, BATCH_BYTES), self.log.end_offset());
            self.log.append(TailBatch {
                base_offset: at,
                last_offset: at,
                max_timestamp_ms: 1,
                leader_epoch: 1,
                pin: self.store.pin_transient(bytes.len(), 1),
                bytes,
            });
        }
    }

    fn spill(&self, up_to: Offset) -> PartitionManifest {
        let manifests = self.store.spill(&[FlushJob {
            partition: Arc::clone(&self.log),
            up_to,
            policy: SegmentPolicy::default(),
        }]);
        self.store.installed(manifests.unwrap());
        PartitionManifest::clone(&self.log.manifest())
    }
}

#[test]
fn what_is_past_the_budget_is_read_from_segments_that_nobody_synced() {
    let world = World::open();
    world.append(30);
    assert!(world.store.transient_bytes() > 2 * BUDGET_BYTES);
    assert_eq!(
        world.store.unflushed_bytes(),
        0,
        "the others have no part in it"
    );
    world.spill(world.log.end_offset());
    assert_eq!(world.store.transient_unflushed_bytes(), 0);
    assert!(world.store.transient_bytes() <= BUDGET_BYTES);
    let syncs = [
        &world.shared.sync_count,
        &world.shared.sync_everything_count,
    ];
    assert_eq!(syncs.map(|count| count.load(Ordering::Relaxed)), [0, 0]);
    let mut next = Offset(0);
    let mut cold_count = 0;
    while next < Offset(30) {
        let batches = match world.log.read(next, BATCH_BYTES, true) {
            Read::Batches(batches) => batches,
            Read::Cold(cold) => {
                cold_count += 1;
                world.store.run_cold(&cold).unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(batches.next_offset, next.plus(1));
        next = batches.next_offset;
    }
    assert!(cold_count >= 15, "{cold_count}");
}

#[test]
fn what_nobody_needs_leaves_memory_without_being_written() {
    let world = World::open();
    world.append(10);
    assert!(!world.log.has_unneeded());
    world.log.trim(Offset(7));
    assert!(world.log.has_unneeded());
    let manifest = world.spill(world.log.unneeded_end());
    assert_eq!((manifest.start, manifest.segments.len()), (Offset(7), 0));
    assert_eq!(world.shared.files(), []);
    assert_eq!(world.log.unflushed_bytes() / BATCH_BYTES as u64, 3);
    assert!(matches!(
        world.log.read(Offset(7), 1, true),
        Read::Batches(_)
    ));
    world.log.trim(Offset(10));
    world.spill(world.log.unneeded_end());
    world.log.trim(Offset(10));
    assert_eq!(world.store.transient_unflushed_bytes(), 0);
}

#[test]
fn segments_of_which_nothing_is_needed_go() {
    let world = World::open();
    world.append(5);
    world.spill(Offset(5));
    world.append(5);
    world.log.trim(Offset(4));
    assert!(
        !world.log.has_unneeded(),
        "the segment has one that is needed"
    );
    world.log.trim(Offset(6));
    let manifest = world.spill(world.log.unneeded_end());
    assert_eq!((manifest.end(), manifest.segments.len()), (Offset(6), 0));
    assert_eq!(world.shared.files(), []);
    assert!(!world.log.has_unneeded());
}

#[test]
fn a_partition_that_is_dropped_is_none_of_them_any_more() {
    let world = World::open();
    world
        .store
        .partition(PartitionId(8), PartitionManifest::default());
    assert_eq!(world.store.transient_partitions().len(), 1);
    world.append(1);
    world.store.close_partition(&world.log);
    assert_eq!(world.store.transient_partitions().len(), 0);
    assert_eq!(world.store.transient_unflushed_bytes(), 0);
}
