//! The commands of group 0: `u8` tag, then the command's fields in the order of their
//! declaration. A topic: text name, `u128` id, `u32` count and a `u32` group for each
//! partition, `u16` copies, `u32` count and two texts for each setting, `i64` time in ms. What
//! changes exchanges and queues: see [`RoutingCommand`]; users and rules: [`AccessCommand`].

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;
use weir_log::Millis;
use weir_model::{GroupId, NodeId, TopicId, TopicName};

use super::{
    config_command::AlterResource,
    grow::CreatePartitions,
    placed::PlaceGroup,
    record::{NodeRecord, NodeState},
};
use crate::{
    access::AccessCommand,
    encoding::{DecodeError, Reader, Writer},
    routing::RoutingCommand,
};

// Tags are never used again for something else.
const NAME_CLUSTER: u8 = 1;
const REGISTER_NODE: u8 = 2;
const CREATE_TOPIC: u8 = 3;
const DELETE_TOPIC: u8 = 4;
const ALLOCATE_PRODUCER_IDS: u8 = 5;
const ADMIT_NODE: u8 = 6;
const SET_NODE_STATE: u8 = 7;
const REMOVE_NODE: u8 = 8;
const ALTER_CONFIGS: u8 = 20;
const CREATE_PARTITIONS: u8 = 21;
const PLACE_GROUP: u8 = 22;
const ROUTING: u8 = 30;
const ACCESS: u8 = 40;

/// A change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataCommand {
    /// Give the cluster its id. Of several the first one stays.
    NameCluster {
        /// The id, as Kafka prints it.
        cluster_id: String,
    },
    /// Change how a node is reached. The founder is added by its first one; all others must have
    /// been admitted. Incarnation and state stay as they are.
    RegisterNode(NodeRecord),
    /// Add a node under an id that no other had.
    AdmitNode {
        /// The node's own random number, not 0: see [`NodeRecord::incarnation`].
        incarnation: u128,
        /// Where other nodes reach it (`host:port`).
        peer_address: String,
        /// Advertised host of the Kafka door.
        kafka_host: String,
        /// Advertised port of the Kafka door.
        kafka_port: u16,
    },
    /// Change what is wanted of a node.
    SetNodeState {
        /// Which.
        node: NodeId,
        /// What is wanted.
        state: NodeState,
    },
    /// Take a node out of the cluster for good.
    RemoveNode {
        /// Which.
        node: NodeId,
    },
    /// Add a topic.
    CreateTopic(CreateTopic),
    /// Remove a topic.
    DeleteTopic {
        /// Which.
        id: TopicId,
    },
    /// Change settings.
    AlterConfigs(AlterResource),
    /// Give a topic more partitions.
    CreatePartitions(CreatePartitions),
    /// Want a group on certain nodes.
    PlaceGroup(PlaceGroup),
    /// Give a node producer ids that no other gets.
    AllocateProducerIds {
        /// Who asks.
        node: NodeId,
        /// How many.
        count: u32,
    },
    /// Change exchanges, bindings, queues, or what they are in.
    Routing(RoutingCommand),
    /// Change users, permissions, ACLs or quotas.
    Access(AccessCommand),
}

/// A new topic with everything that its proposer chose for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Which group carries each partition.
    pub partitions: Vec<GroupId>,
    /// Copies of each partition.
    pub replication_factor: u16,
    /// Settings by Kafka's names.
    pub configs: BTreeMap<String, String>,
    /// The proposer's time.
    pub created: Millis,
}

