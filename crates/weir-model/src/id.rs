//! Newtypes for everything that is a number or a UUID on the wire and must not be mixed up.

use std::fmt;

/// A Raft group ("shard") of the cluster. Group 0 holds the cluster's metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group that holds nodes, topics and placement.
    pub const METADATA: Self = Self(0);
    /// Where the numbers of transient groups begin, in the range of a partition's index.
    const TRANSIENT_BASE: u32 = PartitionId::MAX_INDEX_COUNT / 2;

    /// The group of what ends with a run of the node: each node has one of its own. `None` for
    /// nodes from number 8,388,608 on, which have none.
    pub fn transient(node: NodeId) -> Option<Self> {
        let node = u32::try_from(node.0).ok()?;
        (node < Self::TRANSIENT_BASE).then(|| Self(Self::TRANSIENT_BASE + node))
    }

    /// The node whose transient group this is; `None`: it is no such group.
    pub fn transient_node(self) -> Option<NodeId> {
        let node = self.0.checked_sub(Self::TRANSIENT_BASE)?;
        Some(NodeId(u64::from(node)))
    }

    /// Whether the group ends with a run of its node.
    pub fn is_transient(self) -> bool {
        self.0 >= Self::TRANSIENT_BASE
    }
}

/// A node of the cluster. Never 0: raft-rs reserves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A Raft term. Doubles as the partition leader epoch of the Kafka door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl Term {
    /// The term as Kafka's `leader_epoch`, saturating at `i32::MAX`.
    pub fn leader_epoch(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }
}

/// Position of a record in a partition. The first record of a partition has offset 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset `count` records further on.
    ///
    /// # Panics
    /// Where the result leaves the range of Kafka's signed 64-bit offset.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        let sum = self
            .0
            .checked_add(count)
            .filter(|sum| i64::try_from(*sum).is_ok());
        Self(sum.expect("an offset stays below 2^63"))
    }

    /// The offset as it stands on Kafka's wire.
    pub fn wire(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// An offset from Kafka's wire; `None` for negative (special) values.
    pub fn from_wire(value: i64) -> Option<Self> {
        u64::try_from(value).ok().map(Self)
    }
}

/// One partition of one topic, unique over the cluster's life: the topic's serial number in the
/// upper 40 bits, the partition's index in the lower 24. A topic that is created again under
/// its old name gets a new serial number, so ids are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u64);

impl PartitionId {
    /// Bits of the partition's index.
    pub const INDEX_BITS: u32 = 24;
    /// Most partitions that one topic may have.
    pub const MAX_INDEX_COUNT: u32 = 1 << Self::INDEX_BITS;

    /// The id of partition `index` of the topic with serial number `topic_serial`.
    ///
    /// # Panics
    /// Where `index` or `topic_serial` leaves its range.
    pub fn new(topic_serial: u64, index: u32) -> Self {
        assert!(
            index < Self::MAX_INDEX_COUNT,
            "partition index out of range"
        );
        assert!(
            topic_serial < 1 << (64 - Self::INDEX_BITS),
            "topic serial out of range"
        );
        Self((topic_serial << Self::INDEX_BITS) | u64::from(index))
    }

    /// The topic's serial number.
    pub fn topic_serial(self) -> u64 {
        self.0 >> Self::INDEX_BITS
    }

    /// The partition's index within its topic.
    pub fn index(self) -> u32 {
        u32::try_from(self.0 & u64::from(Self::MAX_INDEX_COUNT - 1)).expect("24 bits fit in u32")
    }
}

/// A Kafka topic id: a UUID, never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub uuid::Uuid);

/// An idempotent producer's id, as handed out by `InitProducerId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub i64);

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_inner!(GroupId, NodeId, Term, Offset, TopicId, ProducerId);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_id_gives_back_its_parts() {
        let id = PartitionId::new(7, PartitionId::MAX_INDEX_COUNT - 1);
        assert_eq!(
            (id.topic_serial(), id.index()),
            (7, PartitionId::MAX_INDEX_COUNT - 1)
        );
    }

    #[test]
    fn a_transient_group_is_its_nodes_and_its_number_is_a_partitions_index() {
        let last = NodeId((1 << 23) - 1);
        for node in [NodeId(1), last] {
            let group = GroupId::transient(node).unwrap();
            assert_eq!(group.transient_node(), Some(node));
            assert!(group.is_transient() && group.0 < PartitionId::MAX_INDEX_COUNT);
        }
        assert_eq!(GroupId::transient(NodeId(last.0 + 1)), None);
        assert_eq!(GroupId(256).transient_node(), None);
        assert!(!GroupId::METADATA.is_transient());
    }

    #[test]
    fn negative_wire_offsets_are_not_offsets() {
        assert_eq!(Offset::from_wire(-1), None);
        assert_eq!(Offset::from_wire(5), Some(Offset(5)));
    }
}
