//! Plans from seeds: odds of each kind of trouble are themselves drawn, so that some runs are
//! calm and some are all storm.

use super::{
    plan::{Act, ClientPlan, ClusterPlan, ClusterStep, ClusterTopic, NetPlan},
    queues::QueuesPlan,
    shares::SharesPlan,
};
use crate::{fault_plan::FaultOdds, world::Rng};

/// Longest run before everything is healed, in ms.
const MAX_DURATION_MS: u64 = 90_000;
/// Shortest one, in ms.
const MIN_DURATION_MS: u64 = 15_000;
/// Trouble does not begin before clients have something to lose, in ms.
const CALM_MS: u64 = 3_000;

/// By how much wall clocks are set wrong, in ms: seconds, minutes, hours. Less than the day after which
/// a producer that says nothing is forgotten: from then on nothing tells what it sends again.
const JUMPS_MS: [i64; 7] = [
    -20_000_000,
    -1_200_000,
    -3_000,
    0,
    3_000,
    1_200_000,
    20_000_000,
];
/// Fastest drift of a machine's clocks, in millionths: far beyond what a working oscillator does.
const MAX_DRIFT_PPM: u64 = 50_000;

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Weights of what happens in one run.
struct Odds {
    kill: u64,
    power_cut: u64,
    pause: u64,
    disk: u64,
    full: u64,
    jump: u64,
    split: u64,
    isolate: u64,
    one_way: u64,
    bridge: u64,
    loss: u64,
    checkpoint: u64,
    rot: u64,
    replace: u64,
    drain: u64,
    transfer: u64,
    balance: u64,
    mend: u64,
}

impl Odds {
    fn draw(rng: &mut Rng) -> Self {
        let mut one = |weight: u64| if rng.chance(450) { weight } else { 0 };
        Self {
            kill: one(10),
            power_cut: one(10),
            pause: one(10),
            disk: one(6),
            full: one(3),
            jump: one(4),
            split: one(12),
            isolate: one(12),
            one_way: one(8),
            bridge: one(6),
            loss: one(4),
            checkpoint: one(8),
            replace: one(3),
            drain: one(3),
            transfer: one(6),
            balance: one(2),
            rot: one(4),
            mend: 8,
        }
    }
}

