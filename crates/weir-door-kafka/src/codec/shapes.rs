//! The shapes of the request bodies that are served, in wire order.

mod access;
mod admin;
mod data;
mod groups;
mod transactions;

use super::{
    shape::{Field, Kind, Shape},
    share,
    versions::Api,
};

pub(super) const I8: Kind = Kind::Fixed(1);
const I16: Kind = Kind::Fixed(2);
pub(super) const I32: Kind = Kind::Fixed(4);
pub(super) const I64: Kind = Kind::Fixed(8);
pub(super) const UUID: Kind = Kind::Fixed(16);
pub(super) const TEXT: Kind = Kind::Text;
const BLOB: Kind = Kind::Blob;

pub(super) const fn all(kind: Kind) -> Field {
    between(0, i16::MAX, kind)
}

pub(super) const fn since(from: i16, kind: Kind) -> Field {
    between(from, i16::MAX, kind)
}

const fn until(to: i16, kind: Kind) -> Field {
    between(0, to, kind)
}

const fn between(from: i16, to: i16, kind: Kind) -> Field {
    Field { kind, from, to }
}

pub(super) const fn of(fields: &'static [Field]) -> Shape {
    Shape { fields, tags: &[] }
}

/// The shape of `api`'s request body.
pub fn of_request(api: Api) -> &'static Shape {
    match api {
        Api::Produce => &PRODUCE,
        Api::Fetch => &FETCH,
        Api::ListOffsets => &LIST_OFFSETS,
        Api::Metadata => &METADATA,
        Api::OffsetCommit => &OFFSET_COMMIT,
        Api::OffsetFetch => &OFFSET_FETCH,
        Api::FindCoordinator => &FIND_COORDINATOR,
        Api::JoinGroup => &JOIN_GROUP,
        Api::Heartbeat => &HEARTBEAT,
        Api::LeaveGroup => &LEAVE_GROUP,
        Api::SyncGroup => &SYNC_GROUP,
        Api::ApiVersions => &API_VERSIONS,
        Api::SaslHandshake => &SASL_HANDSHAKE,
        Api::SaslAuthenticate => &SASL_AUTHENTICATE,
        Api::CreateTopics => &CREATE_TOPICS,
        Api::InitProducerId => &INIT_PRODUCER_ID,
        Api::DescribeGroups => &groups::DESCRIBE_GROUPS,
        Api::ListGroups => &groups::LIST_GROUPS,
        Api::DeleteGroups => &groups::DELETE_GROUPS,
        Api::OffsetDelete => &groups::OFFSET_DELETE,
        Api::ConsumerGroupHeartbeat => &groups::CONSUMER_HEARTBEAT,
        Api::ConsumerGroupDescribe => &groups::CONSUMER_DESCRIBE,
        Api::ShareGroupHeartbeat => &groups::SHARE_HEARTBEAT,
        Api::ShareGroupDescribe => &groups::SHARE_DESCRIBE,
        Api::ShareFetch => &share::SHARE_FETCH,
        Api::ShareAcknowledge => &share::SHARE_ACKNOWLEDGE,
        Api::DescribeShareGroupOffsets => &groups::DESCRIBE_SHARE_OFFSETS,
        Api::AlterShareGroupOffsets => &groups::ALTER_SHARE_OFFSETS,
        Api::DeleteShareGroupOffsets => &groups::DELETE_SHARE_OFFSETS,
        Api::OffsetForLeaderEpoch => &data::OFFSET_FOR_LEADER_EPOCH,
        Api::DescribeAcls => &access::DESCRIBE_ACLS,
        Api::CreateAcls => &access::CREATE_ACLS,
        Api::DeleteAcls => &access::DELETE_ACLS,
        Api::DescribeClientQuotas => &access::DESCRIBE_QUOTAS,
        Api::AlterClientQuotas => &access::ALTER_QUOTAS,
        Api::DescribeUserScramCredentials => &access::DESCRIBE_SCRAM_USERS,
        Api::AlterUserScramCredentials => &access::ALTER_SCRAM_USERS,
        Api::DeleteTopics => &admin::DELETE_TOPICS,
        Api::DeleteRecords => &admin::DELETE_RECORDS,
        Api::DescribeConfigs => &admin::DESCRIBE_CONFIGS,
        Api::AlterConfigs => &admin::ALTER_CONFIGS,
        Api::AlterReplicaLogDirs => &admin::ALTER_LOG_DIRS,
        Api::UpdateFeatures => &admin::UPDATE_FEATURES,
        Api::UnregisterBroker => &admin::UNREGISTER_BROKER,
        Api::DescribeLogDirs => &admin::DESCRIBE_LOG_DIRS,
        Api::CreatePartitions => &admin::CREATE_PARTITIONS,
        Api::ElectLeaders => &admin::ELECT_LEADERS,
        Api::IncrementalAlterConfigs => &admin::INCREMENTAL_ALTER_CONFIGS,
        Api::AlterPartitionReassignments => &admin::ALTER_REASSIGNMENTS,
        Api::ListPartitionReassignments => &admin::LIST_REASSIGNMENTS,
        Api::DescribeQuorum => &admin::DESCRIBE_QUORUM,
        Api::DescribeCluster => &admin::DESCRIBE_CLUSTER,
        Api::ListConfigResources => &admin::LIST_CONFIG_RESOURCES,
        Api::DescribeTopicPartitions => &admin::DESCRIBE_TOPIC_PARTITIONS,
        Api::AddPartitionsToTxn => &transactions::ADD_PARTITIONS,
        Api::AddOffsetsToTxn => &transactions::ADD_OFFSETS,
        Api::EndTxn => &transactions::END_TXN,
        Api::WriteTxnMarkers => &transactions::WRITE_MARKERS,
        Api::TxnOffsetCommit => &transactions::TXN_OFFSET_COMMIT,
        Api::DescribeProducers => &transactions::DESCRIBE_PRODUCERS,
        Api::DescribeTransactions => &transactions::DESCRIBE_TRANSACTIONS,
        Api::ListTransactions => &transactions::LIST_TRANSACTIONS,
    }
}

