//! Group 0's state machine: total, and a function of state, command and place in the log alone.

use std::sync::Arc;

use weir_access::Access;
use weir_model::{ErrorKind, NodeId, PartitionId, ProducerId, TopicId};

use super::{
    command::{CreateTopic, MetadataCommand},
    outcome::MetadataOutcome,
    record::TopicRecord,
    reserved::is_reserved,
    topic_config::TopicConfig,
    topology::Topology,
};
use crate::{
    quota::QuotaTable,
    routing::{Routing, record::QueueId},
};
use weir_raft::Applied;

/// Most nodes of a cluster.
pub const MAX_NODES: usize = 1024;
/// Most topics of a cluster.
pub const MAX_TOPICS: usize = 1_000_000;
/// Most partitions of one topic.
pub const MAX_PARTITIONS_PER_TOPIC: usize = 100_000;
/// The node that founds a cluster: the first id.
pub(crate) const FOUNDER: NodeId = NodeId(1);
/// Longest advertised host, in bytes (a DNS name's limit), and longest cluster id.
pub const MAX_HOST_BYTES: usize = 255;
/// Most producer ids that are given out at once.
pub const MAX_PRODUCER_ID_BLOCK_COUNT: u32 = 1_000_000;
/// First topic serial.
pub(super) const FIRST_SERIAL: u64 = 1;
/// Serials end here: see [`PartitionId`].
pub(super) const MAX_SERIAL: u64 = u64::MAX >> PartitionId::INDEX_BITS;

/// Group 0's state.
#[derive(Clone, Debug)]
pub struct MetadataState {
    pub(super) topology: Topology,
    pub(super) next_serial: u64,
    /// The next node's id; never goes back.
    pub(super) next_node: u64,
    pub(super) next_producer_id: i64,
}

impl Default for MetadataState {
    fn default() -> Self {
        Self {
            topology: Topology::default(),
            next_serial: FIRST_SERIAL,
            next_node: FOUNDER.0,
            next_producer_id: 0,
        }
    }
}

impl MetadataState {
    /// The state before the first command.
    pub fn new() -> Self {
        Self::default()
    }

    /// A view for readers; the same content until the next command that changes something.
    pub fn topology(&self) -> Arc<Topology> {
        Arc::new(Topology {
            next_serial: self.next_serial,
            ..self.topology.clone()
        })
    }

    /// Does what the command asks for, or nothing at all.
    pub fn apply(&mut self, at: &Applied, command: MetadataCommand) -> MetadataOutcome {
        assert_eq!(
            at.group,
            weir_model::GroupId::METADATA,
            "metadata stands in group 0's log alone"
        );
        let result = match command {
            MetadataCommand::NameCluster { cluster_id } => self.name_cluster(&cluster_id),
            MetadataCommand::RegisterNode(node) => self.register(node),
            MetadataCommand::AdmitNode {
                incarnation,
                peer_address,
                kafka_host,
                kafka_port,
            } => self.admit(incarnation, peer_address, kafka_host, kafka_port),
            MetadataCommand::SetNodeState { node, state } => self.set_node_state(node, state),
            MetadataCommand::RemoveNode { node } => self.remove_node(node),
            MetadataCommand::CreateTopic(topic) => self.create_topic(topic),
            MetadataCommand::DeleteTopic { id } => self.delete_topic(id),
            MetadataCommand::AlterConfigs(change) => self.alter_configs(change),
            MetadataCommand::CreatePartitions(more) => self.create_partitions(&more),
            MetadataCommand::PlaceGroup(place) => self.place_group(place),
            MetadataCommand::AllocateProducerIds { node, count } => self.allocate(node, count),
            MetadataCommand::Routing(command) => {
                Ok(MetadataOutcome::Routing(self.change_routing(at, command)))
            }
            MetadataCommand::Access(command) => {
                Ok(MetadataOutcome::Access(self.change_access(command)))
            }
        };
        result.unwrap_or_else(MetadataOutcome::Refused)
    }

    fn name_cluster(&mut self, cluster_id: &str) -> Result<MetadataOutcome, ErrorKind> {
        if self.topology.cluster_id.is_empty() {
            if cluster_id.is_empty() || cluster_id.len() > MAX_HOST_BYTES {
                return Err(ErrorKind::InvalidRequest);
            }
            self.topology.cluster_id = cluster_id.into();
        }
        Ok(MetadataOutcome::ClusterNamed(
            self.topology.cluster_id.clone(),
        ))
    }

