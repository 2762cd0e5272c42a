//! What a run of the partition store does, drawn from the seed before it begins.

use serde::{Deserialize, Serialize};

use crate::{
    fault_plan::FaultOdds,
    world::{Rng, disk::Fault},
};

/// One run: the disk, the store's limits, and the steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPlan {
    /// The seed it was drawn from.
    pub seed: u64,
    /// Bytes that fit on the disk.
    pub capacity_bytes: u64,
    /// Memory for recent batches.
    pub tail_budget_bytes: u64,
    /// Most segment files held open.
    pub open_file_count: usize,
    /// Memory for indexes.
    pub index_cache_bytes: usize,
    /// Memory for read-ahead.
    pub read_ahead_bytes: usize,
    /// When a segment is followed by another.
    pub segment_bytes: u64,
    /// At which age it is.
    pub segment_ms: u64,
    /// Whether the partitions are compacted.
    pub is_compacted: bool,
    /// Partitions at one time.
    pub partition_count: usize,
    /// What happens, in order.
    pub steps: Vec<PartitionStep>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionStep {
    /// Committed batches are appended.
    Append {
        /// Which of the partitions.
        partition: usize,
        /// How many batches.
        count: u64,
        /// Records of each.
        record_count: u32,
        /// Bytes of each record.
        data_bytes: usize,
        /// Seeds the content.
        salt: u64,
    },
    /// All partitions are flushed, and the checkpoint is saved.
    Flush,
    /// A partition's start moves up.
    Trim {
        /// Which of the partitions.
        partition: usize,
        /// By how much of what there is.
        percent: u64,
    },
    /// Old or many segments go.
    Retain {
        /// Which of the partitions.
        partition: usize,
        /// Segments older than this go.
        retention_ms: Option<u64>,
        /// The oldest segments beyond this length go.
        retention_bytes: Option<u64>,
    },
    /// Sealed segments are written again with the last record of each key.
    Compact {
        /// Which of the partitions.
        partition: usize,
        /// Least share of new bytes.
        min_dirty_percent: u8,
    },
    /// A partition is deleted and another one begins in its place.
    Drop {
        /// Which of the partitions.
        partition: usize,
    },
    /// Batches are read from somewhere.
    Read {
        /// Which of the partitions.
        partition: usize,
        /// Where in the log.
        percent: u64,
        /// How much.
        max_bytes: usize,
    },
    /// A record is looked up by its time.
    Lookup {
        /// Which of the partitions.
        partition: usize,
        /// Where in the log's time.
        percent: u64,
    },
    /// Time passes.
    Wait {
        /// How long.
        count_ms: u64,
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
    /// One bit of a stored file changes while the node is down.
    Flip {
        /// Decides which.
        salt: u64,
    },
}

impl PartitionPlan {
    /// The plan of `seed`.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut plan = Self {
            seed,
            capacity_bytes: rng.pick(&[1 << 17, 1 << 20, 1 << 30, 1 << 30]),
            tail_budget_bytes: rng.pick(&[0, 1 << 12, 1 << 16, 1 << 20]),
            open_file_count: rng.pick(&[1, 2, 100]),
            index_cache_bytes: rng.pick(&[0, 1 << 10, 1 << 20]),
            read_ahead_bytes: rng.pick(&[0, 1 << 16, 1 << 20]),
            segment_bytes: rng.pick(&[1 << 10, 1 << 13, 1 << 14, 1 << 16]),
            segment_ms: rng.pick(&[1_000, 1_000_000_000]),
            is_compacted: rng.chance(300),
            partition_count: rng.pick(&[1, 2, 5, 40]),
            steps: Vec::new(),
        };
        let odds = FaultOdds::draw(&mut rng);
        let step_count = rng.between(20, 100);
        let max_data_bytes = rng.pick(&[10, 200, 2_000]);
        for _ in 0..step_count {
            plan.draw_step(&mut rng, &odds, max_data_bytes);
        }
        plan
    }

    fn draw_step(&mut self, rng: &mut Rng, odds: &FaultOdds, max_data_bytes: usize) {
        if rng.chance(odds.any_per_mille) {
            self.steps.push(PartitionStep::Arm(odds.fault(rng)));
        }
        if rng.chance(odds.restart_per_mille) {
            let recovery_fault = rng.chance(odds.recovery_per_mille);
            self.steps.push(PartitionStep::Restart {
                power_cut: rng.chance(odds.power_cut_per_mille),
                salt: rng.next_u64(),
                recovery_fault: recovery_fault.then(|| odds.fault(rng)),
            });
        }
        if rng.chance(odds.flip_per_mille) {
            let salt = rng.next_u64();
            self.steps.push(PartitionStep::Flip { salt });
        }
        let partition = rng.index(self.partition_count);
        let percent = rng.below(101);
        let step = match rng.below(100) {
            0..35 => PartitionStep::Append {
                partition,
                count: rng.between(1, 8),
                record_count: u32::try_from(rng.between(1, 5)).unwrap_or(1),
                data_bytes: rng.index(max_data_bytes),
                salt: rng.next_u64(),
            },
            35..55 => PartitionStep::Flush,
            55..62 if self.is_compacted && rng.chance(700) => PartitionStep::Compact {
                partition,
                min_dirty_percent: rng.pick(&[0, 20, 50]),
            },
            55..60 => PartitionStep::Trim { partition, percent },
            60..64 => PartitionStep::Retain {
                partition,
                retention_ms: rng.chance(500).then(|| rng.below(20_000)),
                retention_bytes: rng.chance(500).then(|| rng.below(50_000)),
            },
            64..66 => PartitionStep::Drop { partition },
            66..84 => PartitionStep::Read {
                partition,
                percent,
                max_bytes: rng.pick(&[1, 500, 5_000, 100_000]),
            },
            84..91 => PartitionStep::Lookup { partition, percent },
            91..96 => PartitionStep::Wait {
                count_ms: rng.below(5_000),
            },
            _ => PartitionStep::Foreign {
                percent: rng.pick(&[0, 0, 90, 100]),
            },
        };
        self.steps.push(step);
    }
}
