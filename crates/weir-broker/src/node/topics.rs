//! Topics and brokers: what is there, and new ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use weir_model::{ErrorKind, GroupId, NodeId, TopicName};
use weir_raft::GroupView;

use super::Node;
use crate::{
    api::{
        Broker, ClusterMetadata, Metadata, NewTopic, Outcome, PartitionMetadata, TopicDescription,
        TopicMetadata, TopicRef,
    },
    mailbox::Reply,
    metadata::{
        TopicRecord, Topology,
        placed::Placement,
        reserved::{is_hidden, is_reserved},
    },
    view,
};

/// What clients are told of each group's partitions.
type Groups = BTreeMap<GroupId, PartitionMetadata>;

impl Node {
    pub(super) fn metadata(self: &Arc<Self>, wanted: Metadata, reply: Reply) {
        let absent = self.absent_topics(&wanted);
        if absent.is_empty() {
            let node = Arc::clone(self);
            let answer = move |topics| {
                let metadata = node.describe(topics, &BTreeMap::new());
                reply.send(Outcome::Metadata(metadata));
            };
            return self.await_successors(wanted.topics, Box::new(answer));
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
                assignments: None,
            };
            self.create_topic(&topic, false, move |created| {
                if let Err(refusal) = created
                    && refusal.kind != ErrorKind::TopicExists
                {
                    lock(&refused).insert(name, refusal.kind);
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
            .filter(|name| topology.by_name(name).is_none() && !is_reserved(name.as_str()))
            .filter(|name| !crate::audit::is_internal(name.as_str()))
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
            .map(|group| (group, self.describe_group(group, &topology)))
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
                .filter(|topic| !is_hidden(topic.name.as_str()))
                .map(|topic| describe_one(TopicRef::Name(topic.name.clone())))
                .collect(),
        };
        let controller = self.leader_of(GroupId::METADATA);
        ClusterMetadata {
            is_cut_off: self.is_cut_off(&topology),
            cluster_id: topology.cluster_id().to_owned(),
            controller: controller.and_then(|(node, _)| wire(node)),
            brokers: self.brokers(&topology),
            topics,
        }
    }

    fn describe_topic(&self, topic: &TopicRecord, groups: &Groups) -> TopicDescription {
        let partition = |group: &GroupId| match groups.get(group) {
            Some(known) => known.clone(),
            None => self.describe_group(*group, &self.topology.load()),
        };
        TopicDescription {
            name: topic.name.clone(),
            id: topic.id,
            partitions: topic.partitions.iter().map(partition).collect(),
        }
    }

    /// A leader that clients are given no address of leads nobody for them.
    fn describe_group(&self, group: GroupId, topology: &Topology) -> PartitionMetadata {
        let view = self.view_of(group);
        let leader = view.leader;
        let leader = leader.filter(|node| topology.nodes().contains_key(node));
        let replicas = replicas(group, &view, topology.placement(group));
        let offline = replicas.iter().copied().filter(|node| self.is_down(*node));
        PartitionMetadata {
            leader: leader.and_then(wire),
            leader_epoch: self.epoch_of(group).leader_epoch(),
            offline: offline.filter_map(wire).collect(),
            replicas: replicas.into_iter().filter_map(wire).collect(),
            in_sync: view::in_sync(&view).into_iter().filter_map(wire).collect(),
        }
    }

    pub(super) fn brokers(&self, topology: &Topology) -> Vec<Broker> {
        let nodes = topology.nodes().values();
        nodes.filter_map(|node| self.broker(node)).collect()
    }

    pub(super) fn find_coordinators(&self, groups: &[String], reply: Reply) {
        let topology = self.topology.load();
        let brokers = self.brokers(&topology);
        let unknown = match self.is_cut_off(&topology) {
            true => ErrorKind::NotCoordinator,
            false => ErrorKind::CoordinatorLoading,
        };
        let coordinator = |group: &String| {
            let leader = self.leader_of(self.coordinating_shard(group));
            let node = leader.and_then(|(node, _)| wire(node));
            let broker = brokers.iter().find(|broker| Some(broker.node) == node);
            broker.cloned().ok_or(unknown)
        };
        reply.send(Outcome::Coordinators(
            groups.iter().map(coordinator).collect(),
        ));
    }
}

pub(super) fn wire(node: NodeId) -> Option<i32> {
    i32::try_from(node.0).ok()
}

/// A group's voters, the one first that clients are to take for its preferred leader: in the order
/// that people want, once it is where they want it; else another one for each group, so that
/// preferred leaders are spread evenly.
pub(super) fn replicas(
    group: GroupId,
    view: &GroupView,
    placement: Option<&Placement>,
) -> Vec<NodeId> {
    let mut voters = view::voters(view);
    voters.sort_unstable();
    if let Some(placement) = placement
        && placement.nodes.iter().all(|node| voters.contains(node))
    {
        voters.sort_by_key(|voter| {
            let mut wanted = placement.nodes.iter();
            wanted.position(|node| node == voter).unwrap_or(usize::MAX)
        });
        return voters;
    }
    if !voters.is_empty() {
        let count = u32::try_from(voters.len()).unwrap_or(u32::MAX);
        voters.rotate_left(usize::try_from(group.0 % count).unwrap_or(0));
    }
    voters
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
