//! The production node's way to the others: what it sends is kept until its turn is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use weir_broker::peer::{CallDone, PeerMessages, PeerPort};
use weir_model::NodeId;

/// What a node wants sent.
pub(super) enum Sent {
    Messages(PeerMessages),
    Addresses(BTreeMap<NodeId, String>),
    Call {
        to: NodeId,
        request: Bytes,
        done: CallDone,
    },
    Answer {
        caller: Caller,
        answer: Bytes,
    },
}

/// Who waits for a call's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) machine: usize,
    /// The caller's process: another one does not know the call.
    pub(super) life: u64,
    pub(super) call: u64,
}

/// One process's port. Clones share what was sent.
#[derive(Clone, Default)]
pub(super) struct Port(Arc<Mutex<Vec<Sent>>>);

impl Port {
    pub(super) fn push(&self, sent: Sent) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(sent);
    }

    pub(super) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends the answer of `caller`'s call.
    pub(super) fn answer_to(&self, caller: Caller) -> weir_broker::peer::Answer {
        let port = self.clone();
        Box::new(move |answer| port.push(Sent::Answer { caller, answer }))
    }
}

impl weir_raft::PeerPort for Port {
    fn send(&self, messages: PeerMessages) {
        self.push(Sent::Messages(messages));
    }
}

impl PeerPort for Port {
    fn set_addresses(&self, addresses: &BTreeMap<NodeId, String>) {
        self.push(Sent::Addresses(addresses.clone()));
    }

    fn call(&self, to: NodeId, request: Bytes, done: CallDone) {
        self.push(Sent::Call { to, request, done });
    }
}
