//! Groups as their administrators see them, and consumers whose assignment the broker makes
//! (KIP-848).

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_model::ErrorKind;

use super::TopicRef;

/// Where a group stands, by the names that Kafka's tools print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupPhase {
    /// No members.
    Empty,
    /// Waiting for members to join (classic).
    PreparingRebalance,
    /// Waiting for the leading member's assignment (classic).
    CompletingRebalance,
    /// The broker has an assignment to make (KIP-848).
    Assigning,
    /// Members are on their way to the assignment (KIP-848).
    Reconciling,
    /// Every member has its assignment.
    Stable,
    /// Not known here.
    Dead,
}

/// Who assigns partitions in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// One of its members.
    Classic,
    /// The broker (KIP-848).
    Consumer,
}

/// Asks for the groups that this node coordinates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroups {
    /// In which states; `None`: in all.
    pub states: Option<BTreeSet<GroupPhase>>,
    /// Of which kinds; `None`: of all.
    pub kinds: Option<BTreeSet<GroupKind>>,
}

/// One group of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group: String,
    /// Its kind.
    pub kind: GroupKind,
    /// Such as `consumer`; empty where only offsets were committed.
    pub protocol_type: String,
    /// Where it stands.
    pub state: GroupPhase,
}

/// A classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Where it stands.
    pub state: GroupPhase,
    /// Such as `consumer`; empty where only offsets were committed.
    pub protocol_type: String,
    /// The protocol that was chosen; empty while none is.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client connects from.
    pub client_host: String,
    /// Its metadata for the chosen protocol; empty outside a stable generation.
    pub metadata: Bytes,
    /// Its assignment; empty outside a stable generation.
    pub assignment: Bytes,
}

/// Forgets a group's places in partitions.
#[derive(Clone, Debug)]
pub struct DeleteOffsets {
    /// The group.
    pub group: String,
    /// Which places.
    pub partitions: Vec<(TopicRef, i32)>,
}

/// Why a request about groups failed, with words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: ErrorKind,
    /// In words; empty where the error says it all.
    pub reason: String,
}

impl From<ErrorKind> for Refused {
    fn from(error: ErrorKind) -> Self {
        Self {
            error,
            reason: String::new(),
        }
    }
}
