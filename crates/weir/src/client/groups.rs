//! Consumer groups, looked at and changed from outside.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf as _, Bytes};
use kafka_protocol::{
    error::ResponseError,
    messages::{
        ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DeleteGroupsRequest,
        DescribeGroupsRequest, GroupId, ListGroupsRequest, OffsetCommitRequest,
        OffsetDeleteRequest, OffsetFetchRequest,
        describe_groups_response::DescribedGroup,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    },
    protocol::Decodable,
};
use serde::Serialize;

use super::{
    Client, ClientError, To,
    cluster::{text, topic_name},
    error::check,
    offsets::Place,
};

const LIST_GROUPS_VERSION: i16 = 5;
/// The last version that calls a group that is not there dead, and not an error.
const DESCRIBE_GROUPS_VERSION: i16 = 5;
const CONSUMER_GROUP_DESCRIBE_VERSION: i16 = 1;
const DELETE_GROUPS_VERSION: i16 = 2;
const OFFSET_COMMIT_VERSION: i16 = 8;
/// The last version that asks for one group.
const OFFSET_FETCH_VERSION: i16 = 7;
/// State of a group that is not there.
const DEAD: &str = "Dead";

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Listed {
    pub(crate) group: String,
    pub(crate) state: String,
    /// Such as `consumer` or `connect`.
    pub(crate) protocol_type: String,
    /// `classic`, `consumer` or `share`.
    pub(crate) kind: String,
    /// The node that coordinates it.
    pub(crate) coordinator: i32,
}

/// A group with its members.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) group: String,
    pub(crate) state: String,
    pub(crate) members: Vec<Member>,
}

/// One member.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Member {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) host: String,
    pub(crate) assigned: Vec<Place>,
}

impl Client {
    /// All groups of the cluster, by name.
    pub(crate) fn groups(&mut self) -> Result<Vec<Listed>, ClientError> {
        self.retried(|client| {
            let mut all = BTreeSet::new();
            for node in client.node_ids()? {
                let request = ListGroupsRequest::default();
                let answer = client.ask(To::Node(node), &request, LIST_GROUPS_VERSION)?;
                check(answer.error_code, "groups", None)?;
                all.extend(answer.groups.into_iter().map(|group| Listed {
                    group: group.group_id.0.to_string(),
                    state: group.group_state.to_string(),
                    protocol_type: group.protocol_type.to_string(),
                    kind: group.group_type.to_string(),
                    coordinator: node,
                }));
            }
            Ok(all.into_iter().collect())
        })
    }

    /// A group; `None`: there is none.
    pub(crate) fn group(&mut self, group: &str) -> Result<Option<Group>, ClientError> {
        let what = format!("group {group}");
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let found = self.retried(|client| {
            let to = To::Coordinator(group);
            let mut answer = client.ask(to, &request, DESCRIBE_GROUPS_VERSION)?;
            let found = answer.groups.pop();
            if let Some(found) = &found {
                check(found.error_code, &what, found.error_message.as_deref())?;
            }
            Ok(found)
        });
        match found {
            Ok(Some(found)) if found.group_state.as_str() != DEAD => Ok(Some(classic(found))),
            // It may be one of the new protocol, which has a request of its own.
            Ok(_) => self.new_group(group),
            Err(error) if is_absent(&error) => self.new_group(group),
            Err(error) => Err(error),
        }
    }

