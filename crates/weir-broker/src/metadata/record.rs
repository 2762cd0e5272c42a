//! What group 0 knows of a node and of a topic.

use std::collections::BTreeMap;

use weir_log::Millis;
use weir_model::{GroupId, NodeId, PartitionId, TopicId, TopicName};

use super::{command::CreateTopic, topic_config::TopicConfig};
use crate::encoding::{DecodeError, Reader, Writer};

/// What people want of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// It carries its share.
    #[default]
    Active,
    /// It is to carry nothing.
    Draining,
}

/// One node, as others and clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node.
    pub id: NodeId,
    /// Chosen at random by the node before it asks to be admitted: the same one gets the same id
    /// again. 0 for the founder.
    pub incarnation: u128,
    /// Where other nodes reach it (`host:port`); empty where there are none.
    pub peer_address: String,
    /// Advertised host of the Kafka door.
    pub kafka_host: String,
    /// Advertised port of the Kafka door.
    pub kafka_port: u16,
    /// Where it stands, as its operator calls it (Kafka's `broker.rack`).
    pub rack: Option<String>,
    /// What people want of it.
    pub state: NodeState,
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

impl TopicRecord {
    /// `u64` serial and the fields of the creating command.
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.serial);
        let created = CreateTopic {
            name: self.name.clone(),
            id: self.id,
            partitions: self.partitions.clone(),
            replication_factor: self.replication_factor,
            configs: self.configs.clone(),
            created: self.created,
        };
        created.write(writer);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let serial = reader.u64()?;
        let stored = CreateTopic::read(reader)?;
        let settings =
            TopicConfig::parse(&stored.configs).map_err(|_| reader.invalid("topic settings"))?;
        Ok(Self {
            serial,
            id: stored.id,
            name: stored.name,
            partitions: stored.partitions,
            replication_factor: stored.replication_factor,
            configs: stored.configs,
            settings,
            created: stored.created,
        })
    }
}

impl NodeState {
    pub(super) fn write(self, writer: &mut Writer) {
        writer.u8(match self {
            Self::Active => 0,
            Self::Draining => 1,
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Active),
            1 => Ok(Self::Draining),
            tag => Err(reader.unknown_tag("node state", tag)),
        }
    }
}

impl NodeRecord {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.id.0);
        writer.u128(self.incarnation);
        writer.text(&self.peer_address);
        writer.text(&self.kafka_host);
        writer.u16(self.kafka_port);
        writer.optional_text(self.rack.as_deref());
        self.state.write(writer);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: NodeId(reader.u64()?),
            incarnation: reader.u128()?,
            peer_address: reader.text()?.to_owned(),
            kafka_host: reader.text()?.to_owned(),
            kafka_port: reader.u16()?,
            rack: reader.optional_text()?.map(str::to_owned),
            state: NodeState::read(reader)?,
        })
    }
}
