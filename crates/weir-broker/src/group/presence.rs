//! Heartbeats, departures, and who may commit offsets: answered at once.

use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    classic::{Group, GroupState},
    coordinator::{Action, Coordinator, check_group_id},
};
use crate::api::{Heartbeat, Leave};

impl<T> Coordinator<T> {
    /// A member lives. `RebalanceInProgress` asks it to join again.
    pub fn heartbeat(&mut self, now: Millis, heartbeat: &Heartbeat) -> Result<(), ErrorKind> {
        check_group_id(&heartbeat.group)?;
        // Its deadline only moves later, so the index may stay as it is.
        let group = self
            .group_mut(&heartbeat.group)
            .ok_or(ErrorKind::UnknownMember)?;
        group.check_member(&heartbeat.member, heartbeat.instance.as_deref())?;
        if heartbeat.generation != group.generation {
            return Err(ErrorKind::IllegalGeneration);
        }
        group.refresh_member(&heartbeat.member, now);
        match group.state {
            GroupState::PreparingRebalance => Err(ErrorKind::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::Empty | GroupState::Dead => Err(ErrorKind::UnknownMember),
        }
    }

    /// Members leave; one answer each. `InvalidGroupId` for all together.
    pub fn leave(
        &mut self,
        now: Millis,
        leave: &Leave,
        out: &mut Vec<Action<T>>,
    ) -> Result<Vec<Result<(), ErrorKind>>, ErrorKind> {
        check_group_id(&leave.group)?;
        let answers = leave.members.iter().map(|(member, instance)| {
            self.leave_one(now, &leave.group, member, instance.as_deref(), out)
        });
        Ok(answers.collect())
    }

    fn leave_one(
        &mut self,
        now: Millis,
        group: &str,
        member: &str,
        instance: Option<&str>,
        out: &mut Vec<Action<T>>,
    ) -> Result<(), ErrorKind> {
        let left = self.with_group(now, group, out, |group, step| {
            if group.pending.contains_key(member) {
                group.forget_pending(step, member);
                return Ok(());
            }
            let owner = instance.and_then(|instance| group.instances.get(instance));
            let member = match owner {
                Some(owner) if member.is_empty() => owner.clone(),
                Some(_) | None => member.to_owned(),
            };
            group.check_member(&member, instance)?;
            group.remove_member(step, &member);
            Ok(())
        });
        left.unwrap_or(Err(ErrorKind::UnknownMember))
    }

    /// Whether offsets may be committed. A member's commit counts as a heartbeat. A consumer
    /// without a group (negative generation, no member) may commit while the group is empty.
    pub fn check_commit(
        &mut self,
        now: Millis,
        group: &str,
        generation: i32,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), ErrorKind> {
        check_group_id(group)?;
        let Some(group) = self.group_mut(group) else {
            return if generation < 0 {
                Ok(())
            } else {
                Err(ErrorKind::IllegalGeneration)
            };
        };
        if generation < 0 && group.state == GroupState::Empty {
            return Ok(());
        }
        group.check_member(member, instance)?;
        if generation != group.generation {
            return Err(ErrorKind::IllegalGeneration);
        }
        match group.state {
            // Members learn of the rebalance from heartbeats and commit what they read before.
            GroupState::Stable | GroupState::PreparingRebalance => {
                group.refresh_member(member, now);
                Ok(())
            }
            GroupState::CompletingRebalance => Err(ErrorKind::RebalanceInProgress),
            GroupState::Empty | GroupState::Dead => Err(ErrorKind::UnknownMember),
        }
    }
}

impl<T> Group<T> {
    fn refresh_member(&mut self, id: &str, now: Millis) {
        // A new member's first wait is longer than a session.
        if let Some(member) = self.members.get_mut(id)
            && !member.is_new
        {
            member.refresh(now);
        }
    }
}
