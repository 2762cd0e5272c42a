//! The closed list of what can go wrong below the doors. Each door maps it to its own wire codes.

/// Whose doing an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request cannot succeed as it stands.
    Client,
    /// This node or cluster cannot serve it at the moment.
    Us,
}

/// What went wrong, as a door needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// No such topic, or no such partition of it.
    UnknownTopicOrPartition,
    /// No topic has this id.
    UnknownTopicId,
    /// The topic is there already.
    TopicExists,
    /// The name breaks the naming rule.
    InvalidTopic,
    /// Partition count out of range.
    InvalidPartitions,
    /// More copies were asked for than there are nodes.
    InvalidReplicationFactor,
    /// A setting has a value that it cannot take.
    InvalidConfig,
    /// The offset is before the log's start or past its end.
    OffsetOutOfRange,
    /// The offset is past what this replica has applied; its leader has it.
    OffsetNotAvailable,
    /// Another node leads the partition.
    NotLeader,
    /// The request's leader epoch is older than the leader's.
    FencedLeaderEpoch,
    /// The request's leader epoch is newer than the leader's.
    UnknownLeaderEpoch,
    /// The batch is damaged: checksum, length or structure.
    CorruptBatch,
    /// The batch is well-formed but breaks a rule.
    InvalidRecord,
    /// A record's time is too far ahead of the broker's.
    InvalidTimestamp,
    /// The batch's format version is not served.
    UnsupportedFormat,
    /// The batch is larger than the topic allows.
    MessageTooLarge,
    /// Fewer replicas keep up than the topic asks for.
    NotEnoughReplicas,
    /// The producer's sequence number leaves a gap.
    OutOfOrderSequence,
    /// The producer's sequence number is that of a batch whose transaction is over.
    UnknownProducer,
    /// The producer's sequence number was seen, but outside the window that can answer it.
    DuplicateSequence,
    /// The producer's epoch is older than the one on record.
    InvalidProducerEpoch,
    /// The answer did not come in the time the client gave.
    TimedOut,
    /// The disk is full: reads go on, writes are refused.
    StorageFull,
    /// The disk failed, or stored data is damaged.
    StorageFailed,
    /// A queue or budget of this node is full.
    Overloaded,
    /// The node is going down.
    ShuttingDown,
    /// The group's coordinator is being loaded.
    CoordinatorLoading,
    /// The group is coordinated elsewhere.
    NotCoordinator,
    /// The group id breaks the naming rule.
    InvalidGroupId,
    /// The member is unknown to the group.
    UnknownMember,
    /// The member must join again with the id it was given.
    MemberIdRequired,
    /// The member's generation is not the group's.
    IllegalGeneration,
    /// The member's protocols do not fit the group's.
    InconsistentGroupProtocol,
    /// The group is rebalancing.
    RebalanceInProgress,
    /// The session timeout is out of range.
    InvalidSessionTimeout,
    /// The group has as many members as it may have.
    GroupMaxSizeReached,
    /// Another member took over this static member's id.
    FencedInstance,
    /// The member's epoch is not its own: it must let go of everything and join again.
    FencedMemberEpoch,
    /// The epoch that came with offsets is not the member's.
    StaleMemberEpoch,
    /// The static member's id is still in use.
    UnreleasedInstance,
    /// No assignor has this name.
    UnsupportedAssignor,
    /// The pattern is none, or too large.
    InvalidRegularExpression,
    /// The member needs a newer version of this request.
    UnsupportedVersion,
    /// The committed metadata is too long.
    OffsetMetadataTooLarge,
    /// No such group.
    GroupNotFound,
    /// The group has members.
    NonEmptyGroup,
    /// The group's members are subscribed to the topic.
    GroupSubscribed,
    /// The nodes asked for cannot be the partition's.
    InvalidReplicaAssignment,
    /// A rule of the topic forbids it.
    PolicyViolation,
    /// The replica that is to lead leads already.
    ElectionNotNeeded,
    /// The replica that is to lead is down or behind.
    PreferredLeaderNotAvailable,
    /// No replica can lead.
    EligibleLeadersNotAvailable,
    /// There is no reassignment that could be cancelled.
    NoReassignmentInProgress,
    /// No node of the cluster has this id.
    UnknownNode,
    /// The request is malformed in a way that its own codes do not name.
    InvalidRequest,
    /// An earlier sequence of the producer is missing that may be on its way again: leadership has
    /// changed a short while ago.
    SequenceGap,
    /// Another instance of the transactional producer has taken over.
    ProducerFenced,
    /// The transaction is not in a state that allows this.
    InvalidTxnState,
    /// The transactional id is not known with this producer id.
    InvalidProducerIdMapping,
    /// The transaction timeout is out of range.
    InvalidTransactionTimeout,
    /// An earlier transaction of the same id is being ended.
    ConcurrentTransactions,
    /// Another node has coordinated the transaction since.
    TransactionCoordinatorFenced,
    /// No transactional id of that name is known.
    TransactionalIdNotFound,
    /// The transaction can only be aborted.
    TransactionAbortable,
    /// Offsets of a transaction that is open are not decided yet.
    UnstableOffsetCommit,
    /// The transaction's coordinator does not answer, or is being loaded.
    CoordinatorUnreachable,
    /// Not tried, since something else of the same request was refused.
    OperationNotAttempted,
    /// The client may not do this with the topic.
    TopicUnauthorized,
    /// The client may not do this with the group.
    GroupUnauthorized,
    /// The client may not do this with the cluster.
    ClusterUnauthorized,
    /// The client may not do this with the transactional id.
    TransactionalIdUnauthorized,
    /// The client has done more of it than its quota allows, for now.
    ThrottlingQuotaExceeded,
}

