//! A replica that is far behind: it takes over a checkpoint instead of entries.
//!
//! The leader offers its last durable checkpoint. The receiving node brings what the checkpoint
//! names (segments), makes its own copy durable, and only then does its replica go on from there.

use bytes::Bytes;
use weir_model::{GroupId, NodeId, Term};

use crate::Members;

/// A durable checkpoint of a group on this node.
#[derive(Clone, Debug)]
pub struct GroupCheckpoint {
    /// Index of the last entry in it.
    pub index: u64,
    /// That entry's term.
    pub term: Term,
    /// Who took part in the group at that index.
    pub members: Members,
    /// The machine's state.
    pub body: Bytes,
}

/// A leader's checkpoint, offered to this node.
#[derive(Clone, Debug)]
pub struct SnapshotOffer {
    /// The leader.
    pub from: NodeId,
    /// The group.
    pub group: GroupId,
    /// Index of the last entry in the checkpoint.
    pub index: u64,
    /// That entry's term.
    pub term: Term,
    /// Who took part in the group at that index.
    pub members: Members,
    /// The machine's state as the leader's checkpoint has it.
    pub body: Bytes,
    /// The term in which it was offered.
    pub(crate) offered_in: Term,
}

impl SnapshotOffer {
    /// An offer that no leader made, to try out what takes offers up.
    #[doc(hidden)]
    pub fn made_up(from: NodeId, group: GroupId, checkpoint: GroupCheckpoint) -> Self {
        Self {
            from,
            group,
            index: checkpoint.index,
            term: checkpoint.term,
            members: checkpoint.members,
            body: checkpoint.body,
            offered_in: checkpoint.term,
        }
    }
}

/// Takes offers up. The answer is [`Input::CaughtUp`](crate::Input::CaughtUp).
pub trait SnapshotPort: Send + Sync + 'static {
    /// The leader of a group offers a checkpoint. Called on the worker's thread; must not block.
    /// An offer for a group whose earlier offer is still being taken up is dropped.
    fn offered(&self, offer: SnapshotOffer);
}

/// A node that takes no offers up: it has no peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSnapshots;

impl SnapshotPort for NoSnapshots {
    fn offered(&self, _offer: SnapshotOffer) {}
}
