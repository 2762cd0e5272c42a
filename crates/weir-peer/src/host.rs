//! Who is served by the transport.

use std::sync::Arc;

use bytes::Bytes;
use weir_broker::{
    Node,
    peer::{Answer, PeerMessages},
};
use weir_model::NodeId;

/// A node as its transport sees it. All but [`take_call`](Self::take_call) must not block.
pub trait PeerHost: Send + Sync + 'static {
    /// Messages from other nodes' groups; those of one peer come in the order they were sent.
    fn take_messages(&self, messages: PeerMessages);

    /// A call. `from` is 0 where the caller is no member of the cluster. Called on a thread that
    /// may wait for the disk; several at a time.
    fn take_call(&self, from: NodeId, request: Bytes, answer: Answer);

    /// A peer was lost, or is back. Called on changes only, one at a time for each peer. A peer
    /// that was started anew without being missed is lost and back.
    fn peer_changed(&self, node: NodeId, is_up: bool);

    /// The connection for messages to a peer was made, or has ended by no doing of this node's:
    /// the peer may be gone, which is known a little later.
    fn link_changed(&self, node: NodeId, is_open: bool);

    /// What all peers are told, every [`BEACON_INTERVAL_MS`](crate::limits::BEACON_INTERVAL_MS).
    fn beacon(&self) -> Bytes;

    /// A peer's beacon.
    fn take_beacon(&self, from: NodeId, beacon: &Bytes);
}

impl PeerHost for Arc<Node> {
    fn take_messages(&self, messages: PeerMessages) {
        Node::take_messages(self, messages);
    }

    fn take_call(&self, from: NodeId, request: Bytes, answer: Answer) {
        Node::take_call(self, from, request, answer);
    }

    fn peer_changed(&self, node: NodeId, is_up: bool) {
        Node::peer_changed(self, node, is_up);
    }

    fn link_changed(&self, node: NodeId, is_open: bool) {
        Node::link_changed(self, node, is_open);
    }

    fn beacon(&self) -> Bytes {
        Node::beacon(self)
    }

    fn take_beacon(&self, from: NodeId, beacon: &Bytes) {
        Node::take_beacon(self, from, beacon);
    }
}
