//! What group 0 knows of a node and of a topic.

use std::collections::BTreeMap;

use weir_log::Millis;
use weir_model::{GroupId, NodeId, PartitionId, TopicId, TopicName};

use super::topic_config::TopicConfig;
use crate::encoding::{DecodeError, Reader, Writer};

/// One node as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node.
    pub id: NodeId,
    /// Advertised host of the Kafka door.
    pub kafka_host: String,
    /// Advertised port of the Kafka door.
    pub kafka_port: u16,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its number, never given to another topic; part of [`PartitionId`].
    pub serial: u64,
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Which group carries each partition.
    pub partitions: Vec<GroupId>,
    /// Copies of each partition.
    pub replication_factor: u16,
    /// Settings as they were given, by Kafka's names.
    pub configs: BTreeMap<String, String>,
    /// `configs` over the defaults.
    pub settings: TopicConfig,
    /// When it was created.
    pub created: Millis,
}

impl TopicRecord {
    /// Partition `index` and the group that carries it.
    pub fn partition(&self, index: i32) -> Option<(PartitionId, GroupId)> {
        let index = u32::try_from(index).ok()?;
        let group = self.partitions.get(usize::try_from(index).ok()?)?;
        Some((PartitionId::new(self.serial, index), *group))
    }
}

impl NodeRecord {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.id.0);
        writer.text(&self.kafka_host);
        writer.u16(self.kafka_port);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: NodeId(reader.u64()?),
            kafka_host: reader.text()?.to_owned(),
            kafka_port: reader.u16()?,
        })
    }
}
