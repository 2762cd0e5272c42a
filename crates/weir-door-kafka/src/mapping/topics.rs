//! CreateTopics 2 to 7.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::{
    messages::{
        CreateTopicsRequest, CreateTopicsResponse,
        create_topics_request::CreatableTopic,
        create_topics_response::{CreatableTopicConfigs, CreatableTopicResult},
    },
    protocol::StrBytes,
};
use weir_broker::api::{
    CreateTopics, CreatedTopic, NewTopic, Request,
    admin::{ConfigEntry, Refusal},
};

use super::{
    configs,
    plan::{Answer, MapError, Mapped, Plan, Refused},
};
use crate::{codec::header::Head, wire_code};

/// First version that tells partition count and copies.
const COUNTS_FROM: i16 = 5;
/// First version that tells topic ids.
const ID_FROM: i16 = 7;
/// "The node's default" on the wire.
const DEFAULT: i32 = -1;

/// Maps a request. A name that comes several times is refused once: clients take a name that is
/// answered twice for a broken answer.
pub fn map(head: &Head, request: &CreateTopicsRequest) -> Result<Mapped, MapError> {
    let mut named = BTreeMap::<&str, usize>::new();
    for topic in &request.topics {
        *named.entry(topic.name.as_str()).or_default() += 1;
    }
    let mut names = Vec::with_capacity(request.topics.len());
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut refused = BTreeSet::new();
    for topic in &request.topics {
        let is_single = named.get(topic.name.as_str()) == Some(&1);
        if !is_single && !refused.insert(topic.name.as_str()) {
            continue;
        }
        let new = if is_single {
            new_topic(topic)
        } else {
            Err(Refused::new(
                wire_code::INVALID_REQUEST,
                "Duplicate topic name.",
            ))
        };
        names.push((topic.name.0.clone(), new.as_ref().err().cloned()));
        topics.extend(new);
    }
    if topics.is_empty() {
        return Ok(Mapped::Answered(answer(head, names, Vec::new())?));
    }
    let asked = Request::CreateTopics(CreateTopics {
        topics,
        validate_only: request.validate_only,
    });
    Ok(Mapped::Ask(asked, Plan::CreateTopics(names)))
}

fn new_topic(topic: &CreatableTopic) -> Result<NewTopic, Refused> {
    let partition_count = match topic.num_partitions {
        DEFAULT => None,
        count => Some(u32::try_from(count).map_err(|_| {
            Refused::new(
                wire_code::INVALID_PARTITIONS,
                "Number of partitions was set to an invalid non-positive value.",
            )
        })?),
    };
    let replication_factor = match i32::from(topic.replication_factor) {
        DEFAULT => None,
        count => Some(u16::try_from(count).map_err(|_| {
            Refused::new(
                wire_code::INVALID_REPLICATION_FACTOR,
                "Replication factor must be larger than 0.",
            )
        })?),
    };
    let assignments = assignments(topic)?;
    if assignments.is_some() && (partition_count.is_some() || replication_factor.is_some()) {
        return Err(Refused::new(
            wire_code::INVALID_REQUEST,
            "A manual partition assignment was specified, but numPartitions or \
             replicationFactor was not set to -1.",
        ));
    }
    let configs = topic.configs.iter().map(|config| {
        let value = config.value.as_ref().map(ToString::to_string);
        (config.name.to_string(), value)
    });
    Ok(NewTopic {
        name: topic.name.to_string(),
        partition_count,
        replication_factor,
        configs: configs.collect(),
        assignments,
    })
}

/// Nodes by partition, where the client chooses them.
fn assignments(topic: &CreatableTopic) -> Result<Option<Vec<Vec<i32>>>, Refused> {
    if topic.assignments.is_empty() {
        return Ok(None);
    }
    let mut by_index = BTreeMap::new();
    for each in &topic.assignments {
        let nodes: Vec<i32> = each.broker_ids.iter().map(|node| node.0).collect();
        if by_index.insert(each.partition_index, nodes).is_some() {
            return Err(Refused::new(
                wire_code::INVALID_REPLICA_ASSIGNMENT,
                format!(
                    "Found multiple manual partition assignments for partition {}",
                    each.partition_index
                ),
            ));
        }
    }
    if !by_index.keys().copied().eq((0..).take(by_index.len())) {
        return Err(Refused::new(
            wire_code::INVALID_REPLICA_ASSIGNMENT,
            "partitions should be a consecutive 0-based integer sequence",
        ));
    }
    Ok(Some(by_index.into_values().collect()))
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    names: Vec<(StrBytes, Option<Refused>)>,
    outcome: Vec<Result<CreatedTopic, Refusal>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let topics = names.into_iter().map(|(name, refused)| {
        let created = match refused {
            Some(refused) => Err(refused),
            None => match outcome.next() {
                Some(created) => created.map_err(Refused::from),
                None => Err(wire_code::UNKNOWN_SERVER_ERROR.into()),
            },
        };
        topic(head, name, created)
    });
    let response = CreateTopicsResponse::default().with_topics(topics.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn topic(
    head: &Head,
    name: StrBytes,
    created: Result<CreatedTopic, Refused>,
) -> CreatableTopicResult {
    let mut response = CreatableTopicResult::default()
        .with_name(name.into())
        .with_error_message(None);
    match created {
        Err(refused) => {
            response.error_code = refused.code;
            response.error_message = refused.message;
            if head.version >= COUNTS_FROM {
                response.configs = Some(Vec::new());
            }
        }
        Ok(created) => {
            if head.version >= COUNTS_FROM {
                response.num_partitions = i32::try_from(created.partition_count).unwrap_or(-1);
                response.replication_factor =
                    i16::try_from(created.replication_factor).unwrap_or(-1);
                response.configs = Some(created.configs.into_iter().map(config).collect());
            }
            if head.version >= ID_FROM
                && let Some(id) = created.id
            {
                response.topic_id = id.0;
            }
        }
    }
    response
}

fn config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_static_str(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.is_read_only)
        .with_config_source(configs::source(entry.source))
        .with_is_sensitive(entry.is_sensitive)
}
