//! What all partitions of a node share: disk, budget, caches, read pool.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_model::{Offset, PartitionId};

use super::{
    ColdLookup, ColdRead, FlushError, PartitionLog, PartitionManifest, ReadBatches, ReadError,
    TimestampOffset,
};
use crate::{
    clock::Clock,
    disk::Disk,
    tail::{TailBudget, TailPin},
};

/// Limits of one node's store.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Memory for recent batches, in bytes.
    pub tail_budget_bytes: u64,
    /// Threads for cold reads. 0: none, [`PartitionStore::run_cold`] is called instead.
    pub cold_thread_count: usize,
    /// Most cold reads and lookups that wait for a thread.
    pub cold_queue_count: usize,
    /// Most segment files held open for reading.
    pub open_file_count: usize,
    /// Memory for segment indexes, in bytes.
    pub index_cache_bytes: usize,
    /// Memory for data read ahead, in bytes.
    pub read_ahead_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            tail_budget_bytes: 1 << 30,
            cold_thread_count: 4,
            cold_queue_count: 4096,
            open_file_count: 1000,
            index_cache_bytes: 64 << 20,
            read_ahead_bytes: 64 << 20,
        }
    }
}

/// When the active segment is followed by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPolicy {
    /// At this length, in bytes. A larger single batch gets a segment of its own.
    pub segment_bytes: u64,
    /// At this age.
    pub segment_ms: u64,
}

impl Default for SegmentPolicy {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
        }
    }
}

/// One partition to flush.
#[derive(Clone, Debug)]
pub struct FlushJob {
    /// The partition.
    pub partition: Arc<PartitionLog>,
    /// Its end at the group's applied index that the checkpoint will name: a batch boundary.
    pub up_to: Offset,
    /// When to begin a new segment.
    pub policy: SegmentPolicy,
}

/// All partitions of one node.
pub struct PartitionStore {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    budget: Arc<TailBudget>,
    partitions: Mutex<BTreeMap<PartitionId, Arc<PartitionLog>>>,
}

impl PartitionStore {
    /// Opens the store. Touches no file.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: StoreConfig) -> Arc<Self> {
        Arc::new(Self {
            disk,
            clock,
            budget: TailBudget::new(config.tail_budget_bytes),
            partitions: Mutex::new(BTreeMap::new()),
        })
    }

    /// Adds a partition with what the group's checkpoint says about it (a new partition: the
    /// default manifest). Touches no file. Replaces the partition where it was there.
    pub fn partition(&self, id: PartitionId, manifest: PartitionManifest) -> Arc<PartitionLog> {
        let partition = PartitionLog::new(id, manifest, Arc::clone(&self.budget));
        let replaced = self.lock().insert(id, Arc::clone(&partition));
        if let Some(replaced) = replaced {
            replaced.close();
        }
        partition
    }

    /// Counts a buffer that batches are slices of, such as a Raft entry, against the tail's
    /// budget; evicts old batches where it is used up. Once per buffer, before its appends.
    pub fn pin(&self, buffer_bytes: usize, batch_count: usize) -> Arc<TailPin> {
        self.budget.pin(buffer_bytes, batch_count)
    }

    /// Removes a partition and its files. To be called once no checkpoint names it.
    pub fn drop_partition(&self, id: PartitionId) -> io::Result<()> {
        let _ = id;
        unimplemented!()
    }

    /// Removes the directories of all partitions but these: at start, once all checkpoints are
    /// loaded.
    pub fn remove_unknown(&self, known: &BTreeSet<PartitionId>) -> io::Result<()> {
        let _ = known;
        unimplemented!()
    }

    /// Writes unflushed batches to segments and syncs them. Returns, in the jobs' order, what a
    /// checkpoint must say; nothing counts before [`PartitionStore::installed`]. One flush at a
    /// time. After [`FlushError::Full`] everything is as before.
    pub fn flush(
        &self,
        jobs: &[FlushJob],
    ) -> Result<Vec<(PartitionId, PartitionManifest)>, FlushError> {
        let _ = (jobs, &self.disk, &self.clock);
        unimplemented!()
    }

    /// Takes over what [`PartitionStore::flush`] returned, once it is in a durable checkpoint:
    /// batches may leave memory, files no longer named are removed. A flush whose checkpoint
    /// certainly was not stored may be repeated instead; if that is not certain, the node must
    /// stop.
    pub fn installed(&self, manifests: Vec<(PartitionId, PartitionManifest)>) {
        let _ = manifests;
        unimplemented!()
    }

    /// Reads from segments on the pool. `done` is called once, on a thread of the pool, or at
    /// once with [`ReadError::Busy`].
    pub fn read_cold(
        self: &Arc<Self>,
        read: ColdRead,
        done: Box<dyn FnOnce(Result<ReadBatches, ReadError>) + Send>,
    ) {
        done(self.run_cold(&read));
    }

    /// The same, at once and on this thread.
    pub fn run_cold(&self, read: &ColdRead) -> Result<ReadBatches, ReadError> {
        let _ = read;
        unimplemented!()
    }

    /// Looks a time up on the pool, as [`PartitionStore::read_cold`] does.
    pub fn lookup_cold(
        self: &Arc<Self>,
        lookup: ColdLookup,
        done: Box<dyn FnOnce(Result<Option<TimestampOffset>, ReadError>) + Send>,
    ) {
        done(self.run_lookup(&lookup));
    }

    /// The same, at once and on this thread.
    pub fn run_lookup(&self, lookup: &ColdLookup) -> Result<Option<TimestampOffset>, ReadError> {
        let _ = lookup;
        unimplemented!()
    }

    /// Bytes of batches that no installed manifest covers.
    pub fn unflushed_bytes(&self) -> u64 {
        self.budget.unflushed_bytes()
    }

    /// Bytes that tails keep in memory.
    pub fn tail_bytes(&self) -> u64 {
        self.budget.used_bytes()
    }

    /// Refuses further cold reads and waits for those under way.
    pub fn close(&self) {}

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Arc<PartitionLog>>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
