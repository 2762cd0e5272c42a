//! A network in memory, and time that is moved by hand.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use weir_broker::{
    Node,
    peer::{CallDone, CallFailed, PeerMessages, PeerPort},
};
use weir_log::{Clock, Millis};
use weir_model::NodeId;

/// Time since the start, in ms.
#[derive(Default)]
pub(crate) struct HandClock {
    passed_ms: AtomicU64,
    /// How far the wall clock is ahead of that.
    ahead_ms: AtomicU64,
}

impl HandClock {
    pub(crate) fn pass(&self, ms: u64) {
        self.passed_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn set_ahead(&self, ms: u64) {
        self.ahead_ms.store(ms, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Millis {
        let ahead_ms = self.ahead_ms.load(Ordering::Relaxed);
        let passed_ms = self.passed_ms.load(Ordering::Relaxed);
        Millis(1_700_000_000_000).plus(passed_ms).plus(ahead_ms)
    }

    fn monotonic_ns(&self) -> u64 {
        self.passed_ms.load(Ordering::Relaxed) * 1_000_000
    }
}

enum Packet {
    Messages(NodeId, PeerMessages),
    Call(NodeId, NodeId, Bytes, CallDone),
}

/// What is under way.
#[derive(Default)]
pub(crate) struct Mesh {
    packets: Mutex<VecDeque<Packet>>,
}

/// One node's end.
pub(crate) struct End {
    pub(crate) node: NodeId,
    pub(crate) mesh: Arc<Mesh>,
}

impl weir_raft::PeerPort for End {
    fn send(&self, messages: PeerMessages) {
        let mut by_node: BTreeMap<NodeId, PeerMessages> = BTreeMap::new();
        for message in messages {
            by_node.entry(message.to).or_default().push(message);
        }
        let packets = by_node
            .into_iter()
            .map(|(to, all)| Packet::Messages(to, all));
        self.mesh.packets.lock().unwrap().extend(packets);
    }
}

impl PeerPort for End {
    fn set_addresses(&self, _addresses: &BTreeMap<NodeId, String>) {}

    fn call(&self, to: NodeId, request: Bytes, done: CallDone) {
        let call = Packet::Call(self.node, to, request, done);
        self.mesh.packets.lock().unwrap().push_back(call);
    }
}

/// Hears an answer, or that there was none.
struct Waiting(Option<CallDone>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(CallFailed::TimedOut));
        }
    }
}

impl Mesh {
    /// Brings everything to the nodes that are up. `true`: there was something.
    pub(crate) fn deliver(
        &self,
        nodes: &BTreeMap<NodeId, Arc<Node>>,
        up: &BTreeSet<NodeId>,
    ) -> bool {
        let packets = std::mem::take(&mut *self.packets.lock().unwrap());
        let had_any = !packets.is_empty();
        let reached = |node: &NodeId| nodes.get(node).filter(|_| up.contains(node));
        for packet in packets {
            match packet {
                Packet::Messages(to, messages) => {
                    if let Some(node) = reached(&to) {
                        node.take_messages(messages);
                    }
                }
                Packet::Call(from, to, request, done) => match reached(&to) {
                    Some(node) => {
                        let mut waiting = Waiting(Some(done));
                        let answer = Box::new(move |answer| {
                            if let Some(done) = waiting.0.take() {
                                done(Ok(answer));
                            }
                        });
                        node.take_call(from, request, answer);
                    }
                    None => done(Err(CallFailed::Unreachable)),
                },
            }
        }
        had_any
    }
}
