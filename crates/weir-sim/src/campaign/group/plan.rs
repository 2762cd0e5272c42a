//! What a run of groups does, drawn from the seed before it begins.

use serde::{Deserialize, Serialize};

use crate::{
    fault_plan::FaultOdds,
    world::{Rng, disk::Fault},
};

/// One run: the disk, the log's layout, and the steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// The seed it was drawn from; also the production code's entropy.
    pub seed: u64,
    /// Bytes that fit on the disk.
    pub capacity_bytes: u64,
    /// Whether the disk takes direct I/O.
    pub supports_direct: bool,
    /// Size of a log file.
    pub file_size_bytes: u64,
    /// Most bytes of all live files.
    pub max_total_bytes: u64,
    /// Groups of the node.
    pub group_count: u32,
    /// Producers, each to all groups.
    pub producer_count: u32,
    /// What happens, in order.
    pub steps: Vec<GroupStep>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupStep {
    /// A producer sends its next records, or those again that had no answer.
    Send {
        /// To this group.
        group: u32,
        /// The producer.
        producer: u32,
        /// How many records, at most.
        count: u64,
        /// Bytes of each.
        data_bytes: usize,
    },
    /// A record is sent once more although it was answered.
    Repeat {
        /// To this group.
        group: u32,
        /// The producer.
        producer: u32,
    },
    /// The worker takes a turn.
    Turn,
    /// The log writes what waits.
    Write,
    /// Turns and writes until nothing is left to do.
    Settle,
    /// A group's state is stored, and its log released.
    Checkpoint {
        /// The group.
        group: u32,
    },
    /// Log files are made ready.
    Spares,
    /// Wall-clock time jumps.
    Jump {
        /// By how much, back or forth.
        by_ms: i64,
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
}

impl GroupPlan {
    /// The plan of `seed`.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let file_size_bytes = 4096 * rng.pick(&[4, 8, 16, 64]);
        let mut plan = Self {
            seed,
            capacity_bytes: 1 << 30,
            supports_direct: rng.chance(500),
            file_size_bytes,
            max_total_bytes: file_size_bytes * rng.pick(&[4, 64, 64]),
            group_count: u32::try_from(rng.between(1, 4)).unwrap_or(1),
            producer_count: u32::try_from(rng.between(1, 3)).unwrap_or(1),
            steps: Vec::new(),
        };
        let odds = FaultOdds::draw(&mut rng);
        let max_data_bytes = rng.pick(&[10, 300, 4_000]);
        for _ in 0..rng.between(20, 120) {
            plan.draw_step(&mut rng, &odds, max_data_bytes);
        }
        plan
    }

    fn draw_step(&mut self, rng: &mut Rng, odds: &FaultOdds, max_data_bytes: usize) {
        if rng.chance(odds.any_per_mille) {
            self.steps.push(GroupStep::Arm(odds.fault(rng)));
        }
        if rng.chance(odds.restart_per_mille) {
            let recovery_fault = rng.chance(odds.recovery_per_mille);
            self.steps.push(GroupStep::Restart {
                power_cut: rng.chance(odds.power_cut_per_mille),
                salt: rng.next_u64(),
                recovery_fault: recovery_fault.then(|| odds.fault(rng)),
            });
        }
        let below = |rng: &mut Rng, bound: u32| u32::try_from(rng.below(bound.into())).unwrap_or(0);
        let group = below(rng, self.group_count);
        let producer = below(rng, self.producer_count);
        let step = match rng.below(100) {
            0..40 => GroupStep::Send {
                group,
                producer,
                count: rng.between(1, 5),
                data_bytes: rng.index(max_data_bytes),
            },
            40..44 => GroupStep::Repeat { group, producer },
            44..54 => GroupStep::Turn,
            54..64 => GroupStep::Write,
            64..82 => GroupStep::Settle,
            82..90 => GroupStep::Checkpoint { group },
            90..94 => GroupStep::Spares,
            94..97 => GroupStep::Jump {
                by_ms: rng.pick(&[-86_400_000, -1, 1, 86_400_000]),
            },
            _ => GroupStep::Foreign {
                percent: rng.pick(&[0, 0, 100]),
            },
        };
        self.steps.push(step);
    }
}
