//! A member's way from what it has to what it is to have: it lets go first, and nobody gets what
//! somebody else has.

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, TopicId};

use super::{
    admission::Admitted,
    group::Group,
    partitions::{overlap, sorted, within, without},
};
use crate::api::{ConsumerBeat, Refused};

impl Group {
    /// Takes a member on its way, and says where it is.
    pub(super) fn conclude(
        &mut self,
        now: Millis,
        admitted: &Admitted,
        interval_ms: u32,
    ) -> Result<ConsumerBeat, Refused> {
        let id = &admitted.member;
        if !self.record.members.contains_key(id) {
            // It left, or was given up, in the same turn.
            return Err(self.unknown_member(id));
        }
        let before = self.record.members[id].assigned.clone();
        self.reconcile(now, id, admitted.owned.as_deref());
        let member = &self.record.members[id];
        let is_told = admitted.is_full || member.assigned != before;
        Ok(ConsumerBeat {
            member: id.clone(),
            epoch: member.epoch,
            interval_ms,
            assignment: is_told.then(|| self.by_topic(&member.assigned)),
        })
    }

    /// `owned`: what the member says that it has; `None`: as it said before.
    pub(super) fn reconcile(&mut self, now: Millis, id: &str, owned: Option<&[PartitionId]>) {
        let target_epoch = self.record.target_epoch;
        let member = &self.record.members[id];
        let owns = |partitions: &[PartitionId]| owned.is_none_or(|it| overlap(it, partitions));
        if member.is_settled(target_epoch)
            || (!member.revoking.is_empty() && owns(&member.revoking))
        {
            return;
        }
        let let_go = member.revoking.clone();
        let kept = within(&member.assigned, &member.target);
        let dropped = without(&member.assigned, &kept);
        let wanted = without(&member.target, &kept);
        let must_wait = !dropped.is_empty() && owns(&dropped);
        self.release(&let_go);
        if must_wait {
            let member = self.change(id).expect("the member was just seen");
            (member.assigned, member.revoking) = (kept, dropped);
            let deadline = now.plus(member.rebalance_timeout_ms);
            if let Some(presence) = self.presence.get_mut(id) {
                presence.revoke_deadline = Some(deadline);
            }
            self.note(deadline);
            return;
        }
        self.release(&dropped);
        let free = wanted.into_iter().filter(|it| !self.held.contains(it));
        let free: Vec<PartitionId> = free.collect();
        self.hold(&free);
        if let Some(presence) = self.presence.get_mut(id) {
            presence.revoke_deadline = None;
        }
        let member = &self.record.members[id];
        let is_same = free.is_empty()
            && dropped.is_empty()
            && let_go.is_empty()
            && member.epoch == target_epoch;
        if is_same {
            return;
        }
        let member = self.change(id).expect("the member was just seen");
        member.assigned = sorted([kept, free].concat());
        member.revoking = Vec::new();
        if member.epoch != target_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = target_epoch;
        }
    }

    /// Partitions by topic ids, without topics that are gone.
    pub(super) fn by_topic(&self, partitions: &[PartitionId]) -> Vec<(TopicId, Vec<i32>)> {
        let by_serial = partitions.chunk_by(|one, next| one.topic_serial() == next.topic_serial());
        let named = by_serial.filter_map(|own| {
            let topic = self.record.topics.get(&own[0].topic_serial())?;
            Some((topic.id, indexes(own)))
        });
        named.collect()
    }

    pub(super) fn unknown_member(&self, id: &str) -> Refused {
        Refused {
            error: ErrorKind::UnknownMember,
            reason: format!(
                "Member {id} is not a member of group {}.",
                self.record.group
            ),
        }
    }
}

/// The partitions' indexes in their topic.
pub(super) fn indexes(partitions: &[PartitionId]) -> Vec<i32> {
    let index = |it: &PartitionId| i32::try_from(it.index()).expect("an index has 24 bits");
    partitions.iter().map(index).collect()
}
