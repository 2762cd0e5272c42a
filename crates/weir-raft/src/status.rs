//! What anyone may know of a group without asking its worker.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use weir_model::{NodeId, Term};

use crate::Members;

/// A group's state as of its worker's last turn. Fields are read one by one: they may be of
/// different turns.
#[derive(Debug, Default)]
pub struct GroupStatus {
    term: AtomicU64,
    led_term: AtomicU64,
    promised_term: AtomicU64,
    promised_vote: AtomicU64,
    persisted: AtomicU64,
    leader: AtomicU64,
    applied: AtomicU64,
    leader_changes: AtomicU64,
    /// A mutex: locked for a reference, by those who look after the cluster.
    view: Mutex<Arc<GroupView>>,
}

/// A group as one of its replicas sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// The replica's term.
    pub term: Term,
    /// Who leads in that term, where it is known.
    pub leader: Option<NodeId>,
    /// Index of the entry that made `members` what they are; rises with every change.
    pub conf_index: u64,
    /// Who takes part.
    pub members: Members,
    /// Last entry of the replica's log.
    pub last_index: u64,
    /// The others' state, as the leader knows it; empty where this replica does not lead.
    pub followers: Vec<FollowerView>,
}

/// A replica as its group's leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerView {
    /// Where the replica is.
    pub node: NodeId,
    /// Last entry it is known to have.
    pub matched: u64,
    /// Whether it was heard of lately.
    pub is_active: bool,
    /// Whether it is to take over a checkpoint, or may have to: nothing of it is known yet.
    pub is_behind: bool,
}

impl GroupStatus {
    /// The current term.
    pub fn term(&self) -> Term {
        Term(self.term.load(Ordering::Acquire))
    }

    /// The last term in which this replica has heard of a leader. A term beyond it may be one that a
    /// candidate has begun and never wins, of which nobody else may ever hear.
    pub fn led_term(&self) -> Term {
        Term(self.led_term.load(Ordering::Acquire))
    }

    /// The last term that is on this node's disk, and whom it voted for in that.
    pub fn promised(&self) -> (Term, Option<NodeId>) {
        let vote = match self.promised_vote.load(Ordering::Acquire) {
            raft::INVALID_ID => None,
            node => Some(NodeId(node)),
        };
        (Term(self.promised_term.load(Ordering::Acquire)), vote)
    }

    /// Index of the last entry that is on this node's disk.
    pub fn persisted(&self) -> u64 {
        self.persisted.load(Ordering::Acquire)
    }

    /// The node that leads, where one is known.
    pub fn leader(&self) -> Option<NodeId> {
        match self.leader.load(Ordering::Acquire) {
            raft::INVALID_ID => None,
            node => Some(NodeId(node)),
        }
    }

    /// How often this replica heard of another leader than before, since it was opened.
    pub fn leader_changes(&self) -> u64 {
        self.leader_changes.load(Ordering::Relaxed)
    }

    /// Index of the last entry applied on this node.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The group in detail, not older than a few ticks.
    pub fn view(&self) -> Arc<GroupView> {
        Arc::clone(&self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn publish_promise(&self, term: u64, vote: u64) {
        self.promised_term.store(term, Ordering::Release);
        self.promised_vote.store(vote, Ordering::Release);
    }

    pub(crate) fn publish_persisted(&self, index: u64) {
        self.persisted.store(index, Ordering::Release);
    }

    pub(crate) fn publish(&self, term: u64, leader: u64, applied: u64) {
        let is_new = leader != raft::INVALID_ID
            && (self.term.load(Ordering::Relaxed) != term
                || self.leader.load(Ordering::Relaxed) != leader);
        if is_new {
            self.leader_changes.fetch_add(1, Ordering::Relaxed);
        }
        self.term.store(term, Ordering::Release);
        if leader != raft::INVALID_ID {
            self.led_term.store(term, Ordering::Release);
        }
        self.leader.store(leader, Ordering::Release);
        self.applied.store(applied, Ordering::Release);
    }

    pub(crate) fn publish_view(&self, view: Arc<GroupView>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients keep the highest epoch that they were told, and take nobody for the leader who leads
    /// in an earlier one: told of a candidate's term, they had waited for ever where the candidate's
    /// node died before it asked anybody for a vote.
    #[test]
    fn a_term_that_a_candidate_has_begun_is_none_that_anybody_led() {
        let status = GroupStatus::default();
        status.publish(8, 2, 0);
        assert_eq!((status.term(), status.led_term()), (Term(8), Term(8)));
        status.publish(9, raft::INVALID_ID, 0);
        assert_eq!((status.term(), status.led_term()), (Term(9), Term(8)));
        status.publish(10, 3, 0);
        assert_eq!(status.led_term(), Term(10));
    }
}
