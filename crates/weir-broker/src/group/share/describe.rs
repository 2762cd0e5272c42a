//! Share groups as others ask for them.

use super::{ShareCoordinator, assign, group::ShareGroup};
use crate::{
    api::{DescribedConsumer, DescribedConsumerGroup, GroupPhase, TopicPartitions},
    group::{ConsumerMember, GroupTopic},
};

impl<T> ShareCoordinator<T> {
    /// All groups with where they stand, in ascending order of id.
    pub fn phases(&self) -> impl Iterator<Item = (&str, GroupPhase)> {
        let groups = self.groups.iter();
        groups.map(|(id, group)| (id.as_str(), group.phase()))
    }

    /// The group as administrators see it; `None` for one that is not known.
    pub fn describe(&self, id: &str) -> Option<DescribedConsumerGroup> {
        let group = self.groups.get(id)?;
        let members = group.record.members.values();
        Some(DescribedConsumerGroup {
            state: group.phase(),
            epoch: group.record.epoch,
            assignment_epoch: group.record.target_epoch,
            assignor: assign::NAME,
            members: members.map(|member| group.described(member)).collect(),
        })
    }

    /// Where a group stands; `Dead` for one that is not known.
    pub fn phase(&self, id: &str) -> GroupPhase {
        let group = self.groups.get(id);
        group.map_or(GroupPhase::Dead, ShareGroup::phase)
    }

    /// Topics that the group reads, or has read.
    pub fn topics(&self, id: &str) -> impl Iterator<Item = (u64, &GroupTopic)> {
        let topics = self.groups.get(id).into_iter();
        let topics = topics.flat_map(|group| &group.record.topics);
        topics.map(|(serial, topic)| (*serial, topic))
    }
}

impl<T> ShareGroup<T> {
    fn described(&self, member: &ConsumerMember) -> DescribedConsumer {
        let mut assigned: Vec<TopicPartitions> = Vec::new();
        for partition in &member.assigned {
            let Some(topic) = self.record.topics.get(&partition.topic_serial()) else {
                continue;
            };
            let index = i32::try_from(partition.index()).unwrap_or(i32::MAX);
            match assigned.last_mut() {
                Some(last) if last.id == topic.id => last.indexes.push(index),
                Some(_) | None => assigned.push(TopicPartitions {
                    id: topic.id,
                    name: topic.name.clone(),
                    indexes: vec![index],
                }),
            }
        }
        DescribedConsumer {
            member: member.member.clone(),
            instance: None,
            rack: member.rack.clone(),
            epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: member.topics.clone(),
            pattern: None,
            is_classic: false,
            assigned,
            target: Vec::new(),
        }
    }
}
