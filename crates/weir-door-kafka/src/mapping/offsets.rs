//! OffsetCommit 2 to 10 and OffsetFetch 1 to 10.

use kafka_protocol::{
    messages::{
        OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
        offset_fetch_request::OffsetFetchRequestGroup,
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    CommittedOffset, FetchedOffset, OffsetCommit, OffsetFetch, Request, TopicRef,
};
use weir_model::ErrorKind;

use super::{
    grouped::{Grouped, by_id, by_name},
    plan::{Answer, MapError, Mapped, Plan},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// First OffsetFetch that asks for several groups.
const GROUPS_FROM: i16 = 8;
/// First OffsetFetch with an error for the whole answer.
const TOP_ERROR_FROM: i16 = 2;
/// First OffsetCommit and OffsetFetch that name topics by id.
pub const TOPIC_ID_FROM: i16 = 10;
/// First OffsetCommit of members of consumer groups, and first OffsetFetch that says who asks.
const MEMBER_EPOCH_FROM: i16 = 9;
/// First OffsetFetch answer with leader epochs.
const EPOCH_FROM: i16 = 5;

fn code(kind: ErrorKind) -> i16 {
    wire_code::of(kind, Surface::Group)
}

/// Maps OffsetCommit.
pub fn map_commit(head: &Head, request: OffsetCommitRequest) -> Result<Mapped, MapError> {
    let mut grouped = Grouped::default();
    let mut offsets = Vec::new();
    for topic in request.topics {
        let asked = asked_topic(head, &topic.name, topic.topic_id);
        grouped.topic(topic.name.0, topic.topic_id);
        for partition in topic.partitions {
            grouped.partition(partition.partition_index, asked.as_ref().err().copied());
            if let Ok(topic) = &asked {
                let metadata = partition.committed_metadata;
                offsets.push(CommittedOffset {
                    topic: topic.clone(),
                    index: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.map_or_else(String::new, |text| text.to_string()),
                });
            }
        }
    }
    if offsets.is_empty() {
        return Ok(Mapped::Answered(answer_commit(head, grouped, Vec::new())?));
    }
    let request = OffsetCommit {
        group: request.group_id.to_string(),
        generation: request.generation_id_or_member_epoch,
        member: request.member_id.to_string(),
        instance: request.group_instance_id.map(|text| text.to_string()),
        knows_epochs: head.version >= MEMBER_EPOCH_FROM,
        offsets,
    };
    let request = Request::OffsetCommit(request);
    Ok(Mapped::Ask(request, Plan::OffsetCommit(grouped)))
}

/// Maps the outcome of OffsetCommit.
pub fn answer_commit(
    head: &Head,
    grouped: Grouped,
    outcome: Vec<Result<(), ErrorKind>>,
) -> Result<Answer, MapError> {
    let topics = grouped.regroup(
        outcome,
        |index, outcome| {
            let error_code = match outcome {
                Ok(Ok(())) => wire_code::NONE,
                Ok(Err(kind)) => code(kind),
                Err(code) => code,
            };
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(error_code)
        },
        |name, id, partitions| {
            OffsetCommitResponseTopic::default()
                .with_name(name.into())
                .with_topic_id(id)
                .with_partitions(partitions)
        },
    );
    let response = OffsetCommitResponse::default().with_topics(topics);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn asked_topic(head: &Head, name: &str, id: Uuid) -> Result<TopicRef, i16> {
    if head.version >= TOPIC_ID_FROM {
        by_id(id)
    } else {
        by_name(name)
    }
}

/// A group as all versions of OffsetFetch name it.
struct AskedGroup {
    id: StrBytes,
    member: Option<(String, i32)>,
    /// Names, ids and indexes; `None`: everything.
    topics: Option<Vec<(StrBytes, Uuid, Vec<i32>)>>,
}

/// Maps OffsetFetch.
pub fn map_fetch(head: &Head, request: OffsetFetchRequest) -> Result<Mapped, MapError> {
    let groups: Vec<AskedGroup> = if head.version >= GROUPS_FROM {
        request.groups.into_iter().map(asked_group).collect()
    } else {
        let topics = request.topics.map(|topics| {
            let topics = topics.into_iter();
            topics
                .map(|topic| (topic.name.0, Uuid::nil(), topic.partition_indexes))
                .collect()
        });
        vec![AskedGroup {
            id: request.group_id.0,
            member: None,
            topics,
        }]
    };
    let group = |each| group(head, each, request.require_stable);
    let (asked, plans) = groups.into_iter().map(group).unzip();
    let request = Request::OffsetFetch(asked);
    Ok(Mapped::Ask(request, Plan::OffsetFetch(plans)))
}

/// Without an id and with a negative epoch it does not matter who asks.
fn asked_group(group: OffsetFetchRequestGroup) -> AskedGroup {
    let member = group.member_id.map(|id| id.to_string());
    let epoch = group.member_epoch;
    let topics = group.topics.map(|topics| {
        let topics = topics.into_iter();
        topics
            .map(|topic| (topic.name.0, topic.topic_id, topic.partition_indexes))
            .collect()
    });
    AskedGroup {
        id: group.group_id.0,
        member: match member {
            None if epoch < 0 => None,
            member => Some((member.unwrap_or_default(), epoch)),
        },
        topics,
    }
}

fn group(
    head: &Head,
    asked: AskedGroup,
    require_stable: bool,
) -> (OffsetFetch, (StrBytes, Option<Grouped>)) {
    let AskedGroup { id, member, topics } = asked;
    let mut wanted = OffsetFetch {
        group: id.to_string(),
        member,
        tells_ids: head.version >= TOPIC_ID_FROM,
        partitions: None,
        require_stable,
    };
    let Some(topics) = topics else {
        return (wanted, (id, None));
    };
    let mut grouped = Grouped::default();
    let mut partitions = Vec::new();
    for (name, topic_id, indexes) in topics {
        let topic = asked_topic(head, &name, topic_id);
        // A name that cannot exist was never committed, which is no error here.
        let code = match &topic {
            Ok(_) => None,
            Err(code) if head.version >= TOPIC_ID_FROM => Some(*code),
            Err(_) => Some(wire_code::NONE),
        };
        grouped.topic(name, topic_id);
        for index in indexes {
            grouped.partition(index, code);
            if let Ok(topic) = &topic {
                partitions.push((topic.clone(), index));
            }
        }
    }
    wanted.partitions = Some(partitions);
    (wanted, (id, Some(grouped)))
}

/// Maps the outcome of OffsetFetch.
pub fn answer_fetch(
    head: &Head,
    asked: Vec<(StrBytes, Option<Grouped>)>,
    outcome: Vec<Result<Vec<FetchedOffset>, ErrorKind>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let groups = asked.into_iter().map(|(id, grouped)| {
        let fetched = outcome.next().map(|each| each.map_err(code));
        let fetched = fetched.unwrap_or(Err(wire_code::UNKNOWN_SERVER_ERROR));
        group_answer(head, id, grouped, fetched)
    });
    let groups: Vec<_> = groups.collect();
    let response = if head.version >= GROUPS_FROM {
        OffsetFetchResponse::default().with_groups(groups)
    } else {
        let only = groups.into_iter().next().unwrap_or_default();
        let error_code = if head.version >= TOP_ERROR_FROM {
            only.error_code
        } else {
            wire_code::NONE
        };
        OffsetFetchResponse::default()
            .with_error_code(error_code)
            .with_topics(only.topics.into_iter().map(old_topic).collect())
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn group_answer(
    head: &Head,
    id: StrBytes,
    grouped: Option<Grouped>,
    fetched: Result<Vec<FetchedOffset>, i16>,
) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(id.into());
    let topic = |name: StrBytes, id: Uuid, partitions| {
        OffsetFetchResponseTopics::default()
            .with_name(name.into())
            .with_topic_id(id)
            .with_partitions(partitions)
    };
    match (fetched, grouped) {
        (Ok(fetched), Some(grouped)) => {
            let part = |index, outcome| partition(head, index, outcome);
            response.with_topics(grouped.regroup(fetched, part, topic))
        }
        (Ok(fetched), None) => {
            let part = |index, outcome| partition(head, index, outcome);
            response.with_topics(by_topic(&fetched).regroup(fetched, part, topic))
        }
        (Err(code), grouped) => {
            let mut response = response.with_error_code(code);
            if let Some(grouped) = grouped.filter(|_| head.version < TOP_ERROR_FROM) {
                let part = |index, _: Result<FetchedOffset, i16>| partition(head, index, Err(code));
                response.topics = grouped.regroup(Vec::new(), part, topic);
            }
            response
        }
    }
}

/// Groups what a group has kept, which comes in order of topics.
fn by_topic(fetched: &[FetchedOffset]) -> Grouped {
    let mut grouped = Grouped::default();
    let mut last = None;
    for offset in fetched {
        if last != Some(&offset.topic) {
            last = Some(&offset.topic);
            let (name, id) = match &offset.topic {
                TopicRef::Name(name) => (name.as_str(), Uuid::nil()),
                TopicRef::Id(id) => ("", id.0),
            };
            grouped.topic(StrBytes::from_string(name.to_owned()), id);
        }
        grouped.partition(offset.index, None);
    }
    grouped
}

fn partition(
    head: &Head,
    index: i32,
    outcome: Result<FetchedOffset, i16>,
) -> OffsetFetchResponsePartitions {
    let response = OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_metadata(Some(StrBytes::default()));
    match outcome {
        Err(code) => response.with_error_code(code),
        Ok(fetched) => {
            if let Some(error) = fetched.error {
                return response.with_error_code(code(error));
            }
            let mut response =
                response.with_metadata(Some(StrBytes::from_string(fetched.metadata)));
            if let Some(offset) = fetched.offset {
                response.committed_offset = offset;
                if head.version >= EPOCH_FROM {
                    response.committed_leader_epoch = fetched.leader_epoch;
                }
            }
            response
        }
    }
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_metadata(partition.metadata)
            .with_error_code(partition.error_code)
    });
    OffsetFetchResponseTopic::default()
        .with_name(topic.name)
        .with_partitions(partitions.collect())
}