impl ErrorKind {
    /// Whether the same request may succeed later, unchanged.
    // Table: one line per error.
    pub fn retriable(self) -> bool {
        use ErrorKind as E;
        match self {
            E::UnknownTopicOrPartition
            | E::UnknownTopicId
            | E::OffsetNotAvailable
            | E::NotEnoughReplicas
            | E::NotLeader
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::CorruptBatch
            | E::TimedOut
            | E::StorageFull
            | E::StorageFailed
            | E::Overloaded
            | E::ShuttingDown
            | E::CoordinatorLoading
            | E::NotCoordinator
            | E::RebalanceInProgress
            | E::PreferredLeaderNotAvailable
            | E::EligibleLeadersNotAvailable
            | E::SequenceGap
            | E::ConcurrentTransactions
            | E::UnstableOffsetCommit
            | E::CoordinatorUnreachable
            | E::ThrottlingQuotaExceeded => true,
            E::TopicExists
            | E::InvalidTopic
            | E::InvalidPartitions
            | E::InvalidReplicationFactor
            | E::InvalidConfig
            | E::OffsetOutOfRange
            | E::InvalidRecord
            | E::InvalidTimestamp
            | E::UnsupportedFormat
            | E::MessageTooLarge
            | E::OutOfOrderSequence
            | E::UnknownProducer
            | E::DuplicateSequence
            | E::InvalidProducerEpoch
            | E::InvalidGroupId
            | E::UnknownMember
            | E::MemberIdRequired
            | E::IllegalGeneration
            | E::InconsistentGroupProtocol
            | E::InvalidSessionTimeout
            | E::GroupMaxSizeReached
            | E::FencedInstance
            | E::FencedMemberEpoch
            | E::StaleMemberEpoch
            | E::UnreleasedInstance
            | E::UnsupportedAssignor
            | E::InvalidRegularExpression
            | E::UnsupportedVersion
            | E::OffsetMetadataTooLarge
            | E::GroupNotFound
            | E::NonEmptyGroup
            | E::GroupSubscribed
            | E::InvalidReplicaAssignment
            | E::PolicyViolation
            | E::ElectionNotNeeded
            | E::NoReassignmentInProgress
            | E::UnknownNode
            | E::InvalidRequest
            | E::ProducerFenced
            | E::InvalidTxnState
            | E::InvalidProducerIdMapping
            | E::InvalidTransactionTimeout
            | E::TransactionCoordinatorFenced
            | E::TransactionalIdNotFound
            | E::TransactionAbortable
            | E::OperationNotAttempted
            | E::TopicUnauthorized
            | E::GroupUnauthorized
            | E::ClusterUnauthorized
            | E::TransactionalIdUnauthorized => false,
        }
    }

