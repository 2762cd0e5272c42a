//! The shard's partitions as its node has them.

use std::sync::Arc;

use bytes::Bytes;
use weir_log::{
    TailPin,
    partition::{PartitionLog, PartitionManifest},
};
use weir_model::{GroupId, PartitionId};
use weir_raft::Lifetime;

use super::{ShardEnv, checkpoint::StoredPartition};
use crate::{encoding::DecodeError, producer::ProducerTable, transaction::TransactionView};

impl ShardEnv {
    /// A partition of this node, in memory; its files are touched when they are needed. As new
    /// where it is not there yet.
    pub(crate) fn open_partition(&self, group: GroupId, id: PartitionId) -> Arc<PartitionLog> {
        self.registry.get_or_open(id, || {
            if group.is_transient() {
                self.store.transient_partition(id)
            } else {
                self.store.partition(id, PartitionManifest::default())
            }
        })
    }

    /// The same for a shard whose state has it from now on.
    pub(super) fn begin_partition(&self, id: PartitionId) -> Arc<PartitionLog> {
        let manifest = PartitionManifest::default();
        match self.lifetime {
            Lifetime::Durable => self.own_partition(id, manifest),
            Lifetime::Transient => {
                let open = || self.store.transient_partition(id);
                self.registry.own(id, open)
            }
        }
    }

    /// A batch of an entry as the tail is to keep it. What is around it in a transient group's
    /// entry may be consumed long before it, and no flush comes that lets go of both: the batch is
    /// kept alone, so that no more memory is held than is counted.
    pub(super) fn kept(&self, batch: Bytes) -> (Bytes, Arc<TailPin>) {
        match self.lifetime {
            Lifetime::Durable => {
                let pin = self.store.pin(batch.len(), 1);
                (batch, pin)
            }
            Lifetime::Transient => {
                let pin = self.store.pin_transient(batch.len(), 1);
                (Bytes::copy_from_slice(&batch), pin)
            }
        }
    }

    /// The partition of a shard's checkpoint.
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