    /// Whether a topic could be created now, with its settings. Also for requests that only ask.
    pub fn check_topic(&self, topic: &CreateTopic) -> Result<TopicConfig, ErrorKind> {
        if self.topology.by_name(&topic.name).is_some() {
            return Err(ErrorKind::TopicExists);
        }
        if is_reserved(topic.name.as_str()) {
            return Err(ErrorKind::InvalidTopic);
        }
        if self.topology.collision(&topic.name).is_some() {
            return Err(ErrorKind::InvalidTopic);
        }
        let settings = self.check_new_topic(topic)?;
        match self.topology.has_room(&topic.name, topic.partitions.len()) {
            true => Ok(settings),
            false => Err(ErrorKind::PolicyViolation),
        }
    }

    /// Whether there can be one more topic, whatever its name.
    fn check_new_topic(&self, topic: &CreateTopic) -> Result<TopicConfig, ErrorKind> {
        if topic.id.0.is_nil() || self.topology.by_id(topic.id).is_some() {
            return Err(ErrorKind::InvalidRequest);
        }
        if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&topic.partitions.len()) {
            return Err(ErrorKind::InvalidPartitions);
        }
        let copies = usize::from(topic.replication_factor);
        if !(1..=self.topology.nodes.len()).contains(&copies) {
            return Err(ErrorKind::InvalidReplicationFactor);
        }
        if self.topology.topic_count() >= MAX_TOPICS || self.next_serial > MAX_SERIAL {
            return Err(ErrorKind::Overloaded);
        }
        TopicConfig::parse(&topic.configs)?;
        let brokers = self.topology.broker_configs();
        Ok(TopicConfig::resolve(&topic.configs, &brokers))
    }

    fn create_topic(&mut self, topic: CreateTopic) -> Result<MetadataOutcome, ErrorKind> {
        if let Some(known) = self.topology.by_id(topic.id)
            && known.name == topic.name
        {
            // The same command again: its proposer did not hear of the first.
            return Ok(MetadataOutcome::TopicCreated(Arc::clone(known)));
        }
        let settings = self.check_topic(&topic)?;
        let topic = self.add_topic(topic, settings);
        Ok(MetadataOutcome::TopicCreated(topic))
    }

    /// A topic for a queue: its name may be one that users cannot give, and may look like another
    /// to Kafka's metrics.
    pub(crate) fn create_queue_topic(
        &mut self,
        topic: CreateTopic,
    ) -> Result<Arc<TopicRecord>, ErrorKind> {
        let settings = self.check_new_topic(&topic)?;
        Ok(self.add_topic(topic, settings))
    }

    fn add_topic(&mut self, topic: CreateTopic, settings: TopicConfig) -> Arc<TopicRecord> {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.topology.next_serial = self.next_serial;
        let record = TopicRecord {
            serial,
            id: topic.id,
            name: topic.name,
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            configs: topic.configs,
            settings,
            created: topic.created,
        };
        self.topology.add(record)
    }

    /// A queue goes with its topic.
    fn delete_topic(&mut self, id: TopicId) -> Result<MetadataOutcome, ErrorKind> {
        let topic = self.topology.remove(id).ok_or(ErrorKind::UnknownTopicId)?;
        self.topology.routing.remove_queue(QueueId(topic.serial));
        Ok(MetadataOutcome::TopicDeleted(topic))
    }

    /// The topic of a queue that is gone.
    pub(crate) fn remove_topic_of_queue(&mut self, serial: u64) {
        let topic = self.topology.by_serial(serial).map(|topic| topic.id);
        topic.and_then(|id| self.topology.remove(id));
    }

    pub(crate) fn routing(&self) -> &Routing {
        &self.topology.routing
    }

    pub(crate) fn routing_mut(&mut self) -> &mut Routing {
        &mut self.topology.routing
    }

    pub(crate) fn access_mut(&mut self) -> &mut Access {
        &mut self.topology.access
    }

    pub(crate) fn quotas_mut(&mut self) -> &mut QuotaTable {
        &mut self.topology.quotas
    }

    /// What is known so far, without a copy.
    pub(crate) fn known(&self) -> &Topology {
        &self.topology
    }

    fn allocate(&mut self, node: NodeId, count: u32) -> Result<MetadataOutcome, ErrorKind> {
        if !(1..=MAX_PRODUCER_ID_BLOCK_COUNT).contains(&count) {
            return Err(ErrorKind::InvalidRequest);
        }
        let first = ProducerId(self.next_producer_id);
        let next = self.next_producer_id.checked_add(i64::from(count));
        self.next_producer_id = next.ok_or(ErrorKind::Overloaded)?;
        Ok(MetadataOutcome::ProducerIds { node, first, count })
    }
}
