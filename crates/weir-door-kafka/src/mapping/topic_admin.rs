//! DeleteTopics 1 to 6, CreatePartitions 0 to 3, DeleteRecords 0 to 2.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::{
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse, DeleteRecordsRequest,
        DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
        create_partitions_response::CreatePartitionsTopicResult,
        delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
        delete_topics_response::DeletableTopicResult,
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    Request, TopicRef,
    admin::{CreatePartitions, DeleteRecords, Manage, MorePartitions, Refusal},
};
use weir_model::{ErrorKind, Offset, TopicId, TopicName};

use super::{
    configs::next,
    grouped::{self, Grouped},
    plan::{Answer, ManagePlan, MapError, Mapped, Plan, Refused},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// First version that names topics by id.
const IDS_FROM: i16 = 6;
/// First version that tells why.
const MESSAGES_FROM: i16 = 5;

/// Maps a request. What comes several times is refused once.
pub fn map_delete(head: &Head, request: DeleteTopicsRequest) -> Result<Mapped, MapError> {
    let asked: Vec<(Option<StrBytes>, Uuid)> = if head.version >= IDS_FROM {
        let topics = request.topics.into_iter();
        topics
            .map(|topic| (topic.name.map(|name| name.0), topic.topic_id))
            .collect()
    } else {
        let names = request.topic_names.into_iter();
        names.map(|name| (Some(name.0), Uuid::nil())).collect()
    };
    let mut times = BTreeMap::<(Option<StrBytes>, Uuid), usize>::new();
    for each in &asked {
        *times.entry(each.clone()).or_default() += 1;
    }
    let mut topics = Vec::new();
    let mut kept = Vec::new();
    let mut refused = BTreeSet::new();
    for each in asked {
        let is_single = times.get(&each) == Some(&1);
        if !is_single && !refused.insert(each.clone()) {
            continue;
        }
        let topic = if is_single {
            deleted(each.0.as_ref(), each.1)
        } else {
            Err(Refused::new(
                wire_code::INVALID_REQUEST,
                "Duplicate topic name or id.",
            ))
        };
        kept.push((each.0, each.1, topic.as_ref().err().cloned()));
        topics.extend(topic.ok());
    }
    let plan = Plan::Manage(ManagePlan::DeleteTopics(kept));
    Ok(Mapped::Ask(
        Request::Manage(Manage::DeleteTopics(topics)),
        plan,
    ))
}

fn deleted(name: Option<&StrBytes>, id: Uuid) -> Result<TopicRef, Refused> {
    match name {
        Some(_) if !id.is_nil() => Err(Refused::new(
            wire_code::INVALID_REQUEST,
            "You may not specify both topic name and topic id.",
        )),
        Some(name) => TopicName::new(name)
            .map(TopicRef::Name)
            .map_err(|_| wire_code::UNKNOWN_TOPIC_OR_PARTITION.into()),
        None if id.is_nil() => Err(Refused::new(
            wire_code::INVALID_REQUEST,
            "Neither topic name nor id were specified.",
        )),
        None => Ok(TopicRef::Id(TopicId(id))),
    }
}

/// Maps the outcome.
pub fn answer_delete(
    head: &Head,
    asked: Vec<(Option<StrBytes>, Uuid, Option<Refused>)>,
    outcome: Vec<Result<(TopicName, TopicId), Refusal>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let responses = asked.into_iter().map(|(name, id, refused)| {
        let mut result = DeletableTopicResult::default()
            .with_name(name.map(Into::into))
            .with_error_message(None);
        if head.version >= IDS_FROM {
            result.topic_id = id;
        }
        match next(refused, &mut outcome) {
            Ok((name, id)) => {
                let name = StrBytes::from_string(name.as_str().to_owned());
                result.name = Some(name.into());
                if head.version >= IDS_FROM {
                    result.topic_id = id.0;
                }
            }
            Err(refused) => {
                result.error_code = refused.code;
                if head.version >= MESSAGES_FROM {
                    result.error_message = refused.message;
                }
            }
        }
        result
    });
    let response = DeleteTopicsResponse::default().with_responses(responses.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps a request. A name that comes several times is refused once.
pub fn map_create_partitions(request: CreatePartitionsRequest) -> Result<Mapped, MapError> {
    let mut times = BTreeMap::<StrBytes, usize>::new();
    for topic in &request.topics {
        *times.entry(topic.name.0.clone()).or_default() += 1;
    }
    let mut names = Vec::new();
    let mut topics = Vec::new();
    let mut named = BTreeSet::new();
    for topic in request.topics {
        if !named.insert(topic.name.0.clone()) {
            continue;
        }
        let is_single = times.get(&topic.name.0) == Some(&1);
        let refused = (!is_single)
            .then(|| Refused::new(wire_code::INVALID_REQUEST, "Duplicate topic in request."));
        names.push((topic.name.0.clone(), refused));
        if is_single {
            let assignments = topic.assignments.map(|assignments| {
                let nodes = assignments.into_iter().map(|each| each.broker_ids);
                nodes
                    .map(|nodes| nodes.into_iter().map(|node| node.0).collect())
                    .collect()
            });
            topics.push(MorePartitions {
                topic: topic.name.to_string(),
                count: topic.count,
                assignments,
            });
        }
    }
    let manage = Manage::CreatePartitions(CreatePartitions {
        topics,
        validate_only: request.validate_only,
    });
    let plan = Plan::Manage(ManagePlan::CreatePartitions(names));
    Ok(Mapped::Ask(Request::Manage(manage), plan))
}

/// Maps the outcome.
pub fn answer_create_partitions(
    head: &Head,
    names: Vec<(StrBytes, Option<Refused>)>,
    outcome: Vec<Result<(), Refusal>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let results = names.into_iter().map(|(name, refused)| {
        let mut result = CreatePartitionsTopicResult::default()
            .with_name(name.into())
            .with_error_message(None);
        if let Err(refused) = next(refused, &mut outcome) {
            result.error_code = refused.code;
            result.error_message = refused.message;
        }
        result
    });
    let response = CreatePartitionsResponse::default().with_results(results.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps a request.
pub fn map_delete_records(request: DeleteRecordsRequest) -> Result<Mapped, MapError> {
    let mut grouped = Grouped::default();
    let mut wanted = Vec::new();
    for topic in request.topics {
        grouped.topic(topic.name.0.clone(), Uuid::nil());
        let found = grouped::by_name(&topic.name);
        for partition in topic.partitions {
            grouped.partition(partition.partition_index, found.as_ref().err().copied());
            wanted.extend(found.as_ref().ok().map(|topic| DeleteRecords {
                topic: topic.clone(),
                index: partition.partition_index,
                offset: partition.offset,
            }));
        }
    }
    let manage = Manage::DeleteRecords(wanted);
    let plan = Plan::Manage(ManagePlan::DeleteRecords(grouped));
    Ok(Mapped::Ask(Request::Manage(manage), plan))
}

/// Maps the outcome.
pub fn answer_delete_records(
    head: &Head,
    grouped: Grouped,
    outcome: Vec<Result<Offset, ErrorKind>>,
) -> Result<Answer, MapError> {
    let topics = grouped.regroup(
        outcome,
        |index, trimmed| {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
            let start = trimmed.and_then(|start: Result<Offset, ErrorKind>| {
                start.map_err(|kind| wire_code::of(kind, Surface::Write))
            });
            match start {
                Ok(start) => result.with_low_watermark(i64::try_from(start.0).unwrap_or(-1)),
                Err(code) => result.with_low_watermark(-1).with_error_code(code),
            }
        },
        |name, _, partitions| {
            DeleteRecordsTopicResult::default()
                .with_name(name.into())
                .with_partitions(partitions)
        },
    );
    let response = DeleteRecordsResponse::default().with_topics(topics);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
