//! What a run of a cluster does, drawn from the seed before it begins.

use serde::{Deserialize, Serialize};

use super::{queues::QueuesPlan, shares::SharesPlan};
use crate::world::disk::Fault;

/// One run: the machines, the network, the clients, and the steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPlan {
    /// The seed it was drawn from; also the production code's entropy.
    pub seed: u64,
    /// Machines.
    pub machine_count: usize,
    /// Whether all machines found the cluster together; otherwise the first founds it and the
    /// others join.
    pub starts_whole: bool,
    /// Shards of the cluster.
    pub shard_count: u32,
    /// Whether the disks take direct I/O.
    pub supports_direct: bool,
    /// Size of a log file.
    pub file_size_bytes: u64,
    /// Most bytes of all live log files.
    pub max_total_bytes: u64,
    /// Memory for recent batches.
    pub tail_budget_bytes: u64,
    /// Time between two looks at retention and compaction.
    pub cleanup_interval_ms: u64,
    /// By how much each machine's wall clock is off at the beginning.
    pub skews_ms: Vec<i64>,
    /// By how much each machine's clocks run fast, in millionths; negative: slow.
    #[serde(default)]
    pub drifts_ppm: Vec<i64>,
    /// Topics.
    pub topics: Vec<ClusterTopic>,
    /// The network.
    pub net: NetPlan,
    /// The clients.
    pub clients: ClientPlan,
    /// Queues and their users.
    #[serde(default)]
    pub queues: QueuesPlan,
    /// Share groups and their members.
    #[serde(default)]
    pub shares: SharesPlan,
    /// Time until everything is healed.
    pub duration_ms: u64,
    /// What happens, in order of time.
    pub steps: Vec<ClusterStep>,
}

/// A topic as it will be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterTopic {
    /// Its partitions.
    pub partition_count: u32,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
}

/// How the network between the machines behaves all along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetPlan {
    /// Least delay of a frame.
    pub min_delay_ms: u64,
    /// Greatest delay of most frames.
    pub max_delay_ms: u64,
    /// Frames that take longer, of a thousand.
    pub slow_per_mille: u64,
    /// Greatest delay of those.
    pub slow_delay_ms: u64,
    /// Frames that are lost, of a thousand.
    pub loss_per_mille: u64,
    /// Frames that arrive twice, of a thousand.
    pub repeat_per_mille: u64,
    /// Whether frames from one machine to another stay in order.
    pub is_ordered: bool,
}

