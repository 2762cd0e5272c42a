//! A request of every kind and version that is served, with something in each of its lists.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, CreateTopicsRequest, FetchRequest, FindCoordinatorRequest,
        HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
        ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
        OffsetForLeaderEpochRequest, ProduceRequest, RequestHeader, SaslAuthenticateRequest,
        SaslHandshakeRequest, SyncGroupRequest,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        fetch_request::{FetchPartition, FetchTopic, ForgottenTopic},
        join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::{
            OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
        },
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
        produce_request::{PartitionProduceData, TopicProduceData},
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Encodable, StrBytes},
};
use uuid::Uuid;
use weir_door_kafka::codec::versions::{Api, SERVED, Served};

use crate::{access_samples, admin_samples, group_samples, share_samples, transactions};

/// The id of the samples' topic.
pub(crate) const TOPIC_ID: Uuid = Uuid::from_u128(7);

/// Every line of the table with every version of it.
pub(crate) fn all_versions() -> impl Iterator<Item = (Served, i16)> {
    SERVED
        .into_iter()
        .flat_map(|line| (line.min..=line.max).map(move |version| (line, version)))
}

/// Whether the door answers by itself.
pub(crate) fn is_answered_here(api: Api) -> bool {
    matches!(
        api,
        Api::ApiVersions
            | Api::UpdateFeatures
            | Api::SaslHandshake
            | Api::SaslAuthenticate
            | Api::DescribeAcls
            | Api::DescribeClientQuotas
            | Api::DescribeUserScramCredentials
    )
}

pub(crate) fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// One batch without records: 61 bytes whose length field is right.
pub(crate) fn batch() -> Bytes {
    let mut batch = vec![0_u8; 61];
    batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
    batch[16] = 2;
    batch.into()
}

/// The request as a frame with its size field.
pub(crate) fn frame(line: Served, version: i16, correlation: i32) -> Bytes {
    let mut body = BytesMut::new();
    encode_body(line.api, version, &mut body);
    framed(line, version, correlation, &body)
}

/// A frame around `body`.
pub(crate) fn framed(line: Served, version: i16, correlation: i32, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    RequestHeader::default()
        .with_request_api_key(line.key)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(text("sample")))
        .encode(&mut frame, if line.is_flexible(version) { 2 } else { 1 })
        .unwrap();
    frame.extend_from_slice(body);
    let size = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame.freeze()
}

/// A body of Produce.
pub(crate) fn produce(version: i16, acks: i16, records: Vec<Option<Bytes>>) -> Bytes {
    let partitions = (0..).zip(records).map(|(index, records)| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(records)
    });
    let topic = TopicProduceData::default().with_partition_data(partitions.collect());
    let topic = if version >= 13 {
        topic.with_topic_id(TOPIC_ID)
    } else {
        topic.with_name(text("topic").into())
    };
    let request = ProduceRequest::default()
        .with_acks(acks)
        .with_topic_data(vec![topic]);
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    body.freeze()
}

