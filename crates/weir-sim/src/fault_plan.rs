//! Odds of faults, themselves drawn from the seed: some runs are calm, some are all storm.

use crate::world::{
    Rng,
    disk::{Fault, FaultKind},
};

/// How likely each thing is in one run, per step and mille.
#[derive(Clone, Debug)]
pub(crate) struct FaultOdds {
    pub(crate) any_per_mille: u64,
    pub(crate) restart_per_mille: u64,
    pub(crate) power_cut_per_mille: u64,
    pub(crate) recovery_per_mille: u64,
    pub(crate) flip_per_mille: u64,
    kinds: Vec<FaultKind>,
    max_op_count: u64,
}

const ALL_KINDS: [FaultKind; 8] = [
    FaultKind::Crash,
    FaultKind::WriteError,
    FaultKind::ShortWrite,
    FaultKind::NoSpace,
    FaultKind::SyncError,
    FaultKind::ReadError,
    FaultKind::NameError,
    FaultKind::Slow,
];

impl FaultOdds {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut kinds: Vec<FaultKind> = ALL_KINDS.into_iter().filter(|_| rng.chance(600)).collect();
        // Crashes find the most: most runs have many of them.
        if rng.chance(800) || kinds.is_empty() {
            kinds.extend([FaultKind::Crash; 6]);
        }
        Self {
            any_per_mille: rng.pick(&[0, 20, 50, 100]),
            restart_per_mille: rng.pick(&[30, 60, 120]),
            power_cut_per_mille: rng.pick(&[0, 500, 900, 1_000]),
            recovery_per_mille: rng.pick(&[0, 200, 500]),
            flip_per_mille: rng.pick(&[0, 0, 20, 50]),
            kinds,
            max_op_count: rng.pick(&[3, 10, 30]),
        }
    }

    pub(crate) fn fault(&self, rng: &mut Rng) -> Fault {
        let kind = rng.pick(&self.kinds);
        Fault {
            kind,
            after_count: rng.below(self.max_op_count),
            salt: rng.next_u64(),
        }
    }
}
