//! What a command of group 0 did, also as bytes for the node that proposed it: `u8` tag, then the
//! fields in the order of their declaration. A topic: `u64` serial, then the fields of its creating
//! command. An error: its `u16` code.

use std::sync::Arc;

use weir_model::{ErrorKind, NodeId, ProducerId};

use super::record::TopicRecord;
use crate::{
    access::AccessOutcome,
    encoding::{DecodeError, Reader, Writer},
    routing::RoutingOutcome,
};

// Tags are never used again for something else.
const CLUSTER_NAMED: u8 = 1;
const NODE_REGISTERED: u8 = 2;
const NODE_ADMITTED: u8 = 3;
const NODE_STATE_SET: u8 = 4;
const NODE_REMOVED: u8 = 5;
const TOPIC_CREATED: u8 = 6;
const TOPIC_DELETED: u8 = 7;
const PRODUCER_IDS: u8 = 8;
const REFUSED: u8 = 9;
const CONFIGS_ALTERED: u8 = 20;
const PARTITIONS_CREATED: u8 = 21;
const GROUP_PLACED: u8 = 22;
const ROUTING: u8 = 30;
const ACCESS: u8 = 40;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataOutcome {
    /// The cluster has this id, from this command or an earlier one.
    ClusterNamed(Arc<str>),
    /// The node is registered.
    NodeRegistered(NodeId),
    /// The node has this id, from this command or an earlier one.
    NodeAdmitted(NodeId),
    /// The node's state is as asked for.
    NodeStateSet(NodeId),
    /// The node is no member.
    NodeRemoved(NodeId),
    /// The topic is there.
    TopicCreated(Arc<TopicRecord>),
    /// The topic is gone.
    TopicDeleted(Arc<TopicRecord>),
    /// The settings are as asked for.
    ConfigsAltered,
    /// The topic has the partitions.
    PartitionsCreated,
    /// The group is wanted where it was asked for.
    GroupPlaced,
    /// The node may use `count` ids from `first`.
    ProducerIds {
        /// Whose they are.
        node: NodeId,
        /// The first one.
        first: ProducerId,
        /// How many.
        count: u32,
    },
    /// To a change of what routes.
    Routing(RoutingOutcome),
    /// To a change of users or rules.
    Access(AccessOutcome),
    /// Nothing changed.
    Refused(ErrorKind),
}

impl MetadataOutcome {
    pub(crate) fn write(&self, writer: &mut Writer) {
        let mut with_node = |tag, node: &NodeId| {
            writer.u8(tag);
            writer.u64(node.0);
        };
        match self {
            Self::ClusterNamed(cluster_id) => {
                writer.u8(CLUSTER_NAMED);
                writer.text(cluster_id);
            }
            Self::NodeRegistered(node) => with_node(NODE_REGISTERED, node),
            Self::NodeAdmitted(node) => with_node(NODE_ADMITTED, node),
            Self::NodeStateSet(node) => with_node(NODE_STATE_SET, node),
            Self::NodeRemoved(node) => with_node(NODE_REMOVED, node),
            Self::TopicCreated(topic) => {
                writer.u8(TOPIC_CREATED);
                topic.write(writer);
            }
            Self::TopicDeleted(topic) => {
                writer.u8(TOPIC_DELETED);
                topic.write(writer);
            }
            Self::ProducerIds { node, first, count } => {
                with_node(PRODUCER_IDS, node);
                writer.i64(first.0);
                writer.u32(*count);
            }
            Self::ConfigsAltered => writer.u8(CONFIGS_ALTERED),
            Self::PartitionsCreated => writer.u8(PARTITIONS_CREATED),
            Self::GroupPlaced => writer.u8(GROUP_PLACED),
            Self::Routing(outcome) => {
                writer.u8(ROUTING);
                outcome.write(writer);
            }
            Self::Access(outcome) => {
                writer.u8(ACCESS);
                outcome.write(writer);
            }
            Self::Refused(error) => {
                writer.u8(REFUSED);
                writer.u16(error.code());
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            CLUSTER_NAMED => Self::ClusterNamed(reader.text()?.into()),
            NODE_REGISTERED => Self::NodeRegistered(NodeId(reader.u64()?)),
            NODE_ADMITTED => Self::NodeAdmitted(NodeId(reader.u64()?)),
            NODE_STATE_SET => Self::NodeStateSet(NodeId(reader.u64()?)),
            NODE_REMOVED => Self::NodeRemoved(NodeId(reader.u64()?)),
            TOPIC_CREATED => Self::TopicCreated(Arc::new(TopicRecord::read(reader)?)),
            TOPIC_DELETED => Self::TopicDeleted(Arc::new(TopicRecord::read(reader)?)),
            PRODUCER_IDS => Self::ProducerIds {
                node: NodeId(reader.u64()?),
                first: ProducerId(reader.i64()?),
                count: reader.u32()?,
            },
            CONFIGS_ALTERED => Self::ConfigsAltered,
            PARTITIONS_CREATED => Self::PartitionsCreated,
            GROUP_PLACED => Self::GroupPlaced,
            ROUTING => Self::Routing(RoutingOutcome::read(reader)?),
            ACCESS => Self::Access(AccessOutcome::read(reader)?),
            REFUSED => {
                let error = ErrorKind::from_code(reader.u16()?);
                Self::Refused(error.ok_or_else(|| reader.invalid("error code"))?)
            }
            tag => return Err(reader.unknown_tag("metadata outcome", tag)),
        })
    }
}
