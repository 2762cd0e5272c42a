//! What this node counts and holds, as plain figures.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use weir_log::partition::TrafficFigures;
use weir_model::{GroupId, Offset, PartitionId, TopicName, batch::BatchHeader};
use weir_raft::{Context, Input};

use super::Node;
use crate::{
    api::Produced,
    machine::Machine,
    metadata::{TopicRecord, Topology},
    outcome::AppliedOutcome,
    quota::QuotaFigures,
    registry::PartitionRegistry,
    view::{in_sync, voters},
};

/// Groups, memory and what is stored, as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFigures {
    /// This node.
    pub node: u64,
    /// The cluster's id.
    pub cluster_id: String,
    /// Nodes of the cluster.
    pub node_count: u64,
    /// Those of them that answer.
    pub up_node_count: u64,
    /// Whether this node says that its disk is slow.
    pub is_slow: bool,
    /// Whether this node says that its disk is full.
    pub is_full: bool,
    /// Records of the audit topic that were never written.
    pub audit_lost_count: u64,
    /// How often clients had more than their quotas.
    pub quotas: Vec<QuotaFigures>,
    /// Whether this node leads the metadata.
    pub is_controller: bool,
    /// Topics of the cluster.
    pub topic_count: u64,
    /// Partitions of the cluster.
    pub partition_count: u64,
    /// Partitions that this node leads.
    pub led_partition_count: u64,
    /// Those of them of which a voter's copy does not keep up.
    pub under_replicated_partition_count: u64,
    /// Partitions of the cluster that nobody leads, as far as this node knows.
    pub offline_partition_count: u64,
    /// Groups of the cluster, the metadata's among them.
    pub group_count: u64,
    /// Groups that this node leads.
    pub led_group_count: u64,
    /// Those of them of which a voter does not keep up.
    pub under_replicated_group_count: u64,
    /// Groups that nobody leads, as far as this node knows.
    pub leaderless_group_count: u64,
    /// How often this node's replicas heard of a new leader.
    pub leader_change_count: u64,
    /// Recent batches held in memory, in bytes.
    pub tail_bytes: u64,
    /// Those of them that are not in a segment yet, in bytes.
    pub unflushed_bytes: u64,
    /// Memory that waits to be used for batches again, in bytes.
    pub idle_buffer_bytes: u64,
    /// Batches of transient queues held in memory, in bytes.
    pub transient_bytes: u64,
    /// Those of them that are in memory alone, in bytes.
    pub transient_unflushed_bytes: u64,
}

/// Traffic of topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFigures {
    /// The topics with the most bytes in and out.
    pub topics: Vec<(TopicName, TrafficFigures)>,
    /// All others together.
    pub others: TrafficFigures,
    /// How many those are.
    pub others_count: u64,
}

/// How far a consumer group is behind in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: TopicName,
    /// The partition's index.
    pub index: u32,
    /// The next offset that it reads, as committed.
    pub committed: Offset,
    /// Offset after the partition's last record, as far as this node has it; `None`: it has no
    /// copy.
    pub end: Option<Offset>,
}

/// A batch on its way into a partition, to be counted once it is there.
pub(crate) struct Sent {
    registry: Arc<PartitionRegistry>,
    partition: PartitionId,
    records: u64,
    size_bytes: u64,
}

impl Sent {
    /// Counts it, where it was stored.
    pub(crate) fn count(&self, produced: &Produced) {
        if produced.base_offset.is_err() {
            return;
        }
        if let Some(log) = self.registry.get(self.partition) {
            log.traffic().produced(self.records, self.size_bytes);
        }
    }
}

impl Node {
    pub(crate) fn sent(&self, partition: PartitionId, batch: &[u8]) -> Sent {
        Sent {
            registry: Arc::clone(&self.env.registry),
            partition,
            records: BatchHeader::parse(batch).map_or(0, |it| u64::from(it.record_count)),
            size_bytes: batch.len() as u64,
        }
    }

    /// What this node holds, and how its groups are.
    pub(crate) fn figures(&self) -> NodeFigures {
        let (cluster, topology) = (self.cluster(), self.topology.load_full());
        let own = cluster.nodes.get(&self.id()).copied().unwrap_or_default();
        let mut figures = NodeFigures {
            node: self.id().0,
            cluster_id: topology.cluster_id().to_owned(),
            node_count: topology.nodes().len() as u64,
            up_node_count: count(topology.nodes().keys(), |node| {
                cluster.nodes.get(node).is_some_and(|health| health.is_up)
            }),
            is_slow: own.is_slow,
            is_full: own.is_full,
            audit_lost_count: self.access().audit().lost_count(),
            quotas: self.access().quotas().figures(),
            is_controller: self.leads(GroupId::METADATA),
            topic_count: topology.topic_count() as u64,
            tail_bytes: self.env.store.tail_bytes(),
            idle_buffer_bytes: self.buffers.idle_bytes() as u64,
            unflushed_bytes: self.env.store.unflushed_bytes(),
            transient_bytes: self.env.store.transient_bytes(),
            transient_unflushed_bytes: self.env.store.transient_unflushed_bytes(),
            ..NodeFigures::default()
        };
        for group in (0..=self.config.shard_count).map(GroupId) {
            let view = cluster.groups.get(&group);
            let partitions = topology.load().get(&group).copied().unwrap_or(0);
            figures.group_count += 1;
            figures.partition_count += partitions;
            figures.leader_change_count += self.status(group).leader_changes();
            if view.is_none_or(|view| view.leader.is_none()) {
                figures.leaderless_group_count += 1;
                figures.offline_partition_count += partitions;
            }
            let Some(view) = view.filter(|view| view.leader == Some(self.id())) else {
                continue;
            };
            figures.led_group_count += 1;
            figures.led_partition_count += partitions;
            if in_sync(view).len() < voters(view).len() {
                figures.under_replicated_group_count += 1;
                figures.under_replicated_partition_count += partitions;
            }
        }
        self.count_transient(&topology, &mut figures);
        figures
    }

