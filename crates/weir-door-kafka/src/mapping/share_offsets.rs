//! DescribeShareGroupOffsets 0 and 1, AlterShareGroupOffsets 0 and DeleteShareGroupOffsets 0.

use kafka_protocol::{
    messages::{
        AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse,
        DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse,
        DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse,
        alter_share_group_offsets_response::{
            AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
        },
        delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic,
        describe_share_group_offsets_response::{
            DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
            DescribeShareGroupOffsetsResponseTopic,
        },
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    Refused, Request,
    share::{DescribeShareOffsets, DescribedShareOffset, ShareAdmin, ShareAdminAnswer},
};
use weir_model::{ErrorKind, TopicId, TopicName};

use super::{
    consumers::{text, words},
    plan::{Answer, MapError, Mapped, Plan},
};
use crate::{
    codec::{header::Head, share_offsets_response},
    wire_code::{self, Surface},
};

/// First DescribeShareGroupOffsets that tells lags.
const LAG_FROM: i16 = 1;
/// The offset or lag that is not known.
const UNKNOWN: i64 = -1;

/// What is kept of a request.
#[derive(Debug)]
pub enum Asked {
    /// The groups.
    Describe(Vec<StrBytes>),
    /// Topics with partitions, and whether the node was asked for them.
    Alter(Vec<(StrBytes, Vec<i32>, bool)>),
    /// Topics likewise.
    Delete(Vec<(StrBytes, bool)>),
}

fn code(kind: ErrorKind) -> i16 {
    wire_code::of(kind, Surface::Group)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn ask(admin: ShareAdmin, asked: Asked) -> Mapped {
    Mapped::Ask(Request::ShareAdmin(admin), Plan::ShareAdmin(asked))
}

/// Maps DescribeShareGroupOffsets. A name that no topic can have is no topic.
pub fn map_describe(request: DescribeShareGroupOffsetsRequest) -> Result<Mapped, MapError> {
    let ids = request.groups.iter().map(|group| group.group_id.0.clone());
    let asked = Asked::Describe(ids.collect());
    let groups = request
        .groups
        .into_iter()
        .map(|group| DescribeShareOffsets {
            group: group.group_id.to_string(),
            topics: group.topics.map(|topics| {
                let topics = topics.into_iter().filter_map(|topic| {
                    let name = TopicName::new(&topic.topic_name).ok()?;
                    Some((name, topic.partitions))
                });
                topics.collect()
            }),
        });
    Ok(ask(ShareAdmin::Describe(groups.collect()), asked))
}

/// Maps AlterShareGroupOffsets.
pub fn map_alter(request: AlterShareGroupOffsetsRequest) -> Result<Mapped, MapError> {
    let (mut places, mut asked) = (Vec::new(), Vec::new());
    for topic in request.topics {
        let name = TopicName::new(&topic.topic_name).ok();
        let indexes = topic.partitions.iter().map(|it| it.partition_index);
        asked.push((topic.topic_name.0, indexes.collect(), name.is_some()));
        for partition in topic.partitions {
            let place = name.clone();
            places.extend(place.map(|it| (it, partition.partition_index, partition.start_offset)));
        }
    }
    let group = request.group_id.to_string();
    Ok(ask(
        ShareAdmin::Alter { group, places },
        Asked::Alter(asked),
    ))
}

/// Maps DeleteShareGroupOffsets.
pub fn map_delete(request: DeleteShareGroupOffsetsRequest) -> Result<Mapped, MapError> {
    let (mut topics, mut asked) = (Vec::new(), Vec::new());
    for topic in request.topics {
        let name = TopicName::new(&topic.topic_name).ok();
        asked.push((topic.topic_name.0, name.is_some()));
        topics.extend(name);
    }
    let group = request.group_id.to_string();
    Ok(ask(
        ShareAdmin::Delete { group, topics },
        Asked::Delete(asked),
    ))
}

/// Maps the outcome.
pub fn answer(head: &Head, asked: Asked, outcome: ShareAdminAnswer) -> Result<Answer, MapError> {
    let frame = match (asked, outcome) {
        (Asked::Describe(ids), ShareAdminAnswer::Described(groups)) => {
            described(head, ids, groups)?
        }
        (Asked::Alter(topics), ShareAdminAnswer::Changed(changed)) => {
            head.frame(&altered(topics, changed))?
        }
        (Asked::Delete(topics), ShareAdminAnswer::Changed(changed)) => {
            head.frame(&deleted(topics, changed))?
        }
        (Asked::Describe(_), ShareAdminAnswer::Changed(_))
        | (Asked::Alter(_) | Asked::Delete(_), ShareAdminAnswer::Described(_)) => {
            return Err(MapError::Mismatch(head.api));
        }
    };
    Ok(Answer::Frame(vec![frame]))
}

fn described(
    head: &Head,
    ids: Vec<StrBytes>,
    groups: Vec<Result<Vec<DescribedShareOffset>, Refused>>,
) -> Result<bytes::Bytes, MapError> {
    let mut lags = Vec::new();
    let groups = ids.into_iter().zip(groups).map(|(id, described)| {
        let response = DescribeShareGroupOffsetsResponseGroup::default().with_group_id(id.into());
        match described {
            Ok(offsets) => response.with_topics(topics(offsets, &mut lags)),
            Err(refused) => {
                let (code, message) = words(refused);
                response.with_error_code(code).with_error_message(message)
            }
        }
    });
    let response = DescribeShareGroupOffsetsResponse::default().with_groups(groups.collect());
    if head.version < LAG_FROM {
        return Ok(head.frame(&response)?);
    }
    Ok(share_offsets_response::encode(head, &response, &lags)?)
}

/// Puts partitions of one topic that stand side by side together.
fn topics(
    offsets: Vec<DescribedShareOffset>,
    lags: &mut Vec<i64>,
) -> Vec<DescribeShareGroupOffsetsResponseTopic> {
    let mut topics: Vec<DescribeShareGroupOffsetsResponseTopic> = Vec::new();
    for each in offsets {
        let partition = DescribeShareGroupOffsetsResponsePartition::default()
            .with_partition_index(each.index)
            .with_start_offset(UNKNOWN);
        let (partition, lag) = match each.place {
            Ok(Some((start, lag))) => (partition.with_start_offset(number(start)), number(lag)),
            Ok(None) => (partition, UNKNOWN),
            Err(kind) => (partition.with_error_code(code(kind)), UNKNOWN),
        };
        lags.push(lag);
        match topics.last_mut() {
            Some(topic) if topic.topic_name.as_str() == each.topic.as_str() => {
                topic.partitions.push(partition);
            }
            Some(_) | None => {
                let name = text(each.topic.as_str().to_owned());
                let topic = DescribeShareGroupOffsetsResponseTopic::default()
                    .with_topic_name(name.into())
                    .with_topic_id(each.id.map_or(Uuid::nil(), |id| id.0))
                    .with_partitions(vec![partition]);
                topics.push(topic);
            }
        }
    }
    topics
}

type Changed = Result<Vec<Result<TopicId, ErrorKind>>, Refused>;

fn altered(
    topics: Vec<(StrBytes, Vec<i32>, bool)>,
    changed: Changed,
) -> AlterShareGroupOffsetsResponse {
    let response = AlterShareGroupOffsetsResponse::default();
    let mut changed = match changed {
        Ok(changed) => changed.into_iter(),
        Err(refused) => {
            let (code, message) = words(refused);
            return response.with_error_code(code).with_error_message(message);
        }
    };
    let topics = topics.into_iter().map(|(name, indexes, was_asked)| {
        let mut id = Uuid::nil();
        let partitions = indexes.into_iter().map(|index| {
            let unknown = Err(ErrorKind::UnknownTopicOrPartition);
            let answer = match was_asked {
                true => changed.next().unwrap_or(unknown),
                false => unknown,
            };
            id = answer.map_or(id, |id| id.0);
            AlterShareGroupOffsetsResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(answer.err().map_or(wire_code::NONE, code))
        });
        let partitions = partitions.collect();
        AlterShareGroupOffsetsResponseTopic::default()
            .with_topic_name(name.into())
            .with_topic_id(id)
            .with_partitions(partitions)
    });
    response.with_responses(topics.collect())
}

fn deleted(topics: Vec<(StrBytes, bool)>, changed: Changed) -> DeleteShareGroupOffsetsResponse {
    let response = DeleteShareGroupOffsetsResponse::default();
    let mut changed = match changed {
        Ok(changed) => changed.into_iter(),
        Err(refused) => {
            let (code, message) = words(refused);
            return response.with_error_code(code).with_error_message(message);
        }
    };
    let topics = topics.into_iter().map(|(name, was_asked)| {
        let unknown = Err(ErrorKind::UnknownTopicOrPartition);
        let answer = match was_asked {
            true => changed.next().unwrap_or(unknown),
            false => unknown,
        };
        DeleteShareGroupOffsetsResponseTopic::default()
            .with_topic_name(name.into())
            .with_topic_id(answer.map_or(Uuid::nil(), |id| id.0))
            .with_error_code(answer.err().map_or(wire_code::NONE, code))
    });
    response.with_responses(topics.collect())
}
