//! New topics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use uuid::Uuid;
use weir_model::{ErrorKind, GroupId, TopicId, TopicName};

use super::{Node, topics::wire};
use crate::{
    api::{
        CreateTopics, CreatedTopic, NewTopic, Outcome,
        admin::{ConfigMap, Refusal},
    },
    audit,
    configs::describe::{self, Layers},
    gather::Gather,
    mailbox::Reply,
    metadata::{
        CreateTopic, MetadataCommand, MetadataOutcome, TopicConfig, Topology, placement,
        reserved::is_reserved, state::MAX_PARTITIONS_PER_TOPIC,
    },
    view,
};

/// Copies of a topic that does not say, where there are as many nodes.
const DEFAULT_REPLICATION_COUNT: usize = 3;

type Created = Result<CreatedTopic, Refusal>;

/// Groups and copies of a new topic.
struct Places {
    groups: Vec<GroupId>,
    replication_factor: u16,
}

impl Node {
    pub(super) fn create_topics(self: &Arc<Self>, create: CreateTopics, reply: Reply) {
        let unsettled: Created = Err(ErrorKind::TimedOut.into());
        let count = create.topics.len();
        let task = Arc::new(Gather::new(count, unsettled, reply, Outcome::CreateTopics));
        for (at, topic) in create.topics.into_iter().enumerate() {
            let task = Arc::clone(&task);
            self.create_topic(&topic, create.validate_only, move |created| {
                task.settle(at, created);
            });
        }
    }

    pub(super) fn create_topic(
        self: &Arc<Self>,
        topic: &NewTopic,
        validate_only: bool,
        done: impl FnOnce(Created) + Send + 'static,
    ) {
        let planned = match audit::is_internal(&topic.name) {
            true => Err(prohibited(&topic.name)),
            false => self.plan_topic(topic),
        };
        match planned {
            Ok(topic) => self.create_planned(topic, validate_only, done),
            Err(refusal) => done(Err(refusal)),
        }
    }

    /// The nodes' own.
    pub(crate) fn create_internal_topic(
        self: &Arc<Self>,
        topic: &NewTopic,
        done: impl FnOnce(Created) + Send + 'static,
    ) {
        match self.plan_topic(topic) {
            Ok(topic) => self.create_planned(topic, false, done),
            Err(refusal) => done(Err(refusal)),
        }
    }

    fn create_planned(
        self: &Arc<Self>,
        topic: CreateTopic,
        validate_only: bool,
        done: impl FnOnce(Created) + Send + 'static,
    ) {
        let mut created = CreatedTopic {
            id: Some(topic.id),
            partition_count: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
            replication_factor: topic.replication_factor,
            configs: describe::topic(&self.layers(topic.configs.clone()), None),
        };
        if validate_only {
            created.id = None;
            return done(Ok(created));
        }
        let name = topic.name.clone();
        self.propose_metadata(MetadataCommand::CreateTopic(topic), move |outcome| {
            done(match outcome {
                Ok(MetadataOutcome::TopicCreated(_)) => Ok(created),
                Ok(MetadataOutcome::Refused(ErrorKind::TopicExists)) => Err(exists(&name)),
                outcome => Err(super::manage::refused(&outcome)),
            });
        });
    }

    /// What gives settings their values, with `own` on top.
    pub(super) fn layers(&self, own: ConfigMap) -> Layers {
        let all = crate::api::admin::ConfigResource::Broker(None);
        Layers {
            own,
            all_brokers: self.topology.load().configs_of(&all),
            fixed: self.fixed_configs(),
        }
    }

    /// The command, with everything that must be the same on every node chosen here. What can be
    /// refused without asking the group is refused.
    fn plan_topic(&self, topic: &NewTopic) -> Result<CreateTopic, Refusal> {
        let name = TopicName::new(&topic.name).map_err(|error| {
            let name = &topic.name[..topic.name.floor_char_boundary(255)];
            Refusal::new(
                ErrorKind::InvalidTopic,
                format!("Topic name '{name}' is illegal: {error}"),
            )
        })?;
        if is_reserved(name.as_str()) {
            return Err(prohibited(name.as_str()));
        }
        let topology = self.topology.load();
        if topology.nodes().is_empty() {
            // Not even this node is registered: the metadata group is not led yet.
            return Err(ErrorKind::NotLeader.into());
        }
        if topology.by_name(&name).is_some() {
            return Err(exists(&name));
        }
        if let Some(other) = topology.collision(&name) {
            return Err(Refusal::new(
                ErrorKind::InvalidTopic,
                format!("Topic '{name}' collides with existing topic: {other}"),
            ));
        }
        let configs = own_configs(&topic.configs)?;
        let places = match &topic.assignments {
            Some(assignments) => self.assigned(assignments, &topology)?,
            None => self.placed(topic, &topology)?,
        };
        let id = Uuid::from_u64_pair(self.entropy.next_u64(), self.entropy.next_u64());
        Ok(CreateTopic {
            name,
            id: TopicId(uuid::Builder::from_random_bytes(*id.as_bytes()).into_uuid()),
            partitions: places.groups,
            replication_factor: places.replication_factor,
            configs,
            created: self.clock.now(),
        })
    }

