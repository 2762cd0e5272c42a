//! What a run of the write-ahead log does, drawn from the seed before it begins.

use serde::{Deserialize, Serialize};

use crate::{
    fault_plan::FaultOdds,
    world::{Rng, disk::Fault},
};

/// One run: the disk, the log's layout, and the steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalPlan {
    /// The seed it was drawn from; also the production code's entropy.
    pub seed: u64,
    /// Bytes that fit on the disk.
    pub capacity_bytes: u64,
    /// Whether the disk takes direct I/O.
    pub supports_direct: bool,
    /// Size of a log file.
    pub file_size_bytes: u64,
    /// Most bytes of a frame.
    pub max_frame_bytes: usize,
    /// Most bytes of all live files.
    pub max_total_bytes: u64,
    /// Files held ready.
    pub spare_count: usize,
    /// Groups that write.
    pub group_count: u32,
    /// What happens, in order.
    pub steps: Vec<WalStep>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WalStep {
    /// Entries of one group are handed over.
    Append {
        /// The group.
        group: u32,
        /// How many entries.
        count: u64,
        /// Bytes of each.
        data_bytes: usize,
        /// How many uncommitted entries they replace, at most.
        rewind: u64,
        /// Seeds the content.
        salt: u64,
    },
    /// The group's term rises, and it votes.
    Vote {
        /// The group.
        group: u32,
        /// The node it votes for.
        vote: u64,
    },
    /// The group's commit moves up.
    Commit {
        /// The group.
        group: u32,
        /// By how much of what there is.
        percent: u64,
    },
    /// The group's log is forgotten and goes on further ahead.
    Reset {
        /// The group.
        group: u32,
        /// How far ahead.
        ahead: u64,
    },
    /// The group's committed entries are stored elsewhere.
    Release {
        /// The group.
        group: u32,
        /// How much of them.
        percent: u64,
    },
    /// All groups' commits move up, and all that is committed is stored elsewhere: the way to
    /// files that are no longer needed.
    Turnover,
    /// Everything handed over is written.
    Flush,
    /// Files are made ready.
    Spares,
    /// The group's checkpoint is saved.
    Checkpoint {
        /// The group.
        group: u32,
        /// Its size.
        data_bytes: usize,
        /// Seeds the content.
        salt: u64,
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
    /// One bit of what was acknowledged changes while the node is down.
    Flip {
        /// Decides which.
        salt: u64,
    },
}

impl WalPlan {
    /// The plan of `seed`.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let file_size_bytes = 4096 * rng.pick(&[4, 5, 8, 16, 16, 64]);
        let max_total_bytes = file_size_bytes * rng.pick(&[2, 4, 8, 64, 64]);
        let is_small = rng.chance(250);
        let mut plan = Self {
            seed,
            capacity_bytes: if is_small {
                max_total_bytes + 8 * file_size_bytes
            } else {
                1 << 30
            },
            supports_direct: rng.chance(500),
            file_size_bytes,
            max_frame_bytes: 4096 * rng.pick(&[1, 2, 4, 16]),
            max_total_bytes,
            spare_count: rng.pick(&[0, 1, 2]),
            group_count: rng.pick(&[1, 2, 3, 8]),
            steps: Vec::new(),
        };
        let odds = FaultOdds::draw(&mut rng);
        let step_count = rng.between(20, 120);
        let max_data_bytes = rng.pick(&[16, 100, 700, 3_000, 9_000]);
        for _ in 0..step_count {
            plan.draw_step(&mut rng, &odds, max_data_bytes);
        }
        plan
    }

    fn draw_step(&mut self, rng: &mut Rng, odds: &FaultOdds, max_data_bytes: u64) {
        let group = u32::try_from(rng.below(u64::from(self.group_count))).unwrap_or(0);
        if rng.chance(odds.any_per_mille) {
            self.steps.push(WalStep::Arm(odds.fault(rng)));
        }
        if rng.chance(odds.restart_per_mille) {
            let recovery_fault = rng.chance(odds.recovery_per_mille);
            self.steps.push(WalStep::Restart {
                power_cut: rng.chance(odds.power_cut_per_mille),
                salt: rng.next_u64(),
                recovery_fault: recovery_fault.then(|| odds.fault(rng)),
            });
        }
        if rng.chance(odds.flip_per_mille) {
            let salt = rng.next_u64();
            self.steps.push(WalStep::Flip { salt });
        }
        let percent = rng.pick(&[0, 50, 90, 100, 100]);
        let step = match rng.below(100) {
            0..40 => WalStep::Append {
                group,
                count: rng.between(1, 6),
                data_bytes: rng.index(usize::try_from(max_data_bytes).unwrap_or(0)),
                rewind: if rng.chance(150) { rng.below(6) } else { 0 },
                salt: rng.next_u64(),
            },
            40..44 => WalStep::Vote {
                group,
                vote: rng.between(1, 3),
            },
            44..52 => WalStep::Commit { group, percent },
            52..54 => WalStep::Reset {
                group,
                ahead: rng.below(10),
            },
            54..60 => WalStep::Release { group, percent },
            60..66 => WalStep::Turnover,
            66..86 => WalStep::Flush,
            86..94 => WalStep::Spares,
            94..98 => WalStep::Checkpoint {
                group,
                data_bytes: rng.index(5_000),
                salt: rng.next_u64(),
            },
            _ => WalStep::Foreign {
                percent: rng.pick(&[0, 0, 50, 99, 100]),
            },
        };
        self.steps.push(step);
    }
}
