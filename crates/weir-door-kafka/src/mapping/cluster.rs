//! DescribeCluster 0 to 2, DescribeQuorum 0 to 2, DescribeLogDirs 1 to 4.

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest,
        DescribeLogDirsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
        describe_cluster_response::DescribeClusterBroker,
        describe_log_dirs_response::{
            DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
        },
        describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData},
    },
    protocol::StrBytes,
};
use weir_broker::api::{
    ClusterMetadata, Metadata, Request,
    admin::{LogDir, Manage, Quorum, QuorumReplica},
};
use weir_model::{ErrorKind, TopicName};

use super::plan::{Answer, Client, ManagePlan, MapError, Mapped, Plan};
use crate::{
    codec::header::Head,
    permit::operations::NOT_ASKED,
    wire_code::{self, Surface},
};

/// The kind of endpoint that clients use.
const BROKERS: i8 = 1;
/// The topic that Kafka keeps its metadata in.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// First version with words for errors, and with addresses.
const ADDRESSES_FROM: i16 = 2;
/// First version with the file system's size.
const SIZES_FROM: i16 = 4;

/// Maps a request.
pub fn map_describe(head: &Head, request: &DescribeClusterRequest) -> Result<Mapped, MapError> {
    if head.version >= 1 && request.endpoint_type != BROKERS {
        let response = DescribeClusterResponse::default()
            .with_error_code(wire_code::UNSUPPORTED_ENDPOINT_TYPE)
            .with_error_message(Some(StrBytes::from_static_str(
                "Every node is a broker and a controller: ask for brokers.",
            )))
            .with_cluster_authorized_operations(NOT_ASKED);
        return Ok(Mapped::Answered(Answer::Frame(vec![
            head.frame(&response)?,
        ])));
    }
    let asked = Request::Metadata(Metadata {
        topics: Some(Vec::new()),
        auto_create: false,
    });
    let plan = ManagePlan::DescribeCluster {
        with_operations: request.include_cluster_authorized_operations,
        with_fenced: request.include_fenced_brokers,
    };
    Ok(Mapped::Ask(asked, Plan::Manage(plan)))
}

/// Maps the outcome.
pub fn answer_describe(
    head: &Head,
    with_operations: bool,
    with_fenced: bool,
    outcome: ClusterMetadata,
    client: &Client,
) -> Result<Answer, MapError> {
    let brokers = outcome.brokers.into_iter();
    let brokers = brokers.filter(|broker| with_fenced || !broker.is_fenced);
    let brokers = brokers.map(|broker| {
        DescribeClusterBroker::default()
            .with_is_fenced(broker.is_fenced)
            .with_broker_id(broker.node.into())
            .with_host(StrBytes::from_string(broker.host))
            .with_port(broker.port.into())
            .with_rack(broker.rack.map(StrBytes::from_string))
    });
    let operations = match with_operations {
        true => client.told(|rights| rights.on_cluster()),
        false => NOT_ASKED,
    };
    let mut response = DescribeClusterResponse::default()
        .with_error_message(None)
        .with_cluster_id(StrBytes::from_string(outcome.cluster_id))
        .with_controller_id(outcome.controller.unwrap_or(-1).into())
        .with_brokers(brokers.collect())
        .with_cluster_authorized_operations(operations);
    if head.version >= 1 {
        response.endpoint_type = BROKERS;
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps a request. Only the metadata has a quorum that can be told of.
pub fn map_quorum(head: &Head, request: &DescribeQuorumRequest) -> Result<Mapped, MapError> {
    let is_metadata = match &request.topics[..] {
        [topic] => {
            let indexes = topic
                .partitions
                .iter()
                .map(|partition| partition.partition_index);
            topic.topic_name.as_str() == METADATA_TOPIC && indexes.eq([0])
        }
        _ => false,
    };
    if is_metadata {
        let asked = Request::Manage(Manage::DescribeQuorum);
        return Ok(Mapped::Ask(asked, Plan::Manage(ManagePlan::DescribeQuorum)));
    }
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(wire_code::UNKNOWN_TOPIC_OR_PARTITION)
                .with_error_message(None)
        });
        TopicData::default()
            .with_topic_name(topic.topic_name.clone())
            .with_partitions(partitions.collect())
    });
    let response = DescribeQuorumResponse::default()
        .with_error_message(None)
        .with_topics(topics.collect());
    Ok(Mapped::Answered(Answer::Frame(vec![
        head.frame(&response)?,
    ])))
}

