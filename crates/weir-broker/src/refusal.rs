//! Why something that people asked for was not done, for them and for their programs.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_access::AccessError;
use weir_model::ErrorKind;

use crate::{
    access::AccessRefused,
    api::{admin, queues::Refused},
    json_call::AdminError,
};

/// Why it was not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For people.
    pub reason: String,
    /// For programs.
    #[serde(default)]
    pub kind: RefusalKind,
    /// Its name, for programs that want to know more.
    #[serde(default)]
    pub error: String,
    /// Whether the same request may succeed later, unchanged.
    #[serde(default)]
    pub retriable: bool,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The request cannot be meant.
    #[default]
    Invalid,
    /// What it is about is not there.
    NotFound,
    /// What is there stands in its way.
    Conflict,
    /// Whoever asks may not.
    Denied,
    /// There are as many as there may be.
    Limit,
    /// The cluster cannot at the moment.
    Unavailable,
}

impl Refusal {
    /// With the name of an error, as its type writes it.
    pub(crate) fn of(kind: RefusalKind, error: &impl fmt::Debug, reason: String) -> Self {
        Self {
            reason,
            kind,
            error: snake(&format!("{error:?}")),
            retriable: kind == RefusalKind::Unavailable,
        }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::of(RefusalKind::Invalid, &RefusalKind::Invalid, reason)
    }
}

impl From<AdminError> for Refusal {
    fn from(error: AdminError) -> Self {
        error.to_string().into()
    }
}

impl From<ErrorKind> for Refusal {
    fn from(error: ErrorKind) -> Self {
        let reason = snake(&format!("{error:?}")).replace('_', " ");
        let mut refusal = Self::of(kind_of(error), &error, reason);
        refusal.retriable = error.retriable() && refusal.kind != RefusalKind::NotFound;
        refusal
    }
}

impl From<admin::Refusal> for Refusal {
    fn from(refused: admin::Refusal) -> Self {
        let refusal = Self::from(refused.kind);
        match refused.message.is_empty() {
            true => refusal,
            false => Self {
                reason: refused.message,
                ..refusal
            },
        }
    }
}

impl From<AccessRefused> for Refusal {
    fn from(refused: AccessRefused) -> Self {
        use RefusalKind as K;
        let error = match refused {
            AccessRefused::Failed(error) => return error.into(),
            AccessRefused::Refused(error) => error,
        };
        let kind = match error {
            AccessError::NoUser | AccessError::NoVhost => K::NotFound,
            AccessError::UserExists => K::Conflict,
            AccessError::TooManyUsers
            | AccessError::TooManyPrincipals
            | AccessError::TooManyRules
            | AccessError::TooManyQuotas => K::Limit,
            AccessError::TooManyAtOnce | AccessError::Invalid => K::Invalid,
        };
        Self::of(kind, &error, error.to_string())
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        use RefusalKind as K;
        let kind = match &refused {
            Refused::Failed(error) => return (*error).into(),
            Refused::NoVhost(_) | Refused::NoExchange { .. } | Refused::NoQueue { .. } => {
                K::NotFound
            }
            Refused::Vhost { .. } | Refused::Access(_) => K::Denied,
            Refused::Limit(_) => K::Limit,
            Refused::Locked { .. }
            | Refused::Inequivalent { .. }
            | Refused::InUse { .. }
            | Refused::NotEmpty { .. }
            | Refused::Exclusive { .. }
            | Refused::Precondition(_) => K::Conflict,
            Refused::Argument { .. } | Refused::UnknownKind(_) | Refused::NotImplemented(_) => {
                K::Invalid
            }
        };
        Self::of(kind, &refused, refused.to_string())
    }
}

// Table: one line per error.
fn kind_of(error: ErrorKind) -> RefusalKind {
    use ErrorKind as E;
    use RefusalKind as K;
    match error {
        E::UnknownTopicOrPartition
        | E::UnknownTopicId
        | E::GroupNotFound
        | E::UnknownNode
        | E::UnknownMember
        | E::TransactionalIdNotFound => K::NotFound,
        E::TopicExists
        | E::NonEmptyGroup
        | E::GroupSubscribed
        | E::ElectionNotNeeded
        | E::NoReassignmentInProgress
        | E::PolicyViolation
        | E::FencedInstance
        | E::UnreleasedInstance
        | E::InvalidTxnState
        | E::ProducerFenced
        | E::IllegalGeneration
        | E::InconsistentGroupProtocol
        | E::FencedMemberEpoch
        | E::StaleMemberEpoch
        | E::OutOfOrderSequence
        | E::DuplicateSequence
        | E::InvalidProducerEpoch
        | E::UnknownProducer
        | E::InvalidProducerIdMapping
        | E::TransactionCoordinatorFenced
        | E::TransactionAbortable
        | E::OperationNotAttempted => K::Conflict,
        E::TopicUnauthorized
        | E::GroupUnauthorized
        | E::ClusterUnauthorized
        | E::TransactionalIdUnauthorized => K::Denied,
        E::GroupMaxSizeReached | E::ThrottlingQuotaExceeded => K::Limit,
        E::InvalidTopic
        | E::InvalidPartitions
        | E::InvalidReplicationFactor
        | E::InvalidConfig
        | E::OffsetOutOfRange
        | E::CorruptBatch
        | E::InvalidRecord
        | E::InvalidTimestamp
        | E::UnsupportedFormat
        | E::MessageTooLarge
        | E::InvalidGroupId
        | E::MemberIdRequired
        | E::InvalidSessionTimeout
        | E::UnsupportedAssignor
        | E::InvalidRegularExpression
        | E::UnsupportedVersion
        | E::OffsetMetadataTooLarge
        | E::InvalidReplicaAssignment
        | E::InvalidRequest
        | E::InvalidTransactionTimeout => K::Invalid,
        E::OffsetNotAvailable
        | E::NotLeader
        | E::FencedLeaderEpoch
        | E::UnknownLeaderEpoch
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
        | E::CoordinatorUnreachable => K::Unavailable,
    }
}

/// `NoQueue { .. }` is `no_queue`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use weir_model::ErrorKind;

    use super::*;

    #[test]
    fn a_refusal_has_its_errors_name_and_reads_back_without_it() {
        let refusal = Refusal::of(
            RefusalKind::Unavailable,
            &ErrorKind::NotLeader,
            "later".to_owned(),
        );
        assert_eq!((&*refusal.error, refusal.retriable), ("not_leader", true));
        assert_eq!(snake("Failed(NotLeader)"), "failed");
        let short: Refusal = serde_json::from_str(r#"{"reason":"no"}"#).unwrap();
        assert_eq!((short.kind, short.retriable), (RefusalKind::Invalid, false));
    }
}
