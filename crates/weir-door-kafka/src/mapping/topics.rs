//! CreateTopics 2 to 7.

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        CreateTopicsRequest, CreateTopicsResponse, create_topics_request::CreatableTopic,
        create_topics_response::CreatableTopicResult,
    },
    protocol::StrBytes,
};
use weir_broker::api::{CreateTopics, CreatedTopic, NewTopic, Request};
use weir_model::ErrorKind;

use super::plan::{Answer, MapError, Mapped, Plan};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// First version that tells partition count and copies.
const COUNTS_FROM: i16 = 5;
/// First version that tells topic ids.
const ID_FROM: i16 = 7;
/// "The node's default" on the wire.
const DEFAULT: i32 = -1;

/// Maps a request. A name that comes twice is refused for each time.
pub fn map(head: &Head, request: &CreateTopicsRequest) -> Result<Mapped, MapError> {
    let mut named = BTreeMap::<&str, usize>::new();
    for topic in &request.topics {
        *named.entry(topic.name.as_str()).or_default() += 1;
    }
    let mut names = Vec::with_capacity(request.topics.len());
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let times = named.get(topic.name.as_str()).copied();
        let new = if times == Some(1) {
            new_topic(topic)
        } else {
            Err(wire_code::INVALID_REQUEST)
        };
        names.push((topic.name.0.clone(), new.as_ref().err().copied()));
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

fn new_topic(topic: &CreatableTopic) -> Result<NewTopic, i16> {
    if !topic.assignments.is_empty() {
        return Err(wire_code::INVALID_REPLICA_ASSIGNMENT);
    }
    let partition_count = match topic.num_partitions {
        DEFAULT => None,
        count => Some(u32::try_from(count).map_err(|_| wire_code::INVALID_PARTITIONS)?),
    };
    let replication_factor = match i32::from(topic.replication_factor) {
        DEFAULT => None,
        count => Some(u16::try_from(count).map_err(|_| wire_code::INVALID_REPLICATION_FACTOR)?),
    };
    let configs = topic.configs.iter().map(|config| {
        let value = config.value.as_ref().map(ToString::to_string);
        (config.name.to_string(), value)
    });
    Ok(NewTopic {
        name: topic.name.to_string(),
        partition_count,
        replication_factor,
        configs: configs.collect(),
    })
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    names: Vec<(StrBytes, Option<i16>)>,
    outcome: Vec<Result<CreatedTopic, ErrorKind>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let topics = names.into_iter().map(|(name, code)| {
        let created = match code {
            Some(code) => Err(code),
            None => match outcome.next() {
                Some(created) => created.map_err(|kind| wire_code::of(kind, Surface::Write)),
                None => Err(wire_code::UNKNOWN_SERVER_ERROR),
            },
        };
        topic(head, name, created)
    });
    let response = CreateTopicsResponse::default().with_topics(topics.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn topic(head: &Head, name: StrBytes, created: Result<CreatedTopic, i16>) -> CreatableTopicResult {
    let mut response = CreatableTopicResult::default().with_name(name.into());
    match created {
        Err(code) => response.error_code = code,
        Ok(created) => {
            if head.version >= COUNTS_FROM {
                response.num_partitions = i32::try_from(created.partition_count).unwrap_or(-1);
                response.replication_factor =
                    i16::try_from(created.replication_factor).unwrap_or(-1);
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
