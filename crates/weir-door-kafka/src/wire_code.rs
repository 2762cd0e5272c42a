//! The one table from the model's errors to Kafka's error codes.

use weir_model::ErrorKind;

/// What a code is sent in: some errors of the node have another name for each kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Produce, topics, producer ids.
    Write,
    /// Fetch, ListOffsets, Metadata. The Java consumer dies of codes that it does not expect.
    Read,
    /// Groups and their offsets.
    Group,
    /// Partitions in ShareFetch and ShareAcknowledge. The Java share consumer, too, dies of codes
    /// that it does not expect.
    Share,
}

/// No error.
pub const NONE: i16 = 0;
/// `UNKNOWN_SERVER_ERROR`: the node broke its own promise.
pub const UNKNOWN_SERVER_ERROR: i16 = -1;
/// `CORRUPT_MESSAGE`.
pub const CORRUPT_MESSAGE: i16 = 2;
/// `UNKNOWN_TOPIC_OR_PARTITION`.
pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// `LEADER_NOT_AVAILABLE`.
pub const LEADER_NOT_AVAILABLE: i16 = 5;
/// `COORDINATOR_LOAD_IN_PROGRESS`.
pub const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
/// `INVALID_TOPIC_EXCEPTION`.
pub const INVALID_TOPIC: i16 = 17;
/// `INVALID_REQUIRED_ACKS`.
pub const INVALID_REQUIRED_ACKS: i16 = 21;
/// `UNSUPPORTED_VERSION`.
pub const UNSUPPORTED_VERSION: i16 = 35;
/// `INVALID_PARTITIONS`.
pub const INVALID_PARTITIONS: i16 = 37;
/// `INVALID_REPLICATION_FACTOR`.
pub const INVALID_REPLICATION_FACTOR: i16 = 38;
/// `INVALID_REPLICA_ASSIGNMENT`.
pub const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
/// `INVALID_REQUEST`.
pub const INVALID_REQUEST: i16 = 42;
/// `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`: fatal at once in librdkafka and Java, where other
/// codes are tried again or reported as something else.
pub const NO_TRANSACTIONS: i16 = 53;
/// `LOG_DIR_NOT_FOUND`.
pub const LOG_DIR_NOT_FOUND: i16 = 57;
/// `INVALID_UPDATE_VERSION`.
pub const INVALID_UPDATE_VERSION: i16 = 95;
/// `FETCH_SESSION_ID_NOT_FOUND`.
pub const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
/// `INVALID_FETCH_SESSION_EPOCH`.
pub const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
/// `UNSUPPORTED_COMPRESSION_TYPE`.
pub const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
/// `FETCH_SESSION_TOPIC_ID_ERROR`.
pub const FETCH_SESSION_TOPIC_ID_ERROR: i16 = 106;
/// `UNSUPPORTED_FOR_MESSAGE_FORMAT`.
pub const UNSUPPORTED_FOR_MESSAGE_FORMAT: i16 = 43;
/// `INVALID_RECORD`.
pub const INVALID_RECORD: i16 = 87;
/// `UNSUPPORTED_ENDPOINT_TYPE`.
pub const UNSUPPORTED_ENDPOINT_TYPE: i16 = 115;
/// `UNKNOWN_TOPIC_ID`.
pub const UNKNOWN_TOPIC_ID: i16 = 100;

