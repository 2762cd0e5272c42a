//! Which frames arrive, and when.

use std::collections::BTreeMap;

use super::plan::NetPlan;
use crate::world::Rng;

/// The network between the machines at this moment.
pub(super) struct Weather {
    plan: NetPlan,
    rng: Rng,
    /// Directions in which nothing goes.
    blocked: std::collections::BTreeSet<(usize, usize)>,
    loss_per_mille: u64,
    /// When the last frame of a direction arrives, where they stay in order.
    last_ms: BTreeMap<(usize, usize), u64>,
}

impl Weather {
    pub(super) fn new(plan: NetPlan, rng: Rng) -> Self {
        Self {
            plan,
            rng,
            blocked: std::collections::BTreeSet::new(),
            loss_per_mille: 0,
            last_ms: BTreeMap::new(),
        }
    }

    /// Whether anything goes that way.
    pub(super) fn is_open(&self, from: usize, to: usize) -> bool {
        !self.blocked.contains(&(from, to))
    }

    /// When a frame that is sent at `now_ms` arrives: not at all, once or several times.
    pub(super) fn arrivals(&mut self, now_ms: u64, from: usize, to: usize) -> Vec<u64> {
        let lost_per_mille = self.plan.loss_per_mille + self.loss_per_mille;
        if !self.is_open(from, to) || self.rng.chance(lost_per_mille) {
            return Vec::new();
        }
        let count = 1 + usize::from(self.rng.chance(self.plan.repeat_per_mille));
        (0..count).map(|_| self.arrival(now_ms, from, to)).collect()
    }

    fn arrival(&mut self, now_ms: u64, from: usize, to: usize) -> u64 {
        let NetPlan {
            min_delay_ms,
            max_delay_ms,
            slow_delay_ms,
            ..
        } = self.plan;
        let longest_ms = if self.rng.chance(self.plan.slow_per_mille) {
            slow_delay_ms
        } else {
            max_delay_ms
        };
        let at_ms = now_ms + self.rng.between(min_delay_ms, longest_ms.max(min_delay_ms));
        if !self.plan.is_ordered {
            return at_ms;
        }
        let last_ms = self.last_ms.entry((from, to)).or_default();
        *last_ms = at_ms.max(*last_ms);
        *last_ms
    }

    pub(super) fn split(&mut self, machine_count: usize, side: u32) {
        self.divide(machine_count, side, None);
    }

    pub(super) fn bridge(&mut self, machine_count: usize, machine: usize, side: u32) {
        self.divide(machine_count, side, Some(machine));
    }

    fn divide(&mut self, machine_count: usize, side: u32, bridge: Option<usize>) {
        let is_in = |machine: usize| side >> machine & 1 == 1;
        for from in 0..machine_count {
            for to in 0..machine_count {
                if is_in(from) != is_in(to) && bridge != Some(from) && bridge != Some(to) {
                    self.blocked.insert((from, to));
                }
            }
        }
    }

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((from, to));
    }

    pub(super) fn lose(&mut self, per_mille: u64) {
        self.loss_per_mille = per_mille;
    }

    /// All ways are open again; what the plan says of the network stays.
    pub(super) fn mend(&mut self) {
        self.blocked.clear();
        self.loss_per_mille = 0;
    }

    /// Nothing is lost, late or repeated any more.
    pub(super) fn calm(&mut self) {
        self.mend();
        self.plan.loss_per_mille = 0;
        self.plan.repeat_per_mille = 0;
        self.plan.slow_per_mille = 0;
    }
}