    fn new_group(&mut self, group: &str) -> Result<Option<Group>, ClientError> {
        let what = format!("group {group}");
        let request =
            ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(group))]);
        let found = self.retried(|client| {
            let to = To::Coordinator(group);
            let mut answer = client.ask(to, &request, CONSUMER_GROUP_DESCRIBE_VERSION)?;
            let found = answer.groups.pop();
            if let Some(found) = &found {
                check(found.error_code, &what, found.error_message.as_deref())?;
            }
            Ok(found)
        });
        let found = match found {
            Ok(found) => found,
            Err(ClientError::Unsupported { .. }) => None,
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(found.map(|found| {
            let members = found.members.into_iter().map(|member| {
                let topics = member.assignment.topic_partitions.into_iter();
                let assigned = topics.flat_map(|topic| {
                    let name = topic.topic_name.0.to_string();
                    let place = move |index| (name.clone(), index);
                    topic.partitions.into_iter().map(place)
                });
                Member {
                    member: member.member_id.to_string(),
                    instance: member.instance_id.map(|instance| instance.to_string()),
                    client_id: member.client_id.to_string(),
                    host: member.client_host.to_string(),
                    assigned: assigned.collect(),
                }
            });
            Group {
                group: group.to_owned(),
                state: found.group_state.to_string(),
                members: members.collect(),
            }
        }))
    }

    /// Deletes a group that has no members, with its offsets.
    pub(crate) fn delete_group(&mut self, group: &str) -> Result<(), ClientError> {
        let what = format!("group {group}");
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
        self.retried(|client| {
            let to = To::Coordinator(group);
            let answer = client.ask(to, &request, DELETE_GROUPS_VERSION)?;
            let mut results = answer.results.iter();
            results.try_for_each(|result| check(result.error_code, &what, None))
        })
    }

    /// Deletes a group's offsets in these partitions.
    pub(crate) fn delete_offsets(
        &mut self,
        group: &str,
        places: &[Place],
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for (topic, index) in places {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(*index);
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetDeleteRequestTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions)
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(topics.collect());
        self.retried(|client| {
            let answer = client.ask(To::Coordinator(group), &request, 0)?;
            check(answer.error_code, &format!("group {group}"), None)?;
            let topics = answer.topics.iter();
            let mut partitions = topics.flat_map(|topic| {
                let name = topic.name.0.as_str();
                topic
                    .partitions
                    .iter()
                    .map(move |partition| (name, partition))
            });
            partitions.try_for_each(|(name, partition)| {
                let what = format!("partition {} of topic {name}", partition.partition_index);
                check(partition.error_code, &what, None)
            })
        })
    }

    /// All offsets that the group has committed.
    pub(crate) fn committed(&mut self, group: &str) -> Result<BTreeMap<Place, i64>, ClientError> {
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(None);
        self.retried(|client| {
            let answer = client.ask(To::Coordinator(group), &request, OFFSET_FETCH_VERSION)?;
            check(answer.error_code, &format!("group {group}"), None)?;
            let mut committed = BTreeMap::new();
            for topic in answer.topics {
                for partition in topic.partitions {
                    let (name, index) = (topic.name.0.to_string(), partition.partition_index);
                    let what = format!("partition {index} of topic {name}");
                    check(partition.error_code, &what, None)?;
                    if partition.committed_offset >= 0 {
                        committed.insert((name, index), partition.committed_offset);
                    }
                }
            }
            Ok(committed)
        })
    }

    /// Commits offsets as a member, or from outside with generation -1 and no member.
    pub(crate) fn commit(
        &mut self,
        (group, generation, member): (&str, i32, &str),
        offsets: &BTreeMap<Place, i64>,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for ((topic, index), offset) in offsets {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(*index)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(text("")));
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetCommitRequestTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member))
            .with_topics(topics.collect());
        self.retried(|client| {
            let answer = client.ask(To::Coordinator(group), &request, OFFSET_COMMIT_VERSION)?;
            let topics = answer.topics.iter();
            let mut partitions = topics.flat_map(|topic| {
                let name = topic.name.0.as_str();
                topic
                    .partitions
                    .iter()
                    .map(move |partition| (name, partition))
            });
            partitions.try_for_each(|(name, partition)| {
                let what = format!(
                    "group {group}, partition {} of topic {name}",
                    partition.partition_index
                );
                check(partition.error_code, &what, None)
            })
        })
    }
}

fn is_absent(error: &ClientError) -> bool {
    error.refusal() == Some(ResponseError::GroupIdNotFound)
}

fn classic(found: DescribedGroup) -> Group {
    let is_consumer = found.protocol_type.as_str() == "consumer";
    let members = found.members.into_iter().map(|member| Member {
        member: member.member_id.to_string(),
        instance: member
            .group_instance_id
            .map(|instance| instance.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: match is_consumer {
            true => assigned(member.member_assignment),
            false => Vec::new(),
        },
    });
    Group {
        group: found.group_id.0.to_string(),
        state: found.group_state.to_string(),
        members: members.collect(),
    }
}

/// What an assignment of Kafka's consumer protocol says; nothing where it cannot be read.
pub(crate) fn assigned(mut assignment: Bytes) -> Vec<Place> {
    if assignment.remaining() < 2 {
        return Vec::new();
    }
    /// The last version of the schema.
    const LAST_VERSION: i16 = 3;
    let version = assignment.get_i16().clamp(0, LAST_VERSION);
    let Ok(decoded) = ConsumerProtocolAssignment::decode(&mut assignment, version) else {
        return Vec::new();
    };
    let topics = decoded.assigned_partitions.into_iter();
    let mut places: Vec<Place> = topics
        .flat_map(|topic| {
            let name = topic.topic.0.to_string();
            let place = move |index| (name.clone(), index);
            topic.partitions.into_iter().map(place)
        })
        .collect();
    places.sort();
    places
}
