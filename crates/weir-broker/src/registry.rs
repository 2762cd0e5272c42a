//! What this node holds of partitions, by id, for whoever reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use weir_log::partition::PartitionLog;
use weir_model::PartitionId;

use crate::transaction::TransactionView;

/// The partitions' logs.
pub(crate) type PartitionRegistry = Registry<PartitionLog>;
/// Partitions that have had transactions.
pub(crate) type ViewRegistry = Registry<TransactionView>;

/// Parts of the map, so that connections rarely meet at a lock.
const PART_COUNT: usize = 64;

/// Shards write, connections read.
///
/// Locks rather than channels: a look-up must not wait for a worker. They are held for a look-up
/// and taken exclusively only where a partition comes or goes.
pub(crate) struct Registry<T> {
    parts: Vec<RwLock<Part<T>>>,
}

type Part<T> = BTreeMap<PartitionId, Entry<T>>;

struct Entry<T> {
    item: Arc<T>,
    /// A shard's state has it; else a reader came before the first batch.
    is_owned: bool,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            parts: (0..PART_COUNT).map(|_| RwLock::default()).collect(),
        }
    }
}

impl<T> Entry<T> {
    fn of(item: Arc<T>) -> Self {
        Self {
            item,
            is_owned: false,
        }
    }
}

impl<T> Registry<T> {
    pub(crate) fn get(&self, id: PartitionId) -> Option<Arc<T>> {
        let part = self.part(id).read().unwrap_or_else(PoisonError::into_inner);
        part.get(&id).map(|entry| Arc::clone(&entry.item))
    }

    /// The partition, made by `open` where it is not there yet: by whoever comes first, the
    /// shard that appends or a reader that waits.
    pub(crate) fn get_or_open(&self, id: PartitionId, open: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(partition) = self.get(id) {
            return partition;
        }
        Arc::clone(
            &self
                .write(id)
                .entry(id)
                .or_insert_with(|| Entry::of(open()))
                .item,
        )
    }

    /// The same for a shard, whose state has the partition from now on.
    pub(crate) fn own(&self, id: PartitionId, open: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut part = self.write(id);
        let entry = part.entry(id).or_insert_with(|| Entry::of(open()));
        entry.is_owned = true;
        Arc::clone(&entry.item)
    }

    /// Removes what no shard has and `is_over` says, and calls `close` for each before anybody
    /// can open it again.
    pub(crate) fn remove_unowned(&self, is_over: impl Fn(&T) -> bool, close: impl Fn(&T)) {
        for part in &self.parts {
            let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
            part.retain(|_, entry| {
                let is_kept = entry.is_owned || !is_over(&entry.item);
                if !is_kept {
                    close(&entry.item);
                }
                is_kept
            });
        }
    }

    pub(crate) fn remove(&self, id: PartitionId) {
        self.write(id).remove(&id);
    }

    /// All partitions.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let logs_of = |part: &RwLock<Part<T>>| {
            let part = part.read().unwrap_or_else(PoisonError::into_inner);
            let logs = part.values().map(|entry| Arc::clone(&entry.item));
            logs.collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(logs_of).collect()
    }

    fn write(&self, id: PartitionId) -> RwLockWriteGuard<'_, Part<T>> {
        let part = self.part(id).write();
        part.unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, id: PartitionId) -> &RwLock<Part<T>> {
        // Serial and index both spread: partitions of one topic and topics of one partition.
        let mixed = id
            .topic_serial()
            .wrapping_mul(31)
            .wrapping_add(u64::from(id.index()));
        &self.parts[usize::try_from(mixed % PART_COUNT as u64).expect("a small remainder fits")]
    }
}
