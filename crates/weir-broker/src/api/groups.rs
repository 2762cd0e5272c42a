//! Groups as their administrators see them, and consumers whose assignment the broker makes
//! (KIP-848).

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_model::{ErrorKind, TopicId};

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
    /// The broker, and members may read the same partitions (KIP-932).
    Share,
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

/// A consumer joins, lives, lets go of partitions or leaves (KIP-848). `None`: as before.
#[derive(Clone, Debug, Default)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: String,
    /// The member's id, which its client makes; empty: the node makes one.
    pub member: String,
    /// The member's epoch. 0: it joins; -1: it leaves; -2: a static member leaves and will come
    /// back.
    pub epoch: i32,
    /// Its instance id.
    pub instance: Option<String>,
    /// Where it stands.
    pub rack: Option<String>,
    /// How long it may take to let go of partitions, in ms.
    pub rebalance_timeout_ms: Option<u64>,
    /// Topics by name.
    pub topics: Option<Vec<String>>,
    /// Topics by pattern; empty: none.
    pub pattern: Option<String>,
    /// The assignor that it wants.
    pub assignor: Option<String>,
    /// The partitions that it has.
    pub owned: Option<Vec<(TopicId, Vec<i32>)>>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where the client connects from.
    pub client_host: String,
}

/// A member of a share group joins, lives or leaves (KIP-932). `None`: as before.
#[derive(Clone, Debug, Default)]
pub struct ShareHeartbeat {
    /// The group.
    pub group: String,
    /// The member's id, which its client makes.
    pub member: String,
    /// The member's epoch. 0: it joins; -1: it leaves.
    pub epoch: i32,
    /// Where it stands.
    pub rack: Option<String>,
    /// Topics by name.
    pub topics: Option<Vec<String>>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where the client connects from.
    pub client_host: String,
}

/// What a consumer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerBeat {
    /// Its id.
    pub member: String,
    /// Its epoch.
    pub epoch: i32,
    /// Time to its next heartbeat, in ms.
    pub interval_ms: u32,
    /// What it may read; `None`: as before.
    pub assignment: Option<Vec<(TopicId, Vec<i32>)>>,
}

/// A consumer group whose assignment the broker makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Where it stands.
    pub state: GroupPhase,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch of its target assignment.
    pub assignment_epoch: i32,
    /// Its assignor.
    pub assignor: &'static str,
    /// Its members.
    pub members: Vec<DescribedConsumer>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    /// Its id.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// Where it stands.
    pub rack: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client connects from.
    pub client_host: String,
    /// Topics by name.
    pub topics: Vec<String>,
    /// Topics by pattern.
    pub pattern: Option<String>,
    /// What it may read.
    pub assigned: Vec<TopicPartitions>,
    /// What it is to have.
    pub target: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Their indexes.
    pub indexes: Vec<i32>,
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
