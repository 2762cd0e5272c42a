//! Which queues a run has and who uses them, drawn from a random stream of their own.

use serde::{Deserialize, Serialize};

use crate::world::Rng;

/// Keeps the draw of queues apart from that of everything else.
const DRAW_SALT: u64 = 0x0AC0_FFEE;

/// Runs with queues, of a thousand.
const RUNS_PER_MILLE: u64 = 700;

/// Queues and their users. None: the run has no queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuesPlan {
    /// The queues.
    pub queues: Vec<QueuePlan>,
    /// Sessions that publish.
    pub publisher_count: usize,
    /// Sessions that consume.
    pub consumer_count: usize,
    /// Mean pause of a session between two things.
    pub pause_ms: u64,
    /// Turns of a session that end with its disappearance, of a thousand.
    pub vanish_per_mille: u64,
}

/// A queue as it will be declared, and how it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePlan {
    /// A quorum queue; otherwise a classic one.
    pub is_quorum: bool,
    /// Its partitions.
    pub partition_count: u32,
    /// `x-message-ttl`.
    pub message_ttl_ms: Option<u64>,
    /// `x-max-length`.
    pub max_length_count: Option<u64>,
    /// `x-overflow`.
    pub overflow: OverflowPlan,
    /// Whether dead letters go to a queue beside it.
    pub has_dead_letters: bool,
    /// `x-delivery-limit`, of quorum queues.
    pub delivery_limit_count: Option<u32>,
    /// `x-single-active-consumer`.
    pub is_single_active: bool,
    /// Whether consumers want it for themselves.
    pub is_exclusive: bool,
    /// Highest priority of messages; 0: none have one.
    pub max_priority: u8,
    /// Longest delay of messages; 0: none are delayed.
    pub max_delay_ms: u64,
    /// Some messages say themselves how long they live.
    pub expiration_ms: Option<u64>,
    /// Failed messages come back after so long, shortest and longest.
    pub retry_ms: Option<(u64, u64)>,
    /// Consumers and gets without acknowledgements, of a thousand.
    pub no_ack_per_mille: u64,
}

/// What happens beyond the greatest length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverflowPlan {
    /// The oldest goes.
    #[default]
    DropHead,
    /// The newest is refused.
    Reject,
    /// The newest is refused and dead-lettered.
    RejectDeadLetter,
}

impl OverflowPlan {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DropHead => "drop-head",
            Self::Reject => "reject-publish",
            Self::RejectDeadLetter => "reject-publish-dlx",
        }
    }
}

impl QueuesPlan {
    /// The queues of the run of `seed`.
    pub(in super::super) fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ DRAW_SALT);
        if !rng.chance(RUNS_PER_MILLE) {
            return Self::default();
        }
        let queue_count = rng.between(1, 3);
        Self {
            queues: (0..queue_count)
                .map(|_| QueuePlan::draw(&mut rng))
                .collect(),
            publisher_count: rng.pick(&[1, 1, 2]),
            consumer_count: rng.pick(&[1, 2, 3]),
            pause_ms: rng.pick(&[100, 200, 400]),
            vanish_per_mille: rng.pick(&[0, 5, 20]),
        }
    }

    /// Variants that do less.
    pub(in super::super) fn simpler(&self) -> Vec<Self> {
        let mut variants = vec![Self::default()];
        for at in 0..self.queues.len() {
            let mut variant = self.clone();
            variant.queues.remove(at);
            variants.push(variant);
        }
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut variant = self.clone();
            change(&mut variant);
            variants.push(variant);
        };
        add(&|plan| plan.publisher_count = 1);
        add(&|plan| plan.consumer_count = 1);
        add(&|plan| plan.vanish_per_mille = 0);
        add(&|plan| plan.queues.iter_mut().for_each(|q| q.partition_count = 1));
        add(&|plan| plan.queues.iter_mut().for_each(|q| q.retry_ms = None));
        add(&|plan| plan.queues.iter_mut().for_each(|q| q.no_ack_per_mille = 0));
        add(&|plan| plan.queues.iter_mut().for_each(|q| q.max_delay_ms = 0));
        add(&|plan| plan.queues.iter_mut().for_each(|q| q.max_priority = 0));
        variants.retain(|variant| variant != self);
        variants
    }
}

impl QueuePlan {
    fn draw(rng: &mut Rng) -> Self {
        let is_quorum = rng.chance(500);
        let mut some = |per_mille: u64, choices: &[u64]| {
            let is_so = rng.chance(per_mille);
            let value = rng.pick(choices);
            is_so.then_some(value)
        };
        let message_ttl_ms = some(200, &[0, 300, 3_000]);
        let max_length_count = some(200, &[1, 5, 20]);
        let expiration_ms = some(150, &[200, 2_000]);
        let retry_ms = some(150, &[100, 1_000]).map(|ms| (ms, 4 * ms));
        let max_delay_ms = some(300, &[500, 3_000, 8_000]).unwrap_or(0);
        let is_single_active = rng.chance(150);
        Self {
            is_quorum,
            partition_count: rng.pick(&[1, 1, 1, 3]),
            message_ttl_ms,
            max_length_count,
            overflow: match (is_quorum, rng.index(3)) {
                (_, 0) => OverflowPlan::DropHead,
                (false, 1) => OverflowPlan::RejectDeadLetter,
                (_, _) => OverflowPlan::Reject,
            },
            has_dead_letters: rng.chance(600),
            delivery_limit_count: is_quorum.then(|| rng.pick(&[1, 2, 5, 20])),
            is_single_active,
            is_exclusive: !is_single_active && rng.chance(150),
            max_priority: rng.pick(&[0, 0, 0, 4]),
            max_delay_ms,
            expiration_ms,
            retry_ms,
            no_ack_per_mille: rng.pick(&[0, 0, 300]),
        }
    }
}
