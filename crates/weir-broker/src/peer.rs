//! The other nodes, as this one reaches them: a trait, since sockets are none of the broker's
//! business, and the same node runs in the simulator.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_model::NodeId;
use weir_raft::{NoPeers, PeerMessage};

/// Why a call has no answer. The callee may have acted on it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailed {
    /// The node is unknown or does not answer.
    #[error("the node cannot be reached")]
    Unreachable,
    /// The answer did not come in time.
    #[error("the node did not answer in time")]
    TimedOut,
    /// Too much is under way to that node.
    #[error("too many calls are under way")]
    Overloaded,
}

/// Called once, on any thread, with a call's answer. Must not block.
pub type CallDone = Box<dyn FnOnce(Result<Bytes, CallFailed>) + Send>;

/// Sends the answer of a call that another node made; to be called once. Dropped: no answer.
pub type Answer = Box<dyn FnOnce(Bytes) + Send>;

/// The way to the other nodes of the cluster.
///
/// Messages and calls may be lost, delayed and reordered. What arrives at the other side goes to
/// [`Node::take_messages`](crate::Node::take_messages),
/// [`Node::take_call`](crate::Node::take_call) and
/// [`Node::take_beacon`](crate::Node::take_beacon); whether a node answers at all is told to
/// [`Node::peer_changed`](crate::Node::peer_changed).
pub trait PeerPort: weir_raft::PeerPort {
    /// Who is in the cluster, with the address (`host:port`) of each one's peer port. Called
    /// whenever that changes, this node included; connections to others are not needed any more.
    fn set_addresses(&self, addresses: &BTreeMap<NodeId, String>);

    /// Asks a node. `done` hears the answer, or that there is none. Never blocks.
    fn call(&self, to: NodeId, request: Bytes, done: CallDone);
}

impl PeerPort for NoPeers {
    fn set_addresses(&self, _addresses: &BTreeMap<NodeId, String>) {}

    fn call(&self, _to: NodeId, _request: Bytes, done: CallDone) {
        done(Err(CallFailed::Unreachable));
    }
}

/// Messages from another node, as a transport hands them over.
pub type PeerMessages = Vec<PeerMessage>;