/// `INVALID_RECORD_STATE`.
pub const INVALID_RECORD_STATE: i16 = 121;
/// `SHARE_SESSION_NOT_FOUND`.
pub const SHARE_SESSION_NOT_FOUND: i16 = 122;
/// `INVALID_SHARE_SESSION_EPOCH`.
pub const INVALID_SHARE_SESSION_EPOCH: i16 = 123;
/// `SHARE_SESSION_LIMIT_REACHED`.
pub const SHARE_SESSION_LIMIT_REACHED: i16 = 133;
/// `INVALID_TXN_STATE`.
pub const INVALID_TXN_STATE: i16 = 48;
/// `INVALID_REGULAR_EXPRESSION`.
pub const INVALID_REGULAR_EXPRESSION: i16 = 128;
/// `INVALID_PRODUCER_EPOCH`.
pub const INVALID_PRODUCER_EPOCH: i16 = 47;
/// `CONCURRENT_TRANSACTIONS`.
pub const CONCURRENT_TRANSACTIONS: i16 = 51;
/// `THROTTLING_QUOTA_EXCEEDED`.
pub const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
/// `PRODUCER_FENCED`.
pub const PRODUCER_FENCED: i16 = 90;
/// `TRANSACTION_ABORTABLE`.
pub const TRANSACTION_ABORTABLE: i16 = 120;
/// `TOPIC_AUTHORIZATION_FAILED`.
pub const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
/// `GROUP_AUTHORIZATION_FAILED`.
pub const GROUP_AUTHORIZATION_FAILED: i16 = 30;
/// `CLUSTER_AUTHORIZATION_FAILED`.
pub const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
/// `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`.
pub const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
/// `UNSUPPORTED_SASL_MECHANISM`.
pub const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
/// `ILLEGAL_SASL_STATE`.
pub const ILLEGAL_SASL_STATE: i16 = 34;
/// `SASL_AUTHENTICATION_FAILED`.
pub const SASL_AUTHENTICATION_FAILED: i16 = 58;
/// `POLICY_VIOLATION`.
pub const POLICY_VIOLATION: i16 = 44;
/// `DUPLICATE_RESOURCE`.
pub const DUPLICATE_RESOURCE: i16 = 92;
/// `RESOURCE_NOT_FOUND`.
pub const RESOURCE_NOT_FOUND: i16 = 91;
/// `UNACCEPTABLE_CREDENTIAL`.
pub const UNACCEPTABLE_CREDENTIAL: i16 = 93;
/// `NOT_ENOUGH_REPLICAS`: tried again by all clients, in order and under the same epoch, and tells
/// that nothing was stored.
pub const NOT_ENOUGH_REPLICAS: i16 = 19;

/// `NOT_LEADER_OR_FOLLOWER`: clients refresh their metadata and try again.
const NOT_LEADER: i16 = 6;
/// `KAFKA_STORAGE_ERROR`: tried again by all clients, and tells that nothing was stored.
const STORAGE: i16 = 56;
/// `COORDINATOR_NOT_AVAILABLE`: the one code that every group request takes as "later".
const COORDINATOR_NOT_AVAILABLE: i16 = 15;

/// All that the Java share consumer takes in a partition without giving up.
const SHARE_CODES: [i16; 9] = [
    UNKNOWN_SERVER_ERROR,
    UNKNOWN_TOPIC_OR_PARTITION,
    NOT_LEADER,
    29,
    STORAGE,
    74,
    75,
    78,
    UNKNOWN_TOPIC_ID,
];