/// Who uses the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientPlan {
    /// Idempotent producers.
    pub producer_count: usize,
    /// Producers that are not.
    pub plain_count: usize,
    /// Consumers.
    pub reader_count: usize,
    /// Consumer groups whose offsets are committed and asked for.
    pub group_count: usize,
    /// Mean pause of a client between two things.
    pub pause_ms: u64,
    /// Most bytes of a record.
    pub max_data_bytes: usize,
    /// How long a client waits for an answer.
    pub timeout_ms: u64,
    /// Producers that take the next epoch after a gap, as librdkafka does: a bit per producer.
    #[serde(default)]
    pub epoch_raisers: u32,
    /// Greatest delay of most requests.
    #[serde(default)]
    pub max_delay_ms: u64,
    /// Requests that stay under way so long that the client may have given them up, of a thousand.
    #[serde(default)]
    pub stalled_per_mille: u64,
    /// Transactional producers.
    #[serde(default)]
    pub transactor_count: usize,
    /// Members of one more group that copy the first topic to the last within transactions.
    #[serde(default)]
    pub copier_count: usize,
    /// Transactional producers that get an epoch with each end (KIP-890): a bit per producer.
    #[serde(default)]
    pub newer_flows: u32,
    /// Two transactional producers have each id.
    #[serde(default)]
    pub has_twins: bool,
    /// Transactions are aborted after this long.
    #[serde(default)]
    pub transaction_timeout_ms: u64,
    /// Consumers that see committed records only: a bit per consumer.
    #[serde(default)]
    pub committed_readers: u32,
    /// Members of each consumer group, by group.
    #[serde(default)]
    pub member_counts: [usize; 2],
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStep {
    /// When.
    pub at_ms: u64,
    /// What.
    pub act: Act,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// The process ends; what it wrote stays in the page cache.
    Kill {
        /// The machine.
        machine: usize,
        /// Decides what survives.
        salt: u64,
        /// Time until it is started again.
        down_ms: u64,
    },
    /// The power goes: what was not synced is lost or torn.
    PowerCut {
        /// The machine.
        machine: usize,
        /// Decides what survives.
        salt: u64,
        /// Time until it is started again.
        down_ms: u64,
    },
    /// The process stands still.
    Pause {
        /// The machine.
        machine: usize,
        /// How long.
        count_ms: u64,
    },
    /// A fault waits for its operation.
    Arm {
        /// The machine.
        machine: usize,
        /// The fault.
        fault: Fault,
    },
    /// Others fill the disk, or leave it.
    Foreign {
        /// The machine.
        machine: usize,
        /// How much of the disk they take.
        percent: u64,
    },
    /// The wall clock is set wrong, or right again.
    Jump {
        /// The machine.
        machine: usize,
        /// By how much it is off from now on.
        off_ms: i64,
    },
    /// No frame goes between two sides.
    Split {
        /// A bit per machine: one side.
        side: u32,
    },
    /// No frame goes from one machine to another; those back do.
    OneWay {
        /// From here.
        from: usize,
        /// To there.
        to: usize,
    },
    /// Two sides that see each other only through one machine.
    Bridge {
        /// The machine that sees all.
        machine: usize,
        /// A bit per machine: one side.
        side: u32,
    },
    /// Whoever leads a group is cut off from all others.
    Isolate {
        /// The group.
        group: u32,
    },
    /// All frames go again.
    Mend,
    /// Frames are lost until the network is mended.
    Loss {
        /// Of a thousand.
        per_mille: u64,
    },
    /// A checkpoint of everything is due.
    Checkpoint {
        /// The machine.
        machine: usize,
    },
    /// Bits of a stored segment change.
    Rot {
        /// The machine.
        machine: usize,
        /// Decides which.
        salt: u64,
    },
    /// The machine's disk is lost for good: its node is removed, another joins from there.
    Replace {
        /// The machine.
        machine: usize,
    },
    /// The machine's node carries nothing any more.
    Drain {
        /// The machine.
        machine: usize,
    },
    /// The machine's node carries groups again.
    Activate {
        /// The machine.
        machine: usize,
    },
    /// A group's leadership is handed over.
    Transfer {
        /// The group.
        group: u32,
        /// The machine that should lead.
        machine: usize,
    },
    /// Leaders are spread again.
    Balance,
}

impl ClusterPlan {
    /// Variants that do less: what a shorter plan is looked for among.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut variants = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut variant = self.clone();
            change(&mut variant);
            if variant != *self {
                variants.push(variant);
            }
        };
        add(&|plan| plan.duration_ms /= 2);
        add(&|plan| plan.duration_ms = plan.duration_ms / 4 * 3);
        add(&|plan| plan.clients.group_count = 0);
        add(&|plan| plan.clients.plain_count = 0);
        add(&|plan| plan.clients.member_counts = [0; 2]);
        add(&|plan| plan.clients.member_counts = plan.clients.member_counts.map(|c| c.min(1)));
        add(&|plan| plan.clients.copier_count = 0);
        add(&|plan| plan.clients.copier_count = plan.clients.copier_count.min(1));
        add(&|plan| plan.clients.transactor_count = 0);
        add(&|plan| plan.clients.transactor_count = plan.clients.transactor_count.min(1));
        add(&|plan| plan.clients.producer_count = 0);
        add(&|plan| plan.clients.reader_count = 0);
        add(&|plan| plan.clients.producer_count = plan.clients.producer_count.min(1));
        add(&|plan| plan.topics.truncate(1));
        add(&|plan| plan.topics.iter_mut().for_each(|t| t.partition_count = 1));
        add(&|plan| plan.shard_count = 1);
        add(&|plan| plan.net.loss_per_mille = 0);
        add(&|plan| plan.net.repeat_per_mille = 0);
        add(&|plan| plan.net.slow_per_mille = 0);
        add(&|plan| plan.net.is_ordered = true);
        add(&|plan| plan.skews_ms.iter_mut().for_each(|skew| *skew = 0));
        add(&|plan| plan.drifts_ppm.clear());
        add(&|plan| plan.clients.epoch_raisers = 0);
        add(&|plan| plan.clients.max_delay_ms = 0);
        add(&|plan| plan.clients.stalled_per_mille = 0);
        add(&|plan| plan.machine_count = plan.machine_count.min(3));
        for queues in self.queues.simpler() {
            let mut variant = self.clone();
            variant.queues = queues;
            variants.push(variant);
        }
        for shares in self.shares.simpler() {
            let mut variant = self.clone();
            variant.shares = shares;
            variants.push(variant);
        }
        variants
    }
}
