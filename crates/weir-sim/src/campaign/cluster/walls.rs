//! What clocks showed. Messages expire, and locks are over, by the wall clock of whoever leads, and
//! that is one of skewed clocks which are set wrong: what is early is told from what only looks so.
//! What is to wait for a while does so by clocks that never jump, and those are fast at most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_model::GroupId;

use super::run::Cluster;

/// The fastest clock gains one part of so many.
const MAX_DRIFT_PART: u64 = 20;

/// The highest time that leaders put into their commands since some moment.
///
/// Pairs of when, by the cluster's time, and what the wall clock showed, in ms: a later one that is
/// higher stands for all before it.
#[derive(Debug, Default)]
struct Highs(VecDeque<(u64, i64)>);

impl Highs {
    fn note(&mut self, now_ms: u64, wall_ms: i64) {
        while self.0.back().is_some_and(|(_, high)| *high <= wall_ms) {
            self.0.pop_back();
        }
        self.0.push_back((now_ms, wall_ms));
    }

    fn since(&self, from_ms: u64) -> Option<i64> {
        let first = self.0.partition_point(|(at_ms, _)| *at_ms < from_ms);
        self.0.get(first).map(|(_, wall_ms)| *wall_ms)
    }
}

/// Clocks of those who lead, by group.
#[derive(Debug, Default)]
pub(super) struct Walls {
    highs: BTreeMap<GroupId, Highs>,
    /// With their signs turned: the lowest is the highest of these.
    lows: BTreeMap<GroupId, Highs>,
    /// Who led what after its last turn: what it proposed in the next one counts as well.
    led: BTreeSet<(usize, GroupId)>,
}

impl Walls {
    /// A machine's turn is over.
    pub(super) fn note(
        &mut self,
        (now_ms, wall_ms): (u64, i64),
        machine: usize,
        group: GroupId,
        leads: bool,
    ) {
        let led = self.led.contains(&(machine, group));
        if leads {
            self.led.insert((machine, group));
        } else if led {
            self.led.remove(&(machine, group));
        }
        if leads || led {
            let highs = self.highs.entry(group).or_default();
            highs.note(now_ms, wall_ms);
            let lows = self.lows.entry(group).or_default();
            lows.note(now_ms, wall_ms.saturating_neg());
        }
    }

    /// The earliest time that anybody who led the group had since then.
    pub(super) fn low_since(&self, group: GroupId, from_ms: u64) -> i64 {
        let low = self.lows.get(&group).and_then(|lows| lows.since(from_ms));
        low.map_or(i64::MAX, i64::saturating_neg)
    }

    /// The latest time that anybody who led the group, or one of all groups, had since then.
    pub(super) fn high_since(&self, group: Option<GroupId>, from_ms: u64) -> i64 {
        let meant = |known: &GroupId| group.is_none_or(|group| group == *known);
        let highs = self.highs.iter().filter(|(known, _)| meant(known));
        let highs = highs.filter_map(|(_, highs)| highs.since(from_ms));
        highs.max().unwrap_or(i64::MIN)
    }
}

/// What a machine's wall clock may have shown while it took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low_ms: i64,
    pub(super) high_ms: i64,
}

impl Span {
    pub(super) fn at(wall_ms: i64) -> Self {
        Self {
            low_ms: wall_ms,
            high_ms: wall_ms,
        }
    }

    pub(super) fn widen(&mut self, wall_ms: i64) {
        self.low_ms = self.low_ms.min(wall_ms);
        self.high_ms = self.high_ms.max(wall_ms);
    }
}

/// What is known of clocks at a moment.
pub(super) struct Times<'a> {
    pub(super) walls: &'a Walls,
    pub(super) now_ms: u64,
    /// When the last process was started.
    pub(super) started_ms: u64,
}

impl Times<'_> {
    /// Whether a wait of so long that began then may be over. Clocks that never jump say so, but for a node
    /// that was started since: it has to believe wall clocks.
    pub(super) fn may_be_over(&self, group: Option<GroupId>, since_ms: u64, lasts_ms: u64) -> bool {
        let passed_ms = self.now_ms.saturating_sub(since_ms);
        if passed_ms + passed_ms / MAX_DRIFT_PART >= lasts_ms {
            return true;
        }
        let Some(group) = group else { return true };
        let low_ms = self.walls.low_since(group, since_ms);
        let high_ms = self.walls.high_since(Some(group), since_ms);
        self.started_ms >= since_ms && high_ms >= low_ms.saturating_add_unsigned(lasts_ms)
    }
}

impl Cluster<'_> {
    /// Whether a wait of so long that began then may be over.
    pub(super) fn may_have_waited(
        &self,
        group: Option<GroupId>,
        since_ms: u64,
        wait_ms: u64,
    ) -> bool {
        let times = Times {
            walls: &self.walls,
            now_ms: self.now_ms,
            started_ms: self.last_start_ms(),
        };
        times.may_be_over(group, since_ms, wait_ms)
    }

    /// When the last process was started.
    pub(super) fn last_start_ms(&self) -> u64 {
        let started = self.machines.iter().map(|it| it.started_ms);
        started.max().unwrap_or(0)
    }

    /// Whether a wait of so long that began then may not be over. A group's clock loses what a change of its leader
    /// takes.
    pub(super) fn may_still_wait(&self, since_ms: u64, wait_ms: u64) -> bool {
        /// Most that all changes of leaders take away from a group's clock, in ms.
        const MAX_LOST_MS: u64 = 5_000;
        let passed_ms = self.now_ms.saturating_sub(since_ms);
        passed_ms < wait_ms + wait_ms / MAX_DRIFT_PART + MAX_LOST_MS
    }

    /// Writes down what the machine's wall clock shows to the groups that it leads.
    pub(super) fn note_wall(&mut self, machine: usize) {
        if self.queues.is_unused() && self.shares.is_unused() {
            return;
        }
        let groups: Vec<GroupId> = self.groups().collect();
        let here = &self.machines[machine];
        let Some(process) = &here.process else { return };
        let now = (self.now_ms, here.host.clock.now_ms());
        for group in groups {
            let leads = process.node.observed(group).1 == Some(process.node.id());
            self.walls.note(now, machine, group, leads);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_wall_clock_of_a_group_since_a_moment_is_told() {
        let mut walls = Walls::default();
        for (now_ms, wall_ms) in [(1, 10), (2, -5), (3, 20)] {
            walls.note((now_ms, wall_ms), 0, GroupId(1), true);
        }
        let told: Vec<_> = (1..=4)
            .map(|from| walls.low_since(GroupId(1), from))
            .collect();
        assert_eq!(told, [-5, -5, 20, i64::MAX]);
        assert_eq!(walls.low_since(GroupId(2), 1), i64::MAX);
    }

    #[test]
    fn the_highest_wall_clock_since_a_moment_is_told() {
        let mut highs = Highs::default();
        for (now_ms, wall_ms) in [(1, 10), (2, 50), (3, 20), (4, 30), (5, 5)] {
            highs.note(now_ms, wall_ms);
        }
        let told: Vec<_> = (1..=6).map(|from| highs.since(from)).collect();
        let wanted = [Some(50), Some(50), Some(30), Some(30), Some(5), None];
        assert_eq!(told, wanted);
    }
}
