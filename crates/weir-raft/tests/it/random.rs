//! Networks that lose, repeat and reorder, and nodes that die: what was answered stays.

use std::sync::mpsc::Receiver;

use weir_raft::{NotCommitted, PeerMessage};

use crate::cluster::{Cluster, STEP_MS};

const SEEDS: u64 = 40;
const STEPS: u64 = 1_200;

/// A small generator: the runs are the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct Run {
    cluster: Cluster,
    dice: Dice,
    on_the_way: Vec<PeerMessage>,
    told: Vec<(u64, Receiver<Result<u64, NotCommitted>>)>,
}

impl Run {
    fn step(&mut self, step: u64) {
        for at in 0..3 {
            self.cluster.nodes[at].now.0 += i64::try_from(STEP_MS).unwrap();
            let mut sent = self.cluster.nodes[at].settle();
            self.on_the_way.append(&mut sent);
            self.cluster.nodes[at].take_offers_up();
        }
        self.deliver();
        let at = usize::try_from(self.dice.below(3)).unwrap();
        match self.dice.below(40) {
            0 => {
                let killed = self.cluster.nodes.remove(at).killed();
                self.cluster.nodes.insert(at, killed);
            }
            1 => self.cluster.nodes[at].checkpoint(),
            2 if self.cluster.cut_off.is_empty() => self.cluster.lose(at),
            3 | 4 => self.cluster.heal(),
            5 => self.cluster.tell(at, (at + 1) % 3, false),
            6 => self.cluster.tell(at, (at + 1) % 3, true),
            _ => {
                // Every number is a digit of its own: a sum says which are in it.
                if step.is_multiple_of(20) && self.told.len() < 60 {
                    let number = 1 << self.told.len();
                    let told = self.cluster.nodes[at].add(number);
                    self.told.push((number, told));
                }
            }
        }
    }

    fn deliver(&mut self) {
        for _ in 0..self.on_the_way.len() {
            if self.on_the_way.is_empty() {
                return;
            }
            let count = self.on_the_way.len() as u64;
            let at = usize::try_from(self.dice.below(count)).unwrap();
            match self.dice.below(10) {
                0 => drop(self.on_the_way.swap_remove(at)),
                1 => self.cluster.hand_over(self.on_the_way[at].clone()),
                2 => {}
                _ => {
                    let message = self.on_the_way.swap_remove(at);
                    self.cluster.hand_over(message);
                }
            }
        }
    }

    fn end(mut self, seed: u64) -> u64 {
        self.cluster.heal();
        for at in 0..3 {
            for of in (0..3).filter(|of| *of != at) {
                self.cluster.tell(at, of, true);
            }
        }
        self.cluster.run(30_000);
        self.cluster.leader();
        let sums = self.cluster.sums();
        assert_eq!((sums[0], sums[0]), (sums[1], sums[2]), "seed {seed}");
        let answered = self.told.iter().filter(|(number, told)| {
            let is_answered = matches!(told.try_recv(), Ok(Ok(_)));
            assert!(
                !is_answered || sums[0] & number != 0,
                "seed {seed}: {number:b} was answered and is lost"
            );
            is_answered
        });
        answered.count() as u64
    }
}

#[test]
fn what_was_answered_survives_a_bad_network_and_dying_nodes() {
    let mut answered = 0;
    for seed in 1..=SEEDS {
        let mut run = Run {
            cluster: Cluster::new(&[1, 2, 3], 3),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            on_the_way: Vec::new(),
            told: Vec::new(),
        };
        (0..STEPS).for_each(|step| run.step(step));
        answered += run.end(seed);
    }
    assert!(
        answered > SEEDS,
        "only {answered} of {SEEDS} runs' proposals went through"
    );
}
