//! Where a partition's files are.

use weir_model::{Offset, PartitionId};

use crate::partition::SegmentMeta;

/// Directory with one directory per partition.
pub(crate) const PARTITIONS_DIR: &str = "partitions";

/// Names one segment of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentKey {
    pub(crate) partition: PartitionId,
    pub(crate) base_offset: Offset,
    pub(crate) generation: u32,
}

impl SegmentKey {
    pub(crate) fn new(partition: PartitionId, segment: &SegmentMeta) -> Self {
        Self {
            partition,
            base_offset: segment.base_offset,
            generation: segment.generation,
        }
    }

    /// The partition's directory.
    pub(crate) fn dir(partition: PartitionId) -> String {
        format!("{PARTITIONS_DIR}/{partition}")
    }

    /// The partition whose directory has this name.
    pub(crate) fn partition_of(dir_name: &str) -> Option<PartitionId> {
        let id = PartitionId(u64::from_str_radix(dir_name, 16).ok()?);
        (id.to_string() == dir_name).then_some(id)
    }

    /// The batches, without the directory.
    pub(crate) fn segment_name(self) -> String {
        format!("{:020}-{}.seg", self.base_offset.0, self.generation)
    }

    /// The index, without the directory.
    pub(crate) fn index_name(self) -> String {
        format!("{:020}-{}.idx", self.base_offset.0, self.generation)
    }

    /// The batches, with the directory.
    pub(crate) fn segment_path(self) -> String {
        format!("{}/{}", Self::dir(self.partition), self.segment_name())
    }

    /// The index, with the directory.
    pub(crate) fn index_path(self) -> String {
        format!("{}/{}", Self::dir(self.partition), self.index_name())
    }
}
