//! Where a group's bodies lie.

use weir_log::partition::SegmentPolicy;
use weir_model::{GroupId, PartitionId};

/// The serial number of no topic: far above those that are given, and not the highest, which stands
/// for what lies nowhere.
const BODIES_SERIAL: u64 = (1 << (64 - PartitionId::INDEX_BITS)) - 2;

/// Bodies of one segment, in bytes: what is left of one is written again once it is mostly dead, and
/// the last one never is.
pub(crate) const SEGMENT_BYTES: u64 = 32 << 20;
/// Longest time that a segment takes more, in ms.
const SEGMENT_MS: u64 = 60 * 60 * 1_000;

/// When bodies begin a new segment.
pub(crate) fn segment_policy() -> SegmentPolicy {
    SegmentPolicy {
        segment_bytes: SEGMENT_BYTES,
        segment_ms: SEGMENT_MS,
    }
}

/// The partition of a group's bodies.
pub(crate) fn bodies_of(group: GroupId) -> PartitionId {
    PartitionId::new(BODIES_SERIAL, group.0)
}

/// The group whose bodies these are; `None`: the partition is a topic's.
pub(crate) fn group_of_bodies(partition: PartitionId) -> Option<GroupId> {
    (partition.topic_serial() == BODIES_SERIAL).then(|| GroupId(partition.index()))
}