    fn placed(&self, topic: &NewTopic, topology: &Topology) -> Result<Places, Refusal> {
        let count = topic
            .partition_count
            .unwrap_or(self.config.default_partition_count);
        if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&usize::try_from(count).unwrap_or(usize::MAX)) {
            return Err(Refusal::new(
                ErrorKind::InvalidPartitions,
                format!(
                    "Number of partitions was {count}; 1 to {MAX_PARTITIONS_PER_TOPIC} can be."
                ),
            ));
        }
        let node_count = topology.nodes().len();
        let replication_factor = topic.replication_factor.unwrap_or_else(|| {
            u16::try_from(node_count.min(DEFAULT_REPLICATION_COUNT)).expect("it is small")
        });
        if replication_factor == 0 {
            return Err(Refusal::new(
                ErrorKind::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
        if usize::from(replication_factor) > node_count {
            return Err(Refusal::new(
                ErrorKind::InvalidReplicationFactor,
                format!(
                    "Unable to replicate the partition {replication_factor} time(s): \
                     {node_count} node(s) are registered."
                ),
            ));
        }
        Ok(Places {
            groups: placement::place(count, &self.shards(), topology.load()),
            replication_factor,
        })
    }

    pub(in crate::node) fn shards(&self) -> BTreeSet<GroupId> {
        (1..=self.config.shard_count).map(GroupId).collect()
    }

    fn assigned(&self, assignments: &[Vec<i32>], topology: &Topology) -> Result<Places, Refusal> {
        if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&assignments.len()) {
            return Err(ErrorKind::InvalidPartitions.into());
        }
        let copies = assignments.first().map_or(0, Vec::len);
        if assignments.iter().any(|nodes| nodes.len() != copies) {
            return Err(Refusal::new(
                ErrorKind::InvalidReplicaAssignment,
                "All partitions must have the same number of replicas.",
            ));
        }
        Ok(Places {
            groups: self.assign(assignments, topology)?,
            replication_factor: u16::try_from(copies).unwrap_or(u16::MAX),
        })
    }

    /// A group for each partition that all of the partition's nodes vote in; of several one that
    /// its first node leads, else the one with the fewest partitions.
    pub(super) fn assign(
        &self,
        assignments: &[Vec<i32>],
        topology: &Topology,
    ) -> Result<Vec<GroupId>, Refusal> {
        let brokers = self.brokers(topology);
        let groups = self.shards().into_iter().map(|group| {
            let view = self.view_of(group);
            let voters: BTreeSet<i32> = view::voters(&view).into_iter().filter_map(wire).collect();
            (group, view.leader.and_then(wire), voters)
        });
        let groups: Vec<_> = groups.collect();
        let mut load: BTreeMap<GroupId, u64> = topology.load().clone();
        let mut placed = Vec::new();
        for (index, nodes) in assignments.iter().enumerate() {
            check_nodes(nodes, |node| {
                brokers.iter().any(|broker| broker.node == node)
            })?;
            let fits = groups
                .iter()
                .filter(|(_, _, voters)| nodes.iter().all(|node| voters.contains(node)));
            let best = fits.min_by_key(|(group, leader, _)| {
                let is_led_elsewhere = *leader != nodes.first().copied();
                (is_led_elsewhere, load.get(group).copied().unwrap_or(0))
            });
            let Some((group, ..)) = best else {
                return Err(Refusal::new(
                    ErrorKind::InvalidReplicaAssignment,
                    format!(
                        "Partition {index} cannot be on the nodes {nodes:?}: partitions live in \
                         groups of nodes, and all of these are in none together."
                    ),
                ));
            };
            *load.entry(*group).or_default() += 1;
            placed.push(*group);
        }
        Ok(placed)
    }
}

pub(super) fn check_nodes(nodes: &[i32], is_known: impl Fn(i32) -> bool) -> Result<(), Refusal> {
    let refused = |message: String| Err(Refusal::new(ErrorKind::InvalidReplicaAssignment, message));
    if nodes.is_empty() {
        return refused(
            "The manual partition assignment includes an empty replica list.".to_owned(),
        );
    }
    let mut seen = BTreeSet::new();
    for node in nodes {
        if !seen.insert(*node) {
            return refused(format!(
                "The manual partition assignment includes the broker {node} more than once."
            ));
        }
        if !is_known(*node) {
            return refused(format!(
                "The manual partition assignment includes broker {node}, but no such broker is \
                 registered."
            ));
        }
    }
    Ok(())
}

fn prohibited(name: &str) -> Refusal {
    Refusal::new(
        ErrorKind::InvalidTopic,
        format!("Creation of internal topic {name} is prohibited."),
    )
}

fn exists(name: &TopicName) -> Refusal {
    Refusal::new(
        ErrorKind::TopicExists,
        format!("Topic '{name}' already exists."),
    )
}

/// What the client set. Null is refused as Kafka does.
fn own_configs(configs: &[(String, Option<String>)]) -> Result<ConfigMap, Refusal> {
    let mut own = ConfigMap::new();
    for (name, value) in configs {
        let value = value.as_ref().ok_or_else(|| {
            Refusal::new(
                ErrorKind::InvalidConfig,
                format!("Null value not supported for topic configs: {name}"),
            )
        })?;
        own.insert(name.clone(), value.trim().to_owned());
    }
    match TopicConfig::parse(&own) {
        Ok(_) => Ok(own),
        Err(error) => Err(Refusal::new(ErrorKind::InvalidConfig, error.to_string())),
    }
}
