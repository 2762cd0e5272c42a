//! What administrators ask, and made-up outcomes for it.

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest,
        CreatePartitionsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
        DescribeConfigsRequest, DescribeLogDirsRequest, DescribeQuorumRequest,
        DescribeTopicPartitionsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
        ListConfigResourcesRequest, ListPartitionReassignmentsRequest, UnregisterBrokerRequest,
        UpdateFeaturesRequest, alter_configs_request,
        alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic},
        alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic},
        create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
        delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
        delete_topics_request::DeleteTopicState,
        describe_configs_request::DescribeConfigsResource,
        describe_log_dirs_request::DescribableLogDirTopic,
        describe_quorum_request::{PartitionData, TopicData},
        describe_topic_partitions_request::{Cursor, TopicRequest},
        elect_leaders_request::TopicPartitions,
        incremental_alter_configs_request,
        list_partition_reassignments_request::ListPartitionReassignmentsTopics,
        update_features_request::FeatureUpdateKey,
    },
    protocol::Encodable,
};
use weir_broker::{
    api::admin::{
        ConfigEntry, ConfigResource, LogDir, Manage, Managed, Moving, Quorum, QuorumReplica,
        Refusal, StoredPartition,
    },
    configs::describe::{self, Layers},
};
use weir_door_kafka::codec::versions::Api;
use weir_model::{ErrorKind, Offset, TopicId, TopicName};

use crate::samples::{TOPIC_ID, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

// Table: one arm per request.
pub(crate) fn encode_body(api: Api, version: i16, into: &mut BytesMut) {
    match api {
        Api::DeleteTopics => delete_topics(version).encode(into, version).unwrap(),
        Api::DeleteRecords => {
            let partition = DeleteRecordsPartition::default().with_offset(-1);
            let topic = DeleteRecordsTopic::default()
                .with_name(text("topic").into())
                .with_partitions(vec![partition.clone(), partition.with_partition_index(1)]);
            DeleteRecordsRequest::default()
                .with_topics(vec![topic])
                .encode(into, version)
                .unwrap();
        }
        Api::DescribeConfigs => describe_configs(version).encode(into, version).unwrap(),
        Api::AlterConfigs => {
            let config = alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("5")));
            let resource = alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text("topic"))
                .with_configs(vec![config]);
            AlterConfigsRequest::default()
                .with_resources(vec![resource])
                .encode(into, version)
                .unwrap();
        }
        Api::IncrementalAlterConfigs => {
            let set = incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("5")));
            let delete = incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("segment.ms"))
                .with_config_operation(1)
                .with_value(None);
            let resource = incremental_alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text("topic"))
                .with_configs(vec![set, delete]);
            IncrementalAlterConfigsRequest::default()
                .with_resources(vec![resource])
                .encode(into, version)
                .unwrap();
        }
        Api::DescribeLogDirs => {
            let topic = DescribableLogDirTopic::default()
                .with_topic(text("topic").into())
                .with_partitions(vec![0, 1]);
            DescribeLogDirsRequest::default()
                .with_topics(Some(vec![topic]))
                .encode(into, version)
                .unwrap();
        }
        Api::CreatePartitions => {
            let nodes = CreatePartitionsAssignment::default().with_broker_ids(vec![1.into()]);
            let topic = CreatePartitionsTopic::default()
                .with_name(text("topic").into())
                .with_count(3)
                .with_assignments(Some(vec![nodes.clone(), nodes]));
            CreatePartitionsRequest::default()
                .with_topics(vec![topic])
                .encode(into, version)
                .unwrap();
        }
        Api::ElectLeaders => {
            let partitions = TopicPartitions::default()
                .with_topic(text("topic").into())
                .with_partitions(vec![0, 1]);
            ElectLeadersRequest::default()
                .with_topic_partitions(Some(vec![partitions]))
                .encode(into, version)
                .unwrap();
        }
        Api::DescribeQuorum => {
            let topic = TopicData::default()
                .with_topic_name(text("__cluster_metadata").into())
                .with_partitions(vec![PartitionData::default()]);
            DescribeQuorumRequest::default()
                .with_topics(vec![topic])
                .encode(into, version)
                .unwrap();
        }
        Api::DescribeCluster => DescribeClusterRequest::default()
            .with_include_cluster_authorized_operations(true)
            .encode(into, version)
            .unwrap(),
        Api::ListConfigResources => {
            let request = ListConfigResourcesRequest::default();
            let request = if version >= 1 {
                request.with_resource_types(vec![TOPIC, GROUP])
            } else {
                request
            };
            request.encode(into, version).unwrap();
        }
        Api::DescribeTopicPartitions => {
            let names =
                ["topic", "other"].map(|name| TopicRequest::default().with_name(text(name).into()));
            DescribeTopicPartitionsRequest::default()
                .with_topics(names.to_vec())
                .with_response_partition_limit(1)
                .with_cursor(Some(
                    Cursor::default().with_topic_name(text("other").into()),
                ))
                .encode(into, version)
                .unwrap();
        }
        Api::AlterReplicaLogDirs => {
            let topic = AlterReplicaLogDirTopic::default()
                .with_name(text("topic").into())
                .with_partitions(vec![0, 1]);
            let dir = AlterReplicaLogDir::default()
                .with_path(text("/data"))
                .with_topics(vec![topic]);
            AlterReplicaLogDirsRequest::default()
                .with_dirs(vec![dir])
                .encode(into, version)
                .unwrap();
        }
        Api::UpdateFeatures => {
            let update = FeatureUpdateKey::default()
                .with_feature(text("metadata.version"))
                .with_max_version_level(7);
            UpdateFeaturesRequest::default()
                .with_feature_updates(vec![update])
                .encode(into, version)
                .unwrap();
        }
        Api::UnregisterBroker => UnregisterBrokerRequest::default()
            .with_broker_id(3.into())
            .encode(into, version)
            .unwrap(),
        _ => reassignments(api, version, into),
    }
}

