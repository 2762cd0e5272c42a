//! What a run of a node does, drawn from the seed before it begins.

use serde::{Deserialize, Serialize};

use crate::{
    fault_plan::FaultOdds,
    world::{Rng, disk::Fault},
};

/// One run: the disk, the node's settings, its clients, and the steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// The seed it was drawn from; also the production code's entropy.
    pub seed: u64,
    /// Bytes that fit on the disk.
    pub capacity_bytes: u64,
    /// Whether the disk takes direct I/O.
    pub supports_direct: bool,
    /// Size of a log file.
    pub file_size_bytes: u64,
    /// Most bytes of all live log files.
    pub max_total_bytes: u64,
    /// Memory for recent batches.
    pub tail_budget_bytes: u64,
    /// Shards of the node.
    pub shard_count: u32,
    /// Time between two looks at retention and compaction.
    pub cleanup_interval_ms: u64,
    /// How long an empty consumer group waits for members.
    pub rebalance_delay_ms: u64,
    /// Topics that clients may create.
    pub topics: Vec<TopicPlan>,
    /// Idempotent producers.
    pub producer_count: usize,
    /// Consumer groups.
    pub group_count: usize,
    /// Members of each.
    pub member_count: usize,
    /// What happens, in order.
    pub steps: Vec<NodeStep>,
}

