//! A shard's state as of one index: what a checkpoint holds, and what must be flushed for it.
//!
//! Encoded, version 7: `u8` version; the era: `u64` term, `i64` since in ms by the group's clock, and
//! of the last command the `i64` wall clock, ms since 1970, and `i64` group's clock; bytes offset table; bytes group table; bytes pending offsets; bytes
//! transactions; bytes chunks of bodies; bytes shares; `u32` partitions in ascending order of id, each `u64` id,
//! `u64` first offset, bytes manifest, which may begin later, bytes producer table, bytes leader epochs: `u32` count, each
//! `i32` epoch, `u64` first offset; bytes aborted transactions; bytes queue, none where it is no
//! queue; bytes chunks of bodies that its log refers to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};
use weir_log::{
    Millis,
    partition::{EpochTable, FlushJob, PartitionLog, PartitionManifest, SegmentPolicy},
};
use weir_model::{GroupId, Offset, PartitionId};

use super::{
    Partition, Shard, ShardEnv, Sweep,
    bodies::{decode_bodies, decode_held, encode_bodies, encode_held},
    era::Era,
    hold::Holding,
    pump::Pump,
    sharing::Sharing,
};
use crate::{
    bodies::Chunks,
    encoding::{DecodeError, Reader, Writer},
    group::{
        ConsumerCoordinator, Coordinator, GroupConfig, GroupTable, OffsetTable, ShareCoordinator,
    },
    queue::Queue,
    share::ShareTable,
    transaction::{PendingOffsets, TransactionTable, TransactionView},
};

const VERSION: u8 = 7;
const PARTITION_MIN_BYTES: usize = 8 + 8 + 4 + 4 + 4 + 4 + 4 + 4;
const EPOCH_BYTES: usize = 4 + 8;

/// A shard at one index, taken on the worker, finished by the checkpointer.
pub(crate) struct ShardPlan {
    era: Era,
    tables: TableBytes,
    partitions: Vec<PlannedPartition>,
}

/// The tables that are no partition's, encoded.
struct TableBytes {
    offsets: Bytes,
    groups: Bytes,
    pending: Bytes,
    transactions: Bytes,
    bodies: Bytes,
    shares: Bytes,
}

/// The same, decoded.
#[derive(Default)]
struct Tables {
    offsets: OffsetTable,
    groups: GroupTable,
    pending: PendingOffsets,
    transactions: TransactionTable,
    bodies: Chunks,
    shares: ShareTable,
}

struct PlannedPartition {
    log: Arc<PartitionLog>,
    start: Offset,
    end: Offset,
    producers: Bytes,
    epochs: Bytes,
    aborted: Bytes,
    queue: Bytes,
    held: Bytes,
}

/// A checkpoint's body, taken apart.
pub(crate) struct ShardBody {
    era: Era,
    tables: TableBytes,
    pub(crate) partitions: Vec<StoredPartition>,
}

/// What a checkpoint says about one partition.
pub(crate) struct StoredPartition {
    pub(crate) id: PartitionId,
    start: Offset,
    pub(crate) manifest: PartitionManifest,
    pub(super) producers: Bytes,
    epochs: Bytes,
    pub(super) aborted: Bytes,
    queue: Bytes,
    held: Bytes,
}

impl TableBytes {
    fn write(&self, writer: &mut Writer) {
        for table in [
            &self.offsets,
            &self.groups,
            &self.pending,
            &self.transactions,
            &self.bodies,
            &self.shares,
        ] {
            writer.bytes(table);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut table = || reader.bytes().map(Bytes::copy_from_slice);
        Ok(Self {
            offsets: table()?,
            groups: table()?,
            pending: table()?,
            transactions: table()?,
            bodies: table()?,
            shares: table()?,
        })
    }

    fn decode(&self) -> Result<Tables, DecodeError> {
        Ok(Tables {
            offsets: OffsetTable::decode(&self.offsets)?,
            groups: GroupTable::decode(&self.groups)?,
            pending: PendingOffsets::decode(&self.pending)?,
            transactions: TransactionTable::decode(&self.transactions)?,
            bodies: decode_bodies(&self.bodies)?,
            shares: ShareTable::decode(&self.shares)?,
        })
    }
}

impl ShardBody {
    /// Takes a body apart.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, RestoreError> {
        let mut reader = Reader::new(body);
        reader.version("shard checkpoint version", VERSION)?;
        let era = Era::read(&mut reader)?;
        let tables = TableBytes::read(&mut reader)?;
        let mut partitions = Vec::new();
        for _ in 0..reader.count(PARTITION_MIN_BYTES)? {
            let id = PartitionId(reader.u64()?);
            let start = Offset(reader.u64()?);
            let manifest = PartitionManifest::decode(reader.bytes()?).map_err(|error| {
                RestoreError::Manifest {
                    partition: id,
                    reason: error.to_string(),
                }
            })?;
            partitions.push(StoredPartition {
                id,
                start,
                manifest,
                producers: Bytes::copy_from_slice(reader.bytes()?),
                epochs: Bytes::copy_from_slice(reader.bytes()?),
                aborted: Bytes::copy_from_slice(reader.bytes()?),
                queue: Bytes::copy_from_slice(reader.bytes()?),
                held: Bytes::copy_from_slice(reader.bytes()?),
            });
        }
        reader.finish()?;
        Ok(Self {
            era,
            tables,
            partitions,
        })
    }

