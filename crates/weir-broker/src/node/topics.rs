//! Topics and brokers: what is there, and new ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use uuid::Uuid;
use weir_model::{ErrorKind, GroupId, NodeId, TopicId, TopicName};
use weir_raft::GroupView;

use super::Node;
use crate::{
    api::{
        Broker, ClusterMetadata, CreateTopics, CreatedTopic, Metadata, NewTopic, Outcome,
        PartitionMetadata, TopicDescription, TopicMetadata, TopicRef,
    },
    gather::Gather,
    mailbox::Reply,
    metadata::{
        CreateTopic, MetadataCommand, MetadataOutcome, TopicConfig, TopicRecord, Topology,
        placement, state::MAX_PARTITIONS_PER_TOPIC,
    },
    view,
};

/// Copies of a topic that does not say, where there are as many nodes.
const DEFAULT_REPLICATION_COUNT: usize = 3;

/// What clients are told of each group's partitions.
type Groups = BTreeMap<GroupId, PartitionMetadata>;
type Created = Result<CreatedTopic, ErrorKind>;

impl Node {
    pub(super) fn metadata(self: &Arc<Self>, wanted: Metadata, reply: Reply) {
        let absent = self.absent_topics(&wanted);
        if absent.is_empty() {
            return reply.send(Outcome::Metadata(
                self.describe(wanted.topics, &BTreeMap::new()),
            ));
        }
        // Kafka answers with an error first and creates meanwhile; here the answer waits for
        // the topic, which saves the client a round.
        let open_count = Arc::new(AtomicUsize::new(absent.len()));
        let refused = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        let shared = Arc::new(std::sync::Mutex::new(Some((wanted.topics, reply))));
        for name in absent {
            let (node, open_count) = (Arc::clone(self), Arc::clone(&open_count));
            let (refused, shared) = (Arc::clone(&refused), Arc::clone(&shared));
            let topic = NewTopic {
                name: name.as_str().to_owned(),
                partition_count: None,
                replication_factor: None,
                configs: Vec::new(),
            };
            self.create_topic(topic, false, move |created| {
                if let Err(error) = created
                    && error != ErrorKind::TopicExists
                {
                    lock(&refused).insert(name, error);
                }
                if open_count.fetch_sub(1, Ordering::AcqRel) == 1
                    && let Some((topics, reply)) = lock(&shared).take()
                {
                    let metadata = node.describe(topics, &lock(&refused));
                    reply.send(Outcome::Metadata(metadata));
                }
            });
        }
    }

    fn absent_topics(&self, wanted: &Metadata) -> Vec<TopicName> {
        if !wanted.auto_create || !self.config.auto_create_topics {
            return Vec::new();
        }
        let topology = self.topology.load();
        let named = wanted
            .topics
            .iter()
            .flatten()
            .filter_map(|topic| match topic {
                TopicRef::Name(name) => Some(name),
                TopicRef::Id(_) => None,
            });
        let absent: BTreeSet<&TopicName> = named
            .filter(|name| topology.by_name(name).is_none())
            .collect();
        absent.into_iter().cloned().collect()
    }

    fn describe(
        &self,
        topics: Option<Vec<TopicRef>>,
        refused: &BTreeMap<TopicName, ErrorKind>,
    ) -> ClusterMetadata {
        let topology = self.topology.load();
        let groups: Groups = (1..=self.config.shard_count)
            .map(GroupId)
            .map(|group| (group, describe_group(&self.view_of(group), &topology)))
            .collect();
        let describe_one = |topic: TopicRef| {
            let found = topology.topic(&topic).map_err(|absent| match &topic {
                TopicRef::Name(name) => refused.get(name).copied().unwrap_or(absent),
                TopicRef::Id(_) => absent,
            });
            let result = found.map(|found| self.describe_topic(found, &groups));
            TopicMetadata { topic, result }
        };
        let topics = match topics {
            Some(topics) => topics.into_iter().map(describe_one).collect(),
            None => topology
                .topics()
                .map(|topic| describe_one(TopicRef::Name(topic.name.clone())))
                .collect(),
        };
        let controller = self.leader_of(GroupId::METADATA);
        ClusterMetadata {
            cluster_id: topology.cluster_id().to_owned(),
            controller: controller.and_then(|(node, _)| wire(node)),
            brokers: self.brokers(&topology),
            topics,
        }
    }

    fn describe_topic(&self, topic: &TopicRecord, groups: &Groups) -> TopicDescription {
        let partition = |group: &GroupId| match groups.get(group) {
            Some(known) => known.clone(),
            None => describe_group(&self.view_of(*group), &self.topology.load()),
        };
        TopicDescription {
            name: topic.name.clone(),
            id: topic.id,
            partitions: topic.partitions.iter().map(partition).collect(),
        }
    }

    fn brokers(&self, topology: &Topology) -> Vec<Broker> {
        let nodes = topology.nodes().values();
        nodes.filter_map(|node| self.broker(node)).collect()
    }

