//! From members that changed to a new generation, and what happens when nobody comes.

use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    classic::{Group, GroupState, JoinWait, Step},
    coordinator::{Action, PersistId},
};

impl<T> Group<T> {
    /// Begins a rebalance where none is being prepared.
    pub(super) fn prepare_rebalance(&mut self, step: &mut Step<'_, T>) {
        let was_empty = match self.state {
            GroupState::PreparingRebalance | GroupState::Dead => return,
            GroupState::Empty => true,
            GroupState::CompletingRebalance => {
                self.drop_assignments(step, ErrorKind::RebalanceInProgress);
                false
            }
            GroupState::Stable => false,
        };
        self.persist = None;
        self.sync_deadline = None;
        self.state = GroupState::PreparingRebalance;
        let timeout_ms = self.rebalance_timeout_ms();
        let delay_ms = step.config.initial_rebalance_delay_ms;
        let is_delayed = was_empty && delay_ms > 0;
        self.join_wait = Some(JoinWait {
            deadline: step
                .now
                .plus(if is_delayed { delay_ms } else { timeout_ms }),
            initial_remaining_ms: is_delayed.then(|| timeout_ms.saturating_sub(delay_ms)),
            has_newcomer: false,
        });
        self.try_complete_join(step);
    }

    /// Ends the wait for joins where nobody is missing.
    pub(super) fn try_complete_join(&mut self, step: &mut Step<'_, T>) {
        let is_initial = match &self.join_wait {
            Some(wait) => wait.initial_remaining_ms.is_some(),
            None => return,
        };
        let all_joined = self
            .members
            .values()
            .all(|member| member.awaiting_join.is_some());
        if !is_initial && all_joined && self.pending.is_empty() {
            self.complete_join(step);
        }
    }

    /// Ends the wait for joins: a new generation of those who came. Static members may come
    /// later; without anybody who came the wait goes on until their sessions end.
    fn complete_join(&mut self, step: &mut Step<'_, T>) {
        let missing: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_join.is_none() && member.instance.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in missing {
            self.forget_member(step, &id);
        }
        if !self.members.is_empty() && !self.elect_leader_who_came() {
            let deadline = step.now.plus(self.rebalance_timeout_ms());
            self.join_wait = Some(JoinWait {
                deadline,
                initial_remaining_ms: None,
                has_newcomer: false,
            });
            return;
        }
        self.join_wait = None;
        self.generation = self.generation.saturating_add(1);
        self.protocol = self.elected_protocol();
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            self.emit_record(step);
            return;
        }
        self.state = GroupState::CompletingRebalance;
        self.sync_deadline = Some(step.now.plus(self.rebalance_timeout_ms()));
        self.answer_joins(step);
    }

    fn answer_joins(&mut self, step: &mut Step<'_, T>) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined(&id);
            let member = self.members.get_mut(&id).expect("the id was just listed");
            member.is_new = false;
            member.owes_sync = true;
            member.refresh(step.now);
            if let Some(reply) = member.awaiting_join.take() {
                step.answer_join(reply, Ok(answer));
            }
        }
    }

    /// Keeps the leader if it came, else takes the first of those who did.
    fn elect_leader_who_came(&mut self) -> bool {
        let came = self
            .in_order()
            .filter(|(_, member)| member.awaiting_join.is_some());
        let came: Vec<&String> = came.map(|(id, _)| id).collect();
        if came.iter().any(|id| self.is_leader(id)) {
            return true;
        }
        let first = came.first().map(|id| (*id).clone());
        let is_found = first.is_some();
        if is_found {
            self.leader = first;
        }
        is_found
    }

    /// Removes a member and rebalances the others.
    pub(super) fn remove_member(&mut self, step: &mut Step<'_, T>, id: &str) {
        self.forget_member(step, id);
        self.after_departure(step);
    }

    fn after_departure(&mut self, step: &mut Step<'_, T>) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(step),
            GroupState::PreparingRebalance => self.try_complete_join(step),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    /// Takes a member out and tells it so where it waits.
    fn forget_member(&mut self, step: &mut Step<'_, T>, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(reply) = member.awaiting_join {
            step.refuse_join(reply, ErrorKind::UnknownMember, id);
        }
        if let Some(reply) = member.awaiting_sync {
            step.answer_sync(reply, Err(ErrorKind::UnknownMember));
        }
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            let first = self.in_order().next().map(|(id, _)| id.clone());
            self.leader = first;
        }
    }

    /// Forgets an id that was given out and may be what a rebalance waits for.
    pub(super) fn forget_pending(&mut self, step: &mut Step<'_, T>, id: &str) {
        self.pending.remove(id);
        self.try_complete_join(step);
    }

    /// Takes back what was assigned and tells those who wait for it why.
    pub(super) fn drop_assignments(&mut self, step: &mut Step<'_, T>, why: ErrorKind) {
        for member in self.members.values_mut() {
            member.assignment.clear();
            if let Some(reply) = member.awaiting_sync.take() {
                member.refresh(step.now);
                step.answer_sync(reply, Err(why));
            }
        }
    }

    /// Asks for the group's record to be replicated; answers may wait for it.
    pub(super) fn emit_record(&mut self, step: &mut Step<'_, T>) {
        let record = self.record(step.now);
        assert!(
            record.is_sound(),
            "a generation is led and has a protocol while it has members"
        );
        let persist = PersistId(*step.next_persist);
        *step.next_persist += 1;
        self.persist = Some(persist);
        step.out.push(Action::Persist { persist, record });
    }

    /// Does everything that is due.
    pub(super) fn on_time(&mut self, step: &mut Step<'_, T>) {
        let now = step.now;
        let is_due = |at: Millis| at <= now;
        let given_up = self.pending.iter().filter(|(_, at)| is_due(**at));
        for id in given_up.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.forget_pending(step, &id);
        }
        // A member is looked at again when it is its turn: an earlier removal may have answered
        // it, and thereby renewed its session.
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let member = self.members.get(&id);
            if member
                .and_then(|member| member.expires())
                .is_some_and(is_due)
            {
                self.remove_member(step, &id);
            }
        }
        if self
            .join_wait
            .as_ref()
            .is_some_and(|wait| is_due(wait.deadline))
        {
            self.end_or_extend_wait(step);
        }
        if self.sync_deadline.is_some_and(is_due) {
            self.remove_those_who_owe_a_sync(step);
        }
    }

    fn end_or_extend_wait(&mut self, step: &mut Step<'_, T>) {
        let delay_ms = step.config.initial_rebalance_delay_ms;
        if let Some(wait) = &mut self.join_wait
            && let Some(remaining_ms) = wait.initial_remaining_ms
            && wait.has_newcomer
            && remaining_ms > 0
        {
            let extension_ms = delay_ms.min(remaining_ms);
            wait.deadline = step.now.plus(extension_ms);
            wait.initial_remaining_ms = Some(remaining_ms - extension_ms);
            wait.has_newcomer = false;
            return;
        }
        self.complete_join(step);
    }

    fn remove_those_who_owe_a_sync(&mut self, step: &mut Step<'_, T>) {
        self.sync_deadline = None;
        let debtors = self.members.iter().filter(|(_, member)| member.owes_sync);
        let debtors: Vec<String> = debtors.map(|(id, _)| id.clone()).collect();
        for id in &debtors {
            self.forget_member(step, id);
        }
        if !debtors.is_empty() {
            self.after_departure(step);
        }
    }
}
