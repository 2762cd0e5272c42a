//! A node put together from what its disk holds, and run: on threads, or step by step.

mod found;
mod observer;
mod open;
mod running;
#[cfg(feature = "seeded-bugs")]
mod seeded;

use std::sync::Arc;

use weir_log::{
    CheckpointError, FlushError,
    wal::{GroupCommit, RecoveryError, SpareMaker, Wal},
};
use weir_model::{GroupId, NodeId};
use weir_raft::{FoundError, Moment, Worker, WorkerFailed};

pub use self::{
    observer::Observer,
    running::{OnFailure, Running},
};
use crate::{
    catch_up::CatchUp,
    checkpointer::{CheckpointFailed, CheckpointState, Checkpointer},
    identity::IdentityError,
    machine::Machine,
    node::Node,
    steward::Steward,
};

/// Why a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The write-ahead log cannot be read.
    #[error(transparent)]
    Wal(#[from] RecoveryError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The node belongs to a cluster, but its write-ahead log is gone.
    #[error("this node belongs to a cluster, but has no write-ahead log")]
    WalGone,
    /// Who the node is cannot be read or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The disk belongs to no node: a cluster must be founded or joined first.
    #[error("the data directory belongs to no cluster yet")]
    NoCluster,
    /// The disk belongs to a node already.
    #[error("the data directory belongs to node {node} of a cluster already")]
    HasCluster {
        /// The node.
        node: NodeId,
    },
    /// A checkpoint's content is damaged, though its checksum is right.
    #[error("group {group}: checkpoint cannot be taken up: {reason}")]
    State {
        /// The group.
        group: GroupId,
        /// What is wrong.
        reason: String,
    },
    /// The log and the checkpoint do not fit.
    #[error(transparent)]
    Group(#[from] FoundError),
    /// The disk has a group that the configuration does not.
    #[error("the data has group {group}, the configuration has {shard_count} shards")]
    SurplusGroup {
        /// The group.
        group: GroupId,
        /// Configured shards.
        shard_count: u32,
    },
    /// Left-over files could not be removed.
    #[error("left-over partitions cannot be removed: {0}")]
    Leftover(#[source] std::io::Error),
    /// A setting is out of its range.
    #[error("{what} is out of range")]
    Config {
        /// Which setting.
        what: &'static str,
    },
}

/// Why a node cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeFailed {
    /// A worker failed, by the disk or by a command it cannot apply.
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
    /// Checkpoints failed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointFailed),
    /// What was brought from another node could not be stored.
    #[error(transparent)]
    CatchUp(#[from] FlushError),
    /// A thread panicked: an invariant is broken.
    #[error("thread {thread} panicked")]
    Panicked {
        /// The thread's name.
        thread: &'static str,
    },
    /// Files for the write-ahead log cannot be made.
    #[error("files for the write-ahead log cannot be made: {0}")]
    Spares(#[from] std::io::Error),
}

/// A node that is open and not running.
pub struct Engine {
    node: Arc<Node>,
    wal: Wal,
    queue: Arc<GroupCommit>,
    spares: SpareMaker,
    workers: Vec<Worker<Machine>>,
    checkpointer: Checkpointer,
    pub(crate) steward: Steward,
    checkpoint_state: Arc<CheckpointState>,
    pub(crate) catch_up: CatchUp,
}

impl Engine {
    /// The node's API. Requests are answered while the engine runs.
    pub fn node(&self) -> Arc<Node> {
        Arc::clone(&self.node)
    }

    /// Looks at the node for people.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.node), Arc::clone(&self.queue))
    }

    /// One round of everything, on this thread. `true`: something was done, another round may
    /// find more.
    pub fn step(&mut self) -> Result<bool, NodeFailed> {
        let mut has_worked = self.step_groups()?;
        has_worked |= self.catch_up.turn()?;
        self.steward.turn();
        self.node.sync_identity();
        self.node.purgatory.expire(self.node.elapsed());
        Ok(has_worked || self.node.handles.iter().any(weir_raft::Handle::has_input))
    }

    /// Groups, their log and their checkpoints.
    pub(crate) fn step_groups(&mut self) -> Result<bool, NodeFailed> {
        let mut has_worked = false;
        for (worker, handle) in self.workers.iter_mut().zip(&self.node.handles) {
            has_worked |= handle.has_input();
            let turn = worker.turn(Moment::of(&*self.node.clock))?;
            if !turn.messages.is_empty() {
                self.node.peers.send(turn.messages);
            }
        }
        self.spares.prepare()?;
        has_worked |= self.queue.run_once(&mut self.wal);
        self.checkpointer.turn()?;
        Ok(has_worked)
    }

    /// Takes a checkpoint of every group, in the next steps.
    pub fn checkpoint(&mut self) {
        self.checkpointer.force();
    }

    /// Lets go of the node as if its process had ended: what waits is dropped, and with it
    /// whatever holds the node itself.
    pub fn abandon(self) {
        let Self { node, workers, .. } = self;
        drop(workers);
        node.release_waits();
        node.handles.iter().for_each(weir_raft::Handle::discard);
    }

    /// Tells the cluster of this node, through whoever leads it. To be repeated until
    /// [`Node::is_ready`].
    pub fn announce(node: &Arc<Node>) {
        node.announce();
    }
}
