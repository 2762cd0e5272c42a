//! Topics that get more partitions: `u128` topic, `u32` count before, `u32` count and a `u32`
//! group for each new partition.

use std::sync::Arc;

use uuid::Uuid;
use weir_model::{ErrorKind, GroupId, TopicId};

use super::{MetadataState, outcome::MetadataOutcome, state::MAX_PARTITIONS_PER_TOPIC};
use crate::encoding::{DecodeError, Reader, Writer};

/// New partitions of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topic.
    pub topic: TopicId,
    /// How many partitions the proposer saw.
    pub from_count: u32,
    /// Which group carries each new one.
    pub groups: Vec<GroupId>,
}

impl MetadataState {
    pub(super) fn create_partitions(
        &mut self,
        more: &CreatePartitions,
    ) -> Result<MetadataOutcome, ErrorKind> {
        let known = self.topology.by_id(more.topic);
        let known = known.ok_or(ErrorKind::UnknownTopicOrPartition)?;
        let from = usize::try_from(more.from_count).unwrap_or(usize::MAX);
        if known.partitions.get(from..) == Some(&more.groups[..]) && !more.groups.is_empty() {
            // The same command again: its proposer did not hear of the first.
            return Ok(MetadataOutcome::PartitionsCreated);
        }
        let count = from.saturating_add(more.groups.len());
        let is_fit = known.partitions.len() == from && count <= MAX_PARTITIONS_PER_TOPIC;
        if !is_fit || more.groups.is_empty() {
            return Err(ErrorKind::InvalidPartitions);
        }
        if !self.topology.has_room(&known.name, more.groups.len()) {
            return Err(ErrorKind::PolicyViolation);
        }
        let mut topic = super::TopicRecord::clone(known);
        topic.partitions.extend_from_slice(&more.groups);
        self.topology.carry_more(&more.groups);
        self.topology.replace(Arc::new(topic));
        Ok(MetadataOutcome::PartitionsCreated)
    }
}

impl CreatePartitions {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u128(self.topic.0.as_u128());
        writer.u32(self.from_count);
        writer.count(self.groups.len());
        for group in &self.groups {
            writer.u32(group.0);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let topic = TopicId(Uuid::from_u128(reader.u128()?));
        let from_count = reader.u32()?;
        let mut groups = Vec::new();
        for _ in 0..reader.count(4)? {
            groups.push(GroupId(reader.u32()?));
        }
        Ok(Self {
            topic,
            from_count,
            groups,
        })
    }
}
