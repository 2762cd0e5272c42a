//! A plan is all there is to a run: it can be kept, cut and run again.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::campaign::{
    cluster::{ClusterPlan, QueuesPlan},
    group::GroupPlan,
    node::NodePlan,
    partition::PartitionPlan,
    wal::WalPlan,
};

/// What part of the production code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Campaign {
    /// The write-ahead log and checkpoints.
    Wal,
    /// The partition store.
    Partition,
    /// Groups of one voter over the log.
    Group,
    /// The whole node of one voter.
    Node,
    /// Whole clusters.
    Cluster,
}

impl Campaign {
    /// All of them.
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wal => "wal",
            Self::Partition => "partition",
            Self::Group => "group",
            Self::Node => "node",
            Self::Cluster => "cluster",
        }
    }
}

/// One run, whichever campaign it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// A run of the write-ahead log and checkpoints.
    Wal(WalPlan),
    /// A run of the partition store.
    Partition(PartitionPlan),
    /// A run of groups.
    Group(GroupPlan),
    /// A run of the whole node.
    Node(NodePlan),
    /// A run of a cluster.
    Cluster(Box<ClusterPlan>),
}

impl Plan {
    /// The plan of `seed`.
    pub fn draw(campaign: Campaign, seed: u64) -> Self {
        match campaign {
            Campaign::Wal => Self::Wal(WalPlan::draw(seed)),
            Campaign::Partition => Self::Partition(PartitionPlan::draw(seed)),
            Campaign::Group => Self::Group(GroupPlan::draw(seed)),
            Campaign::Node => Self::Node(NodePlan::draw(seed)),
            Campaign::Cluster => Self::Cluster(Box::new(ClusterPlan::draw(seed))),
        }
    }

    /// Number of its steps.
    pub fn step_count(&self) -> usize {
        match self {
            Self::Wal(plan) => plan.steps.len(),
            Self::Partition(plan) => plan.steps.len(),
            Self::Group(plan) => plan.steps.len(),
            Self::Node(plan) => plan.steps.len(),
            Self::Cluster(plan) => plan.steps.len(),
        }
    }

    /// The plan without `count` steps from the step `from` on.
    #[must_use]
    pub fn without(&self, from: usize, count: usize) -> Self {
        let mut cut = self.clone();
        match &mut cut {
            Self::Wal(plan) => remove(&mut plan.steps, from, count),
            Self::Partition(plan) => remove(&mut plan.steps, from, count),
            Self::Group(plan) => remove(&mut plan.steps, from, count),
            Self::Node(plan) => remove(&mut plan.steps, from, count),
            Self::Cluster(plan) => remove(&mut plan.steps, from, count),
        }
        cut
    }

    /// The same plan, where no queue is declared and nobody uses any.
    #[must_use]
    pub fn without_queues(&self) -> Self {
        let mut bare = self.clone();
        if let Self::Cluster(plan) = &mut bare {
            plan.queues = QueuesPlan::default();
        }
        bare
    }

    /// Whether it has queues.
    pub fn has_queues(&self) -> bool {
        matches!(self, Self::Cluster(plan) if !plan.queues.queues.is_empty())
    }

    /// Whether it has share groups.
    pub fn has_shares(&self) -> bool {
        matches!(self, Self::Cluster(plan) if !plan.shares.groups.is_empty())
    }

    /// Variants of as many steps that do less.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        match self {
            Self::Wal(_) | Self::Partition(_) | Self::Group(_) | Self::Node(_) => Vec::new(),
            Self::Cluster(plan) => {
                let simpler = plan.simpler().into_iter();
                simpler.map(|plan| Self::Cluster(Box::new(plan))).collect()
            }
        }
    }
}

fn remove<T>(steps: &mut Vec<T>, from: usize, count: usize) {
    let to = from.saturating_add(count).min(steps.len());
    steps.drain(from.min(to)..to);
}
