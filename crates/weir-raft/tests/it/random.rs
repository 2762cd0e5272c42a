//! Networks that lose, repeat and reorder, and nodes that die: what was answered stays.

use std::sync::{Arc, mpsc::Receiver};

use weir_model::NodeId;
use weir_raft::{GroupView, Input, MemberChange, NotCommitted, PeerMessage};

use crate::{
    cluster::{Cluster, STEP_MS},
    harness::GROUP,
};

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
    told: Vec<Told>,
}

/// A number that was added, and what is heard of it.
type Told = (u64, Receiver<Result<u64, NotCommitted>>);

impl Run {
    fn new(cluster: Cluster, seed: u64) -> Self {
        Self {
            cluster,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            on_the_way: Vec::new(),
            told: Vec::new(),
        }
    }

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
        count_answered(&self.told, sums[0], seed)
    }
}

fn count_answered(told: &[Told], sum: u64, seed: u64) -> u64 {
    let answered = told.iter().filter(|(number, told)| {
        let is_answered = matches!(told.try_recv(), Ok(Ok(_)));
        assert!(
            !is_answered || sum & number != 0,
            "seed {seed}: {number:b} was answered and is lost"
        );
        is_answered
    });
    answered.count() as u64
}

/// Joins, leaves and retirements on top of everything else.
struct Changing {
    run: Run,
    changed: u64,
    /// The last members known anywhere, ever.
    last: Arc<GroupView>,
}

impl Changing {
    fn step(&mut self, step: u64) {
        self.run.step(step);
        let run = &mut self.run;
        let views = (0..3).map(|at| run.cluster.view(at)).enumerate();
        // The word of a leader that takes part.
        let views = views.filter(|(at, view)| {
            let node = NodeId(*at as u64 + 1);
            view.leader == Some(node) && view.members.names(node)
        });
        let views = views.map(|(_, view)| view).chain([Arc::clone(&self.last)]);
        self.last = views.max_by_key(|view| view.conf_index).unwrap();
        let node = NodeId(run.dice.below(3) + 1);
        match run.dice.below(60) {
            0 => self.change(&[MemberChange::AddLearner(node)]),
            1 | 2 => self.change(&[MemberChange::AddVoter(node)]),
            3 => self.change(&[MemberChange::Remove(node)]),
            4 => {
                let other = NodeId(run.dice.below(3) + 1);
                self.change(&[MemberChange::AddVoter(node), MemberChange::Remove(other)]);
            }
            5 | 6 => self.retire(usize::try_from(node.0 - 1).unwrap()),
            _ => {}
        }
    }

    fn change(&mut self, changes: &[MemberChange]) {
        let removed = |node: &NodeId| changes.contains(&MemberChange::Remove(*node));
        for at in 0..3 {
            let view = self.run.cluster.view(at);
            // A group of nothing but new voters has nobody who could bring them up.
            let stays = |node: &&NodeId| !removed(node) && view.members.voters.contains(node);
            if view.followers.is_empty() && view.leader.is_none()
                || view.members.voters.iter().find(stays).is_none()
                || !changes.iter().all(|change| is_careful(change, &view))
            {
                continue;
            }
            self.changed += 1;
            self.run.cluster.nodes[at]
                .handle
                .send(Input::ChangeMembers {
                    group: GROUP,
                    changes: changes.to_vec(),
                    done: Box::new(drop),
                });
        }
    }

    /// Retires a replica that the last members known anywhere do not name.
    fn retire(&mut self, at: usize) {
        let (last, node) = (&self.last, NodeId(at as u64 + 1));
        if last.conf_index == 0 || last.members.names(node) || last.members.is_joint() {
            return;
        }
        let done = Box::new(|| ());
        let nodes = &mut self.run.cluster.nodes;
        nodes[at].offers.0.lock().unwrap().clear();
        nodes[at].handle.send(Input::Retire { group: GROUP, done });
        let mut sent = nodes[at].settle();
        self.run.on_the_way.append(&mut sent);
        nodes[at].durable = None;
    }

    fn end(self, seed: u64) -> u64 {
        let Run {
            mut cluster, told, ..
        } = self.run;
        cluster.heal();
        for at in 0..3 {
            for of in (0..3).filter(|of| *of != at) {
                cluster.tell(at, of, true);
            }
        }
        cluster.run(30_000);
        let leader = cluster.leader();
        let members = cluster.view(leader).members.clone();
        let sums = cluster.sums();
        for (at, sum) in sums.iter().enumerate() {
            let is_in = members.names(NodeId(at as u64 + 1));
            assert!(!is_in || *sum == sums[leader], "seed {seed}: {sums:?}");
        }
        count_answered(&told, sums[leader], seed)
    }
}

/// A voter has caught up as a learner before.
fn is_careful(change: &MemberChange, view: &GroupView) -> bool {
    let MemberChange::AddVoter(node) = change else {
        return true;
    };
    let mut followers = view.followers.iter();
    view.members.voters.contains(node)
        || followers.any(|peer| peer.node == *node && peer.matched + 3 >= view.last_index)
}

#[test]
fn members_that_come_and_go_lose_nothing_that_was_answered() {
    let (mut answered, mut changed) = (0, 0);
    for seed in 1..=SEEDS {
        let run = Run::new(Cluster::founded(3), seed);
        let mut run = Changing {
            run,
            changed: 0,
            last: Arc::default(),
        };
        (0..STEPS).for_each(|step| run.step(step));
        changed += run.changed;
        answered += run.end(seed);
    }
    assert!(changed > SEEDS && answered > SEEDS, "{changed}, {answered}");
}

#[test]
fn what_was_answered_survives_a_bad_network_and_dying_nodes() {
    let mut answered = 0;
    for seed in 1..=SEEDS {
        let mut run = Run::new(Cluster::new(&[1, 2, 3], 3), seed);
        (0..STEPS).for_each(|step| run.step(step));
        answered += run.end(seed);
    }
    assert!(answered > SEEDS, "only {answered} were answered");
}