    /// Whose doing it is.
    // Table: one line per error.
    pub fn blame(self) -> Blame {
        use ErrorKind as E;
        match self {
            E::NotLeader
            | E::OffsetNotAvailable
            | E::NotEnoughReplicas
            | E::TimedOut
            | E::StorageFull
            | E::StorageFailed
            | E::Overloaded
            | E::ShuttingDown
            | E::CoordinatorLoading
            | E::NotCoordinator
            | E::RebalanceInProgress
            | E::PreferredLeaderNotAvailable
            | E::EligibleLeadersNotAvailable
            | E::SequenceGap
            | E::ConcurrentTransactions
            | E::UnstableOffsetCommit
            | E::CoordinatorUnreachable => Blame::Us,
            E::UnknownTopicOrPartition
            | E::UnknownTopicId
            | E::TopicExists
            | E::InvalidTopic
            | E::InvalidPartitions
            | E::InvalidReplicationFactor
            | E::InvalidConfig
            | E::OffsetOutOfRange
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::CorruptBatch
            | E::InvalidRecord
            | E::InvalidTimestamp
            | E::UnsupportedFormat
            | E::MessageTooLarge
            | E::OutOfOrderSequence
            | E::UnknownProducer
            | E::DuplicateSequence
            | E::InvalidProducerEpoch
            | E::InvalidGroupId
            | E::UnknownMember
            | E::MemberIdRequired
            | E::IllegalGeneration
            | E::InconsistentGroupProtocol
            | E::InvalidSessionTimeout
            | E::GroupMaxSizeReached
            | E::FencedInstance
            | E::FencedMemberEpoch
            | E::StaleMemberEpoch
            | E::UnreleasedInstance
            | E::UnsupportedAssignor
            | E::InvalidRegularExpression
            | E::UnsupportedVersion
            | E::OffsetMetadataTooLarge
            | E::GroupNotFound
            | E::NonEmptyGroup
            | E::GroupSubscribed
            | E::InvalidReplicaAssignment
            | E::PolicyViolation
            | E::ElectionNotNeeded
            | E::NoReassignmentInProgress
            | E::UnknownNode
            | E::InvalidRequest
            | E::ProducerFenced
            | E::InvalidTxnState
            | E::InvalidProducerIdMapping
            | E::InvalidTransactionTimeout
            | E::TransactionCoordinatorFenced
            | E::TransactionalIdNotFound
            | E::TransactionAbortable
            | E::OperationNotAttempted
            | E::TopicUnauthorized
            | E::GroupUnauthorized
            | E::ClusterUnauthorized
            | E::TransactionalIdUnauthorized
            | E::ThrottlingQuotaExceeded => Blame::Client,
        }
    }
}

macro_rules! codes {
    ($($code:literal $kind:ident),* $(,)?) => {
        impl ErrorKind {
            /// The error between nodes. A code is never used again for another error.
            pub fn code(self) -> u16 {
                match self {
                    $(Self::$kind => $code),*
                }
            }

            /// The error that has this code; `None` where this version has none.
            pub fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$kind),)*
                    _ => None,
                }
            }
        }
    };
}
codes! {
    1 UnknownTopicOrPartition,
    2 UnknownTopicId,
    3 TopicExists,
    4 InvalidTopic,
    5 InvalidPartitions,
    6 InvalidReplicationFactor,
    7 InvalidConfig,
    8 OffsetOutOfRange,
    9 NotLeader,
    10 FencedLeaderEpoch,
    11 UnknownLeaderEpoch,
    12 CorruptBatch,
    13 InvalidRecord,
    14 InvalidTimestamp,
    15 UnsupportedFormat,
    16 MessageTooLarge,
    17 OutOfOrderSequence,
    18 DuplicateSequence,
    19 InvalidProducerEpoch,
    20 TimedOut,
    21 StorageFull,
    22 StorageFailed,
    23 Overloaded,
    24 ShuttingDown,
    25 CoordinatorLoading,
    26 NotCoordinator,
    27 InvalidGroupId,
    28 UnknownMember,
    29 MemberIdRequired,
    30 IllegalGeneration,
    31 InconsistentGroupProtocol,
    32 RebalanceInProgress,
    33 InvalidSessionTimeout,
    34 GroupMaxSizeReached,
    35 FencedInstance,
    36 OffsetMetadataTooLarge,
    37 InvalidRequest,
    60 SequenceGap,
    61 ProducerFenced,
    62 InvalidTxnState,
    63 InvalidProducerIdMapping,
    64 InvalidTransactionTimeout,
    65 ConcurrentTransactions,
    66 TransactionCoordinatorFenced,
    67 TransactionalIdNotFound,
    68 TransactionAbortable,
    69 UnstableOffsetCommit,
    80 OffsetNotAvailable,
    81 NotEnoughReplicas,
    70 InvalidReplicaAssignment,
    71 PolicyViolation,
    72 ElectionNotNeeded,
    73 PreferredLeaderNotAvailable,
    74 EligibleLeadersNotAvailable,
    75 NoReassignmentInProgress,
    76 CoordinatorUnreachable,
    77 OperationNotAttempted,
    78 GroupNotFound,
    79 NonEmptyGroup,
    82 GroupSubscribed,
    83 UnknownNode,
    84 UnknownProducer,
    100 FencedMemberEpoch,
    101 StaleMemberEpoch,
    102 UnreleasedInstance,
    103 UnsupportedAssignor,
    104 InvalidRegularExpression,
    105 UnsupportedVersion,
    110 TopicUnauthorized,
    111 GroupUnauthorized,
    112 ClusterUnauthorized,
    113 TransactionalIdUnauthorized,
    114 ThrottlingQuotaExceeded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_names_one_error_and_no_other() {
        let named: Vec<ErrorKind> = (0..=u16::MAX).filter_map(ErrorKind::from_code).collect();
        assert_eq!(named.len(), 73);
        for code in 0..=u16::MAX {
            let back = ErrorKind::from_code(code).map(ErrorKind::code);
            assert!(back.is_none_or(|back| back == code), "{code}");
        }
    }
}
