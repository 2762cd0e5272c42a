//! DescribeTopicPartitions 0 (KIP-966): topics in the order of their names, a page at a time.

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        describe_topic_partitions_response::{
            Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
    },
    protocol::StrBytes,
};
use weir_broker::api::{ClusterMetadata, Metadata, PartitionMetadata, Request, TopicRef};
use weir_model::TopicName;

use super::plan::{Answer, Client, ManagePlan, MapError, Mapped, Plan};
use crate::{
    codec::header::Head,
    permit::operations::NOT_ASKED,
    wire_code::{self, Surface},
};

/// Most partitions of one answer (Kafka's `max.request.partition.size.limit`).
const MAX_PARTITIONS_COUNT: usize = 2_000;

/// Maps a request. No topics: all of them.
pub fn map(request: DescribeTopicPartitionsRequest) -> Result<Mapped, MapError> {
    let max_count = usize::try_from(request.response_partition_limit).unwrap_or(1);
    let cursor = request
        .cursor
        .map(|cursor| (cursor.topic_name.0, cursor.partition_index));
    let mut refused = Vec::new();
    let mut topics = BTreeMap::new();
    let is_all = request.topics.is_empty();
    for topic in request.topics {
        match TopicName::new(&topic.name) {
            Ok(name) => {
                topics.insert(topic.name.0, TopicRef::Name(name));
            }
            Err(_) => refused.push(topic.name.0),
        }
    }
    if let Some((first, _)) = &cursor {
        topics.retain(|name, _| name >= first);
        refused.retain(|name| name >= first);
    }
    refused.sort();
    refused.dedup();
    let asked = Request::Metadata(Metadata {
        topics: (!is_all).then(|| topics.into_values().collect()),
        auto_create: false,
    });
    let plan = ManagePlan::TopicPartitions {
        max_count: max_count.clamp(1, MAX_PARTITIONS_COUNT),
        cursor,
        refused,
    };
    Ok(Mapped::Ask(asked, Plan::Manage(plan)))
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    max_count: usize,
    cursor: Option<&(StrBytes, i32)>,
    refused: Vec<StrBytes>,
    outcome: ClusterMetadata,
    client: &Client,
) -> Result<Answer, MapError> {
    let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
    let mut left_count = max_count;
    let mut by_name = BTreeMap::new();
    for name in refused {
        by_name.insert(name, Err(wire_code::INVALID_TOPIC));
    }
    for topic in outcome.topics {
        let TopicRef::Name(name) = &topic.topic else {
            continue;
        };
        let name = StrBytes::from_string(name.as_str().to_owned());
        let result = topic
            .result
            .map_err(|kind| wire_code::of(kind, Surface::Read));
        by_name.insert(name, result);
    }
    let first = cursor.map(|(name, _)| name.clone());
    for (name, result) in by_name {
        if first.as_ref().is_some_and(|first| name < *first) {
            continue;
        }
        let mut told = DescribeTopicPartitionsResponseTopic::default()
            .with_is_internal(weir_broker::audit::is_internal(&name))
            .with_name(Some(name.clone().into()))
            .with_topic_authorized_operations(NOT_ASKED);
        let description = match result {
            Ok(description) => description,
            Err(code) => {
                response.topics.push(told.with_error_code(code));
                continue;
            }
        };
        let from = match cursor {
            Some((first, index)) if *first == name => usize::try_from(*index).unwrap_or(0),
            Some(_) | None => 0,
        };
        let count = description.partitions.len();
        if left_count == 0 {
            response.next_cursor = Some(cursor_at(name, from));
            break;
        }
        let until = count.min(from.saturating_add(left_count));
        let page = description.partitions.into_iter().enumerate().skip(from);
        let page = page.take(until.saturating_sub(from));
        told.partitions = page.map(|(index, each)| partition(index, each)).collect();
        told.topic_id = description.id.0;
        told.topic_authorized_operations = client.told(|rights| rights.on_topic(&name));
        left_count -= told.partitions.len();
        response.topics.push(told);
        if until < count {
            response.next_cursor = Some(cursor_at(name, until));
            break;
        }
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn cursor_at(name: StrBytes, index: usize) -> Cursor {
    Cursor::default()
        .with_topic_name(name.into())
        .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
}

fn partition(index: usize, known: PartitionMetadata) -> DescribeTopicPartitionsResponsePartition {
    let nodes = |nodes: Vec<i32>| nodes.into_iter().map(Into::into).collect();
    let mut told = DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
        .with_leader_id(known.leader.unwrap_or(-1).into())
        .with_leader_epoch(known.leader_epoch)
        .with_replica_nodes(nodes(known.replicas))
        .with_isr_nodes(nodes(known.in_sync))
        .with_offline_replicas(nodes(known.offline))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()));
    if known.leader.is_none() {
        told.error_code = wire_code::LEADER_NOT_AVAILABLE;
    }
    told
}
