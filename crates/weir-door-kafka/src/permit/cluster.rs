//! Requests about the cluster as a whole: allowed or refused before they are looked at.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        AddPartitionsToTxnResponse, AlterClientQuotasRequest, AlterClientQuotasResponse,
        AlterPartitionReassignmentsResponse, AlterReplicaLogDirsRequest,
        AlterReplicaLogDirsResponse, AlterUserScramCredentialsRequest,
        AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse,
        DeleteAclsRequest, DeleteAclsResponse, DescribeAclsResponse, DescribeClientQuotasResponse,
        DescribeLogDirsResponse, DescribeQuorumResponse, DescribeUserScramCredentialsRequest,
        DescribeUserScramCredentialsResponse, ElectLeadersResponse, ListConfigResourcesResponse,
        ListPartitionReassignmentsResponse, UnregisterBrokerResponse, UpdateFeaturesResponse,
        WriteTxnMarkersRequest, WriteTxnMarkersResponse,
        alter_replica_log_dirs_response::{
            AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
        },
        alter_user_scram_credentials_response::AlterUserScramCredentialsResult,
        create_acls_response::AclCreationResult,
        delete_acls_response::DeleteAclsFilterResult,
        describe_user_scram_credentials_response::DescribeUserScramCredentialsResult,
        write_txn_markers_response::{
            WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
        },
    },
    protocol::StrBytes,
};
use weir_access::acl::Operation;

use super::asker::Asker;
use crate::{
    codec::{
        header::{Head, Incoming},
        response::EncodeError,
        versions::Api,
    },
    mapping::{
        dispatch,
        plan::{MapError, Refused},
        quotas,
    },
    wire_code::CLUSTER_AUTHORIZATION_FAILED as CODE,
};

/// First AddPartitionsToTxn that brokers alone send.
const BROKERS_FROM: i16 = 4;

/// The refusal; `None`: it is none of these requests, or allowed.
pub fn refusal(incoming: &Incoming, asker: &mut Asker<'_>) -> Result<Option<Bytes>, MapError> {
    let head = &incoming.head;
    let wanted: &[Operation] = match head.api {
        Api::ListConfigResources | Api::DescribeClientQuotas => &[Operation::DescribeConfigs],
        Api::AlterClientQuotas => &[Operation::AlterConfigs],
        Api::DescribeQuorum
        | Api::DescribeLogDirs
        | Api::ListPartitionReassignments
        | Api::DescribeAcls
        | Api::DescribeUserScramCredentials => &[Operation::Describe],
        Api::CreateAcls
        | Api::DeleteAcls
        | Api::AlterUserScramCredentials
        | Api::ElectLeaders
        | Api::AlterPartitionReassignments
        | Api::UnregisterBroker
        | Api::UpdateFeatures
        | Api::AlterReplicaLogDirs => &[Operation::Alter],
        Api::WriteTxnMarkers => &[Operation::ClusterAction, Operation::Alter],
        Api::AddPartitionsToTxn if head.version >= BROKERS_FROM => &[Operation::ClusterAction],
        _ => return Ok(None),
    };
    if wanted.iter().any(|each| asker.cluster(*each).is_ok()) {
        return Ok(None);
    }
    match head.api {
        Api::AlterReplicaLogDirs => of_dirs(head, incoming.body.clone()).map(Some),
        Api::WriteTxnMarkers => of_markers(head, incoming.body.clone()).map(Some),
        Api::CreateAcls
        | Api::DeleteAcls
        | Api::DescribeUserScramCredentials
        | Api::AlterClientQuotas
        | Api::AlterUserScramCredentials => of_access(head, incoming.body.clone()).map(Some),
        _ => Ok(Some(of_whole(head)?)),
    }
}

fn of_whole(head: &Head) -> Result<Bytes, EncodeError> {
    match head.api {
        Api::ListConfigResources => {
            head.frame(&ListConfigResourcesResponse::default().with_error_code(CODE))
        }
        Api::DescribeAcls => head.frame(
            &DescribeAclsResponse::default()
                .with_error_code(CODE)
                .with_error_message(words()),
        ),
        Api::DescribeClientQuotas => head.frame(
            &DescribeClientQuotasResponse::default()
                .with_error_code(CODE)
                .with_error_message(words())
                .with_entries(None),
        ),
        Api::DescribeQuorum => head.frame(&DescribeQuorumResponse::default().with_error_code(CODE)),
        // Before version 3 there is no code.
        Api::DescribeLogDirs if head.version < 3 => head.frame(&DescribeLogDirsResponse::default()),
        Api::DescribeLogDirs => {
            head.frame(&DescribeLogDirsResponse::default().with_error_code(CODE))
        }
        Api::ListPartitionReassignments => head.frame(
            &ListPartitionReassignmentsResponse::default()
                .with_error_code(CODE)
                .with_error_message(None),
        ),
        Api::ElectLeaders if head.version < 1 => head.frame(&ElectLeadersResponse::default()),
        Api::ElectLeaders => head.frame(&ElectLeadersResponse::default().with_error_code(CODE)),
        Api::AlterPartitionReassignments => head.frame(
            &AlterPartitionReassignmentsResponse::default()
                .with_error_code(CODE)
                .with_error_message(None),
        ),
        Api::UnregisterBroker => head.frame(
            &UnregisterBrokerResponse::default()
                .with_error_code(CODE)
                .with_error_message(None),
        ),
        Api::UpdateFeatures => head.frame(
            &UpdateFeaturesResponse::default()
                .with_error_code(CODE)
                .with_error_message(Some(StrBytes::from_static_str("Authorization failed."))),
        ),
        Api::AddPartitionsToTxn => {
            head.frame(&AddPartitionsToTxnResponse::default().with_error_code(CODE))
        }
        _ => Err(head.misfit("no request about the cluster".to_owned())),
    }
}

