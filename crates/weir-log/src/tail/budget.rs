//! The node's byte budget for tails, and the order in which batches leave when it is used up.
//!
//! A batch is a slice of the buffer it arrived in, and keeps that whole buffer in memory. So
//! bytes are counted per buffer, by a [`TailPin`] that its batches share, and given back when the
//! last of them leaves the tail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use weir_model::PartitionId;

use super::queue::ENTRY_BYTES;
use crate::partition::PartitionLog;

/// Evictions take at least this much of the log's oldest part at once, in bytes.
const EVICTION_WINDOW_BYTES: u64 = 4 << 20;

/// Partitions with evictable batches, by the position of the oldest one.
type Evictable = BTreeMap<(u64, PartitionId), Weak<PartitionLog>>;

/// One per node.
#[derive(Debug)]
pub struct TailBudget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    unflushed_bytes: AtomicU64,
    /// Bytes pinned since the node started: orders batches of all partitions by age.
    position_bytes: AtomicU64,
    /// A mutex: whoever pins evicts, the flusher adds; both briefly and rarely.
    evictable: Mutex<Evictable>,
}

/// Counts one buffer against the budget as long as batches of it are in a tail.
#[derive(Debug)]
pub struct TailPin {
    budget: Arc<TailBudget>,
    position_bytes: u64,
    size_bytes: u64,
}

impl TailPin {
    /// Where the buffer stands among all that were ever pinned, in bytes.
    pub(crate) fn position_bytes(&self) -> u64 {
        self.position_bytes
    }
}

impl Drop for TailPin {
    fn drop(&mut self) {
        self.budget
            .used_bytes
            .fetch_sub(self.size_bytes, Ordering::Relaxed);
    }
}

impl TailBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
            unflushed_bytes: AtomicU64::new(0),
            position_bytes: AtomicU64::new(0),
            evictable: Mutex::new(BTreeMap::new()),
        })
    }

    /// Counts a buffer of `buffer_bytes` that holds `batch_count` batches, and makes room for it
    /// by evicting flushed batches, oldest first. Unflushed batches stay, over budget or not.
    pub fn pin(self: &Arc<Self>, buffer_bytes: usize, batch_count: usize) -> Arc<TailPin> {
        let size_bytes = (buffer_bytes + batch_count * ENTRY_BYTES) as u64;
        let position_bytes = self.position_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        self.used_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        self.evict();
        Arc::new(TailPin {
            budget: Arc::clone(self),
            position_bytes,
            size_bytes,
        })
    }

    /// Bytes that tails keep in memory.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of batches that no installed manifest covers.
    pub fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn add_unflushed(&self, size_bytes: u64) {
        self.unflushed_bytes
            .fetch_add(size_bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub_unflushed(&self, size_bytes: u64) {
        self.unflushed_bytes
            .fetch_sub(size_bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_evictable(&self, position_bytes: u64, partition: &Arc<PartitionLog>) {
        self.lock()
            .insert((position_bytes, partition.id()), Arc::downgrade(partition));
    }

    /// Evicts until the budget holds or nothing flushed is left.
    pub(crate) fn evict(&self) {
        while self.used_bytes() > self.limit_bytes {
            // Taken out before it is worked on: no partition's lock is taken under this one.
            let Some(((oldest, _), partition)) = self.lock().pop_first() else {
                return;
            };
            if let Some(partition) = partition.upgrade() {
                let below = oldest.saturating_add(EVICTION_WINDOW_BYTES);
                if let Some(position_bytes) = partition.evict(below) {
                    self.add_evictable(position_bytes, &partition);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Evictable> {
        self.evictable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
