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
    cold::{self, ColdPool, Job, Refused},
    disk::Disk,
    flush::Flush,
    segment::{PARTITIONS_DIR, SegmentFiles, SegmentKey},
    tail::{TailBudget, TailPin},
};

/// Limits of one node's store.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Memory for recent batches, in bytes.
    pub tail_budget_bytes: u64,
    /// Memory for batches of transient partitions, in bytes.
    pub transient_budget_bytes: u64,
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
            tail_budget_bytes: 256 << 20,
            transient_budget_bytes: 256 << 20,
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
    /// Of transient partitions, which leave nothing to the others' budget and take nothing from it.
    transient_budget: Arc<TailBudget>,
    files: SegmentFiles,
    pool: ColdPool,
    /// A mutex: groups' workers add and remove, the flusher looks up; never on the way of a
    /// message.
    partitions: Mutex<Partitions>,
}

#[derive(Default)]
struct Partitions {
    all: BTreeMap<PartitionId, Arc<PartitionLog>>,
    /// Those of them that end with the node's run.
    transient: BTreeSet<PartitionId>,
}

impl Partitions {
    fn remove(&mut self, id: PartitionId) -> Option<Arc<PartitionLog>> {
        self.transient.remove(&id);
        self.all.remove(&id)
    }
}

impl PartitionStore {
    /// Opens the store. Touches no file.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: StoreConfig) -> Arc<Self> {
        Arc::new(Self {
            files: SegmentFiles::new(Arc::clone(&disk), &config),
            disk,
            clock,
            budget: TailBudget::new(config.tail_budget_bytes),
            transient_budget: TailBudget::new(config.transient_budget_bytes),
            pool: ColdPool::start(config.cold_thread_count, config.cold_queue_count),
            partitions: Mutex::default(),
        })
    }

    /// Adds a partition with what the group's checkpoint says about it (a new partition: the
    /// default manifest). Touches no file. Replaces the partition where it was there.
    pub fn partition(&self, id: PartitionId, manifest: PartitionManifest) -> Arc<PartitionLog> {
        let partition = PartitionLog::new(id, manifest, Arc::clone(&self.budget));
        self.add(&partition, false);
        partition
    }

    /// Adds a partition that ends with the node's run: no checkpoint ever names it, and its
    /// segments are never synced. [`PartitionStore::remove_unknown`] removes them at the next
    /// start.
    pub fn transient_partition(&self, id: PartitionId) -> Arc<PartitionLog> {
        let manifest = PartitionManifest::default();
        let partition = PartitionLog::new(id, manifest, Arc::clone(&self.transient_budget));
        self.add(&partition, true);
        partition
    }

    /// The partitions that end with the node's run.
    pub fn transient_partitions(&self) -> Vec<Arc<PartitionLog>> {
        let partitions = self.lock();
        let found = partitions.transient.iter();
        let found = found.filter_map(|id| partitions.all.get(id).cloned());
        found.collect()
    }

    fn add(&self, partition: &Arc<PartitionLog>, is_transient: bool) {
        let replaced = {
            let mut partitions = self.lock();
            let replaced = partitions.remove(partition.id());
            if is_transient {
                partitions.transient.insert(partition.id());
            }
            let added = Arc::clone(partition);
            partitions.all.insert(partition.id(), added);
            replaced
        };
        if let Some(replaced) = replaced {
            self.forget(&replaced);
        }
    }

    /// Counts a buffer that batches are slices of, such as a Raft entry, against the tail's
    /// budget; evicts old batches where it is used up. Once per buffer, before its appends.
    pub fn pin(&self, buffer_bytes: usize, batch_count: usize) -> Arc<TailPin> {
        self.budget.pin(buffer_bytes, batch_count)
    }

    /// The same for batches of transient partitions.
    pub fn pin_transient(&self, buffer_bytes: usize, batch_count: usize) -> Arc<TailPin> {
        self.transient_budget.pin(buffer_bytes, batch_count)
    }

    /// Removes a partition and its files. To be called once no checkpoint names it.
    pub fn drop_partition(&self, id: PartitionId) -> io::Result<()> {
        let dropped = self.lock().remove(id);
        if let Some(dropped) = dropped {
            self.forget(&dropped);
        }
        self.remove_dir(id)
    }

    /// Forgets a partition; its files stay until [`PartitionStore::drop_partition`].
    pub fn close_partition(&self, partition: &PartitionLog) {
        let dropped = self.lock().remove(partition.id());
        if let Some(dropped) = dropped {
            self.forget(&dropped);
        }
    }

    /// Removes the directories of all partitions but these: at start, once all checkpoints are
    /// loaded.
    pub fn remove_unknown(&self, known: &BTreeSet<PartitionId>) -> io::Result<()> {
        let dirs = self.disk.list_dirs(PARTITIONS_DIR)?;
        let ids = dirs.iter().filter_map(|dir| SegmentKey::partition_of(dir));
        for id in ids.filter(|id| !known.contains(id)) {
            tracing::info!(partition = %id, "removing a partition that nothing names");
            self.remove_dir(id)?;
        }
        Ok(())
    }

    fn remove_dir(&self, id: PartitionId) -> io::Result<()> {
        let dir = SegmentKey::dir(id);
        for entry in self.disk.list(&dir)? {
            absent_is_fine(self.disk.remove(&format!("{dir}/{}", entry.name)))?;
        }
        absent_is_fine(self.disk.remove_dir(&dir))
    }

    fn forget(&self, partition: &PartitionLog) {
        partition.close();
        for segment in &partition.manifest().segments {
            self.files.forget(SegmentKey::new(partition.id(), segment));
        }
    }

    /// Writes unflushed batches to segments and syncs them. Returns, in the jobs' order, what a
    /// checkpoint must say; nothing counts before [`PartitionStore::installed`]. One flush at a
    /// time. After [`FlushError::Full`] everything is as before.
    pub fn flush(
        &self,
        jobs: &[FlushJob],
    ) -> Result<Vec<(PartitionId, PartitionManifest)>, FlushError> {
        Flush::new(&self.disk, self.clock.as_ref()).run(jobs)
    }

    /// The same for transient partitions, whose segments are not synced: what it returns may be
    /// taken over at once.
    pub fn spill(
        &self,
        jobs: &[FlushJob],
    ) -> Result<Vec<(PartitionId, PartitionManifest)>, FlushError> {
        let flush = Flush::new(&self.disk, self.clock.as_ref());
        flush.without_sync().run(jobs)
    }

    /// Takes over what [`PartitionStore::flush`] returned, once it is in a durable checkpoint:
    /// batches may leave memory, files no longer named are removed. A flush whose checkpoint
    /// certainly was not stored may be repeated instead; if that is not certain, the node must
    /// stop.
    pub fn installed(&self, manifests: Vec<(PartitionId, PartitionManifest)>) {
        for (id, manifest) in manifests {
            let partition = self.lock().all.get(&id).cloned();
            if let Some(partition) = partition {
                for segment in partition.install(manifest) {
                    self.files.remove(SegmentKey::new(id, &segment));
                }
            }
        }
        self.budget.evict();
        self.transient_budget.evict();
    }

    /// Reads from segments on the pool. `done` is called once: on a thread of the pool, or on
    /// this one where there are no threads or the pool refuses.
    pub fn read_cold(
        self: &Arc<Self>,
        read: ColdRead,
        done: Box<dyn FnOnce(Result<ReadBatches, ReadError>) + Send>,
    ) {
        self.run_on_pool(move |store| store.run_cold(&read), done);
    }

    /// The same, at once and on this thread.
    pub fn run_cold(&self, read: &ColdRead) -> Result<ReadBatches, ReadError> {
        cold::read(&self.files, read)
    }

    /// Looks a time up on the pool, as [`PartitionStore::read_cold`] does.
    pub fn lookup_cold(
        self: &Arc<Self>,
        lookup: ColdLookup,
        done: Box<dyn FnOnce(Result<Option<TimestampOffset>, ReadError>) + Send>,
    ) {
        self.run_on_pool(move |store| store.run_lookup(&lookup), done);
    }

    /// The same, at once and on this thread.
    pub fn run_lookup(&self, lookup: &ColdLookup) -> Result<Option<TimestampOffset>, ReadError> {
        cold::lookup(&self.files, lookup)
    }

    /// Runs work that reads from segments on the pool, as [`PartitionStore::read_cold`] does.
    pub fn run_on_pool<T: 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
        done: Box<dyn FnOnce(Result<T, ReadError>) + Send>,
    ) {
        // Shared, so that a refused job's `done` can still be called with the reason.
        let refusal = Arc::new(Mutex::new(None));
        let refused = Arc::clone(&refusal);
        let store = Arc::clone(self);
        let job: Job = Box::new(move || {
            let refused = refused
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            done(match refused {
                Some(error) => Err(error),
                None => work(&store),
            });
        });
        if !self.pool.has_threads() {
            job();
        } else if let Err((why, job)) = self.pool.submit(job) {
            let error = match why {
                Refused::Busy => ReadError::Busy,
                Refused::Closed => ReadError::Closed,
            };
            *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            job();
        }
    }

    /// Bytes of batches that no installed manifest covers, without those of transient partitions.
    pub fn unflushed_bytes(&self) -> u64 {
        self.budget.unflushed_bytes()
    }

    /// Bytes of transient partitions' batches that no segment has.
    pub fn transient_unflushed_bytes(&self) -> u64 {
        self.transient_budget.unflushed_bytes()
    }

    /// Bytes that tails of transient partitions keep in memory.
    pub fn transient_bytes(&self) -> u64 {
        self.transient_budget.used_bytes()
    }

    /// Bytes that tails keep in memory, without those of transient partitions.
    pub fn tail_bytes(&self) -> u64 {
        self.budget.used_bytes()
    }

    /// Refuses further cold reads and waits for those under way. Not to be called by one of them.
    pub fn close(&self) {
        self.pool.close();
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) fn files(&self) -> &SegmentFiles {
        &self.files
    }

    fn lock(&self) -> MutexGuard<'_, Partitions> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl std::fmt::Debug for PartitionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionStore").finish_non_exhaustive()
    }
}
