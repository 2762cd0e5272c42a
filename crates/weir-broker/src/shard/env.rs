//! The shard's partitions as its node has them.

use std::sync::Arc;

use weir_log::partition::{PartitionLog, PartitionManifest};
use weir_model::PartitionId;

use super::{ShardEnv, checkpoint::StoredPartition};
use crate::{encoding::DecodeError, producer::ProducerTable, transaction::TransactionView};

impl ShardEnv {
    /// A partition of this node, in memory; its files are touched when they are needed. The
    /// manifest counts only where the partition is not there yet.
    pub(crate) fn open_partition(
        &self,
        id: PartitionId,
        manifest: PartitionManifest,
    ) -> Arc<PartitionLog> {
        self.registry
            .get_or_open(id, || self.store.partition(id, manifest))
    }

    /// The same for a shard whose state has the partition.
    pub(super) fn own_partition(
        &self,
        id: PartitionId,
        manifest: PartitionManifest,
    ) -> Arc<PartitionLog> {
        self.registry.own(id, || self.store.partition(id, manifest))
    }

    /// A partition's producers and, where it has had transactions, how these stand: shown to
    /// readers at once.
    pub(super) fn transactions_of(
        &self,
        stored: &StoredPartition,
    ) -> Result<(ProducerTable, Option<Arc<TransactionView>>), DecodeError> {
        let producers = ProducerTable::decode(&stored.producers)?;
        let view = TransactionView::decode(&stored.aborted)?;
        view.set_first_open(producers.first_open());
        if view.is_blank() && self.views.get(stored.id).is_none() {
            return Ok((producers, None));
        }
        let shown = self.views.get_or_open(stored.id, Arc::default);
        shown.replace(view);
        Ok((producers, Some(shown)))
    }

    /// These partitions are in no group of this node any more: readers do not find them. Their
    /// files stay, since a flush may be at work on them.
    pub(super) fn close_partitions(
        &self,
        logs: impl Iterator<Item = Arc<PartitionLog>>,
    ) -> Vec<PartitionId> {
        let close = |log: Arc<PartitionLog>| {
            self.registry.remove(log.id());
            self.views.remove(log.id());
            self.store.close_partition(&log);
            log.id()
        };
        logs.map(close).collect()
    }
}
