//! The one table of what is served. It decides what is decoded and what ApiVersions tells.

/// A request that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Key 0.
    Produce,
    /// Key 1.
    Fetch,
    /// Key 2.
    ListOffsets,
    /// Key 3.
    Metadata,
    /// Key 8.
    OffsetCommit,
    /// Key 9.
    OffsetFetch,
    /// Key 10.
    FindCoordinator,
    /// Key 11.
    JoinGroup,
    /// Key 12.
    Heartbeat,
    /// Key 13.
    LeaveGroup,
    /// Key 14.
    SyncGroup,
    /// Key 15.
    DescribeGroups,
    /// Key 16.
    ListGroups,
    /// Key 17.
    SaslHandshake,
    /// Key 18.
    ApiVersions,
    /// Key 19.
    CreateTopics,
    /// Key 20.
    DeleteTopics,
    /// Key 21.
    DeleteRecords,
    /// Key 22.
    InitProducerId,
    /// Key 23.
    OffsetForLeaderEpoch,
    /// Key 24.
    AddPartitionsToTxn,
    /// Key 25.
    AddOffsetsToTxn,
    /// Key 26.
    EndTxn,
    /// Key 27.
    WriteTxnMarkers,
    /// Key 28.
    TxnOffsetCommit,
    /// Key 29.
    DescribeAcls,
    /// Key 30.
    CreateAcls,
    /// Key 31.
    DeleteAcls,
    /// Key 32.
    DescribeConfigs,
    /// Key 33.
    AlterConfigs,
    /// Key 34.
    AlterReplicaLogDirs,
    /// Key 35.
    DescribeLogDirs,
    /// Key 36.
    SaslAuthenticate,
    /// Key 37.
    CreatePartitions,
    /// Key 42.
    DeleteGroups,
    /// Key 43.
    ElectLeaders,
    /// Key 44.
    IncrementalAlterConfigs,
    /// Key 45.
    AlterPartitionReassignments,
    /// Key 46.
    ListPartitionReassignments,
    /// Key 47.
    OffsetDelete,
    /// Key 48.
    DescribeClientQuotas,
    /// Key 49.
    AlterClientQuotas,
    /// Key 50.
    DescribeUserScramCredentials,
    /// Key 51.
    AlterUserScramCredentials,
    /// Key 55.
    DescribeQuorum,
    /// Key 57.
    UpdateFeatures,
    /// Key 60.
    DescribeCluster,
    /// Key 61.
    DescribeProducers,
    /// Key 64.
    UnregisterBroker,
    /// Key 65.
    DescribeTransactions,
    /// Key 66.
    ListTransactions,
    /// Key 68.
    ConsumerGroupHeartbeat,
    /// Key 69.
    ConsumerGroupDescribe,
    /// Key 74.
    ListConfigResources,
    /// Key 75.
    DescribeTopicPartitions,
    /// Key 76.
    ShareGroupHeartbeat,
    /// Key 77.
    ShareGroupDescribe,
    /// Key 78.
    ShareFetch,
    /// Key 79.
    ShareAcknowledge,
    /// Key 90.
    DescribeShareGroupOffsets,
    /// Key 91.
    AlterShareGroupOffsets,
    /// Key 92.
    DeleteShareGroupOffsets,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The request.
    pub api: Api,
    /// Its key on the wire.
    pub key: i16,
    /// Lowest version told to clients.
    pub told_min: i16,
    /// Lowest version served.
    pub min: i16,
    /// Highest version served and told.
    pub max: i16,
    /// First version with compact lengths and tags.
    pub flexible_from: i16,
}

const fn line(api: Api, key: i16, min: i16, max: i16, flexible_from: i16) -> Served {
    Served {
        api,
        key,
        told_min: min,
        min,
        max,
        flexible_from,
    }
}