fn reassignments(api: Api, version: i16, into: &mut BytesMut) {
    if api == Api::ListPartitionReassignments {
        let topic = ListPartitionReassignmentsTopics::default()
            .with_name(text("topic").into())
            .with_partition_indexes(vec![0, 1]);
        return ListPartitionReassignmentsRequest::default()
            .with_topics(Some(vec![topic]))
            .encode(into, version)
            .unwrap();
    }
    let there = ReassignablePartition::default().with_replicas(Some(vec![1.into()]));
    let cancelled = ReassignablePartition::default()
        .with_partition_index(1)
        .with_replicas(None);
    let topic = ReassignableTopic::default()
        .with_name(text("topic").into())
        .with_partitions(vec![there, cancelled]);
    AlterPartitionReassignmentsRequest::default()
        .with_topics(vec![topic])
        .encode(into, version)
        .unwrap();
}

fn delete_topics(version: i16) -> DeleteTopicsRequest {
    if version < 6 {
        let names = ["topic", "other"].map(|name| text(name).into());
        return DeleteTopicsRequest::default().with_topic_names(names.to_vec());
    }
    let by_name = DeleteTopicState::default().with_name(Some(text("topic").into()));
    let by_id = DeleteTopicState::default()
        .with_name(None)
        .with_topic_id(TOPIC_ID);
    DeleteTopicsRequest::default().with_topics(vec![by_name, by_id])
}

fn describe_configs(version: i16) -> DescribeConfigsRequest {
    let resource = |kind, name| {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
    };
    let topic = resource(TOPIC, "topic").with_configuration_keys(Some(vec![text("retention.ms")]));
    let broker = resource(BROKER, "1").with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![topic, broker])
        .with_include_synonyms(true);
    if version >= 3 {
        request.with_include_documentation(true)
    } else {
        request
    }
}

/// A topic's settings.
pub(crate) fn entries() -> Vec<ConfigEntry> {
    describe::topic(&Layers::default(), None)
}

/// `kind` says no.
pub(crate) fn managed(manage: &Manage, kind: Option<ErrorKind>) -> Managed {
    fn or<T>(kind: Option<ErrorKind>, value: T) -> Result<T, Refusal> {
        kind.map_or(Ok(value), |kind| Err(Refusal::new(kind, "no")))
    }
    let topic = || TopicName::new("topic").unwrap();
    let checked = |count: usize| Managed::Checked(vec![or(kind, ()); count]);
    match manage {
        Manage::DeleteTopics(topics) => {
            let deleted = or(kind, (topic(), TopicId(TOPIC_ID)));
            Managed::DeletedTopics(vec![deleted; topics.len()])
        }
        Manage::CreatePartitions(create) => checked(create.topics.len()),
        Manage::DeleteRecords(wanted) => {
            Managed::DeletedRecords(vec![kind.map_or(Ok(Offset(4)), Err); wanted.len()])
        }
        Manage::DescribeConfigs(wanted) => {
            Managed::Configs(wanted.iter().map(|_| or(kind, entries())).collect())
        }
        Manage::AlterConfigs(alter) => checked(alter.resources.len()),
        Manage::ListConfigResources => Managed::ConfigResources(vec![
            ConfigResource::Topic("topic".into()),
            ConfigResource::Broker(Some(1)),
            ConfigResource::ClientMetrics("all".into()),
        ]),
        Manage::DescribeQuorum => {
            let replica = QuorumReplica {
                node: 1,
                log_end: 9,
                is_active: true,
            };
            let quorum = Quorum {
                leader: 1,
                leader_epoch: 2,
                high_watermark: 9,
                voters: vec![replica],
                observers: vec![replica],
                nodes: vec![(1, "localhost".into(), 9092)],
            };
            Managed::Quorum(kind.map_or(Ok(quorum), Err))
        }
        Manage::DescribeLogDirs(_) => Managed::LogDirs(LogDir {
            path: "/data".into(),
            total_bytes: None,
            usable_bytes: Some(5),
            topics: vec![(
                topic(),
                vec![StoredPartition {
                    index: 0,
                    size_bytes: 7,
                }],
            )],
        }),
        Manage::ElectLeaders(elect) => {
            let partitions = elect.partitions.iter().flatten();
            let elected = partitions.map(|(name, index)| (name.clone(), *index, or(kind, ())));
            Managed::Elected(elected.collect())
        }
        Manage::Reassign(wanted) => checked(wanted.len()),
        Manage::ListMoving(_) => {
            let moving = Moving {
                replicas: vec![1, 2],
                adding: vec![2],
                removing: vec![],
            };
            Managed::Moving(vec![("topic".into(), 0, moving)])
        }
        Manage::RemoveNode(_) => checked(1),
    }
}