    /// Puts it together again.
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        self.era.write(&mut writer);
        self.tables.write(&mut writer);
        writer.count(self.partitions.len());
        let mut manifest = Vec::new();
        for partition in &self.partitions {
            manifest.clear();
            partition.manifest.encode(&mut manifest);
            writer.u64(partition.id.0);
            writer.u64(partition.start.0);
            writer.bytes(&manifest);
            writer.bytes(&partition.producers);
            writer.bytes(&partition.epochs);
            writer.bytes(&partition.aborted);
            writer.bytes(&partition.queue);
            writer.bytes(&partition.held);
        }
        writer.finish()
    }
}

fn encode_epochs(epochs: &EpochTable) -> Bytes {
    let mut writer = Writer::new();
    writer.count(epochs.entries().len());
    for (epoch, first) in epochs.entries() {
        writer.i32(*epoch);
        writer.u64(first.0);
    }
    writer.finish()
}

fn decode_epochs(bytes: &[u8]) -> Result<EpochTable, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    for _ in 0..reader.count(EPOCH_BYTES)? {
        entries.push((reader.i32()?, Offset(reader.u64()?)));
    }
    let table = EpochTable::new(entries).map_err(|_| reader.invalid("leader epochs"))?;
    reader.finish()?;
    Ok(table)
}

