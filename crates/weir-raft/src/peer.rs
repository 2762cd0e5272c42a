//! What goes from a group on one node to the same group on another.

use raft::eraftpb::Message;
use weir_model::{GroupId, NodeId};

use crate::{Input, StateMachine};

/// A message between two replicas of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerMessage {
    /// The node that sends it.
    pub from: NodeId,
    /// The node it goes to.
    pub to: NodeId,
    /// The group.
    pub group: GroupId,
    pub(crate) body: PeerBody,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PeerBody {
    /// raft-rs's own words.
    Raft(Box<Message>),
    /// The leader of `term` stops its clock: everything up to `commit`, the last entry, is
    /// committed on all. The follower may stop its clock as well.
    Sleep { term: u64, commit: u64 },
}

impl PeerMessage {
    /// What the receiving node's worker is told.
    pub fn into_input<S: StateMachine>(self) -> Input<S> {
        Input::Step(self)
    }
}

/// The way to other nodes. Messages may be lost, repeated, delayed and reordered.
pub trait PeerPort: Send + Sync + 'static {
    /// Sends what one turn left for the peers. Never blocks: what has no room is dropped.
    fn send(&self, messages: Vec<PeerMessage>);
}

/// Peers of a node that has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl PeerPort for NoPeers {
    fn send(&self, _messages: Vec<PeerMessage>) {}
}
