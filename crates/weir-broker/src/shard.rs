//! A shard: partitions, consumer groups and their offsets in one Raft group.

mod apply;
mod bodies;
mod body_cache;
mod checkpoint;
mod command;
mod consumers;
mod dead_letters;
mod env;
mod era;
mod fetched;
mod forget;
mod gets;
mod groups;
mod hold;
mod lead;
mod outbox;
mod post;
mod pump;
mod queue_times;
mod queue_uses;
mod queues;
mod session_watch;
mod share_groups;
mod share_letters;
mod shares;
mod sharing;
mod sweep;
mod transactions;
mod window;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, Weak},
};

use weir_log::{
    Millis,
    partition::{PartitionLog, PartitionStore},
};
use weir_model::{GroupId, Offset, PartitionId};
use weir_raft::{Handle, Lifetime};

pub(crate) use self::hold::{Held, Question};
pub(crate) use self::{
    body_cache::{BodyCache, OpenBodies},
    checkpoint::{ShardBody, ShardPlan},
    command::{NO_QUEUE_YET, ShardCommand},
    groups::place,
    shares::Look,
    sweep::Sweep,
};
use self::{era::Era, hold::Holding, pump::Pump, sharing::Sharing};
use crate::{
    bodies::{Chunks, HeldChunks},
    checkpointer::CheckpointState,
    group::{
        ConsumerCoordinator, Coordinator, GroupConfig, GroupTable, OffsetTable, ShareCoordinator,
    },
    machine::Machine,
    mailbox::Reply,
    metadata_host::MetadataView,
    node::Node,
    producer::ProducerTable,
    queue::Queue,
    registry::{PartitionRegistry, ViewRegistry},
    seeded::Seeded,
    share::ShareTable,
    transaction::{
        PendingOffsets, TransactionTable, TransactionView, conversations::Conversations,
    },
};

/// What a shard needs from its node.
#[derive(Clone)]
pub(crate) struct ShardEnv {
    pub(crate) store: Arc<PartitionStore>,
    pub(crate) registry: Arc<PartitionRegistry>,
    /// Where the partitions' transactions stand.
    pub(crate) views: Arc<ViewRegistry>,
    pub(crate) checkpoints: Arc<CheckpointState>,
    pub(crate) topology: Arc<MetadataView>,
    /// Of the worker that runs the shard.
    pub(crate) handle: Handle<Machine>,
    /// Set once the node is put together, before any group runs.
    pub(crate) node: Arc<OnceLock<Weak<Node>>>,
    /// Whether the shard's state outlives the node's run.
    pub(crate) lifetime: Lifetime,
    pub(crate) seeded: Seeded,
}

/// One partition's replicated state: the log, and who produced to it.
struct Partition {
    log: Arc<PartitionLog>,
    /// First offset as of what is applied: that of the log is ahead of it where a checkpoint's files
    /// were trimmed after the checkpoint's state was taken.
    start: Offset,
    producers: ProducerTable,
    /// Where its transactions stand, once it has had one.
    view: Option<Arc<TransactionView>>,
    /// What a queue makes of it, where it is one.
    queue: Option<Box<Queue>>,
    /// Bodies of the group that its log refers to.
    held: HeldChunks,
}

/// The state machine of one shard, with the coordinator of its consumer groups beside it.
pub(crate) struct Shard {
    id: GroupId,
    env: ShardEnv,
    era: Era,
    partitions: BTreeMap<PartitionId, Partition>,
    /// Bodies that are stored once for all queues, and which are referred to.
    bodies: Chunks,
    groups: GroupTable,
    offsets: OffsetTable,
    config: GroupConfig,
    /// What share groups have of partitions.
    shares: ShareTable,
    /// Volatile, the leader's own.
    sharing: Sharing,
    /// Offsets of transactions that are open.
    pending: PendingOffsets,
    /// Transactional ids that this shard coordinates.
    transactions: TransactionTable,
    /// Of ends of transactions; of offsets that they bring. Clients may use a connection for each.
    /// Volatile, kept while others lead: what is late then is late afterwards.
    conversations: [Conversations; 2],
    /// Volatile, the leader's own.
    holding: Holding,
    /// Whether this node leads. Volatile.
    leads: bool,
    /// Overdue transactions are not looked at again before. Volatile.
    overdue_at: Millis,
    /// Transactions whose partitions are being told of their end. Volatile, the leader's own.
    ending: BTreeSet<String>,
    /// Dead bodies are not looked for again before. Volatile.
    sweep_bodies_at: Millis,
    /// Volatile, the leader's own.
    pub(crate) coordinator: Coordinator<Reply>,
    /// Volatile, the leader's own.
    consumers: ConsumerCoordinator<Reply>,
    /// Volatile, the leader's own.
    share_groups: ShareCoordinator<Reply>,
    /// Volatile, the leader's own.
    sweep: Sweep,
    /// Messages on their way to sessions. Volatile, the leader's own.
    pump: Pump,
}
