//! Seeded runs of clients that do anything in any order.

use std::collections::{BTreeMap, BTreeSet};

use super::world::*;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn pick<'a, V>(&mut self, from: &'a [V]) -> Option<&'a V> {
        let at = self.below(u64::try_from(from.len()).unwrap().max(1));
        from.get(usize::try_from(at).unwrap())
    }
}

struct Run {
    world: World,
    random: Random,
    /// Ids that were ever given out, some long gone.
    ids: Vec<(String, Option<String>)>,
    asked: u64,
    generation: i32,
    leaders: BTreeMap<i32, String>,
    /// Joins that were answered and looked at.
    done: BTreeSet<u64>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let config = GroupConfig {
            initial_rebalance_delay_ms: random.below(2) * 3_000,
            max_member_count: 6,
            ..GroupConfig::default()
        };
        Self {
            world: World::with(config),
            random,
            ids: vec![(String::new(), None)],
            asked: 0,
            generation: 0,
            leaders: BTreeMap::new(),
            done: BTreeSet::new(),
        }
    }

    fn act(&mut self) {
        let (member, instance) = self.random.pick(&self.ids).unwrap().clone();
        let generation = self.generation - i32::from(self.random.below(8) == 0);
        match self.random.below(10) {
            0 => self.join("", None),
            1 => self.join("", Some("static")),
            2..=3 => self.join(&member, instance.as_deref()),
            4..=5 => {
                let described = self.world.coordinator.describe(Millis(0), GROUP);
                let leader = described.and_then(|record| record.leader);
                let leader = leader.filter(|_| self.random.below(2) == 0);
                let member = leader.unwrap_or(member);
                self.world.sync(&member, generation, &[(&member, "a")]);
                self.asked += 1;
            }
            6 => drop(self.world.heartbeat(&member, generation)),
            7 if self.random.below(3) == 0 => drop(self.world.leave(&member, instance.as_deref())),
            7..=8 if !self.world.persists.is_empty() => {
                let is_lost = self.random.below(6) == 0;
                let result = if is_lost {
                    Err(ErrorKind::StorageFailed)
                } else {
                    Ok(())
                };
                self.world.persisted(result);
            }
            _ => {
                let count_ms = self.random.below(4_000);
                self.world.pass(count_ms);
            }
        }
        self.look();
    }

    fn join(&mut self, member: &str, instance: Option<&str>) {
        let mut join = join(member, instance);
        join.require_known_member = self.random.below(2) == 0;
        for name in ["sticky", "cooperative"] {
            if self.random.below(2) == 0 {
                join.protocols.push((name.to_owned(), bytes(name)));
            }
        }
        self.world.join(join);
        self.asked += 1;
    }

    /// Checks what was answered since the last look.
    fn look(&mut self) {
        if let Some(record) = self.world.coordinator.describe(Millis(0), GROUP) {
            assert!(
                record.generation >= self.generation,
                "a generation went back"
            );
            self.generation = record.generation;
        } else {
            assert_eq!(
                self.generation, 0,
                "a group with a generation was forgotten"
            );
        }
        for (token, answer) in std::mem::take(&mut self.world.joins) {
            assert!(self.done.insert(token), "answered twice");
            match answer {
                Ok(joined) => {
                    assert!(joined.generation <= self.generation);
                    if joined.leader == joined.member {
                        let leader = self.leaders.entry(joined.generation);
                        let leader = leader.or_insert_with(|| joined.member.clone());
                        assert_eq!(*leader, joined.member, "two leaders in one generation");
                        assert!(!joined.members.is_empty());
                    }
                    self.learn(joined.member);
                }
                Err(refused) if refused.error == ErrorKind::MemberIdRequired => {
                    self.learn(refused.member);
                }
                Err(_) => {}
            }
        }
    }

    fn learn(&mut self, id: String) {
        if self.ids.iter().all(|(known, _)| *known != id) {
            let instance = id.starts_with("static-").then(|| "static".to_owned());
            self.ids.push((id, instance));
            if self.ids.len() > 6 {
                self.ids.remove(1);
            }
        }
    }

    /// Everybody falls silent: each token must have its answer within bounded time.
    fn settle(&mut self) {
        for _ in 0..40 {
            while !self.world.persists.is_empty() {
                self.world.persisted(Ok(()));
            }
            self.world.pass(REBALANCE_MS);
            self.look();
        }
        while !self.world.persists.is_empty() {
            self.world.persisted(Ok(()));
        }
        let answered = self.done.len() + self.world.syncs.len();
        assert_eq!(
            u64::try_from(answered).unwrap(),
            self.asked,
            "a token was not answered"
        );
        assert!(matches!(
            self.world.state(),
            GroupState::Empty | GroupState::Dead
        ));
        assert_eq!(self.world.coordinator.next_deadline(), None);
    }
}

#[test]
fn any_order_of_requests_answers_each_token_once_with_one_leader_a_generation() {
    let mut generations = 0;
    let mut synced = 0;
    for seed in 0..400 {
        let mut run = Run::new(seed);
        for _ in 0..300 {
            run.act();
        }
        run.settle();
        generations += run.generation;
        synced += run
            .world
            .syncs
            .values()
            .filter(|answer| answer.is_ok())
            .count();
    }
    assert!(
        generations > 1_000 && synced > 500,
        "{generations} generations, {synced} syncs"
    );
}
