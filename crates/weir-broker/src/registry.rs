//! What this node holds of partitions, by id, for whoever reads.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
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
    parts: Vec<Part<T>>,
}

type Part<T> = RwLock<BTreeMap<PartitionId, Arc<T>>>;

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            parts: (0..PART_COUNT).map(|_| RwLock::default()).collect(),
        }
    }
}

impl<T> Registry<T> {
    pub(crate) fn get(&self, id: PartitionId) -> Option<Arc<T>> {
        let part = self.part(id).read().unwrap_or_else(PoisonError::into_inner);
        part.get(&id).map(Arc::clone)
    }

    /// The partition, made by `open` where it is not there yet: by whoever comes first, the
    /// shard that appends or a reader that waits.
    pub(crate) fn get_or_open(&self, id: PartitionId, open: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(partition) = self.get(id) {
            return partition;
        }
        let mut part = self
            .part(id)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(part.entry(id).or_insert_with(open))
    }

    pub(crate) fn remove(&self, id: PartitionId) {
        let mut part = self
            .part(id)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        part.remove(&id);
    }

    /// All partitions.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let logs_of = |part: &Part<T>| {
            let part = part.read().unwrap_or_else(PoisonError::into_inner);
            part.values().map(Arc::clone).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(logs_of).collect()
    }

    fn part(&self, id: PartitionId) -> &Part<T> {
        // Serial and index both spread: partitions of one topic and topics of one partition.
        let mixed = id
            .topic_serial()
            .wrapping_mul(31)
            .wrapping_add(u64::from(id.index()));
        &self.parts[usize::try_from(mixed % PART_COUNT as u64).expect("a small remainder fits")]
    }
}