fn decode_queue(bytes: &[u8]) -> Result<Option<Box<Queue>>, DecodeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Queue::decode(bytes).map(|queue| Some(Box::new(queue)))
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
            bodies: Chunks::default(),
            groups: GroupTable::default(),
            offsets: OffsetTable::default(),
            shares: ShareTable::default(),
            sharing: Sharing::default(),
            config,
            pending: PendingOffsets::default(),
            transactions: TransactionTable::default(),
            conversations: Default::default(),
            holding: Holding::default(),
            leads: false,
            overdue_at: Millis(0),
            ending: BTreeSet::new(),
            sweep_bodies_at: Millis(0),
            coordinator: Coordinator::new(config),
            consumers: ConsumerCoordinator::new(config),
            share_groups: ShareCoordinator::new(config),
            sweep: Sweep::default(),
            pump: Pump::default(),
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
        shard.take_tables(body.tables.decode()?);
        shard.era = body.era;
        for stored in body.partitions {
            let (producers, view) = shard.env.transactions_of(&stored)?;
            let epochs = decode_epochs(&stored.epochs)?;
            let queue = decode_queue(&stored.queue)?;
            let held = decode_held(&stored.held, &mut shard.bodies)?;
            let log = shard.env.own_partition(stored.id, stored.manifest);
            log.restore_epochs(epochs);
            log.set_refers(!held.is_empty());
            let partition = Partition {
                log,
                start: stored.start,
                producers,
                view,
                queue,
                held,
            };
            shard.partitions.insert(stored.id, partition);
        }
        Ok(shard)
    }

    /// Takes over a checkpoint's state in the place of its own. Partitions that are here already
    /// keep their readers.
    pub(crate) fn restore_over(&mut self, body: &[u8]) -> Result<(), RestoreError> {
        let body = ShardBody::decode(body)?;
        let mut tables = body.tables.decode()?;
        let mut partitions = BTreeMap::new();
        for stored in body.partitions {
            let (producers, view) = self.env.transactions_of(&stored)?;
            let epochs = decode_epochs(&stored.epochs)?;
            let queue = decode_queue(&stored.queue)?;
            let held = decode_held(&stored.held, &mut tables.bodies)?;
            let log = self
                .env
                .own_partition(stored.id, PartitionManifest::default());
            log.take_over(stored.manifest);
            log.restore_epochs(epochs);
            log.set_refers(!held.is_empty());
            let partition = Partition {
                log,
                start: stored.start,
                producers,
                view,
                queue,
                held,
            };
            partitions.insert(stored.id, partition);
        }
        let before = std::mem::replace(&mut self.partitions, partitions);
        let unnamed = |id: &PartitionId| !self.partitions.contains_key(id);
        let gone = before.into_iter().filter(|(id, _)| unnamed(id));
        let gone = self
            .env
            .close_partitions(gone.map(|(_, partition)| partition.log));
        self.env.checkpoints.remove_partitions(gone);
        self.take_tables(tables);
        self.era = body.era;
        Ok(())
    }

    /// When the last command that is in the state was made.
    pub(crate) fn stamp(&self) -> Option<weir_raft::Stamp> {
        self.era.stamp()
    }

    /// Forgets all state. What the disk has goes by
    /// [`CheckpointState::retired`](crate::checkpointer::CheckpointState::retired).
    pub(crate) fn retire(&mut self) {
        let gone = std::mem::take(&mut self.partitions);
        let ids = self.env.close_partitions(gone.into_values().map(|p| p.log));
        self.env.checkpoints.retiring(self.id, ids);
        self.take_tables(Tables::default());
        self.era = Era::default();
    }

    fn take_tables(&mut self, tables: Tables) {
        self.offsets = tables.offsets;
        self.groups = tables.groups;
        self.pending = tables.pending;
        self.transactions = tables.transactions;
        self.bodies = tables.bodies;
        self.shares = tables.shares;
    }

    fn tables(&self) -> TableBytes {
        TableBytes {
            offsets: self.offsets.encode(),
            groups: self.groups.encode(),
            pending: self.pending.encode(),
            transactions: self.transactions.encode(),
            bodies: encode_bodies(&self.bodies),
            shares: self.shares.encode(),
        }
    }

    /// The body of a checkpoint without any state.
    pub(crate) fn empty_body() -> Bytes {
        let plan = ShardPlan {
            era: Era::default(),
            tables: TableBytes {
                offsets: OffsetTable::default().encode(),
                groups: GroupTable::default().encode(),
                pending: PendingOffsets::default().encode(),
                transactions: TransactionTable::default().encode(),
                bodies: encode_bodies(&Chunks::default()),
                shares: ShareTable::default().encode(),
            },
            partitions: Vec::new(),
        };
        plan.encode(&BTreeMap::new())
    }

    /// What a checkpoint at this moment needs.
    pub(crate) fn plan(&self) -> ShardPlan {
        let planned = |partition: &Partition| PlannedPartition {
            log: Arc::clone(&partition.log),
            start: partition.start,
            end: partition.log.end_offset(),
            producers: partition.producers.encode(),
            epochs: encode_epochs(&partition.log.epochs()),
            aborted: partition.encode_aborted(),
            queue: partition.encode_queue(),
            held: encode_held(&partition.held),
        };
        ShardPlan {
            era: self.era,
            tables: self.tables(),
            partitions: self.partitions.values().map(planned).collect(),
        }
    }

    /// Appends what all replicas must have alike at the same index; gives the partitions.
    pub(crate) fn inspect(&self, out: &mut BytesMut) -> Vec<Arc<PartitionLog>> {
        let mut writer = Writer::new();
        self.era.write(&mut writer);
        self.tables().write(&mut writer);
        out.extend_from_slice(&writer.finish());
        for (id, partition) in &self.partitions {
            out.put_u64_le(id.0);
            out.put_u64_le(partition.start.0);
            out.put_u64_le(partition.log.end_offset().0);
            out.extend_from_slice(&partition.producers.encode());
            out.extend_from_slice(&encode_epochs(&partition.log.epochs()));
            out.extend_from_slice(&partition.encode_aborted());
            out.extend_from_slice(&partition.encode_queue());
            out.extend_from_slice(&encode_held(&partition.held));
        }
        let logs = self.partitions.values();
        logs.map(|partition| Arc::clone(&partition.log)).collect()
    }
}

impl Partition {
    fn encode_aborted(&self) -> Bytes {
        let view = self.view.as_ref();
        view.map_or_else(TransactionView::encode_none, |view| view.encode())
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
        self.tables.write(&mut writer);
        writer.count(self.partitions.len());
        let mut manifest = Vec::new();
        for planned in &self.partitions {
            manifest.clear();
            match flushed.get(&planned.log.id()) {
                Some(new) => new.encode(&mut manifest),
                None => planned.log.manifest().encode(&mut manifest),
            }
            writer.u64(planned.log.id().0);
            writer.u64(planned.start.0);
            writer.bytes(&manifest);
            writer.bytes(&planned.producers);
            writer.bytes(&planned.epochs);
            writer.bytes(&planned.aborted);
            writer.bytes(&planned.queue);
            writer.bytes(&planned.held);
        }
        writer.finish()
    }
}