impl MetadataCommand {
    /// The command as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        match self {
            Self::NameCluster { cluster_id } => {
                writer.u8(NAME_CLUSTER);
                writer.text(cluster_id);
            }
            Self::RegisterNode(node) => {
                writer.u8(REGISTER_NODE);
                node.write(&mut writer);
            }
            Self::AdmitNode {
                incarnation,
                peer_address,
                kafka_host,
                kafka_port,
            } => {
                writer.u8(ADMIT_NODE);
                writer.u128(*incarnation);
                writer.text(peer_address);
                writer.text(kafka_host);
                writer.u16(*kafka_port);
            }
            Self::SetNodeState { node, state } => {
                writer.u8(SET_NODE_STATE);
                writer.u64(node.0);
                state.write(&mut writer);
            }
            Self::RemoveNode { node } => {
                writer.u8(REMOVE_NODE);
                writer.u64(node.0);
            }
            Self::CreateTopic(topic) => {
                writer.u8(CREATE_TOPIC);
                topic.write(&mut writer);
            }
            Self::DeleteTopic { id } => {
                writer.u8(DELETE_TOPIC);
                writer.u128(id.0.as_u128());
            }
            Self::AlterConfigs(change) => {
                writer.u8(ALTER_CONFIGS);
                change.write(&mut writer);
            }
            Self::CreatePartitions(more) => {
                writer.u8(CREATE_PARTITIONS);
                more.write(&mut writer);
            }
            Self::PlaceGroup(place) => {
                writer.u8(PLACE_GROUP);
                place.write(&mut writer);
            }
            Self::AllocateProducerIds { node, count } => {
                writer.u8(ALLOCATE_PRODUCER_IDS);
                writer.u64(node.0);
                writer.u32(*count);
            }
            Self::Routing(command) => {
                writer.u8(ROUTING);
                command.write(&mut writer);
            }
            Self::Access(command) => {
                writer.u8(ACCESS);
                command.write(&mut writer);
            }
        }
        writer.finish()
    }

    /// The command that [`Self::encode`] wrote. An unknown tag must stop the node.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let command = match reader.u8()? {
            NAME_CLUSTER => Self::NameCluster {
                cluster_id: reader.text()?.to_owned(),
            },
            REGISTER_NODE => Self::RegisterNode(NodeRecord::read(&mut reader)?),
            ADMIT_NODE => Self::AdmitNode {
                incarnation: reader.u128()?,
                peer_address: reader.text()?.to_owned(),
                kafka_host: reader.text()?.to_owned(),
                kafka_port: reader.u16()?,
            },
            SET_NODE_STATE => Self::SetNodeState {
                node: NodeId(reader.u64()?),
                state: NodeState::read(&mut reader)?,
            },
            REMOVE_NODE => Self::RemoveNode {
                node: NodeId(reader.u64()?),
            },
            CREATE_TOPIC => Self::CreateTopic(CreateTopic::read(&mut reader)?),
            DELETE_TOPIC => Self::DeleteTopic {
                id: TopicId(Uuid::from_u128(reader.u128()?)),
            },
            ALTER_CONFIGS => Self::AlterConfigs(AlterResource::read(&mut reader)?),
            CREATE_PARTITIONS => Self::CreatePartitions(CreatePartitions::read(&mut reader)?),
            PLACE_GROUP => Self::PlaceGroup(PlaceGroup::read(&mut reader)?),
            ALLOCATE_PRODUCER_IDS => Self::AllocateProducerIds {
                node: NodeId(reader.u64()?),
                count: reader.u32()?,
            },
            ROUTING => Self::Routing(RoutingCommand::read(&mut reader)?),
            ACCESS => Self::Access(AccessCommand::read(&mut reader)?),
            tag => return Err(reader.unknown_tag("metadata command", tag)),
        };
        reader.finish()?;
        Ok(command)
    }
}

impl CreateTopic {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.text(self.name.as_str());
        writer.u128(self.id.0.as_u128());
        writer.count(self.partitions.len());
        for group in &self.partitions {
            writer.u32(group.0);
        }
        writer.u16(self.replication_factor);
        writer.count(self.configs.len());
        for (name, value) in &self.configs {
            writer.text(name);
            writer.text(value);
        }
        writer.i64(self.created.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = TopicName::new(reader.text()?).map_err(|_| reader.invalid("topic name"))?;
        let id = TopicId(Uuid::from_u128(reader.u128()?));
        let mut partitions = Vec::new();
        for _ in 0..reader.count(4)? {
            partitions.push(GroupId(reader.u32()?));
        }
        let replication_factor = reader.u16()?;
        let mut configs = BTreeMap::new();
        for _ in 0..reader.count(4 + 4)? {
            let name = reader.text()?.to_owned();
            configs.insert(name, reader.text()?.to_owned());
        }
        Ok(Self {
            name,
            id,
            partitions,
            replication_factor,
            configs,
            created: Millis(reader.i64()?),
        })
    }
}
