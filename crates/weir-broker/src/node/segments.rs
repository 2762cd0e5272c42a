//! How a partition's segments are kept: as its topic says, or as bodies are.

use weir_log::partition::SegmentPolicy;
use weir_model::{GroupId, PartitionId};

use super::Node;
use crate::bodies::{group_of_bodies, segment_policy};

/// What holds for a partition's segments.
pub(crate) struct StoredAs {
    /// The group that carries it.
    pub(crate) group: GroupId,
    /// When it begins a new one.
    pub(crate) policy: SegmentPolicy,
    /// Compaction may leave out offsets.
    pub(crate) may_have_gaps: bool,
}

impl Node {
    /// `None`: the partition's topic is not there, or not any more.
    pub(crate) fn stored_as(&self, partition: PartitionId) -> Option<StoredAs> {
        if let Some(group) = group_of_bodies(partition) {
            return Some(StoredAs {
                group,
                policy: segment_policy(),
                may_have_gaps: true,
            });
        }
        let topology = self.topology.load();
        let topic = topology.by_serial(partition.topic_serial())?;
        let (_, group) = topic.partition(i32::try_from(partition.index()).ok()?)?;
        Some(StoredAs {
            group,
            policy: SegmentPolicy {
                segment_bytes: u64::from(topic.settings.segment_bytes),
                segment_ms: topic.settings.roll_ms(),
            },
            may_have_gaps: topic.settings.cleanup_policy.compact,
        })
    }
}
