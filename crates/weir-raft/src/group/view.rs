//! What a group lets others know of itself.

use std::sync::Arc;

use raft::{INVALID_ID, Progress, ProgressState, StateRole};
use weir_model::{NodeId, Term};

use super::Group;
use crate::{FollowerView, GroupView, StateMachine};

/// Ticks between two views of a group in which only log positions change.
const VIEW_TICKS: u64 = 5;

/// The view that others have.
#[derive(Default)]
pub(super) struct Viewed {
    view: Arc<GroupView>,
    at_tick: u64,
    asleep: bool,
    is_known: bool,
}

impl<S: StateMachine> Group<S> {
    pub(super) fn publish(&mut self) {
        let term = self.raw.raft.term;
        self.status
            .publish(term, self.known_leader(), self.applied.0);
        let persisted = self.raw.raft.raft_log.persisted;
        self.status.publish_persisted(persisted);
        if self.persisted == self.submitted {
            self.status.publish_promise(term, self.raw.raft.vote);
        }
        let tick = self.liveness.tick;
        let is_due = tick >= self.viewed.at_tick + VIEW_TICKS
            || self.viewed.asleep != self.liveness.asleep
            || !self.viewed.is_known
            || !self.is_as_viewed();
        if !is_due {
            return;
        }
        let view = Arc::new(self.view());
        self.status.publish_view(Arc::clone(&view));
        self.viewed = Viewed {
            view,
            at_tick: tick,
            asleep: self.liveness.asleep,
            is_known: true,
        };
    }

    /// The leader, as far as others may act on it: this node leads only once it has applied
    /// everything that earlier leaders committed.
    fn known_leader(&self) -> u64 {
        let raft = &self.raw.raft;
        if raft.leader_id == raft.id && !self.leads {
            INVALID_ID
        } else {
            raft.leader_id
        }
    }

    fn leader(&self) -> Option<NodeId> {
        Some(NodeId(self.known_leader())).filter(|node| node.0 != INVALID_ID)
    }

    /// Whether the last view still holds but for log positions.
    fn is_as_viewed(&self) -> bool {
        let (raft, view) = (&self.raw.raft, &self.viewed.view);
        let same_follower = |seen: &FollowerView| {
            let peer = raft.prs().get(seen.node.0);
            peer.is_some_and(|peer| {
                let sight = self.follower(seen.node, peer);
                (sight.is_active, sight.is_behind) == (seen.is_active, seen.is_behind)
            })
        };
        let followers = if self.is_leader() {
            raft.prs().iter().filter(|(id, _)| **id != raft.id).count()
        } else {
            0
        };
        (view.term, view.leader, view.conf_index)
            == (Term(raft.term), self.leader(), self.conf_index)
            && view.followers.len() == followers
            && view.followers.iter().all(same_follower)
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn view(&self) -> GroupView {
        let raft = &self.raw.raft;
        let mut followers: Vec<FollowerView> = Vec::new();
        if self.is_leader() {
            let others = raft.prs().iter().filter(|(id, _)| **id != raft.id);
            followers.extend(others.map(|(id, peer)| self.follower(NodeId(*id), peer)));
            followers.sort_unstable_by_key(|follower| follower.node);
        }
        GroupView {
            term: Term(raft.term),
            leader: self.leader(),
            conf_index: self.conf_index,
            members: self.members.clone(),
            last_index: raft.raft_log.last_index(),
            followers,
        }
    }

    fn follower(&self, node: NodeId, peer: &Progress) -> FollowerView {
        FollowerView {
            node,
            matched: peer.matched,
            is_active: self.liveness.is_active(node),
            // A replica of which nothing is matched may have nothing at all, however short the log.
            is_behind: peer.state == ProgressState::Snapshot
                || peer.matched == 0
                || peer.matched + 1 < self.raw.raft.raft_log.first_index(),
        }
    }
}
