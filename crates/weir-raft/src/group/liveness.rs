//! Which nodes answer, and what follows: groups that sleep while nothing happens, and a leader
//! that is replaced as soon as its node is lost.

use std::collections::{BTreeMap, BTreeSet};

use raft::{
    INVALID_ID, ProgressState, SnapshotStatus, StateRole,
    eraftpb::{Message, MessageType},
};
use weir_model::NodeId;

use super::{Group, Output, open::ELECTION_TICKS};
use crate::{
    StateMachine,
    peer::{PeerBody, PeerMessage},
};

/// Ticks without anything to do before a leader stops its clock.
const SLEEP_AFTER_TICKS: u32 = 10;
/// Rounds in which the voters campaign one after the other for a lost leader's place, before the
/// usual timeouts apply.
const SUCCESSION_ROUNDS_COUNT: u64 = 5;

#[derive(Default)]
pub(super) struct Liveness {
    pub(super) asleep: bool,
    pub(super) tick: u64,
    quiet_ticks: u32,
    /// The log's end as of the last tick.
    quiet_at: u64,
    down: BTreeSet<NodeId>,
    /// The tick at which a leader last heard of a peer.
    heard: BTreeMap<u64, u64>,
    succession: Option<Succession>,
}

/// A voter's place in the row of those who campaign for a lost leader's place.
#[derive(Clone, Copy)]
struct Succession {
    rank: u64,
    period: u64,
    tick: u64,
}

impl Liveness {
    pub(super) fn is_down(&self, node: NodeId) -> bool {
        self.down.contains(&node)
    }

    /// Whether a leader has heard of the peer within an election timeout.
    pub(super) fn is_active(&self, node: NodeId) -> bool {
        let heard = self.heard.get(&node.0);
        !self.is_down(node)
            && heard.is_some_and(|at| self.tick.saturating_sub(*at) <= ELECTION_TICKS as u64)
    }
}

impl<S: StateMachine> Group<S> {
    /// Whether time must pass for this group: a lone leader has nobody to send heartbeats to, a
    /// vacant replica nobody to miss.
    pub(crate) fn needs_ticks(&self) -> bool {
        let is_lone_leader = self.is_alone() && self.raw.raft.state == StateRole::Leader;
        !self.liveness.asleep && !self.is_vacant() && self.may_vote() && !is_lone_leader
    }

    pub(super) fn is_vacant(&self) -> bool {
        !self.members.names(self.node())
    }

    pub(crate) fn tick(&mut self) {
        self.liveness.tick += 1;
        if self.raw.raft.state == StateRole::Leader || self.may_win_at_once() {
            self.raw.tick();
        }
        if self.raw.raft.state == StateRole::Leader {
            self.retry_offers(self.liveness.tick);
            self.count_quiet_tick();
        } else {
            self.campaign_in_turn();
        }
    }

    /// Something is to be done: the clock runs again, here and at those who follow.
    pub(super) fn wake(&mut self) {
        self.liveness.quiet_ticks = 0;
        if std::mem::take(&mut self.liveness.asleep) {
            // Does nothing where this node does not lead.
            self.raw.ping();
        }
    }

    pub(super) fn hear(&mut self, message: &Message) {
        let kind = message.get_msg_type();
        if kind != MessageType::MsgHeartbeatResponse {
            self.wake();
        }
        let raft = &self.raw.raft;
        if raft.state == StateRole::Leader && message.term == raft.term {
            let tick = self.liveness.tick;
            self.liveness.heard.insert(message.from, tick);
        }
        let campaigns = matches!(
            kind,
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
        );
        // A node that campaigns beyond the term it led leads no more.
        if campaigns && message.from == raft.leader_id && message.term > raft.term {
            self.forget_leader();
        }
    }

