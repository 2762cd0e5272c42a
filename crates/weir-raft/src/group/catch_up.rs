//! Checkpoints instead of entries: offered to replicas that are far behind, taken over here, and
//! given up with everything else.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft::{
    ProgressState, SnapshotStatus, StateRole,
    eraftpb::{HardState, Message, MessageType},
};
use weir_log::wal::WalRecord;
use weir_model::{NodeId, Term};

use super::{Group, Output, open};
use crate::{
    ApplyError, GroupCheckpoint, Lifetime, Members, NotCommitted, SnapshotOffer, StateMachine,
    convert, group_log::GroupLog,
};

/// Ticks before a checkpoint is offered again to a replica that did not answer.
const SNAPSHOT_RETRY_TICKS: u64 = 20;
/// Most bytes of entries below its checkpoint that a leader keeps for replicas that are behind.
const MAX_RETAINED_BYTES: u64 = 16 << 20;
/// As [`MAX_RETAINED_BYTES`], for a replica that may have to lead.
const MAX_FOLLOWER_RETAINED_BYTES: u64 = 1 << 20;

pub(super) type Retired = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct CatchUp {
    /// The checkpoint that this node is taking up.
    offered_here: Option<OfferedHere>,
    /// What was offered to others.
    offered: BTreeMap<u64, Offered>,
    /// Called once the write of this number is on stable storage.
    retired: Vec<(u64, Retired)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct OfferedHere {
    index: u64,
    term: u64,
    /// The term of the leader that made the offer.
    offered_in: u64,
}

#[derive(Clone, Copy)]
struct Offered {
    /// The earliest checkpoint that the replica may be taking up.
    index: u64,
    since_tick: u64,
}

impl<S: StateMachine> Group<S> {
    /// A leader's checkpoint: raft-rs does not see it, since it would take it over at once.
    pub(super) fn hear_offer(&mut self, mut message: Message, out: &mut Output) {
        let raft = &mut self.raw.raft;
        if message.term < raft.term
            || (message.term == raft.term && raft.state == StateRole::Leader)
        {
            return;
        }
        raft.become_follower(message.term, message.from);
        let mut snapshot = message.take_snapshot();
        let metadata = snapshot.take_metadata();
        if metadata.index <= raft.raft_log.committed {
            let committed = raft.raft_log.committed;
            return self.answer_offer(message.from, committed);
        }
        let members = Members::from_conf_state(metadata.get_conf_state());
        // Another leader's offer counts: the earlier one may have nobody left to bring it from.
        let held = self.catch_up.offered_here;
        if held.is_some_and(|held| message.term <= held.offered_in) || !members.is_sound() {
            return;
        }
        self.catch_up.offered_here = Some(OfferedHere {
            index: metadata.index,
            term: metadata.term,
            offered_in: message.term,
        });
        out.offers.push(SnapshotOffer {
            from: NodeId(message.from),
            group: self.id,
            index: metadata.index,
            term: Term(metadata.term),
            members,
            body: snapshot.take_data(),
            offered_in: Term(message.term),
        });
    }

    /// Whether a checkpoint is being taken up: the replica stays where it is meanwhile, so that
    /// what is brought fits what is there.
    pub(super) fn is_catching_up(&self) -> bool {
        self.catch_up.offered_here.is_some()
    }

    fn answer_offer(&mut self, to: u64, index: u64) {
        let raft = &mut self.raw.raft;
        let mut answer = Message::default();
        answer.set_msg_type(MessageType::MsgAppendResponse);
        (answer.from, answer.to, answer.term) = (raft.id, to, raft.term);
        (answer.index, answer.commit) = (index, raft.raft_log.committed);
        raft.msgs.push(answer);
    }

    /// The offer was taken up with `body` as this node's own durable checkpoint, or was not.
    pub(crate) fn caught_up(
        &mut self,
        offer: SnapshotOffer,
        body: Option<Bytes>,
        out: &mut Output,
    ) -> Result<(), ApplyError> {
        let ended = OfferedHere {
            index: offer.index,
            term: offer.term.0,
            offered_in: offer.offered_in.0,
        };
        let is_expected = self.is_catching_up();
        self.catch_up.offered_here.take_if(|held| *held == ended);
        let Some(body) = body.filter(|_| is_expected) else {
            return Ok(());
        };
        let is_leader = self.raw.raft.state == StateRole::Leader;
        if offer.index <= self.applied.0 || is_leader {
            return Ok(());
        }
        let (from, offered_in) = (offer.from, offer.offered_in);
        self.take_over(offer, body, out)?;
        if self.raw.raft.term == offered_in.0 {
            self.answer_offer(from.0, ended.index);
        }
        Ok(())
    }

    /// Goes on from a checkpoint. Entries behind it that belong to the same log stay: the leader
    /// may count on them.
    fn take_over(
        &mut self,
        offer: SnapshotOffer,
        body: Bytes,
        out: &mut Output,
    ) -> Result<(), ApplyError> {
        let (group, index) = (self.id, offer.index);
        let damaged = |reason: String| ApplyError {
            group,
            index,
            reason,
        };
        self.machine.restore(body.clone()).map_err(damaged)?;
        self.clock.restore(self.machine.stamp());
        let at = (index, offer.term.0);
        let entries = self.raw.store().entries_after(at.0, at.1);
        let raft = &self.raw.raft;
        let last = index + entries.len() as u64;
        let state = HardState {
            term: raft.term.max(at.1),
            vote: raft.vote,
            commit: raft.raft_log.committed.clamp(index, last),
            ..HardState::default()
        };
        let conf_state = offer.members.to_conf_state();
        let mut log = GroupLog::new(at, state, conf_state, entries);
        log.set_checkpoint(GroupCheckpoint {
            index,
            term: offer.term,
            members: offer.members.clone(),
            body,
        });
        self.restart_from(at, offer.members, log, out)
    }

    /// Forgets everything but term and vote, and how far the log went.
    pub(crate) fn retire(&mut self, done: Retired, out: &mut Output) -> Result<(), ApplyError> {
        let raft = &self.raw.raft;
        let state = HardState {
            term: raft.term,
            vote: raft.vote,
            ..HardState::default()
        };
        self.regains = self.regains.max(raft.raft_log.last_index());
        self.regains_term = self.regains_term.max(raft.raft_log.last_term());
        self.machine.retire();
        self.clock.restore(None);
        self.catch_up.offered_here = None;
        let members = Members::default();
        let log = GroupLog::new((0, 0), state, members.to_conf_state(), Vec::new());
        self.restart_from((0, 0), members, log, out)?;
        self.catch_up.retired.push((self.submitted, done));
        Ok(())
    }

    /// raft-rs begins anew at the log's floor, and so does the write-ahead log.
    fn restart_from(
        &mut self,
        at: (u64, u64),
        members: Members,
        log: GroupLog,
        out: &mut Output,
    ) -> Result<(), ApplyError> {
        let (group, leader) = (self.id, self.raw.raft.leader_id);
        self.settle_in_flight(NotCommitted::LeadershipLost);
        self.config.applied = at.0;
        let raw = open::raw_node(&self.config, log);
        self.raw = raw.map_err(|reason| ApplyError {
            group,
            index: at.0,
            reason,
        })?;
        if leader != self.raw.raft.id {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, leader);
        }
        (self.applied, self.members, self.conf_index) = (at, members, at.0);
        // Acknowledgements of entries that are gone must not leave.
        self.after_persist.clear();
        self.held_campaign = None;
        self.catch_up.offered.clear();
        self.reset_wal(out);
        Ok(())
    }

    /// Tells the write-ahead log where the group's log goes on, and what is in it.
    pub(super) fn reset_wal(&mut self, out: &mut Output) {
        self.reset_due = false;
        let group = self.id;
        out.records.push(WalRecord::Reset {
            group,
            index: self.applied.0,
            term: Term(self.applied.1),
        });
        let entries = self
            .raw
            .store()
            .entries_after(self.applied.0, self.applied.1);
        if !entries.is_empty() {
            let entries = entries.iter().map(convert::to_wal).collect();
            out.records.push(WalRecord::Entries { group, entries });
        }
        self.store_hard_state(self.raw.raft.raft_log.committed, out);
        self.number_base = self.submitted + 1;
        self.submitted = self.number_base;
        self.follow_promise();
        out.readies.push((group, self.submitted));
    }

    pub(super) fn finish_retirements(&mut self) {
        let persisted = self.persisted;
        let (through, waiting) = std::mem::take(&mut self.catch_up.retired)
            .into_iter()
            .partition(|(number, _)| *number <= persisted);
        self.catch_up.retired = waiting;
        let through: Vec<(u64, Retired)> = through;
        through.into_iter().for_each(|(_, done)| done());
    }

    /// Offers again what was not answered. Called once per tick of a leader.
    pub(super) fn retry_offers(&mut self, tick: u64) {
        let mut late = Vec::new();
        for (id, peer) in self.raw.raft.prs().iter() {
            if peer.state != ProgressState::Snapshot {
                if peer.state == ProgressState::Replicate {
                    self.catch_up.offered.remove(id);
                }
                continue;
            }
            let offered = self.catch_up.offered.entry(*id).or_insert(Offered {
                index: peer.pending_snapshot,
                since_tick: tick,
            });
            if tick.saturating_sub(offered.since_tick) >= SNAPSHOT_RETRY_TICKS {
                offered.since_tick = tick;
                late.push(*id);
            }
        }
        late.sort_unstable();
        for id in late {
            self.raw.report_snapshot(id, SnapshotStatus::Failure);
        }
    }

    /// A replica that took up an earlier checkpoint than the last one offered needs no other,
    /// where the log goes on from there.
    pub(super) fn follow_catch_up(&mut self, from: u64) {
        let floor = self.raw.store().floor_index();
        let Some(peer) = self.raw.raft.prs().get(from) else {
            return;
        };
        if peer.state == ProgressState::Snapshot && peer.matched > 0 && peer.matched >= floor {
            self.raw.report_snapshot(from, SnapshotStatus::Failure);
        }
    }

    pub(crate) fn checkpointed(&mut self, checkpoint: GroupCheckpoint) {
        if checkpoint.index > self.applied.0 {
            // Taken before the replica was retired.
            return;
        }
        self.raw.mut_store().set_checkpoint(checkpoint);
        self.compact();
    }

    /// Lets go of entries that no replica within reach needs.
    pub(super) fn compact(&mut self) {
        if self.lifetime == Lifetime::Transient {
            // There is no other replica, and no start that would read them again.
            return self.raw.mut_store().let_go(self.applied.0);
        }
        let end = self.raw.store().checkpoint_index();
        if self.raw.store().floor_index() >= end {
            return;
        }
        let (index, max_bytes) = if self.raw.raft.state == StateRole::Leader {
            (self.needed_index(end), MAX_RETAINED_BYTES)
        } else if self.has_peers() {
            (0, MAX_FOLLOWER_RETAINED_BYTES)
        } else {
            (end, 0)
        };
        self.raw.mut_store().compact(index, max_bytes);
    }

    /// Up to where every replica within reach has the log, or is taking up a checkpoint.
    fn needed_index(&self, end: u64) -> u64 {
        let raft = &self.raw.raft;
        let others = raft.prs().iter().filter(|(id, _)| **id != raft.id);
        let up = others.filter(|(id, _)| !self.liveness.is_down(NodeId(**id)));
        let needed = up.map(|(id, peer)| match self.catch_up.offered.get(id) {
            Some(offered) => offered.index.max(peer.matched),
            None if peer.state == ProgressState::Snapshot => peer.pending_snapshot,
            None => peer.matched,
        });
        needed.min().unwrap_or(end)
    }
}
