//! SyncGroup: the leader's assignment comes in, is replicated, and goes out.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    classic::{Group, GroupState, Step},
    config::MAX_ASSIGNMENT_BYTES,
    coordinator::{Action, Coordinator, PersistId, check_group_id},
};
use crate::api::{Sync, Synced};

impl<T> Coordinator<T> {
    /// A member asks for its assignment; the answer comes when the leader's assignment is
    /// replicated.
    pub fn sync(&mut self, now: Millis, sync: Sync, reply: T, out: &mut Vec<Action<T>>) {
        let refused = match check_group_id(&sync.group) {
            Ok(()) if self.group(&sync.group).is_some() => None,
            Ok(()) => Some(ErrorKind::UnknownMember),
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            out.push(Action::AnswerSync(reply, Err(error)));
            return;
        }
        let id = sync.group.clone();
        self.with_group(now, &id, out, |group, step| group.sync(step, sync, reply))
            .expect("the group was just seen");
    }
}

impl<T> Group<T> {
    fn sync(&mut self, step: &mut Step<'_, T>, sync: Sync, reply: T) {
        if let Err(error) = self.check_sync(&sync) {
            step.answer_sync(reply, Err(error));
            return;
        }
        let is_leading = self.is_leader(&sync.member);
        let is_stable = self.state == GroupState::Stable;
        let member = self
            .members
            .get_mut(&sync.member)
            .expect("a checked sync has its member");
        member.owes_sync = false;
        if is_stable {
            member.refresh(step.now);
            let assignment = member.assignment.clone();
            let answer = self.synced(assignment);
            step.answer_sync(reply, Ok(answer));
            return;
        }
        if let Some(earlier) = member.awaiting_sync.replace(reply) {
            step.answer_sync(earlier, Err(ErrorKind::RebalanceInProgress));
        }
        // A second sync of the leader waits for the assignment that the first one brought.
        if is_leading && self.persist.is_none() {
            self.assign(sync.assignments);
            self.emit_record(step);
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ErrorKind> {
        self.check_member(&sync.member, sync.instance.as_deref())?;
        if sync.generation != self.generation {
            return Err(ErrorKind::IllegalGeneration);
        }
        let differs = |said: &Option<String>, is: &str| said.as_deref().is_some_and(|s| s != is);
        let protocol = self.protocol.as_deref().unwrap_or_default();
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, protocol) {
            return Err(ErrorKind::InconsistentGroupProtocol);
        }
        let sizes = sync
            .assignments
            .iter()
            .map(|(_, assignment)| assignment.len());
        if sizes.fold(0, usize::saturating_add) > MAX_ASSIGNMENT_BYTES {
            return Err(ErrorKind::InvalidRequest);
        }
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ErrorKind::UnknownMember),
            GroupState::PreparingRebalance => Err(ErrorKind::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// Whom the leader left out gets nothing; who is no member is ignored.
    fn assign(&mut self, assignments: Vec<(String, Bytes)>) {
        let mut assignments: BTreeMap<String, Bytes> = assignments.into_iter().collect();
        for (id, member) in &mut self.members {
            let assignment = assignments.remove(id).unwrap_or_default();
            member.assignment = Bytes::copy_from_slice(&assignment);
        }
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment,
        }
    }

    pub(super) fn persisted(
        &mut self,
        step: &mut Step<'_, T>,
        persist: PersistId,
        result: Result<(), ErrorKind>,
    ) {
        // A later record replaces an earlier one; a rebalance makes both void.
        if self.persist != Some(persist) {
            return;
        }
        self.persist = None;
        match (self.state, result) {
            (GroupState::CompletingRebalance, Ok(())) => self.hand_out_assignments(step),
            (GroupState::CompletingRebalance, Err(error)) => {
                self.drop_assignments(step, error);
                self.prepare_rebalance(step);
            }
            (GroupState::Stable, Ok(())) => self.answer_replaced(step),
            (GroupState::Stable, Err(error)) => {
                self.refuse_replaced(step, error);
                self.prepare_rebalance(step);
            }
            (GroupState::Empty | GroupState::PreparingRebalance | GroupState::Dead, _) => {}
        }
    }

    fn hand_out_assignments(&mut self, step: &mut Step<'_, T>) {
        self.state = GroupState::Stable;
        let answer = self.synced(Bytes::new());
        for member in self.members.values_mut() {
            member.refresh(step.now);
            if let Some(reply) = member.awaiting_sync.take() {
                let assignment = member.assignment.clone();
                step.answer_sync(
                    reply,
                    Ok(Synced {
                        assignment,
                        ..answer.clone()
                    }),
                );
            }
        }
    }

    /// Static members that came back under a new id go on in the generation. One that was told it
    /// leads would assign again, unless it knows that it can skip that.
    fn answer_replaced(&mut self, step: &mut Step<'_, T>) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let mut answer = self.joined(&id);
            let member = self.members.get_mut(&id).expect("the id was just listed");
            if answer.leader == id && member.can_skip_assignment {
                answer.skip_assignment = true;
            } else if answer.leader == id {
                answer.leader = String::new();
                answer.members = Vec::new();
            }
            if let Some(reply) = member.awaiting_join.take() {
                member.refresh(step.now);
                step.answer_join(reply, Ok(answer));
            }
        }
    }

    fn refuse_replaced(&mut self, step: &mut Step<'_, T>, error: ErrorKind) {
        for (id, member) in &mut self.members {
            if let Some(reply) = member.awaiting_join.take() {
                member.refresh(step.now);
                step.refuse_join(reply, error, id);
            }
        }
    }
}