/// librdkafka counts on words here.
fn words() -> Option<StrBytes> {
    Some(StrBytes::from_static_str("Cluster authorization failed."))
}

/// Each rule, filter or user is refused.
fn of_access(head: &Head, body: Bytes) -> Result<Bytes, MapError> {
    let frame = match head.api {
        Api::CreateAcls => {
            let request: CreateAclsRequest = dispatch::decode_own(head, body)?;
            let results = request.creations.into_iter().map(|_| {
                AclCreationResult::default()
                    .with_error_code(CODE)
                    .with_error_message(words())
            });
            head.frame(&CreateAclsResponse::default().with_results(results.collect()))
        }
        Api::DeleteAcls => {
            let request: DeleteAclsRequest = dispatch::decode_own(head, body)?;
            let results = request.filters.into_iter().map(|_| {
                DeleteAclsFilterResult::default()
                    .with_error_code(CODE)
                    .with_error_message(words())
            });
            head.frame(&DeleteAclsResponse::default().with_filter_results(results.collect()))
        }
        Api::AlterClientQuotas => {
            let request: AlterClientQuotasRequest = dispatch::decode_own(head, body)?;
            let entries = request.entries.iter().map(|entry| {
                quotas::answered(
                    &entry.entity,
                    Some(Refused {
                        code: CODE,
                        message: words(),
                    }),
                )
            });
            head.frame(&AlterClientQuotasResponse::default().with_entries(entries.collect()))
        }
        // As in Kafka, as a whole and for each user.
        Api::DescribeUserScramCredentials => {
            let request: DescribeUserScramCredentialsRequest = dispatch::decode_own(head, body)?;
            let users = request.users.unwrap_or_default().into_iter();
            let results = users.map(|user| {
                DescribeUserScramCredentialsResult::default()
                    .with_user(user.name)
                    .with_error_code(CODE)
                    .with_error_message(words())
            });
            let response = DescribeUserScramCredentialsResponse::default()
                .with_error_code(CODE)
                .with_error_message(words())
                .with_results(results.collect());
            head.frame(&response)
        }
        _ => {
            let request: AlterUserScramCredentialsRequest = dispatch::decode_own(head, body)?;
            let deletions = request.deletions.into_iter().map(|each| each.name);
            let upsertions = request.upsertions.into_iter().map(|each| each.name);
            let users: BTreeSet<StrBytes> = deletions.chain(upsertions).collect();
            let results = users.into_iter().map(|user| {
                AlterUserScramCredentialsResult::default()
                    .with_user(user)
                    .with_error_code(CODE)
                    .with_error_message(words())
            });
            let results = results.collect();
            head.frame(&AlterUserScramCredentialsResponse::default().with_results(results))
        }
    };
    Ok(frame?)
}

fn of_dirs(head: &Head, body: Bytes) -> Result<Bytes, MapError> {
    let request: AlterReplicaLogDirsRequest = dispatch::decode_own(head, body)?;
    let topics = request.dirs.into_iter().flat_map(|dir| dir.topics);
    let results = topics.map(|topic| {
        let partitions = topic.partitions.into_iter().map(|index| {
            AlterReplicaLogDirPartitionResult::default()
                .with_partition_index(index)
                .with_error_code(CODE)
        });
        AlterReplicaLogDirTopicResult::default()
            .with_topic_name(topic.name)
            .with_partitions(partitions.collect())
    });
    let response = AlterReplicaLogDirsResponse::default().with_results(results.collect());
    Ok(head.frame(&response)?)
}

fn of_markers(head: &Head, body: Bytes) -> Result<Bytes, MapError> {
    let request: WriteTxnMarkersRequest = dispatch::decode_own(head, body)?;
    let markers = request.markers.into_iter().map(|marker| {
        let topics = marker.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.into_iter().map(|index| {
                WritableTxnMarkerPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(CODE)
            });
            WritableTxnMarkerTopicResult::default()
                .with_name(topic.name)
                .with_partitions(partitions.collect())
        });
        WritableTxnMarkerResult::default()
            .with_producer_id(marker.producer_id)
            .with_topics(topics.collect())
    });
    let response = WriteTxnMarkersResponse::default().with_markers(markers.collect());
    Ok(head.frame(&response)?)
}