    /// Partitions of transient queues, which are in no group of the cluster's.
    fn count_transient(&self, topology: &Topology, figures: &mut NodeFigures) {
        let loads = topology.load().iter();
        for (group, partitions) in loads.filter(|(group, _)| group.is_transient()) {
            figures.partition_count += partitions;
            match self.leader_of(*group) {
                Some((leader, _)) if leader == self.id() => {
                    figures.led_partition_count += partitions;
                }
                Some(_) => {}
                None => figures.offline_partition_count += partitions,
            }
        }
    }

    /// Traffic by topic. Walks all partitions that were used.
    pub(crate) fn topic_figures(&self, max_count: usize) -> TopicFigures {
        let mut by_serial: BTreeMap<u64, TrafficFigures> = BTreeMap::new();
        for log in self.env.registry.all() {
            let figures = log.traffic().figures();
            if !figures.is_empty() {
                let serial = log.id().topic_serial();
                by_serial.entry(serial).or_default().add(&figures);
            }
        }
        let topology = self.topology.load_full();
        let named = |(serial, figures): (u64, TrafficFigures)| {
            let topic = topology.by_serial(serial)?;
            Some((topic.name.clone(), figures))
        };
        let mut topics: Vec<_> = by_serial.into_iter().filter_map(named).collect();
        if topics.len() > max_count {
            let bytes = |figures: &TrafficFigures| figures.produced_bytes + figures.fetched_bytes;
            topics.sort_by_key(|(_, figures)| std::cmp::Reverse(bytes(figures)));
        }
        let others = topics.split_off(topics.len().min(max_count));
        let mut figures = TopicFigures {
            topics,
            others_count: others.len() as u64,
            ..TopicFigures::default()
        };
        for (_, other) in &others {
            figures.others.add(other);
        }
        figures.topics.sort_by(|one, other| one.0.cmp(&other.0));
        figures
    }

    /// Lags of the groups that this node coordinates, `max_count` at most.
    pub(crate) fn lags(&self, max_count: usize, done: impl FnOnce(Vec<GroupLag>) + Send + 'static) {
        let led = (1..=self.config.shard_count).map(GroupId);
        let led: Vec<GroupId> = led.filter(|group| self.leads(*group)).collect();
        let topology = self.topology.load_full();
        let gathered = Arc::new(Gathered {
            open: Mutex::new(Some((Vec::new(), Box::new(done) as LagsDone))),
        });
        for group in led {
            let (gathered, topology) = (Arc::clone(&gathered), Arc::clone(&topology));
            let registry = Arc::clone(&self.env.registry);
            let visit = move |machine: &mut Machine, _: &mut Context<'_, AppliedOutcome>| {
                if let Machine::Shard(shard) = machine {
                    let kept = shard.offsets().all().take(max_count);
                    let lags = kept.filter_map(|(group, partition, stored)| {
                        let topic = topology.by_serial(partition.topic_serial())?;
                        let end = registry.get(partition).map(|log| log.end_offset());
                        let committed = Offset::from_wire(stored.offset)?;
                        Some(lag(group, topic, partition, committed, end))
                    });
                    gathered.add(lags.collect(), max_count);
                }
            };
            self.handle_of(group).send(Input::Visit {
                group,
                visit: Box::new(visit),
            });
        }
        // The last visit, or its drop, lets go of the rest and answers.
    }
}

fn lag(
    group: &str,
    topic: &TopicRecord,
    partition: PartitionId,
    committed: Offset,
    end: Option<Offset>,
) -> GroupLag {
    GroupLag {
        group: group.to_owned(),
        topic: topic.name.clone(),
        index: partition.index(),
        committed,
        end,
    }
}

fn count<T>(items: impl Iterator<Item = T>, is_so: impl Fn(&T) -> bool) -> u64 {
    items.filter(is_so).count() as u64
}

type LagsDone = Box<dyn FnOnce(Vec<GroupLag>) + Send>;

/// Answers when the last shard has been visited. A mutex: taken once per shard and look.
struct Gathered {
    open: Mutex<Option<(Vec<GroupLag>, LagsDone)>>,
}

impl Gathered {
    fn add(&self, lags: Vec<GroupLag>, max_count: usize) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((all, _)) = open.as_mut() {
            let room = max_count.saturating_sub(all.len());
            all.extend(lags.into_iter().take(room));
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((all, done)) = open.take() {
            done(all);
        }
    }
}
