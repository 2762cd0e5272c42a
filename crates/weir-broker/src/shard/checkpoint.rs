//! A shard's state as of one index: what a checkpoint holds, and what must be flushed for it.
//!
//! Encoded, version 2: `u8` version; the era: `u64` term, `i64` since in ms; bytes offset table; bytes group table; `u32` partitions in
//! ascending order of id, each `u64` id, bytes manifest, bytes producer table.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use weir_log::partition::{FlushJob, PartitionLog, PartitionManifest, SegmentPolicy};
use weir_model::{GroupId, Offset, PartitionId};

use super::{Partition, Shard, ShardEnv, era::Era};
use crate::{
    encoding::{DecodeError, Reader, Writer},
    group::{Coordinator, GroupConfig, GroupTable, OffsetTable, StoredOffset},
    producer::ProducerTable,
};

const VERSION: u8 = 2;
const PARTITION_MIN_BYTES: usize = 8 + 4 + 4;

/// A shard at one index, taken on the worker, finished by the checkpointer.
pub(crate) struct ShardPlan {
    era: Era,
    offsets: Bytes,
    groups: Bytes,
    partitions: Vec<PlannedPartition>,
}

struct PlannedPartition {
    log: Arc<PartitionLog>,
    end: Offset,
    producers: Bytes,
}

/// A checkpoint's body, taken apart.
pub(crate) struct ShardBody {
    era: Era,
    offsets: Bytes,
    groups: Bytes,
    pub(crate) partitions: Vec<StoredPartition>,
}

/// What a checkpoint says about one partition.
pub(crate) struct StoredPartition {
    pub(crate) id: PartitionId,
    pub(crate) manifest: PartitionManifest,
    producers: Bytes,
}

impl ShardBody {
    fn tables(&self) -> Result<(OffsetTable, GroupTable), DecodeError> {
        Ok((
            OffsetTable::decode(&self.offsets)?,
            GroupTable::decode(&self.groups)?,
        ))
    }

    /// Takes a body apart.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, RestoreError> {
        let mut reader = Reader::new(body);
        reader.version("shard checkpoint version", VERSION)?;
        let era = Era::read(&mut reader)?;
        let offsets = Bytes::copy_from_slice(reader.bytes()?);
        let groups = Bytes::copy_from_slice(reader.bytes()?);
        let mut partitions = Vec::new();
        for _ in 0..reader.count(PARTITION_MIN_BYTES)? {
            let id = PartitionId(reader.u64()?);
            let manifest = PartitionManifest::decode(reader.bytes()?).map_err(|error| {
                RestoreError::Manifest {
                    partition: id,
                    reason: error.to_string(),
                }
            })?;
            let producers = Bytes::copy_from_slice(reader.bytes()?);
            partitions.push(StoredPartition {
                id,
                manifest,
                producers,
            });
        }
        reader.finish()?;
        Ok(Self {
            era,
            offsets,
            groups,
            partitions,
        })
    }

    /// Puts it together again.
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        self.era.write(&mut writer);
        writer.bytes(&self.offsets);
        writer.bytes(&self.groups);
        writer.count(self.partitions.len());
        let mut manifest = Vec::new();
        for partition in &self.partitions {
            manifest.clear();
            partition.manifest.encode(&mut manifest);
            writer.u64(partition.id.0);
            writer.bytes(&manifest);
            writer.bytes(&partition.producers);
        }
        writer.finish()
    }
}

/// Why stored state cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The outer form.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A partition's manifest.
    #[error("partition {partition}: {reason}")]
    Manifest {
        partition: PartitionId,
        reason: String,
    },
}

impl Shard {
    /// The state machine without any state.
    pub(crate) fn empty(id: GroupId, env: ShardEnv, config: GroupConfig) -> Self {
        Self {
            id,
            env,
            era: Era::default(),
            partitions: BTreeMap::new(),
            groups: GroupTable::default(),
            offsets: OffsetTable::default(),
            coordinator: Coordinator::new(config),
        }
    }

    /// The state machine as of a checkpoint.
    pub(crate) fn restore(
        id: GroupId,
        env: ShardEnv,
        config: GroupConfig,
        body: &[u8],
    ) -> Result<Self, RestoreError> {
        let mut shard = Self::empty(id, env, config);
        let body = ShardBody::decode(body)?;
        (shard.offsets, shard.groups) = body.tables()?;
        shard.era = body.era;
        for stored in body.partitions {
            let producers = ProducerTable::decode(&stored.producers)?;
            let log = shard.env.open_partition(stored.id, stored.manifest);
            shard
                .partitions
                .insert(stored.id, Partition { log, producers });
        }
        Ok(shard)
    }

