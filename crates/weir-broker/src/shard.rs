//! A shard: partitions, consumer groups and their offsets in one Raft group.

mod apply;
mod checkpoint;
mod command;
mod era;
mod lead;

use std::{collections::BTreeMap, sync::Arc};

use weir_log::partition::{PartitionLog, PartitionStore};
use weir_model::{GroupId, PartitionId};
use weir_raft::Handle;

use self::era::Era;
pub(crate) use self::{
    checkpoint::{ShardBody, ShardPlan},
    command::ShardCommand,
};
use crate::{
    checkpointer::CheckpointState,
    group::{Coordinator, GroupTable, OffsetTable},
    machine::Machine,
    mailbox::Reply,
    producer::ProducerTable,
    registry::PartitionRegistry,
};

/// What a shard needs from its node.
#[derive(Clone)]
pub(crate) struct ShardEnv {
    pub(crate) store: Arc<PartitionStore>,
    pub(crate) registry: Arc<PartitionRegistry>,
    pub(crate) checkpoints: Arc<CheckpointState>,
    /// Of the worker that runs the shard.
    pub(crate) handle: Handle<Machine>,
}

/// One partition's replicated state: the log, and who produced to it.
struct Partition {
    log: Arc<PartitionLog>,
    producers: ProducerTable,
}

/// The state machine of one shard, with the coordinator of its consumer groups beside it.
pub(crate) struct Shard {
    id: GroupId,
    env: ShardEnv,
    era: Era,
    partitions: BTreeMap<PartitionId, Partition>,
    groups: GroupTable,
    offsets: OffsetTable,
    /// Volatile, the leader's own.
    pub(crate) coordinator: Coordinator<Reply>,
}