    pub(super) fn find_coordinators(&self, groups: &[String], reply: Reply) {
        let topology = self.topology.load();
        let brokers = self.brokers(&topology);
        let coordinator = |group: &String| {
            let leader = self.leader_of(self.coordinating_shard(group));
            let node = leader.and_then(|(node, _)| wire(node));
            let broker = brokers.iter().find(|broker| Some(broker.node) == node);
            broker.cloned().ok_or(ErrorKind::CoordinatorLoading)
        };
        reply.send(Outcome::Coordinators(
            groups.iter().map(coordinator).collect(),
        ));
    }

    pub(super) fn create_topics(self: &Arc<Self>, create: CreateTopics, reply: Reply) {
        let unsettled: Created = Err(ErrorKind::TimedOut);
        let count = create.topics.len();
        let task = Arc::new(Gather::new(count, unsettled, reply, Outcome::CreateTopics));
        for (at, topic) in create.topics.into_iter().enumerate() {
            let task = Arc::clone(&task);
            self.create_topic(topic, create.validate_only, move |created| {
                task.settle(at, created);
            });
        }
    }

    fn create_topic(
        self: &Arc<Self>,
        topic: NewTopic,
        validate_only: bool,
        done: impl FnOnce(Created) + Send + 'static,
    ) {
        let topic = match self.plan_topic(topic) {
            Ok(topic) => topic,
            Err(error) => return done(Err(error)),
        };
        let mut created = CreatedTopic {
            id: Some(topic.id),
            partition_count: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
            replication_factor: topic.replication_factor,
        };
        if validate_only {
            created.id = None;
            return done(Ok(created));
        }
        self.propose_metadata(MetadataCommand::CreateTopic(topic), move |outcome| {
            let outcome = outcome.and_then(|outcome| created_outcome(&outcome));
            done(outcome.map(|()| created));
        });
    }

    /// The command, with everything that must be the same on every node chosen here. What can be
    /// refused without asking the group is refused.
    fn plan_topic(&self, topic: NewTopic) -> Result<CreateTopic, ErrorKind> {
        let name = TopicName::new(&topic.name).map_err(|_| ErrorKind::InvalidTopic)?;
        let topology = self.topology.load();
        if topology.nodes().is_empty() {
            // Not even this node is registered: the metadata group is not led yet.
            return Err(ErrorKind::NotLeader);
        }
        if topology.by_name(&name).is_some() {
            return Err(ErrorKind::TopicExists);
        }
        let count = topic
            .partition_count
            .unwrap_or(self.config.default_partition_count);
        if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&usize::try_from(count).unwrap_or(usize::MAX)) {
            return Err(ErrorKind::InvalidPartitions);
        }
        let node_count = topology.nodes().len();
        let replication_factor = topic.replication_factor.unwrap_or_else(|| {
            u16::try_from(node_count.min(DEFAULT_REPLICATION_COUNT)).expect("it is small")
        });
        if !(1..=node_count).contains(&usize::from(replication_factor)) {
            return Err(ErrorKind::InvalidReplicationFactor);
        }
        let configs: BTreeMap<String, String> = topic
            .configs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        TopicConfig::parse(&configs)?;
        let shards: BTreeSet<GroupId> = (1..=self.config.shard_count).map(GroupId).collect();
        let id = Uuid::from_u64_pair(self.entropy.next_u64(), self.entropy.next_u64());
        Ok(CreateTopic {
            name,
            id: TopicId(uuid::Builder::from_random_bytes(*id.as_bytes()).into_uuid()),
            partitions: placement::place(count, &shards, topology.load()),
            replication_factor,
            configs,
            created: self.clock.now(),
        })
    }
}

fn created_outcome(outcome: &MetadataOutcome) -> Result<(), ErrorKind> {
    match outcome {
        MetadataOutcome::TopicCreated(_) => Ok(()),
        MetadataOutcome::Refused(error) => Err(*error),
        MetadataOutcome::ClusterNamed(_)
        | MetadataOutcome::NodeRegistered(_)
        | MetadataOutcome::NodeAdmitted(_)
        | MetadataOutcome::NodeStateSet(_)
        | MetadataOutcome::NodeRemoved(_)
        | MetadataOutcome::TopicDeleted(_)
        | MetadataOutcome::ProducerIds { .. } => Err(ErrorKind::InvalidRequest),
    }
}

fn wire(node: NodeId) -> Option<i32> {
    i32::try_from(node.0).ok()
}

/// A leader that clients are given no address of leads nobody for them.
fn describe_group(view: &GroupView, topology: &Topology) -> PartitionMetadata {
    let leader = view.leader;
    let leader = leader.filter(|node| topology.nodes().contains_key(node));
    PartitionMetadata {
        leader: leader.and_then(wire),
        leader_epoch: view.term.leader_epoch(),
        replicas: view::voters(view).into_iter().filter_map(wire).collect(),
        in_sync: view::in_sync(view).into_iter().filter_map(wire).collect(),
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
