//! Where answers say for how long their client is held.

use super::versions::Api;

/// Bytes of the field.
pub(super) const FIELD_BYTES: usize = 4;

/// Where the field begins in the body of an answer; `None`: there is none, or whoever writes the answer knows.
// Table: one line per request.
pub(super) fn position(api: Api, version: i16) -> Option<usize> {
    let from = match api {
        // At the end, or written by hand.
        Api::Produce | Api::Fetch | Api::ShareFetch | Api::ShareAcknowledge => return None,
        Api::ApiVersions
        | Api::SaslHandshake
        | Api::SaslAuthenticate
        | Api::WriteTxnMarkers
        | Api::DescribeQuorum => return None,
        // Behind its error.
        Api::OffsetDelete => return Some(2),
        Api::Metadata | Api::OffsetCommit | Api::OffsetFetch => 3,
        Api::ListOffsets | Api::OffsetForLeaderEpoch | Api::JoinGroup | Api::CreateTopics => 2,
        Api::FindCoordinator
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::SyncGroup
        | Api::DescribeGroups
        | Api::ListGroups
        | Api::DeleteTopics => 1,
        Api::DeleteRecords
        | Api::InitProducerId
        | Api::AddPartitionsToTxn
        | Api::AddOffsetsToTxn
        | Api::EndTxn
        | Api::TxnOffsetCommit
        | Api::DescribeAcls
        | Api::CreateAcls
        | Api::DeleteAcls
        | Api::DescribeConfigs
        | Api::AlterConfigs
        | Api::AlterReplicaLogDirs
        | Api::DescribeLogDirs
        | Api::CreatePartitions
        | Api::DeleteGroups
        | Api::ElectLeaders
        | Api::IncrementalAlterConfigs
        | Api::AlterPartitionReassignments
        | Api::ListPartitionReassignments
        | Api::DescribeClientQuotas
        | Api::AlterClientQuotas
        | Api::DescribeUserScramCredentials
        | Api::AlterUserScramCredentials
        | Api::UpdateFeatures
        | Api::DescribeCluster
        | Api::DescribeProducers
        | Api::UnregisterBroker
        | Api::DescribeTransactions
        | Api::ListTransactions
        | Api::ConsumerGroupHeartbeat
        | Api::ConsumerGroupDescribe
        | Api::ListConfigResources
        | Api::DescribeTopicPartitions
        | Api::ShareGroupHeartbeat
        | Api::ShareGroupDescribe
        | Api::DescribeShareGroupOffsets
        | Api::AlterShareGroupOffsets
        | Api::DeleteShareGroupOffsets => 0,
    };
    (version >= from).then_some(0)
}