// Table: one arm per request.
fn encode_body(api: Api, version: i16, into: &mut BytesMut) {
    match api {
        Api::Produce => {
            into.extend_from_slice(&produce(version, 1, vec![Some(batch()), Some(batch())]));
            Ok(())
        }
        Api::Fetch => fetch(version).encode(into, version),
        // 11 looks like 10.
        Api::ListOffsets => list_offsets().encode(into, version.min(10)),
        Api::Metadata => metadata(version).encode(into, version),
        Api::OffsetCommit if version >= 10 => {
            group_samples::commit_by_id(into);
            Ok(())
        }
        Api::OffsetFetch if version >= 10 => {
            group_samples::fetch_by_id(into);
            Ok(())
        }
        Api::OffsetCommit => commit().encode(into, version),
        Api::OffsetFetch => offset_fetch(version).encode(into, version),
        Api::FindCoordinator => {
            let request = FindCoordinatorRequest::default();
            let request = if version >= 4 {
                request.with_coordinator_keys(vec![text("group"), text("other")])
            } else {
                request.with_key(text("group"))
            };
            request.encode(into, version)
        }
        Api::JoinGroup => join(version).encode(into, version),
        Api::SaslHandshake => SaslHandshakeRequest::default()
            .with_mechanism(text("SCRAM-SHA-256"))
            .encode(into, version),
        Api::SaslAuthenticate => SaslAuthenticateRequest::default()
            .with_auth_bytes(Bytes::from_static(b"n,,n=user,r=nonce"))
            .encode(into, version),
        Api::Heartbeat => HeartbeatRequest::default()
            .with_group_id(text("group").into())
            .encode(into, version),
        Api::LeaveGroup => {
            let member = MemberIdentity::default().with_member_id(text("member"));
            let request = LeaveGroupRequest::default().with_group_id(text("group").into());
            let request = if version >= 3 {
                request.with_members(vec![member.clone(), member])
            } else {
                request.with_member_id(text("member"))
            };
            request.encode(into, version)
        }
        Api::SyncGroup => {
            let assignment = SyncGroupRequestAssignment::default()
                .with_member_id(text("member"))
                .with_assignment(Bytes::from_static(b"mine"));
            SyncGroupRequest::default()
                .with_group_id(text("group").into())
                .with_assignments(vec![assignment.clone(), assignment])
                .encode(into, version)
        }
        Api::ApiVersions => {
            let request = ApiVersionsRequest::default();
            let request = if version >= 3 {
                request
                    .with_client_software_name(text("weir-test"))
                    .with_client_software_version(text("1.0"))
            } else {
                request
            };
            request.encode(into, version)
        }
        Api::CreateTopics => create_topics().encode(into, version),
        Api::DescribeAcls
        | Api::CreateAcls
        | Api::DeleteAcls
        | Api::DescribeClientQuotas
        | Api::AlterClientQuotas
        | Api::DescribeUserScramCredentials
        | Api::AlterUserScramCredentials => {
            access_samples::encode_body(api, version, into);
            Ok(())
        }
        Api::DeleteTopics
        | Api::DeleteRecords
        | Api::DescribeConfigs
        | Api::AlterConfigs
        | Api::AlterReplicaLogDirs
        | Api::UpdateFeatures
        | Api::UnregisterBroker
        | Api::DescribeLogDirs
        | Api::CreatePartitions
        | Api::ElectLeaders
        | Api::IncrementalAlterConfigs
        | Api::AlterPartitionReassignments
        | Api::ListPartitionReassignments
        | Api::DescribeQuorum
        | Api::DescribeCluster
        | Api::ListConfigResources
        | Api::DescribeTopicPartitions => {
            admin_samples::encode_body(api, version, into);
            Ok(())
        }
        Api::ListGroups
        | Api::DescribeGroups
        | Api::DeleteGroups
        | Api::OffsetDelete
        | Api::ConsumerGroupHeartbeat
        | Api::ConsumerGroupDescribe => {
            group_samples::encode_body(api, version, into);
            Ok(())
        }
        Api::ShareGroupHeartbeat
        | Api::ShareGroupDescribe
        | Api::ShareFetch
        | Api::ShareAcknowledge
        | Api::DescribeShareGroupOffsets
        | Api::AlterShareGroupOffsets
        | Api::DeleteShareGroupOffsets => {
            share_samples::encode_body(api, version, into);
            Ok(())
        }
        Api::AddPartitionsToTxn
        | Api::AddOffsetsToTxn
        | Api::EndTxn
        | Api::WriteTxnMarkers
        | Api::TxnOffsetCommit
        | Api::DescribeProducers
        | Api::DescribeTransactions
        | Api::ListTransactions => {
            transactions::encode_body(api, version, into);
            Ok(())
        }
        Api::InitProducerId => InitProducerIdRequest::default()
            .with_transactional_id(None)
            .encode(into, version),
        Api::OffsetForLeaderEpoch => leader_epoch().encode(into, version),
    }
    .unwrap();
}

fn list_offsets() -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(text("topic").into())
        .with_partitions(vec![partition.clone(), partition]);
    ListOffsetsRequest::default().with_topics(vec![topic])
}

fn leader_epoch() -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition::default().with_leader_epoch(2);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(text("topic").into())
        .with_partitions(vec![partition.clone(), partition]);
    OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
}

fn metadata(version: i16) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(text("topic").into()));
    let mut topics = vec![topic.clone(), topic];
    if version >= 12 {
        let by_id = MetadataRequestTopic::default().with_name(None);
        topics.push(by_id.with_topic_id(TOPIC_ID));
    }
    MetadataRequest::default().with_topics(Some(topics))
}

fn fetch(version: i16) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_partitions(vec![partition.clone(), partition]);
    let forgotten = ForgottenTopic::default().with_partitions(vec![1, 2]);
    let (topic, forgotten) = if version >= 13 {
        (
            topic.with_topic_id(TOPIC_ID),
            forgotten.with_topic_id(TOPIC_ID),
        )
    } else {
        let name = text("topic");
        (
            topic.with_topic(name.clone().into()),
            forgotten.with_topic(name.into()),
        )
    };
    let request = FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    if version >= 7 {
        request.with_forgotten_topics_data(vec![forgotten])
    } else {
        request
    }
}

fn commit() -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(3)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(text("topic").into())
        .with_partitions(vec![partition.clone(), partition]);
    OffsetCommitRequest::default()
        .with_group_id(text("group").into())
        .with_topics(vec![topic])
}

fn offset_fetch(version: i16) -> OffsetFetchRequest {
    if version < 8 {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(text("topic").into())
            .with_partition_indexes(vec![0, 1]);
        return OffsetFetchRequest::default()
            .with_group_id(text("group").into())
            .with_topics(Some(vec![topic]));
    }
    let topic = OffsetFetchRequestTopics::default()
        .with_name(text("topic").into())
        .with_partition_indexes(vec![0, 1]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(text("group").into())
        .with_topics(Some(vec![topic]));
    let all = OffsetFetchRequestGroup::default()
        .with_group_id(text("other").into())
        .with_topics(None);
    OffsetFetchRequest::default().with_groups(vec![group, all])
}

fn join(version: i16) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"topics"));
    let request = JoinGroupRequest::default()
        .with_group_id(text("group").into())
        .with_session_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol.clone(), protocol]);
    if version >= 1 {
        request.with_rebalance_timeout_ms(20_000)
    } else {
        request
    }
}

fn create_topics() -> CreateTopicsRequest {
    let config = CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1000")));
    let topic = CreatableTopic::default()
        .with_num_partitions(3)
        .with_replication_factor(-1)
        .with_configs(vec![config.clone(), config]);
    let first = topic.clone().with_name(text("first").into());
    let second = topic.with_name(text("second").into());
    CreateTopicsRequest::default().with_topics(vec![first, second])
}
