//! What anyone may know of a group without asking its worker.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_model::{NodeId, Term};

/// A group's state as of its worker's last turn. Fields are read one by one: they may be of
/// different turns.
#[derive(Debug, Default)]
pub struct GroupStatus {
    term: AtomicU64,
    leader: AtomicU64,
    applied: AtomicU64,
}

impl GroupStatus {
    /// The current term.
    pub fn term(&self) -> Term {
        Term(self.term.load(Ordering::Acquire))
    }

    /// The node that leads, where one is known.
    pub fn leader(&self) -> Option<NodeId> {
        match self.leader.load(Ordering::Acquire) {
            raft::INVALID_ID => None,
            node => Some(NodeId(node)),
        }
    }

    /// Index of the last entry applied on this node.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    pub(crate) fn publish(&self, term: u64, leader: u64, applied: u64) {
        self.term.store(term, Ordering::Release);
        self.leader.store(leader, Ordering::Release);
        self.applied.store(applied, Ordering::Release);
    }
}
