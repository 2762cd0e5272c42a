//! Which share groups a run has, drawn from a random stream of their own.

use serde::{Deserialize, Serialize};

use super::setup::letters_topic;
use crate::world::Rng;

/// Keeps the draw of share groups apart from that of everything else.
const DRAW_SALT: u64 = 0x05AA_2E5D;

/// Runs with share groups, of a thousand.
const RUNS_PER_MILLE: u64 = 600;

/// Share groups. None: the run has no members of any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesPlan {
    /// The groups.
    pub groups: Vec<ShareGroupPlan>,
}

/// A share group as it will be set up, and how it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareGroupPlan {
    /// Its members.
    pub member_count: usize,
    /// Whether it reads the first topic alone; otherwise all of them.
    pub is_narrow: bool,
    /// `share.record.lock.duration.ms`.
    pub lock_ms: u64,
    /// `share.delivery.count.limit`.
    pub delivery_limit: u32,
    /// `share.retry.delay.ms`.
    pub retry_ms: u64,
    /// `share.retry.delay.max.ms`.
    pub retry_max_ms: u64,
    /// `share.partition.max.record.locks`.
    pub max_locks: u64,
    /// `share.isolation.level`.
    pub committed_only: bool,
    /// Partitions of its topic for dead letters; `None`: they go nowhere.
    pub letter_partition_count: Option<u32>,
    /// Whether dead letters have keys and values.
    pub copies_letters: bool,
    /// Turns of a member that end with its disappearance, of a thousand.
    pub vanish_per_mille: u64,
}

impl SharesPlan {
    /// The share groups of the run of `seed`.
    pub(in super::super) fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ DRAW_SALT);
        if !rng.chance(RUNS_PER_MILLE) {
            return Self::default();
        }
        let group_count = rng.pick(&[1, 1, 2]);
        Self {
            groups: (0..group_count)
                .map(|_| ShareGroupPlan::draw(&mut rng))
                .collect(),
        }
    }

    /// Topics for dead letters, by their places among topics, each with how many partitions it has.
    pub(in super::super) fn letters_topics(&self) -> impl Iterator<Item = (usize, u32)> {
        let groups = self.groups.iter().enumerate();
        groups
            .filter_map(|(group, plan)| Some((letters_topic(group), plan.letter_partition_count?)))
    }

    /// Variants that do less.
    pub(in super::super) fn simpler(&self) -> Vec<Self> {
        let mut variants = vec![Self::default()];
        for at in 0..self.groups.len() {
            let mut variant = self.clone();
            variant.groups.remove(at);
            variants.push(variant);
        }
        let mut add = |change: &dyn Fn(&mut ShareGroupPlan)| {
            let mut variant = self.clone();
            variant.groups.iter_mut().for_each(change);
            variants.push(variant);
        };
        add(&|group| group.member_count = 1);
        add(&|group| group.is_narrow = true);
        add(&|group| group.vanish_per_mille = 0);
        add(&|group| (group.retry_ms, group.retry_max_ms) = (0, 0));
        add(&|group| group.letter_partition_count = None);
        add(&|group| group.committed_only = false);
        variants.retain(|variant| variant != self);
        variants
    }
}

impl ShareGroupPlan {
    fn draw(rng: &mut Rng) -> Self {
        let has_letters = rng.chance(500);
        let letter_partition_count = rng.pick(&[1, 1, 2]);
        let (retry_ms, retry_max_ms) = rng.pick(&[(0, 0), (0, 0), (0, 0), (500, 0), (300, 4_000)]);
        Self {
            member_count: rng.pick(&[1, 2, 2, 3]),
            is_narrow: rng.chance(300),
            lock_ms: rng.pick(&[15_000, 15_000, 20_000, 30_000]),
            delivery_limit: rng.pick(&[2, 3, 5, 10]),
            retry_ms,
            retry_max_ms,
            max_locks: rng.pick(&[100, 2_000]),
            committed_only: rng.chance(500),
            letter_partition_count: has_letters.then_some(letter_partition_count),
            copies_letters: rng.chance(500),
            vanish_per_mille: rng.pick(&[0, 3, 12]),
        }
    }
}