/// What is served, by key: the versions of Kafka 4.2, where this door can keep their promises.
pub const SERVED: [Served; 62] = [
    // librdkafka before 2.11.1 compresses only where Produce 0 is told (KAFKA-18659). Like Kafka
    // 4, 0 to 2 are told and close the connection when they are used.
    Served {
        api: Api::Produce,
        key: 0,
        told_min: 0,
        min: 3,
        max: 13,
        flexible_from: 9,
    },
    line(Api::Fetch, 1, 4, 18, 12),
    line(Api::ListOffsets, 2, 1, 11, 6),
    line(Api::Metadata, 3, 0, 13, 9),
    line(Api::OffsetCommit, 8, 2, 10, 8),
    line(Api::OffsetFetch, 9, 1, 10, 6),
    line(Api::FindCoordinator, 10, 0, 6, 3),
    line(Api::JoinGroup, 11, 0, 9, 6),
    line(Api::Heartbeat, 12, 0, 4, 4),
    line(Api::LeaveGroup, 13, 0, 5, 4),
    line(Api::SyncGroup, 14, 0, 5, 4),
    line(Api::DescribeGroups, 15, 0, 6, 5),
    line(Api::ListGroups, 16, 0, 5, 3),
    line(Api::SaslHandshake, 17, 0, 1, i16::MAX),
    line(Api::ApiVersions, 18, 0, 4, 3),
    line(Api::CreateTopics, 19, 2, 7, 5),
    line(Api::DeleteTopics, 20, 1, 6, 4),
    line(Api::DeleteRecords, 21, 0, 2, 2),
    line(Api::InitProducerId, 22, 0, 5, 2),
    line(Api::OffsetForLeaderEpoch, 23, 2, 4, 4),
    line(Api::AddPartitionsToTxn, 24, 0, 5, 3),
    line(Api::AddOffsetsToTxn, 25, 0, 4, 3),
    line(Api::EndTxn, 26, 0, 5, 3),
    line(Api::WriteTxnMarkers, 27, 1, 1, 1),
    line(Api::TxnOffsetCommit, 28, 0, 5, 3),
    line(Api::DescribeAcls, 29, 1, 3, 2),
    line(Api::CreateAcls, 30, 1, 3, 2),
    line(Api::DeleteAcls, 31, 1, 3, 2),
    line(Api::DescribeConfigs, 32, 1, 4, 4),
    line(Api::AlterConfigs, 33, 0, 2, 2),
    line(Api::AlterReplicaLogDirs, 34, 1, 2, 2),
    line(Api::DescribeLogDirs, 35, 1, 4, 2),
    line(Api::SaslAuthenticate, 36, 0, 2, 2),
    line(Api::CreatePartitions, 37, 0, 3, 2),
    line(Api::DeleteGroups, 42, 0, 2, 2),
    line(Api::ElectLeaders, 43, 0, 2, 2),
    line(Api::IncrementalAlterConfigs, 44, 0, 1, 1),
    line(Api::AlterPartitionReassignments, 45, 0, 1, 0),
    line(Api::ListPartitionReassignments, 46, 0, 0, 0),
    line(Api::OffsetDelete, 47, 0, 0, i16::MAX),
    line(Api::DescribeClientQuotas, 48, 0, 1, 1),
    line(Api::AlterClientQuotas, 49, 0, 1, 1),
    line(Api::DescribeUserScramCredentials, 50, 0, 0, 0),
    line(Api::AlterUserScramCredentials, 51, 0, 0, 0),
    line(Api::DescribeQuorum, 55, 0, 2, 0),
    line(Api::UpdateFeatures, 57, 0, 2, 0),
    line(Api::DescribeCluster, 60, 0, 2, 0),
    line(Api::DescribeProducers, 61, 0, 0, 0),
    line(Api::UnregisterBroker, 64, 0, 0, 0),
    line(Api::DescribeTransactions, 65, 0, 0, 0),
    line(Api::ListTransactions, 66, 0, 2, 0),
    line(Api::ConsumerGroupHeartbeat, 68, 0, 1, 0),
    line(Api::ConsumerGroupDescribe, 69, 0, 1, 0),
    line(Api::ListConfigResources, 74, 0, 1, 0),
    line(Api::DescribeTopicPartitions, 75, 0, 0, 0),
    line(Api::ShareGroupHeartbeat, 76, 1, 1, 0),
    line(Api::ShareGroupDescribe, 77, 1, 1, 0),
    line(Api::ShareFetch, 78, 1, 2, 0),
    line(Api::ShareAcknowledge, 79, 1, 2, 0),
    line(Api::DescribeShareGroupOffsets, 90, 0, 1, 0),
    line(Api::AlterShareGroupOffsets, 91, 0, 0, 0),
    line(Api::DeleteShareGroupOffsets, 92, 0, 0, 0),
];

/// The line of `key`; `None`: not served.
pub fn by_key(key: i16) -> Option<Served> {
    SERVED.into_iter().find(|line| line.key == key)
}

impl Served {
    /// Whether requests of `version` are served.
    pub fn serves(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether `version` has compact lengths and tags.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn header_versions_are_those_of_the_schemas() {
        for line in SERVED {
            let key = ApiKey::try_from(line.key).unwrap();
            for version in line.min..=line.max {
                let flexible = line.is_flexible(version);
                let expected = if flexible { 2 } else { 1 };
                assert_eq!(
                    key.request_header_version(version),
                    expected,
                    "{line:?} {version}"
                );
                let answer = i16::from(flexible && line.api != Api::ApiVersions);
                assert_eq!(
                    key.response_header_version(version),
                    answer,
                    "{line:?} {version}"
                );
            }
        }
    }

    #[test]
    fn groups_are_told_together() {
        // librdkafka switches consumer groups on only where all of these are there.
        for key in [8, 9, 10, 11, 12, 13, 14] {
            assert!(by_key(key).is_some(), "key {key}");
        }
    }
}
