//! Who takes part in a group, and who leads it.

use protobuf::Message as _;
use raft::{
    Changer, INVALID_ID, StateRole,
    eraftpb::{ConfChangeV2, Entry},
};
use weir_model::NodeId;

use super::{Answer, Group};
use crate::{ApplyError, MemberChange, Members, NotCommitted, StateMachine, conf};

impl<S: StateMachine> Group<S> {
    /// Hands leadership over to a voter that answers; otherwise does nothing. raft-rs gives up
    /// after an election timeout.
    pub(crate) fn transfer_leadership(&mut self, to: NodeId) {
        let can_lead = self.members.voters.contains(&to) && !self.liveness.is_down(to);
        if can_lead && self.raw.raft.state == StateRole::Leader {
            self.wake();
            self.raw.transfer_leader(to.0);
        }
    }

    /// Proposes a joint change of who takes part; the group leaves the joint configuration by
    /// itself. One change at a time.
    pub(crate) fn change_members(&mut self, changes: &[MemberChange], done: Answer) {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return done(Err(NotCommitted::NotLeader));
        }
        if self.member_change.is_some() || self.members.is_joint() || raft.has_pending_conf() {
            return done(Err(NotCommitted::ChangeInProgress));
        }
        let change = conf::to_conf_change(changes);
        if changes.is_empty() || !self.is_possible(&change) {
            return done(Err(NotCommitted::ImpossibleChange));
        }
        self.wake();
        self.propose_bundle();
        if self.raw.propose_conf_change(Vec::new(), change).is_err() {
            return done(Err(NotCommitted::NotLeader));
        }
        let raft = &self.raw.raft;
        let at = (raft.raft_log.last_index(), raft.term);
        if raft.pending_conf_index != at.0 {
            // raft-rs put an empty entry in its place.
            return done(Err(NotCommitted::ChangeInProgress));
        }
        self.member_change = Some((at.0, at.1, done));
    }

    /// A change that raft-rs refuses once it is committed would stop every replica.
    fn is_possible(&self, change: &ConfChangeV2) -> bool {
        let mut changer = Changer::new(self.raw.raft.prs());
        let changed = match change.enter_joint() {
            Some(auto_leave) => changer.enter_joint(auto_leave, &change.changes),
            None => changer.simple(&change.changes),
        };
        let within = |members: Members| members.is_sound();
        changed.is_ok_and(|(config, _)| within(Members::from_conf_state(&config.to_conf_state())))
    }

    pub(super) fn answer_member_change(&mut self, at: (u64, u64)) {
        if let Some((index, term, done)) = self.member_change.take_if(|change| change.0 <= at.0) {
            let ours = (index, term) == at;
            done(if ours {
                Ok(())
            } else {
                Err(NotCommitted::LeadershipLost)
            });
        }
    }

    pub(super) fn apply_members(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        let damaged = |reason: String| ApplyError {
            group: self.id,
            index: entry.index,
            reason,
        };
        let mut change = ConfChangeV2::default();
        change
            .merge_from_bytes(&entry.data)
            .map_err(|error| damaged(error.to_string()))?;
        let conf_state = self.raw.apply_conf_change(&change);
        let conf_state = conf_state.map_err(|error| damaged(error.to_string()))?;
        self.members = Members::from_conf_state(&conf_state);
        self.conf_index = entry.index;
        self.wake();
        Ok(())
    }

    /// A leader that votes no more, and has told so, lets another take over at once.
    pub(super) fn step_down_where_removed(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Leader || raft.promotable() {
            return;
        }
        let up = |node: &&NodeId| !self.liveness.is_down(**node);
        let matched = |node: &&NodeId| raft.prs().get(node.0).map_or(0, |peer| peer.matched);
        let heir = self.members.voters.iter().filter(up).max_by_key(matched);
        if let Some(heir) = heir.map(|node| node.0) {
            raft.send_timeout_now(heir);
        }
        let term = raft.term;
        raft.become_follower(term, INVALID_ID);
    }
}
