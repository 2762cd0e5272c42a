//! Groups as their administrators see them, and consumers whose assignment the broker makes
//! (KIP-848).

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_model::{ErrorKind, TopicId, TopicName};

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

/// Partitions by topic.
pub type TopicPartitions = Vec<(TopicId, Vec<i32>)>;

/// A consumer says that it lives, joins, leaves, or changed what it wants (KIP-848).
#[derive(Clone, Debug, Default)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: String,
    /// The member's id, which its client chose; empty: the broker chooses one.
    pub member: String,
    /// The member's epoch. 0: joins; -1: leaves; -2: a static member leaves for a while.
    pub epoch: i32,
    /// Its instance id.
    pub instance: Option<String>,
    /// Its rack.
    pub rack: Option<String>,
    /// How long it may take to give partitions up; `None`: as before.
    pub rebalance_timeout_ms: Option<u64>,
    /// The topics that it reads; `None`: as before.
    pub topics: Option<Vec<String>>,
    /// It also reads topics whose whole name matches, in RE2's syntax; `None`: as before; empty:
    /// none.
    pub regex: Option<String>,
    /// The assignor it wants; `None`: as before, or any.
    pub assignor: Option<String>,
    /// The partitions it has; `None`: as before.
    pub owned: Option<TopicPartitions>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where the client connects from.
    pub client_host: String,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerBeat {
    /// The member's id.
    pub member: String,
    /// Its epoch from now on.
    pub epoch: i32,
    /// When to send the next heartbeat, in ms.
    pub interval_ms: u64,
    /// All partitions that it may read; `None`: as before.
    pub assignment: Option<TopicPartitions>,
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

/// A group whose assignment the broker makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Where it stands.
    pub state: GroupPhase,
    /// Rises with every change of members, subscriptions or topics.
    pub epoch: i32,
    /// The epoch that the target assignment was made for.
    pub assignment_epoch: i32,
    /// Who makes the assignment.
    pub assignor: String,
    /// Its members.
    pub members: Vec<DescribedConsumer>,
}

/// A member of a group whose assignment the broker makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    /// Its id.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// Its rack.
    pub rack: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client connects from.
    pub client_host: String,
    /// The topics it names.
    pub topics: Vec<String>,
    /// The expression for topics that it reads besides.
    pub regex: Option<String>,
    /// The partitions it has.
    pub assignment: Vec<NamedPartitions>,
    /// The partitions it shall have.
    pub target: Vec<NamedPartitions>,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPartitions {
    /// The topic's id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Indexes in ascending order.
    pub partitions: Vec<i32>,
}
