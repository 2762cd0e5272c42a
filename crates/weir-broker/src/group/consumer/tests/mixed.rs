//! Seeded runs of clients of both protocols in one group.

use std::collections::BTreeSet;

use super::{classic_client::*, world::*};
use crate::group::GroupState;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

struct Run {
    world: World,
    random: Random,
    classic: Vec<ClassicClient>,
    clients: Vec<Client>,
    is_cooperative: bool,
    next_client: usize,
    upgrades_count: usize,
    downgrades_count: usize,
    was_classic: bool,
    /// Who was given up, in which generation, and does not know it yet: its commits are refused.
    given_up: BTreeSet<(String, i32)>,
}

/// Members of each kind at a time.
const MAX_COUNT: usize = 4;

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        world.topics.create("t", 7);
        world.topics.create("u", 3);
        Self {
            world,
            random: Random(seed),
            classic: Vec::new(),
            clients: Vec::new(),
            is_cooperative: seed.is_multiple_of(2),
            next_client: 0,
            upgrades_count: 0,
            downgrades_count: 0,
            was_classic: false,
            given_up: BTreeSet::new(),
        }
    }

    fn act(&mut self) {
        match self.random.below(24) {
            0 if self.classic.len() < MAX_COUNT => {
                let mut client = ClassicClient::new(&["t", "u"], self.is_cooperative);
                if self.random.below(4) == 0 {
                    client.instance = Some(format!("i{}", self.next_client));
                    self.next_client += 1;
                }
                self.classic.push(client);
            }
            1 if self.clients.len() < MAX_COUNT => {
                self.next_client += 1;
                let id = format!("m{}", self.next_client);
                self.clients.push(Client::new(&id, &["t", "u"]));
            }
            2 => self.go_classic(),
            3 => self.go(),
            4 => {
                let ms = u64::try_from(self.random.below(3_000)).unwrap();
                self.world.pass(ms);
            }
            5 if self.random.below(3) == 0 => self.world.fail_over(),
            6 if self.random.below(3) == 0
                && self.world.topics.by_serial[&1].partition_count < 12 =>
            {
                let count = self.world.topics.by_serial[&1].partition_count;
                self.world.topics.grow("t", count + 1);
            }
            7 if !self.clients.is_empty() => self.fail_to_store(),
            _ => self.all_step(),
        }
        self.look();
    }

    fn all_step(&mut self) {
        for at in 0..self.classic.len() {
            if self.random.below(3) > 0 {
                self.world.step(&mut self.classic[at]);
                self.look();
            }
        }
        for at in 0..self.clients.len() {
            if self.random.below(3) > 0 {
                self.beat(at);
                self.look();
            }
        }
    }

    fn beat(&mut self, at: usize) {
        let is_slow = self.random.below(4) == 0;
        let client = &mut self.clients[at];
        match self.world.ask(client.full()) {
            Ok(beat) => {
                client.hear(&beat);
                if !is_slow {
                    client.reconcile();
                }
            }
            Err(refused) => match refused.error {
                ErrorKind::UnknownMember
                | ErrorKind::FencedMemberEpoch
                | ErrorKind::GroupNotFound => {
                    client.epoch = 0;
                    client.owned.clear();
                    client.assigned.clear();
                }
                ErrorKind::CoordinatorLoading => {}
                other => panic!("{other:?}: {}", refused.reason),
            },
        }
    }

    /// Leaves, or crashes and says nothing any more.
    fn go_classic(&mut self) {
        if !self.classic.is_empty() {
            let at = self.random.below(self.classic.len());
            let client = self.classic.remove(at);
            if self.random.below(3) > 0 {
                self.world.leave(&client);
            }
        }
    }

    fn go(&mut self) {
        if !self.clients.is_empty() {
            let at = self.random.below(self.clients.len());
            let client = self.clients.remove(at);
            if self.random.below(3) > 0 {
                let _ = self.world.ask(client.leaving(-1));
            }
        }
    }

    /// Something, maybe an upgrade or a downgrade, is not stored.
    fn fail_to_store(&mut self) {
        self.world.stores_at_once = false;
        let at = self.random.below(self.clients.len());
        let beat = match self.random.below(2) {
            0 => self.clients[at].leaving(-1),
            _ => self.clients[at].full(),
        };
        self.world.send(beat);
        if !self.world.stores.is_empty() {
            self.world.stored(Err(ErrorKind::NotLeader));
        }
        while !self.world.stores.is_empty() {
            self.world.stored(Ok(()));
        }
        self.world.stores_at_once = true;
    }

    /// Of those whom the group knows nobody reads what another does.
    fn look(&mut self) {
        let is_classic = self.world.is_classic();
        let is_consumers = self.world.coordinator.contains(GROUP);
        assert!(!(is_classic && is_consumers), "a group is of one kind");
        self.upgrades_count += usize::from(self.was_classic && is_consumers);
        self.downgrades_count += usize::from(!self.was_classic && is_classic);
        self.was_classic = is_classic;
        // Between classic members alone their leader sees to it, and a rebalance begins anew.
        let Some(described) = self.world.coordinator.describe(GROUP) else {
            return;
        };
        let ids = described.members.iter().map(|it| it.member.as_str());
        let ids: BTreeSet<&str> = ids.collect();
        let gone = self
            .classic
            .iter()
            .filter(|it| !ids.contains(it.id.as_str()));
        self.given_up
            .extend(gone.map(|it| (it.id.clone(), it.generation)));
        let classic = self
            .classic
            .iter()
            .map(|it| (&it.id, it.generation, &it.owned));
        let clients = self.clients.iter().map(|it| (&it.id, it.epoch, &it.owned));
        let mut read = BTreeSet::new();
        for (id, epoch, owned) in classic.chain(clients) {
            let is_given_up = self.given_up.contains(&(id.clone(), epoch));
            if ids.contains(id.as_str()) && epoch > 0 && !is_given_up {
                for partition in owned {
                    assert!(read.insert(*partition), "{partition} is read by two");
                }
            }
        }
    }

    /// Everybody behaves: within bounded steps all is read, and by everybody a fair share.
    fn settle(&mut self) {
        for round in 0..60 {
            let ms = if round < 30 { 2_000 } else { 100 };
            for _ in 0..4 {
                self.world.pass(ms);
                self.look();
                for at in 0..self.classic.len() {
                    self.world.step(&mut self.classic[at]);
                    self.look();
                }
                for at in 0..self.clients.len() {
                    self.beat(at);
                    self.clients[at].reconcile();
                    self.look();
                }
            }
        }
        let classic = self.classic.iter().map(|it| it.owned.len());
        let loads = classic.chain(self.clients.iter().map(|it| it.owned.len()));
        let loads: Vec<usize> = loads.collect();
        if loads.is_empty() {
            return;
        }
        assert!(
            self.classic
                .iter()
                .all(|it| it.waits == Waits::In && !it.is_fenced)
        );
        let topics = self.world.topics.by_serial.values();
        let wanted = topics.map(|it| usize::try_from(it.partition_count).unwrap());
        let is_growing_seen = !self.clients.is_empty();
        if is_growing_seen {
            assert_eq!(loads.iter().sum::<usize>(), wanted.sum::<usize>());
            assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
            assert_eq!(self.world.coordinator.phase(GROUP), GroupPhase::Stable);
        } else {
            assert_eq!(self.world.classic.state(GROUP), GroupState::Stable);
            assert!(loads.iter().all(|load| *load > 0));
        }
    }
}

#[test]
fn members_of_both_protocols_share_everything_and_come_to_rest() {
    let (mut upgrades, mut downgrades) = (0, 0);
    for seed in 0..120 {
        let mut run = Run::new(seed);
        for _ in 0..150 {
            run.act();
        }
        run.settle();
        upgrades += run.upgrades_count;
        downgrades += run.downgrades_count;
    }
    assert!(
        upgrades > 100 && downgrades > 100,
        "{upgrades} upgrades, {downgrades} downgrades"
    );
}
