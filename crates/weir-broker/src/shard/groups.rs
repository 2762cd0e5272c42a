//! A shard's groups as administrators see them.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, TopicName};

use super::{Shard, sweep::subscribed};
use crate::{
    api::{
        DescribedGroup, DescribedMember, GroupKind, GroupPhase, ListGroups, ListedGroup, Refused,
    },
    group::{GroupState, subscription},
    metadata::Topology,
};

/// The protocol type of share groups, as Kafka's tools print it.
const SHARE_TYPE: &str = "share";

impl From<GroupState> for GroupPhase {
    fn from(state: GroupState) -> Self {
        match state {
            GroupState::Empty => Self::Empty,
            GroupState::PreparingRebalance => Self::PreparingRebalance,
            GroupState::CompletingRebalance => Self::CompletingRebalance,
            GroupState::Stable => Self::Stable,
            GroupState::Dead => Self::Dead,
        }
    }
}

impl Shard {
    /// The bug to run with.
    pub(crate) fn seeded(&self) -> crate::seeded::Seeded {
        self.env.seeded
    }

    /// The groups that are asked for.
    pub(crate) fn list_groups(&self, wanted: &ListGroups) -> Vec<ListedGroup> {
        let is_wanted = |kind: GroupKind, state: GroupPhase| {
            wanted
                .kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&kind))
                && wanted
                    .states
                    .as_ref()
                    .is_none_or(|states| states.contains(&state))
        };
        let classic = self.coordinator.states().map(|(id, state, protocol_type)| {
            (
                id,
                (GroupKind::Classic, GroupPhase::from(state), protocol_type),
            )
        });
        let mut known: BTreeMap<_, _> = classic.collect();
        let consumers = self.consumers.phases();
        known.extend(consumers.map(|(id, state)| {
            (
                id,
                (GroupKind::Consumer, state, subscription::CONSUMER_TYPE),
            )
        }));
        let shares = self.share_groups.phases();
        known.extend(shares.map(|(id, state)| (id, (GroupKind::Share, state, SHARE_TYPE))));
        for id in self.offsets.groups_after("") {
            known
                .entry(id)
                .or_insert((GroupKind::Classic, GroupPhase::Empty, ""));
        }
        let listed = known
            .into_iter()
            .filter(|(_, (kind, state, _))| is_wanted(*kind, *state));
        listed
            .map(|(id, (kind, state, protocol_type))| ListedGroup {
                group: id.to_owned(),
                kind,
                protocol_type: protocol_type.to_owned(),
                state,
            })
            .collect()
    }

    /// A classic group. `GroupNotFound` for any other.
    pub(crate) fn describe_group(&self, now: Millis, id: &str) -> Result<DescribedGroup, Refused> {
        if self.consumers.contains(id) || self.share_groups.contains(id) {
            return Err(Refused {
                error: ErrorKind::GroupNotFound,
                reason: format!("Group {id} is not a classic group."),
            });
        }
        let Some(record) = self.coordinator.describe(now, id) else {
            if self.offsets.contains(id) {
                return Ok(DescribedGroup {
                    state: GroupPhase::Empty,
                    protocol_type: String::new(),
                    protocol: String::new(),
                    members: Vec::new(),
                });
            }
            return Err(Refused {
                error: ErrorKind::GroupNotFound,
                reason: format!("Group {id} not found."),
            });
        };
        let state = self.coordinator.state(id);
        let is_stable = state == GroupState::Stable;
        let members = record.members.into_iter().map(|member| DescribedMember {
            member: member.member,
            instance: member.instance,
            client_id: member.client_id,
            client_host: member.client_host,
            metadata: if is_stable {
                member.metadata
            } else {
                bytes::Bytes::new()
            },
            assignment: if is_stable {
                member.assignment
            } else {
                bytes::Bytes::new()
            },
        });
        Ok(DescribedGroup {
            state: state.into(),
            protocol_type: record.protocol_type,
            protocol: record.protocol.filter(|_| is_stable).unwrap_or_default(),
            members: members.collect(),
        })
    }

    /// Whether a group can be deleted now; where it can, its leader's own state is gone already.
    pub(crate) fn begin_delete(&mut self, id: &str) -> Result<(), ErrorKind> {
        let is_known = self.offsets.contains(id)
            || self.groups.contains(id)
            || self.consumers.contains(id)
            || self.share_groups.contains(id)
            || self.coordinator.state(id) != GroupState::Dead;
        if !is_known {
            Err(ErrorKind::GroupNotFound)
        } else if self.coordinator.forget(id)
            && self.consumers.forget(id)
            && self.share_groups.forget(id)
        {
            Ok(())
        } else {
            Err(ErrorKind::NonEmptyGroup)
        }
    }

    /// Which of a group's places may be deleted: one answer each.
    pub(crate) fn deletable_offsets(
        &self,
        now: Millis,
        id: &str,
        places: &[Result<(TopicName, PartitionId), ErrorKind>],
    ) -> Result<Vec<Result<PartitionId, ErrorKind>>, ErrorKind> {
        let subscribed = self.subscribed_topics(now, id)?;
        let may = |place: &Result<(TopicName, PartitionId), ErrorKind>| {
            let (topic, partition) = place.as_ref().map_err(|error| *error)?;
            match &subscribed {
                Some(topics) if !topics.contains(topic.as_str()) => Ok(*partition),
                Some(_) | None => Err(ErrorKind::GroupSubscribed),
            }
        };
        Ok(places.iter().map(may).collect())
    }

    /// What a group's members read; `None`: maybe everything.
    fn subscribed_topics(
        &self,
        now: Millis,
        id: &str,
    ) -> Result<Option<BTreeSet<String>>, ErrorKind> {
        if self.consumers.contains(id) {
            let read = self.consumers.read_topics(id);
            return Ok(Some(read.map(|(_, name)| name.to_owned()).collect()));
        }
        let Some(record) = self.coordinator.describe(now, id) else {
            return if self.offsets.contains(id) {
                Ok(Some(BTreeSet::new()))
            } else {
                Err(ErrorKind::GroupNotFound)
            };
        };
        match self.coordinator.state(id) {
            GroupState::Empty | GroupState::Dead => Ok(Some(BTreeSet::new())),
            _ if record.protocol_type != subscription::CONSUMER_TYPE => {
                Err(ErrorKind::NonEmptyGroup)
            }
            GroupState::Stable => Ok(subscribed(&record)),
            GroupState::PreparingRebalance | GroupState::CompletingRebalance => Ok(None),
        }
    }

    /// When each of these places was committed, as far as they are there.
    pub(crate) fn committed(
        &self,
        group: &str,
        partitions: impl Iterator<Item = PartitionId>,
    ) -> Vec<(PartitionId, Millis)> {
        let stored = |partition| Some((partition, self.offsets.fetch(group, partition)?.committed));
        partitions.filter_map(stored).collect()
    }
}

/// The place that a request means, with its topic's name.
pub(crate) fn place(
    topology: &Topology,
    topic: &crate::api::TopicRef,
    index: i32,
) -> Result<(TopicName, PartitionId), ErrorKind> {
    let record = topology.topic(topic)?;
    let (partition, _) = record
        .partition(index)
        .ok_or(ErrorKind::UnknownTopicOrPartition)?;
    Ok((record.name.clone(), partition))
}