/// Mechanism.
static SASL_HANDSHAKE: Shape = of(&[all(TEXT)]);
/// Token.
static SASL_AUTHENTICATE: Shape = of(&[all(BLOB)]);

/// Transactional id, acks, timeout, topics.
static PRODUCE: Shape = of(&[
    all(TEXT),
    all(I16),
    all(I32),
    all(Kind::Array(&PRODUCE_TOPIC)),
]);
/// Name or id, partitions.
static PRODUCE_TOPIC: Shape = of(&[
    until(12, TEXT),
    since(13, UUID),
    all(Kind::Array(&PRODUCE_PARTITION)),
]);
/// Index, records.
static PRODUCE_PARTITION: Shape = of(&[all(I32), all(BLOB)]);

/// Replica id, max wait, min bytes, max bytes, isolation, session id and epoch, topics,
/// forgotten topics, rack; tags: cluster id, replica state.
static FETCH: Shape = Shape {
    fields: &[
        until(14, I32),
        all(I32),
        all(I32),
        all(I32),
        all(I8),
        since(7, I32),
        since(7, I32),
        all(Kind::Array(&FETCH_TOPIC)),
        since(7, Kind::Array(&FORGOTTEN_TOPIC)),
        since(11, TEXT),
    ],
    tags: &[(0, TEXT), (1, Kind::Struct(&REPLICA_STATE))],
};
/// Replica id, epoch.
static REPLICA_STATE: Shape = of(&[since(15, I32), since(15, I64)]);
/// Name or id, partitions.
static FETCH_TOPIC: Shape = of(&[
    until(12, TEXT),
    since(13, UUID),
    all(Kind::Array(&FETCH_PARTITION)),
]);
/// Index, leader epoch, offset, last fetched epoch, log start, max bytes; tags: directory id,
/// high watermark.
static FETCH_PARTITION: Shape = Shape {
    fields: &[
        all(I32),
        since(9, I32),
        all(I64),
        since(12, I32),
        since(5, I64),
        all(I32),
    ],
    tags: &[(0, UUID), (1, I64)],
};
/// Name or id, indexes.
static FORGOTTEN_TOPIC: Shape = of(&[until(12, TEXT), since(13, UUID), all(Kind::Plain(&I32))]);

/// Replica id, isolation, topics, timeout.
static LIST_OFFSETS: Shape = of(&[
    all(I32),
    since(2, I8),
    all(Kind::Array(&LIST_OFFSETS_TOPIC)),
    since(10, I32),
]);
/// Name, partitions.
static LIST_OFFSETS_TOPIC: Shape = of(&[all(TEXT), all(Kind::Array(&LIST_OFFSETS_PARTITION))]);
/// Index, leader epoch, timestamp.
static LIST_OFFSETS_PARTITION: Shape = of(&[all(I32), since(4, I32), all(I64)]);

