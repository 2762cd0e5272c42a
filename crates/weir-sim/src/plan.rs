//! A plan is all there is to a run: it can be kept, cut and run again.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::campaign::{group::GroupPlan, partition::PartitionPlan, wal::WalPlan};

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
}

impl Plan {
    /// The plan of `seed`.
    pub fn draw(campaign: Campaign, seed: u64) -> Self {
        match campaign {
            Campaign::Wal => Self::Wal(WalPlan::draw(seed)),
            Campaign::Partition => Self::Partition(PartitionPlan::draw(seed)),
            Campaign::Group => Self::Group(GroupPlan::draw(seed)),
        }
    }
}
