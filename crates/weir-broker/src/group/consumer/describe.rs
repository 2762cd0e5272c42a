//! Groups as others ask for them: administrators, offsets, the look for what nobody needs.

use weir_model::{ErrorKind, PartitionId};

use super::{
    coordinator::ConsumerCoordinator, group::Group, reconcile::indexes, record::ConsumerMember,
};
use crate::api::{DescribedConsumer, DescribedConsumerGroup, GroupPhase, TopicPartitions};

impl<T> ConsumerCoordinator<T> {
    /// Where a group stands; `Dead` for one that is not known.
    pub fn phase(&self, group: &str) -> GroupPhase {
        self.group(group).map_or(GroupPhase::Dead, Group::phase)
    }

    /// All groups with where they stand, in ascending order of id.
    pub fn phases(&self) -> impl Iterator<Item = (&str, GroupPhase)> {
        self.all().map(|(id, group)| (id, group.phase()))
    }

    /// The group as administrators see it; `None` for one that is not known.
    pub fn describe(&self, group: &str) -> Option<DescribedConsumerGroup> {
        self.group(group).map(Group::describe)
    }

    /// Names and serial numbers of the topics that the group's members read.
    pub fn read_topics(&self, group: &str) -> impl Iterator<Item = (u64, &str)> {
        let topics = self
            .group(group)
            .into_iter()
            .flat_map(|it| &it.record.topics);
        let read = topics.filter(|(_, topic)| topic.is_read);
        read.map(|(serial, topic)| (*serial, topic.name.as_str()))
    }

    /// Whether a member may commit offsets. A consumer without a group
    /// (negative epoch) may commit while the group is empty.
    pub fn check_commit(&self, group: &str, member: &str, epoch: i32) -> Result<(), ErrorKind> {
        let Some(group) = self.group(group) else {
            return Err(ErrorKind::GroupNotFound);
        };
        let members = &group.record.members;
        if epoch < 0 && members.is_empty() {
            return Ok(());
        }
        self.check_fetch(&group.record.group, member, epoch)
    }

    /// Whether a member may read offsets under its epoch.
    pub fn check_fetch(&self, group: &str, member: &str, epoch: i32) -> Result<(), ErrorKind> {
        let group = self.group(group).ok_or(ErrorKind::GroupNotFound)?;
        match group.record.members.get(member) {
            None => Err(ErrorKind::UnknownMember),
            Some(known) if known.epoch == epoch => Ok(()),
            Some(known) if known.classic.is_some() => Err(ErrorKind::IllegalGeneration),
            Some(_) => Err(ErrorKind::StaleMemberEpoch),
        }
    }

    /// Whether the group has this member, and it speaks the classic protocol.
    pub fn is_classic(&self, group: &str, member: &str) -> bool {
        let member = self
            .group(group)
            .and_then(|it| it.record.members.get(member));
        member.is_some_and(|it| it.classic.is_some())
    }
}

impl Group {
    fn describe(&self) -> DescribedConsumerGroup {
        let record = &self.record;
        DescribedConsumerGroup {
            state: self.phase(),
            epoch: record.epoch,
            assignment_epoch: record.target_epoch,
            assignor: record.preferred_assignor().name(),
            members: record
                .members
                .values()
                .map(|it| self.described(it))
                .collect(),
        }
    }

    fn described(&self, member: &ConsumerMember) -> DescribedConsumer {
        DescribedConsumer {
            member: member.member.clone(),
            instance: member.instance.clone(),
            rack: member.rack.clone(),
            epoch: member.epoch,
            is_classic: member.classic.is_some(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: member.topics.clone(),
            pattern: member.pattern.clone(),
            assigned: self.named(&member.assigned),
            target: self.named(&member.target),
        }
    }

    fn named(&self, partitions: &[PartitionId]) -> Vec<TopicPartitions> {
        let by_serial = partitions.chunk_by(|one, next| one.topic_serial() == next.topic_serial());
        let named = by_serial.filter_map(|own| {
            let topic = self.record.topics.get(&own[0].topic_serial())?;
            Some(TopicPartitions {
                id: topic.id,
                name: topic.name.clone(),
                indexes: indexes(own),
            })
        });
        named.collect()
    }

    /// The rules that hold between any two changes, for tests.
    #[cfg(test)]
    pub(super) fn assert_sound(&self) {
        let members = self.record.members.values();
        let held: Vec<PartitionId> = members
            .flat_map(|it| it.assigned.iter().chain(&it.revoking).copied())
            .collect();
        let set: std::collections::BTreeSet<PartitionId> = held.iter().copied().collect();
        assert_eq!(
            set.len(),
            held.len(),
            "a partition is one member's at a time"
        );
        assert_eq!(set, self.held);
        assert!(self.presence.keys().eq(self.record.members.keys()));
    }
}