    fn forget_leader(&mut self) {
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, INVALID_ID);
    }

    fn count_quiet_tick(&mut self) {
        let last = self.raw.raft.raft_log.last_index();
        if self.is_quiet() && self.liveness.quiet_at == last {
            self.liveness.quiet_ticks += 1;
        } else {
            self.liveness.quiet_ticks = 0;
        }
        self.liveness.quiet_at = last;
    }

    /// Whether everyone has everything, and nobody waits for anything.
    fn is_quiet(&self) -> bool {
        let raft = &self.raw.raft;
        let last = raft.raft_log.last_index();
        let has_all = |(id, peer): (&u64, &raft::Progress)| {
            *id == raft.id
                || (peer.matched == last
                    && peer.state != ProgressState::Snapshot
                    && !self.liveness.is_down(NodeId(*id)))
        };
        self.leads
            && self.is_settled()
            && self.barriers.is_empty()
            && self.member_change.is_none()
            && raft.lead_transferee.is_none()
            && !self.members.is_joint()
            && raft.raft_log.committed == last
            && self.applied.0 == last
            && raft.prs().iter().all(has_all)
    }

    /// Stops the clock of a leader that was quiet for long enough.
    pub(super) fn fall_asleep(&mut self, out: &mut Output) {
        let is_due = self.liveness.quiet_ticks >= SLEEP_AFTER_TICKS;
        if self.liveness.asleep || !is_due || !self.is_quiet() {
            return;
        }
        self.liveness.asleep = true;
        let raft = &self.raw.raft;
        let (term, commit) = (raft.term, raft.raft_log.committed);
        let peers: BTreeSet<u64> = raft.prs().iter().map(|(id, _)| *id).collect();
        let others = peers.into_iter().filter(|id| *id != raft.id);
        out.messages.extend(others.map(|to| PeerMessage {
            from: NodeId(raft.id),
            to: NodeId(to),
            group: self.id,
            body: PeerBody::Sleep { term, commit },
        }));
    }

    /// The leader stops its clock; so does a replica that has everything.
    pub(super) fn follow_to_sleep(&mut self, from: NodeId, term: u64, commit: u64) {
        let raft = &self.raw.raft;
        let follows = raft.state == StateRole::Follower
            && (raft.leader_id, raft.term) == (from.0, term)
            && !self.liveness.is_down(from);
        let has_all = raft.raft_log.last_index() == commit
            && raft.raft_log.committed == commit
            && self.applied.0 == commit
            && self.persisted == self.submitted;
        self.liveness.asleep |= follows && has_all;
    }

    /// A node was lost, or is back.
    pub(crate) fn peer_changed(&mut self, node: NodeId, is_up: bool) {
        if is_up {
            self.liveness.down.remove(&node);
        } else {
            self.liveness.down.insert(node);
        }
        if node == self.node() || !self.members.names(node) {
            return;
        }
        if self.raw.raft.state == StateRole::Leader {
            self.wake();
            if !is_up {
                self.raw.report_unreachable(node.0);
                self.raw.report_snapshot(node.0, SnapshotStatus::Failure);
            }
        } else if !is_up && self.raw.raft.leader_id == node.0 {
            self.wake();
            self.forget_leader();
            self.liveness.succession = self.place_in_succession();
            self.campaign_in_turn();
        }
    }

    fn place_in_succession(&self) -> Option<Succession> {
        let voters = self
            .members
            .voters
            .iter()
            .chain(&self.members.voters_outgoing);
        let up = voters.filter(|node| !self.liveness.is_down(**node));
        let up: BTreeSet<NodeId> = up.copied().collect();
        let count = up.len() as u64;
        let place = up.iter().position(|node| *node == self.node())? as u64;
        let first = u64::from(self.id.0) % count;
        Some(Succession {
            rank: (place + count - first) % count,
            // One more than there are candidates: time for the last one's votes.
            period: count + 1,
            tick: 0,
        })
    }

    fn campaign_in_turn(&mut self) {
        let raft = &self.raw.raft;
        let is_over = raft.leader_id != INVALID_ID || !raft.promotable() || !self.may_vote();
        let may_campaign = self.may_win_at_once();
        let Some(succession) = &mut self.liveness.succession else {
            return;
        };
        let place = *succession;
        succession.tick += 1;
        if is_over || place.tick >= place.period * SUCCESSION_ROUNDS_COUNT {
            self.liveness.succession = None;
        } else if place.tick % place.period == place.rank && may_campaign {
            // Refused only where this node may not campaign.
            drop(self.raw.campaign());
        }
    }
}