/// Maps the outcome.
pub fn answer_quorum(head: &Head, outcome: Result<Quorum, ErrorKind>) -> Result<Answer, MapError> {
    let quorum = match outcome {
        Ok(quorum) => quorum,
        Err(kind) => {
            let response = DescribeQuorumResponse::default()
                .with_error_code(wire_code::of(kind, Surface::Write))
                .with_error_message(None);
            return Ok(Answer::Frame(vec![head.frame(&response)?]));
        }
    };
    let replicas =
        |replicas: &[QuorumReplica]| replicas.iter().map(|each| replica(head, *each)).collect();
    let partition = PartitionData::default()
        .with_error_message(None)
        .with_leader_id(quorum.leader.into())
        .with_leader_epoch(quorum.leader_epoch)
        .with_high_watermark(quorum.high_watermark)
        .with_current_voters(replicas(&quorum.voters))
        .with_observers(replicas(&quorum.observers));
    let topic = TopicData::default()
        .with_topic_name(StrBytes::from_static_str(METADATA_TOPIC).into())
        .with_partitions(vec![partition]);
    let mut response = DescribeQuorumResponse::default()
        .with_error_message(None)
        .with_topics(vec![topic]);
    if head.version >= ADDRESSES_FROM {
        let nodes = quorum.nodes.into_iter().map(|(node, host, port)| {
            let listener = Listener::default()
                .with_name(StrBytes::from_static_str("KAFKA"))
                .with_host(StrBytes::from_string(host))
                .with_port(port);
            Node::default()
                .with_node_id(node.into())
                .with_listeners(vec![listener])
        });
        response.nodes = nodes.collect();
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// When a follower last fetched is not known: entries are sent, not fetched.
fn replica(head: &Head, replica: QuorumReplica) -> ReplicaState {
    let state = ReplicaState::default()
        .with_replica_id(replica.node.into())
        .with_log_end_offset(replica.log_end);
    if head.version >= 1 {
        state
            .with_last_fetch_timestamp(-1)
            .with_last_caught_up_timestamp(-1)
    } else {
        state
    }
}

/// Maps a request.
pub fn map_log_dirs(request: DescribeLogDirsRequest) -> Result<Mapped, MapError> {
    let wanted = request.topics.map(|topics| {
        let mut wanted = BTreeMap::<TopicName, Vec<i32>>::new();
        for topic in topics {
            // A name that no topic can have has nothing stored.
            if let Ok(name) = TopicName::new(&topic.topic) {
                wanted.entry(name).or_default().extend(topic.partitions);
            }
        }
        wanted.into_iter().collect()
    });
    let asked = Request::Manage(Manage::DescribeLogDirs(wanted));
    Ok(Mapped::Ask(
        asked,
        Plan::Manage(ManagePlan::DescribeLogDirs),
    ))
}

/// Maps the outcome.
pub fn answer_log_dirs(head: &Head, outcome: LogDir) -> Result<Answer, MapError> {
    let wire = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let topics = outcome.topics.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|partition| {
            DescribeLogDirsPartition::default()
                .with_partition_index(partition.index)
                .with_partition_size(wire(partition.size_bytes))
        });
        DescribeLogDirsTopic::default()
            .with_name(StrBytes::from_string(name.as_str().to_owned()).into())
            .with_partitions(partitions.collect())
    });
    let mut result = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(outcome.path))
        .with_topics(topics.collect());
    if head.version >= SIZES_FROM {
        result.total_bytes = outcome.total_bytes.map_or(-1, wire);
        result.usable_bytes = outcome.usable_bytes.map_or(-1, wire);
    }
    let response = DescribeLogDirsResponse::default().with_results(vec![result]);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
