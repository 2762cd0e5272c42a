//! Metadata 0 to 13.

use kafka_protocol::{
    messages::{
        MetadataRequest, MetadataResponse,
        metadata_request::MetadataRequestTopic,
        metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    Broker, ClusterMetadata, Metadata, PartitionMetadata, Request, TopicDescription, TopicMetadata,
    TopicRef,
};
use weir_model::{ErrorKind, TopicId, TopicName};

use super::plan::{Answer, Client, MapError, Mapped, Plan};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// First version that says whether topics may be created; before it, they may.
const AUTO_CREATE_FROM: i16 = 4;
/// First version with racks.
const RACK_FROM: i16 = 1;
/// First version that tells replicas that are down.
const OFFLINE_FROM: i16 = 5;
/// First version with leader epochs.
const EPOCH_FROM: i16 = 7;
/// First version with topic ids in the answer.
const ID_FROM: i16 = 10;
/// First version with allowed operations.
const OPERATIONS_FROM: i16 = 8;
/// Last version with allowed operations on the cluster.
const CLUSTER_OPERATIONS_TO: i16 = 10;
/// First version that takes topic ids, with null names.
const ASK_BY_ID_FROM: i16 = 12;

/// Maps a request. The node is not asked for names that no topic can have; their answers go
/// between the node's, see [`Plan::Metadata`].
pub fn map(head: &Head, request: MetadataRequest) -> Result<Mapped, MapError> {
    let topics = request
        .topics
        .filter(|topics| head.version > 0 || !topics.is_empty());
    let (topics, refused) = match topics {
        None => (None, Vec::new()),
        Some(topics) => {
            let mut refused = Vec::new();
            let mut asked = Vec::with_capacity(topics.len());
            for (at, topic) in topics.into_iter().enumerate() {
                match topic_ref(head, topic) {
                    Ok(topic) => asked.push(topic),
                    Err(answer) => refused.push((at, answer)),
                }
            }
            (Some(asked), refused)
        }
    };
    let plan = Plan::Metadata {
        with_operations: request.include_topic_authorized_operations,
        with_cluster_operations: request.include_cluster_authorized_operations,
        refused,
    };
    let auto_create = head.version < AUTO_CREATE_FROM || request.allow_auto_topic_creation;
    let request = Request::Metadata(Metadata {
        topics,
        auto_create,
    });
    Ok(Mapped::Ask(request, plan))
}

fn topic_ref(head: &Head, topic: MetadataRequestTopic) -> Result<TopicRef, MetadataResponseTopic> {
    let refused = MetadataResponseTopic::default();
    match topic.name {
        Some(name) => TopicName::new(&name).map(TopicRef::Name).map_err(|_| {
            refused
                .with_name(Some(name))
                .with_error_code(wire_code::INVALID_TOPIC)
        }),
        None if head.version < ASK_BY_ID_FROM => Err(refused
            .with_name(Some(StrBytes::default().into()))
            .with_error_code(wire_code::INVALID_REQUEST)),
        None if topic.topic_id.is_nil() => Err(refused
            .with_name(None)
            .with_error_code(wire_code::UNKNOWN_TOPIC_ID)),
        None => Ok(TopicRef::Id(TopicId(topic.topic_id))),
    }
}

/// Of what a client wants to be told what it may do.
#[derive(Clone, Copy, Debug)]
pub struct AskedOperations {
    /// Of each topic that is there.
    pub of_topics: bool,
    /// Of the cluster.
    pub of_cluster: bool,
}

/// Maps the outcome. As in Kafka, nodes that are down are no brokers: tools ask each of those that
/// are told.
pub fn answer(
    head: &Head,
    asked: AskedOperations,
    refused: Vec<(usize, MetadataResponseTopic)>,
    outcome: ClusterMetadata,
    client: &Client,
) -> Result<Answer, MapError> {
    if outcome.is_cut_off {
        return Ok(Answer::Elsewhere);
    }
    let mut topics: Vec<_> = outcome
        .topics
        .into_iter()
        .map(|topic| self::topic(head, topic))
        .collect();
    if head.version >= OPERATIONS_FROM && asked.of_topics {
        client.told(|rights| {
            let mut there = topics.iter_mut();
            let there = there.by_ref().filter(|it| it.error_code == wire_code::NONE);
            for topic in there {
                let name = topic.name.as_ref().map_or("", |name| name);
                topic.topic_authorized_operations = rights.on_topic(name);
            }
        });
    }
    for (at, answer) in refused {
        topics.insert(at.min(topics.len()), answer);
    }
    let mut response = MetadataResponse::default()
        .with_brokers(
            outcome
                .brokers
                .into_iter()
                .filter(|each| !each.is_fenced)
                .map(|each| broker(head, each))
                .collect(),
        )
        .with_topics(topics);
    if head.version >= 1 {
        response.controller_id = outcome.controller.unwrap_or(-1).into();
    }
    if head.version >= 2 {
        response.cluster_id = Some(StrBytes::from_string(outcome.cluster_id));
    }
    if (OPERATIONS_FROM..=CLUSTER_OPERATIONS_TO).contains(&head.version) && asked.of_cluster {
        response.cluster_authorized_operations = client.told(|rights| rights.on_cluster());
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn broker(head: &Head, broker: Broker) -> MetadataResponseBroker {
    let rack = broker.rack.filter(|_| head.version >= RACK_FROM);
    MetadataResponseBroker::default()
        .with_rack(rack.map(StrBytes::from_string))
        .with_node_id(broker.node.into())
        .with_host(StrBytes::from_string(broker.host))
        .with_port(broker.port.into())
}

fn topic(head: &Head, topic: TopicMetadata) -> MetadataResponseTopic {
    match topic.result {
        Ok(description) => described(head, description),
        Err(kind) => failed(head, topic.topic, kind),
    }
}

fn described(head: &Head, description: TopicDescription) -> MetadataResponseTopic {
    let partitions = (0..).zip(description.partitions);
    let mut response = MetadataResponseTopic::default()
        .with_name(Some(wire_name(&description.name)))
        .with_is_internal(weir_broker::audit::is_internal(description.name.as_str()))
        .with_partitions(
            partitions
                .map(|(index, each)| partition(head, index, each))
                .collect(),
        );
    if head.version >= ID_FROM {
        response.topic_id = description.id.0;
    }
    response
}

fn failed(head: &Head, topic: TopicRef, kind: ErrorKind) -> MetadataResponseTopic {
    let (name, id) = match topic {
        TopicRef::Name(name) => (Some(wire_name(&name)), Uuid::nil()),
        TopicRef::Id(id) => (None, id.0),
    };
    let mut response = MetadataResponseTopic::default()
        .with_error_code(wire_code::of(kind, Surface::Read))
        .with_name(name);
    if head.version >= ID_FROM {
        response.topic_id = id;
    }
    response
}

fn partition(head: &Head, index: i32, partition: PartitionMetadata) -> MetadataResponsePartition {
    let nodes = |nodes: Vec<i32>| nodes.into_iter().map(Into::into).collect();
    let mut response = MetadataResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(partition.leader.unwrap_or(-1).into())
        .with_isr_nodes(nodes(partition.in_sync))
        .with_replica_nodes(nodes(partition.replicas));
    if partition.leader.is_none() {
        response.error_code = wire_code::LEADER_NOT_AVAILABLE;
    }
    if head.version >= EPOCH_FROM {
        response.leader_epoch = partition.leader_epoch;
    }
    if head.version >= OFFLINE_FROM {
        response.offline_replicas = nodes(partition.offline);
    }
    response
}

fn wire_name(name: &TopicName) -> kafka_protocol::messages::TopicName {
    StrBytes::from_string(name.as_str().to_owned()).into()
}