/// Topics, auto-create, cluster operations, topic operations.
static METADATA: Shape = of(&[
    all(Kind::Array(&METADATA_TOPIC)),
    since(4, I8),
    between(8, 10, I8),
    since(8, I8),
]);
/// Id, name.
static METADATA_TOPIC: Shape = of(&[since(10, UUID), all(TEXT)]);

/// Group, generation, member, instance, retention, topics.
static OFFSET_COMMIT: Shape = of(&[
    all(TEXT),
    all(I32),
    all(TEXT),
    since(7, TEXT),
    until(4, I64),
    all(Kind::Array(&OFFSET_COMMIT_TOPIC)),
]);
/// Name or id, partitions.
static OFFSET_COMMIT_TOPIC: Shape = of(&[
    until(9, TEXT),
    since(10, UUID),
    all(Kind::Array(&OFFSET_COMMIT_PARTITION)),
]);
/// Index, offset, leader epoch, metadata.
static OFFSET_COMMIT_PARTITION: Shape = of(&[all(I32), all(I64), since(6, I32), all(TEXT)]);

/// Group and topics, or groups; require stable.
static OFFSET_FETCH: Shape = of(&[
    until(7, TEXT),
    until(7, Kind::Array(&OFFSET_FETCH_TOPIC)),
    since(8, Kind::Array(&OFFSET_FETCH_GROUP)),
    since(7, I8),
]);
/// Group, member, epoch, topics.
static OFFSET_FETCH_GROUP: Shape = of(&[
    all(TEXT),
    since(9, TEXT),
    since(9, I32),
    all(Kind::Array(&OFFSET_FETCH_TOPIC)),
]);
/// Name or id, indexes.
static OFFSET_FETCH_TOPIC: Shape = of(&[until(9, TEXT), since(10, UUID), all(Kind::Plain(&I32))]);

/// Key, key type, keys.
static FIND_COORDINATOR: Shape = of(&[until(3, TEXT), since(1, I8), since(4, Kind::Plain(&TEXT))]);

/// Group, session timeout, rebalance timeout, member, instance, protocol type, protocols,
/// reason.
static JOIN_GROUP: Shape = of(&[
    all(TEXT),
    all(I32),
    since(1, I32),
    all(TEXT),
    since(5, TEXT),
    all(TEXT),
    all(Kind::Array(&NAMED_BLOB)),
    since(8, TEXT),
]);
/// Protocol and metadata, or member and assignment.
static NAMED_BLOB: Shape = of(&[all(TEXT), all(BLOB)]);

/// Group, generation, member, instance.
static HEARTBEAT: Shape = of(&[all(TEXT), all(I32), all(TEXT), since(3, TEXT)]);

/// Group, member or members.
static LEAVE_GROUP: Shape = of(&[
    all(TEXT),
    until(2, TEXT),
    since(3, Kind::Array(&LEAVING_MEMBER)),
]);
/// Member, instance, reason.
static LEAVING_MEMBER: Shape = of(&[all(TEXT), all(TEXT), since(5, TEXT)]);

/// Group, generation, member, instance, protocol type, protocol, assignments.
static SYNC_GROUP: Shape = of(&[
    all(TEXT),
    all(I32),
    all(TEXT),
    since(3, TEXT),
    since(5, TEXT),
    since(5, TEXT),
    all(Kind::Array(&NAMED_BLOB)),
]);

/// Software name, version.
static API_VERSIONS: Shape = of(&[since(3, TEXT), since(3, TEXT)]);

/// Topics, timeout, validate only.
static CREATE_TOPICS: Shape = of(&[all(Kind::Array(&NEW_TOPIC)), all(I32), all(I8)]);
/// Name, partition count, copies, assignments, configs.
static NEW_TOPIC: Shape = of(&[
    all(TEXT),
    all(I32),
    all(I16),
    all(Kind::Array(&ASSIGNMENT)),
    all(Kind::Array(&CONFIG)),
]);
/// Index, nodes.
static ASSIGNMENT: Shape = of(&[all(I32), all(Kind::Plain(&I32))]);
/// Name, value.
static CONFIG: Shape = of(&[all(TEXT), all(TEXT)]);

/// Transactional id, timeout, producer id, epoch.
static INIT_PRODUCER_ID: Shape = of(&[all(TEXT), all(I32), since(3, I64), since(3, I16)]);