impl ClusterPlan {
    /// The plan of `seed`.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let machine_count = rng.pick(&[3, 3, 3, 3, 3, 3, 5, 5, 1]);
        let file_size_bytes = 4096 * rng.pick(&[8, 16, 64]);
        let topic_count = rng.between(1, 2);
        let skew = rng.pick(&[0, 0, 50, 2_000, 600_000]);
        let drift = rng.pick(&[0, 0, 200, MAX_DRIFT_PPM]);
        let mut plan = Self {
            seed,
            machine_count,
            starts_whole: rng.chance(700),
            shard_count: u32::try_from(rng.between(1, 3)).unwrap_or(1),
            supports_direct: rng.chance(500),
            file_size_bytes,
            max_total_bytes: file_size_bytes * rng.pick(&[16, 64, 256]),
            tail_budget_bytes: rng.pick(&[64 << 10, 256 << 10, 1 << 20]),
            cleanup_interval_ms: rng.pick(&[500, 5_000]),
            skews_ms: (0..machine_count)
                .map(|_| signed(rng.below(skew + 1)))
                .collect(),
            drifts_ppm: (0..machine_count)
                .map(|_| signed(rng.below(2 * drift + 1)) - signed(drift))
                .collect(),
            topics: (0..topic_count)
                .map(|_| ClusterTopic::draw(&mut rng))
                .collect(),
            net: NetPlan::draw(&mut rng),
            clients: ClientPlan::draw(&mut rng),
            queues: QueuesPlan::draw(seed),
            shares: SharesPlan::draw(seed),
            duration_ms: rng.between(MIN_DURATION_MS, MAX_DURATION_MS),
            steps: Vec::new(),
        };
        plan.make_room_for_copies();
        let mut odds = Odds::draw(&mut rng);
        if machine_count == 1 {
            // The only copy is not to be lost.
            (odds.rot, odds.replace, odds.drain) = (0, 0, 0);
        }
        let faults = FaultOdds::draw(&mut rng);
        let gap_ms = rng.pick(&[400, 1_000, 2_500, 6_000]);
        let mut at_ms = CALM_MS;
        loop {
            at_ms += rng.between(1, 2 * gap_ms);
            if at_ms >= plan.duration_ms {
                break;
            }
            let act = plan.draw_act(&mut rng, &odds, &faults);
            plan.steps.push(ClusterStep { at_ms, act });
        }
        plan
    }

    /// What is copied is not to be gone before it is, nor to be copied again.
    fn make_room_for_copies(&mut self) {
        if self.clients.copier_count == 0 {
            return;
        }
        if let [only] = self.topics[..] {
            self.topics.push(only);
        }
        for topic in &mut self.topics {
            topic.retention_bytes = None;
        }
    }

    // Table: one arm per kind of act.
    fn draw_act(&self, rng: &mut Rng, odds: &Odds, faults: &FaultOdds) -> Act {
        let machine = rng.index(self.machine_count);
        let salt = rng.next_u64();
        let down_ms = rng.pick(&[0, 100, 700, 3_000, 12_000]);
        let side = u32::try_from(rng.below(1 << self.machine_count)).unwrap_or(1);
        let others_count = self.machine_count.saturating_sub(1).max(1);
        let from = (machine + 1 + rng.index(others_count)) % self.machine_count;
        let choices = [
            (
                odds.kill,
                Act::Kill {
                    machine,
                    salt,
                    down_ms,
                },
            ),
            (
                odds.power_cut,
                Act::PowerCut {
                    machine,
                    salt,
                    down_ms,
                },
            ),
            (
                odds.pause,
                Act::Pause {
                    machine,
                    count_ms: rng.pick(&[50, 400, 1_500, 5_000, 12_000]),
                },
            ),
            (
                odds.disk,
                Act::Arm {
                    machine,
                    fault: faults.fault(rng),
                },
            ),
            (
                odds.full,
                Act::Foreign {
                    machine,
                    percent: rng.pick(&[0, 100]),
                },
            ),
            (
                odds.jump,
                Act::Jump {
                    machine,
                    off_ms: rng.pick(&JUMPS_MS),
                },
            ),
            (odds.split, Act::Split { side }),
            (
                odds.isolate,
                Act::Isolate {
                    group: u32::try_from(rng.below(u64::from(self.shard_count) + 1)).unwrap_or(0),
                },
            ),
            (odds.one_way, Act::OneWay { from, to: machine }),
            (odds.bridge, Act::Bridge { machine, side }),
            (
                odds.loss,
                Act::Loss {
                    per_mille: rng.pick(&[20, 100, 300]),
                },
            ),
            (odds.checkpoint, Act::Checkpoint { machine }),
            (
                odds.rot,
                Act::Rot {
                    machine: usize::try_from(self.seed % self.machine_count as u64).unwrap_or(0),
                    salt,
                },
            ),
            (odds.replace, Act::Replace { machine }),
            (odds.drain, Act::Drain { machine }),
            (odds.drain, Act::Activate { machine }),
            (
                odds.transfer,
                Act::Transfer {
                    group: u32::try_from(rng.below(u64::from(self.shard_count) + 1)).unwrap_or(0),
                    machine,
                },
            ),
            (odds.balance, Act::Balance),
            (odds.mend, Act::Mend),
        ];
        let total = choices.iter().map(|(weight, _)| weight).sum();
        let mut at = rng.below(total);
        for (weight, act) in choices {
            if at < weight {
                return act;
            }
            at -= weight;
        }
        Act::Mend
    }
}

impl ClusterTopic {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            partition_count: u32::try_from(rng.pick(&[1, 1, 2, 3])).unwrap_or(1),
            segment_bytes: rng.pick(&[1_024, 8_192, 1 << 20]),
            retention_bytes: rng.chance(150).then_some(20_000),
        }
    }
}

impl NetPlan {
    fn draw(rng: &mut Rng) -> Self {
        let is_calm = rng.chance(300);
        let unless_calm = |value: u64| if is_calm { 0 } else { value };
        Self {
            min_delay_ms: rng.pick(&[0, 1]),
            max_delay_ms: rng.pick(&[1, 3, 20]),
            slow_per_mille: unless_calm(rng.pick(&[0, 5, 50])),
            slow_delay_ms: rng.pick(&[50, 400, 3_000]),
            loss_per_mille: unless_calm(rng.pick(&[0, 0, 5, 30])),
            repeat_per_mille: unless_calm(rng.pick(&[0, 0, 10, 100])),
            is_ordered: rng.chance(500),
        }
    }
}

impl ClientPlan {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            producer_count: rng.index(2) + 1,
            plain_count: rng.index(2),
            reader_count: rng.index(2) + 1,
            group_count: rng.index(2) + 1,
            pause_ms: rng.pick(&[30, 100, 300]),
            max_data_bytes: rng.pick(&[20, 300, 2_000]),
            timeout_ms: rng.pick(&[1_000, 4_000]),
            epoch_raisers: u32::try_from(rng.below(4)).unwrap_or(0),
            max_delay_ms: rng.pick(&[0, 2, 30]),
            stalled_per_mille: rng.pick(&[0, 0, 3, 20]),
            transactor_count: rng.index(4),
            copier_count: rng.pick(&[0, 0, 1, 2, 3]),
            newer_flows: u32::try_from(rng.below(1 << 6)).unwrap_or(0),
            has_twins: rng.chance(300),
            transaction_timeout_ms: rng.pick(&[1_500, 4_000, 15_000]),
            committed_readers: u32::try_from(rng.below(4)).unwrap_or(0),
            member_counts: [rng.index(4), rng.pick(&[0, 0, 2])],
        }
    }
}