/// The code of `kind` in an answer on `surface`.
// Table: one arm per kind.
pub fn of(kind: ErrorKind, surface: Surface) -> i16 {
    use ErrorKind as E;
    let (write, read, group) = match kind {
        E::UnknownTopicOrPartition => same(UNKNOWN_TOPIC_OR_PARTITION),
        E::UnknownTopicId => same(UNKNOWN_TOPIC_ID),
        E::TopicExists => same(36),
        E::InvalidTopic => same(INVALID_TOPIC),
        E::InvalidPartitions => same(INVALID_PARTITIONS),
        E::InvalidReplicationFactor => same(INVALID_REPLICATION_FACTOR),
        E::InvalidConfig => same(40),
        E::OffsetOutOfRange => same(1),
        E::OffsetNotAvailable => same(78),
        E::NotEnoughReplicas => same(19),
        E::NotLeader => (NOT_LEADER, NOT_LEADER, 16),
        E::FencedLeaderEpoch => same(74),
        E::UnknownLeaderEpoch => same(75),
        E::CorruptBatch => same(CORRUPT_MESSAGE),
        E::InvalidRecord => same(INVALID_RECORD),
        E::InvalidTimestamp => same(32),
        E::UnsupportedFormat => same(43),
        E::MessageTooLarge => same(10),
        E::TopicUnauthorized => same(TOPIC_AUTHORIZATION_FAILED),
        E::GroupUnauthorized => same(GROUP_AUTHORIZATION_FAILED),
        E::ClusterUnauthorized => same(CLUSTER_AUTHORIZATION_FAILED),
        E::TransactionalIdUnauthorized => same(TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        E::OutOfOrderSequence => same(45),
        // After it all clients abort and take the next epoch; after 45 librdkafka gives up.
        E::UnknownProducer => same(59),
        E::DuplicateSequence => same(46),
        E::InvalidProducerEpoch => same(47),
        E::TimedOut => (7, STORAGE, COORDINATOR_NOT_AVAILABLE),
        E::StorageFull | E::StorageFailed | E::Overloaded => {
            (STORAGE, STORAGE, COORDINATOR_NOT_AVAILABLE)
        }
        E::ShuttingDown => (NOT_LEADER, NOT_LEADER, COORDINATOR_NOT_AVAILABLE),
        E::CoordinatorLoading => same(COORDINATOR_LOAD_IN_PROGRESS),
        E::NotCoordinator => same(16),
        E::InvalidGroupId => same(24),
        E::UnknownMember => same(25),
        E::MemberIdRequired => same(79),
        E::IllegalGeneration => same(22),
        E::InconsistentGroupProtocol => same(23),
        E::RebalanceInProgress => same(27),
        E::InvalidSessionTimeout => same(26),
        E::GroupMaxSizeReached => same(81),
        E::FencedInstance => same(82),
        E::FencedMemberEpoch => same(110),
        E::StaleMemberEpoch => same(113),
        E::UnreleasedInstance => same(111),
        E::UnsupportedAssignor => same(112),
        E::InvalidRegularExpression => same(INVALID_REGULAR_EXPRESSION),
        E::UnsupportedVersion => same(UNSUPPORTED_VERSION),
        E::OffsetMetadataTooLarge => same(12),
        E::GroupNotFound => same(69),
        E::NonEmptyGroup => same(68),
        E::GroupSubscribed => same(86),
        E::InvalidReplicaAssignment => same(INVALID_REPLICA_ASSIGNMENT),
        E::PolicyViolation => same(POLICY_VIOLATION),
        E::ElectionNotNeeded => same(84),
        E::PreferredLeaderNotAvailable => same(80),
        E::EligibleLeadersNotAvailable => same(83),
        E::NoReassignmentInProgress => same(85),
        E::UnknownNode => same(102),
        E::InvalidRequest => same(INVALID_REQUEST),
        E::SequenceGap => same(NOT_ENOUGH_REPLICAS),
        E::CoordinatorUnreachable => (NOT_ENOUGH_REPLICAS, STORAGE, COORDINATOR_NOT_AVAILABLE),
        E::OperationNotAttempted => same(55),
        E::ProducerFenced => same(PRODUCER_FENCED),
        E::InvalidTxnState => same(INVALID_TXN_STATE),
        E::InvalidProducerIdMapping => same(49),
        E::InvalidTransactionTimeout => same(50),
        E::ConcurrentTransactions => same(CONCURRENT_TRANSACTIONS),
        E::TransactionCoordinatorFenced => same(52),
        E::TransactionalIdNotFound => same(105),
        E::TransactionAbortable => same(TRANSACTION_ABORTABLE),
        E::ThrottlingQuotaExceeded => same(THROTTLING_QUOTA_EXCEEDED),
        E::UnstableOffsetCommit => same(88),
    };
    match surface {
        Surface::Write => write,
        Surface::Read => read,
        Surface::Group => group,
        Surface::Share if SHARE_CODES.contains(&read) => read,
        Surface::Share if kind.retriable() => NOT_LEADER,
        Surface::Share => UNKNOWN_SERVER_ERROR,
    }
}

const fn same(code: i16) -> (i16, i16, i16) {
    (code, code, code)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::ResponseError;

    use super::*;

    #[test]
    // Table: one line per code.
    fn codes_have_the_names_that_the_table_gives_them() {
        let named = [
            (CORRUPT_MESSAGE, ResponseError::CorruptMessage),
            (
                UNKNOWN_TOPIC_OR_PARTITION,
                ResponseError::UnknownTopicOrPartition,
            ),
            (LEADER_NOT_AVAILABLE, ResponseError::LeaderNotAvailable),
            (INVALID_TOPIC, ResponseError::InvalidTopicException),
            (INVALID_REQUIRED_ACKS, ResponseError::InvalidRequiredAcks),
            (UNSUPPORTED_VERSION, ResponseError::UnsupportedVersion),
            (INVALID_PARTITIONS, ResponseError::InvalidPartitions),
            (
                INVALID_REPLICATION_FACTOR,
                ResponseError::InvalidReplicationFactor,
            ),
            (
                INVALID_REPLICA_ASSIGNMENT,
                ResponseError::InvalidReplicaAssignment,
            ),
            (INVALID_REQUEST, ResponseError::InvalidRequest),
            (
                NO_TRANSACTIONS,
                ResponseError::TransactionalIdAuthorizationFailed,
            ),
            (
                FETCH_SESSION_ID_NOT_FOUND,
                ResponseError::FetchSessionIdNotFound,
            ),
            (INVALID_RECORD, ResponseError::InvalidRecord),
            (UNKNOWN_TOPIC_ID, ResponseError::UnknownTopicId),
            (NOT_LEADER, ResponseError::NotLeaderOrFollower),
            (STORAGE, ResponseError::KafkaStorageError),
            (NOT_ENOUGH_REPLICAS, ResponseError::NotEnoughReplicas),
            (INVALID_PRODUCER_EPOCH, ResponseError::InvalidProducerEpoch),
            (
                CONCURRENT_TRANSACTIONS,
                ResponseError::ConcurrentTransactions,
            ),
            (PRODUCER_FENCED, ResponseError::ProducerFenced),
            (
                of(ErrorKind::InvalidTxnState, Surface::Write),
                ResponseError::InvalidTxnState,
            ),
            (
                of(ErrorKind::InvalidProducerIdMapping, Surface::Write),
                ResponseError::InvalidProducerIdMapping,
            ),
            (
                of(ErrorKind::InvalidTransactionTimeout, Surface::Write),
                ResponseError::InvalidTransactionTimeout,
            ),
            (
                of(ErrorKind::TransactionalIdNotFound, Surface::Write),
                ResponseError::TransactionalIdNotFound,
            ),
            (
                of(ErrorKind::UnstableOffsetCommit, Surface::Group),
                ResponseError::UnstableOffsetCommit,
            ),
            (
                COORDINATOR_NOT_AVAILABLE,
                ResponseError::CoordinatorNotAvailable,
            ),
            (
                of(ErrorKind::OutOfOrderSequence, Surface::Write),
                ResponseError::OutOfOrderSequenceNumber,
            ),
            (
                of(ErrorKind::UnknownProducer, Surface::Write),
                ResponseError::UnknownProducerId,
            ),
            (
                of(ErrorKind::MemberIdRequired, Surface::Group),
                ResponseError::MemberIdRequired,
            ),
            (
                of(ErrorKind::FencedInstance, Surface::Group),
                ResponseError::FencedInstanceId,
            ),
            (
                of(ErrorKind::FencedMemberEpoch, Surface::Group),
                ResponseError::FencedMemberEpoch,
            ),
            (
                of(ErrorKind::StaleMemberEpoch, Surface::Group),
                ResponseError::StaleMemberEpoch,
            ),
            (
                of(ErrorKind::UnreleasedInstance, Surface::Group),
                ResponseError::UnreleasedInstanceId,
            ),
            (
                of(ErrorKind::UnsupportedAssignor, Surface::Group),
                ResponseError::UnsupportedAssignor,
            ),
            (
                of(ErrorKind::OffsetMetadataTooLarge, Surface::Group),
                ResponseError::OffsetMetadataTooLarge,
            ),
            (
                of(ErrorKind::InvalidTimestamp, Surface::Write),
                ResponseError::InvalidTimestamp,
            ),
            (DUPLICATE_RESOURCE, ResponseError::DuplicateResource),
            (RESOURCE_NOT_FOUND, ResponseError::ResourceNotFound),
            (
                UNACCEPTABLE_CREDENTIAL,
                ResponseError::UnacceptableCredential,
            ),
            (LOG_DIR_NOT_FOUND, ResponseError::LogDirNotFound),
            (INVALID_UPDATE_VERSION, ResponseError::InvalidUpdateVersion),
            (
                of(ErrorKind::UnknownNode, Surface::Write),
                ResponseError::BrokerIdNotRegistered,
            ),
            (
                of(ErrorKind::GroupNotFound, Surface::Group),
                ResponseError::GroupIdNotFound,
            ),
            (
                of(ErrorKind::NonEmptyGroup, Surface::Group),
                ResponseError::NonEmptyGroup,
            ),
            (
                of(ErrorKind::GroupSubscribed, Surface::Group),
                ResponseError::GroupSubscribedToTopic,
            ),
            (
                of(ErrorKind::PolicyViolation, Surface::Write),
                ResponseError::PolicyViolation,
            ),
            (
                of(ErrorKind::ElectionNotNeeded, Surface::Write),
                ResponseError::ElectionNotNeeded,
            ),
            (
                of(ErrorKind::PreferredLeaderNotAvailable, Surface::Write),
                ResponseError::PreferredLeaderNotAvailable,
            ),
            (
                of(ErrorKind::EligibleLeadersNotAvailable, Surface::Write),
                ResponseError::EligibleLeadersNotAvailable,
            ),
            (
                of(ErrorKind::NoReassignmentInProgress, Surface::Write),
                ResponseError::NoReassignmentInProgress,
            ),
            (
                of(ErrorKind::TopicExists, Surface::Write),
                ResponseError::TopicAlreadyExists,
            ),
        ];
        for (code, name) in named {
            assert_eq!(ResponseError::try_from_code(code), Some(name), "{code}");
        }
    }

    #[test]
    fn what_is_retriable_here_is_retriable_for_a_producer() {
        for kind in [
            ErrorKind::NotLeader,
            ErrorKind::StorageFull,
            ErrorKind::StorageFailed,
            ErrorKind::Overloaded,
            ErrorKind::ShuttingDown,
            ErrorKind::TimedOut,
            ErrorKind::UnknownTopicOrPartition,
            ErrorKind::CorruptBatch,
            ErrorKind::SequenceGap,
        ] {
            let name = ResponseError::try_from_code(of(kind, Surface::Write)).unwrap();
            assert!(
                kind.retriable() && name.is_retriable(),
                "{kind:?} is {name:?}"
            );
        }
    }

    #[test]
    fn a_share_consumer_is_told_to_ask_the_leader_where_no_code_of_its_own_says_later() {
        for kind in [
            ErrorKind::NotLeader,
            ErrorKind::NotCoordinator,
            ErrorKind::CoordinatorLoading,
            ErrorKind::NotEnoughReplicas,
            ErrorKind::ShuttingDown,
        ] {
            assert_eq!(of(kind, Surface::Share), NOT_LEADER, "{kind:?}");
        }
        for kind in [ErrorKind::StorageFailed, ErrorKind::Overloaded] {
            assert_eq!(of(kind, Surface::Share), STORAGE, "{kind:?}");
        }
        let last = of(ErrorKind::MessageTooLarge, Surface::Share);
        assert_eq!(last, UNKNOWN_SERVER_ERROR);
    }
}