    /// Takes over a checkpoint's state in the place of its own. Partitions that are here already
    /// keep their readers.
    pub(crate) fn restore_over(&mut self, body: &[u8]) -> Result<(), RestoreError> {
        let body = ShardBody::decode(body)?;
        let (offsets, groups) = body.tables()?;
        let mut partitions = BTreeMap::new();
        for stored in body.partitions {
            let producers = ProducerTable::decode(&stored.producers)?;
            let log = self
                .env
                .open_partition(stored.id, PartitionManifest::default());
            log.take_over(stored.manifest);
            partitions.insert(stored.id, Partition { log, producers });
        }
        let before = std::mem::replace(&mut self.partitions, partitions);
        let unnamed = |id: &PartitionId| !self.partitions.contains_key(id);
        let gone = before.into_iter().filter(|(id, _)| unnamed(id));
        let gone = self
            .env
            .close_partitions(gone.map(|(_, partition)| partition.log));
        self.env.checkpoints.remove_partitions(gone);
        (self.offsets, self.groups) = (offsets, groups);
        self.era = body.era;
        Ok(())
    }

    /// Forgets all state. What the disk has goes by
    /// [`CheckpointState::retired`](crate::checkpointer::CheckpointState::retired).
    pub(crate) fn retire(&mut self) {
        let gone = std::mem::take(&mut self.partitions);
        let ids = self.env.close_partitions(gone.into_values().map(|p| p.log));
        self.env.checkpoints.retiring(self.id, ids);
        self.groups = GroupTable::default();
        self.offsets = OffsetTable::default();
        self.era = Era::default();
    }

    /// The body of a checkpoint without any state.
    pub(crate) fn empty_body() -> Bytes {
        let plan = ShardPlan {
            era: Era::default(),
            offsets: OffsetTable::default().encode(),
            groups: GroupTable::default().encode(),
            partitions: Vec::new(),
        };
        plan.encode(&BTreeMap::new())
    }

    /// What a checkpoint at this moment needs.
    pub(crate) fn plan(&self) -> ShardPlan {
        let planned = |partition: &Partition| PlannedPartition {
            log: Arc::clone(&partition.log),
            end: partition.log.end_offset(),
            producers: partition.producers.encode(),
        };
        ShardPlan {
            era: self.era,
            offsets: self.offsets.encode(),
            groups: self.groups.encode(),
            partitions: self.partitions.values().map(planned).collect(),
        }
    }

    /// Appends what all replicas must have alike at the same index; gives the partitions.
    pub(crate) fn inspect(&self, out: &mut BytesMut) -> Vec<Arc<PartitionLog>> {
        out.extend_from_slice(&self.offsets.encode());
        out.extend_from_slice(&self.groups.encode());
        for (id, partition) in &self.partitions {
            out.put_u64_le(id.0);
            out.put_u64_le(partition.log.end_offset().0);
            out.extend_from_slice(&partition.producers.encode());
        }
        let logs = self.partitions.values();
        logs.map(|partition| Arc::clone(&partition.log)).collect()
    }

    /// What the group keeps of the partition.
    pub(crate) fn stored_offset(
        &self,
        group: &str,
        partition: PartitionId,
    ) -> Option<&StoredOffset> {
        self.offsets.fetch(group, partition)
    }

    /// All that the group keeps, in ascending order of partition.
    pub(crate) fn stored_offsets(
        &self,
        group: &str,
    ) -> impl Iterator<Item = (PartitionId, &StoredOffset)> {
        self.offsets.fetch_all(group)
    }
}

impl ShardPlan {
    /// What must be flushed before the checkpoint.
    pub(crate) fn jobs(&self, policy: impl Fn(PartitionId) -> SegmentPolicy) -> Vec<FlushJob> {
        let dirty = self
            .partitions
            .iter()
            .filter(|planned| planned.log.is_dirty());
        dirty
            .map(|planned| FlushJob {
                partition: Arc::clone(&planned.log),
                up_to: planned.end,
                policy: policy(planned.log.id()),
            })
            .collect()
    }

    /// Takes this shard's partitions out of what a flush gave.
    pub(crate) fn take_manifests(
        &self,
        flushed: &mut BTreeMap<PartitionId, PartitionManifest>,
    ) -> Vec<(PartitionId, PartitionManifest)> {
        let ids = self.partitions.iter().map(|planned| planned.log.id());
        ids.filter_map(|id| flushed.remove_entry(&id)).collect()
    }

    /// The checkpoint, with the manifests that the flush gave.
    pub(crate) fn encode(&self, flushed: &BTreeMap<PartitionId, PartitionManifest>) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        self.era.write(&mut writer);
        writer.bytes(&self.offsets);
        writer.bytes(&self.groups);
        writer.count(self.partitions.len());
        let mut manifest = Vec::new();
        for planned in &self.partitions {
            manifest.clear();
            match flushed.get(&planned.log.id()) {
                Some(new) => new.encode(&mut manifest),
                None => planned.log.manifest().encode(&mut manifest),
            }
            writer.u64(planned.log.id().0);
            writer.bytes(&manifest);
            writer.bytes(&planned.producers);
        }
        writer.finish()
    }
}

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
    /// These partitions are in no group of this node any more: readers do not find them. Their
    /// files stay, since a flush may be at work on them.
    fn close_partitions(&self, logs: impl Iterator<Item = Arc<PartitionLog>>) -> Vec<PartitionId> {
        let close = |log: Arc<PartitionLog>| {
            self.registry.remove(log.id());
            self.store.close_partition(&log);
            log.id()
        };
        logs.map(close).collect()
    }
}