/// A topic as it will be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPlan {
    /// Its partitions.
    pub partition_count: u32,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`.
    pub retention_ms: Option<u64>,
    /// Whether it is compacted.
    pub is_compacted: bool,
}

impl TopicPlan {
    pub(super) fn is_retained(&self) -> bool {
        self.retention_bytes.is_none() && self.retention_ms.is_none()
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeStep {
    /// A client creates a topic.
    Create {
        /// Which of the plan's.
        topic: usize,
    },
    /// A producer sends its next batches, or those again that had no answer.
    Produce {
        /// The idempotent producer; none: one without an id.
        producer: Option<usize>,
        /// The topic.
        topic: usize,
        /// The partition.
        index: u32,
        /// Batches, at most.
        count: usize,
        /// Records of each.
        record_count: u32,
        /// Bytes of a record.
        data_bytes: usize,
    },
    /// A consumer reads.
    Fetch {
        /// The topic.
        topic: usize,
        /// The partition.
        index: u32,
        /// How far from start to end, in percent.
        percent: u64,
        /// Most bytes wanted.
        max_bytes: usize,
        /// Longest wait.
        wait_ms: u64,
    },
    /// A consumer waits for nothing in particular.
    FetchNothing {
        /// How long.
        wait_ms: u64,
    },
    /// A consumer looks for an offset by time, or for the ends.
    List {
        /// The topic.
        topic: usize,
        /// The partition.
        index: u32,
        /// How far from the first to the last batch, in percent.
        percent: u64,
    },
    /// A member of a group does what is next: joins, syncs or says that it lives.
    Member {
        /// The group.
        group: usize,
        /// The member.
        member: usize,
        /// Whether it leaves instead.
        leaves: bool,
    },
    /// A group's offset of a partition moves on.
    Commit {
        /// The group.
        group: usize,
        /// The member that commits; none: a consumer outside of the group.
        member: Option<usize>,
        /// The topic.
        topic: usize,
        /// The partition.
        index: u32,
    },
    /// A group's offsets are asked for.
    Committed {
        /// The group.
        group: usize,
    },
    /// The node takes one step.
    Turn,
    /// The node runs until nothing is left to do.
    Settle,
    /// A checkpoint of everything is due.
    Checkpoint,
    /// Time passes.
    Wait {
        /// How long.
        count_ms: u64,
    },
    /// The wall clock is set wrong, or right again.
    Jump {
        /// By how much it is off from now on.
        off_ms: i64,
    },
    /// A fault waits for its operation.
    Arm(Fault),
    /// Others fill the disk, or leave it.
    Foreign {
        /// How much of the disk they take.
        percent: u64,
    },
    /// The process ends and starts again.
    Restart {
        /// Whether the power goes.
        power_cut: bool,
        /// Decides what survives.
        salt: u64,
        /// A fault of the first start after it.
        recovery_fault: Option<Fault>,
    },
    /// One bit of a stored file changes, and changes back later.
    Flip {
        /// Decides which.
        salt: u64,
    },
}

impl NodePlan {
    /// The plan of `seed`.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let file_size_bytes = 4096 * rng.pick(&[4, 8, 16, 64]);
        let topic_count = rng.between(1, 3);
        let mut plan = Self {
            seed,
            capacity_bytes: 1 << 30,
            supports_direct: rng.chance(500),
            file_size_bytes,
            max_total_bytes: file_size_bytes * rng.pick(&[8, 64, 256]),
            tail_budget_bytes: rng.pick(&[64 << 10, 256 << 10, 1 << 20]),
            shard_count: u32::try_from(rng.between(1, 4)).unwrap_or(1),
            cleanup_interval_ms: rng.pick(&[50, 500, 5_000]),
            rebalance_delay_ms: rng.pick(&[0, 0, 3_000]),
            topics: (0..topic_count)
                .map(|_| TopicPlan::draw(&mut rng))
                .collect(),
            producer_count: rng.index(3) + 1,
            group_count: rng.index(2) + 1,
            member_count: rng.index(3) + 1,
            steps: Vec::new(),
        };
        let odds = FaultOdds::draw(&mut rng);
        let max_data_bytes = rng.pick(&[20, 300, 3_000]);
        let step_count = rng.between(20, 120);
        for topic in 0..plan.topics.len() {
            plan.steps.push(NodeStep::Create { topic });
        }
        for _ in 0..step_count {
            plan.draw_step(&mut rng, &odds, max_data_bytes);
        }
        plan
    }

    fn draw_step(&mut self, rng: &mut Rng, odds: &FaultOdds, max_data_bytes: usize) {
        if rng.chance(odds.any_per_mille) {
            self.steps.push(NodeStep::Arm(odds.fault(rng)));
        }
        if rng.chance(odds.restart_per_mille) {
            let recovery_fault = rng.chance(odds.recovery_per_mille);
            self.steps.push(NodeStep::Restart {
                power_cut: rng.chance(odds.power_cut_per_mille),
                salt: rng.next_u64(),
                recovery_fault: recovery_fault.then(|| odds.fault(rng)),
            });
        }
        if rng.chance(odds.flip_per_mille) {
            self.steps.push(NodeStep::Flip {
                salt: rng.next_u64(),
            });
        }
        let step = if rng.chance(450) {
            self.draw_turn(rng)
        } else {
            self.draw_request(rng, max_data_bytes)
        };
        self.steps.push(step);
    }

    fn draw_turn(&self, rng: &mut Rng) -> NodeStep {
        match rng.below(100) {
            0..25 => NodeStep::Turn,
            25..70 => NodeStep::Settle,
            70..80 => NodeStep::Checkpoint,
            80..93 => NodeStep::Wait {
                count_ms: rng.pick(&[1, 100, 1_000, 6_000]),
            },
            93..96 => NodeStep::Jump {
                off_ms: rng.pick(&[-1_200_000, 0, 1_200_000]),
            },
            _ => NodeStep::Foreign {
                percent: rng.pick(&[0, 0, 100]),
            },
        }
    }

    fn draw_request(&self, rng: &mut Rng, max_data_bytes: usize) -> NodeStep {
        let topic = rng.index(self.topics.len());
        let partition_count = self.topics[topic].partition_count;
        let index = u32::try_from(rng.below(partition_count.into())).unwrap_or(0);
        let group = rng.index(self.group_count);
        let percent = rng.below(101);
        let member = rng.index(self.member_count);
        match rng.below(100) {
            0..45 => NodeStep::Produce {
                producer: rng.chance(700).then(|| rng.index(self.producer_count)),
                topic,
                index,
                count: rng.index(6) + 1,
                record_count: u32::try_from(rng.between(1, 5)).unwrap_or(1),
                data_bytes: rng.index(max_data_bytes),
            },
            45..60 => NodeStep::Fetch {
                topic,
                index,
                percent,
                max_bytes: rng.pick(&[1, 1_000, 100_000]),
                wait_ms: rng.pick(&[0, 0, 500]),
            },
            60..62 => NodeStep::FetchNothing {
                wait_ms: rng.pick(&[0, 500]),
            },
            62..70 => NodeStep::List {
                topic,
                index,
                percent,
            },
            70..86 => NodeStep::Member {
                group,
                member,
                leaves: rng.chance(30),
            },
            86..94 => NodeStep::Commit {
                group,
                member: rng.chance(700).then_some(member),
                topic,
                index,
            },
            94..98 => NodeStep::Committed { group },
            _ => NodeStep::Create { topic },
        }
    }
}

impl TopicPlan {
    fn draw(rng: &mut Rng) -> Self {
        let kind = rng.below(100);
        Self {
            partition_count: u32::try_from(rng.pick(&[1, 1, 2, 8])).unwrap_or(1),
            segment_bytes: rng.pick(&[1_024, 8_192, 1 << 20]),
            retention_bytes: (70..80).contains(&kind).then_some(10_000),
            retention_ms: (80..90).contains(&kind).then_some(3_000),
            is_compacted: kind >= 90,
        }
    }
}
