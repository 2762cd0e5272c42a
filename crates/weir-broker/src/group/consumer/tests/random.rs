//! Seeded runs of clients that come, go, crash, hang and lose answers.

use std::collections::BTreeSet;

use super::world::*;

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
    clients: Vec<Client>,
    next_client: usize,
    commits_count: usize,
}

const NAMES: [&str; 3] = ["t-a", "t-b", "u"];

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        world.topics.create("t-a", 5);
        world.topics.create("u", 3);
        Self {
            world,
            random: Random(seed),
            clients: Vec::new(),
            next_client: 0,
            commits_count: 0,
        }
    }

    fn act(&mut self) {
        let is_any = !self.clients.is_empty();
        match self.random.below(20) {
            0..=2 if self.clients.len() < 7 => self.come(),
            3 if is_any => self.go(),
            4 if is_any => {
                // Crashes: it says nothing any more, and does not read either.
                let at = self.random.below(self.clients.len());
                self.clients.remove(at);
            }
            5 if is_any => self.resubscribe(),
            6 => self.change_topics(),
            7 => {
                let ms = self.random.below(12_000);
                self.pass(u64::try_from(ms).unwrap());
            }
            8 => {
                self.world.fail_over();
                self.check();
            }
            9 if is_any => self.fail_to_store(),
            _ if is_any => self.beat(),
            _ => {}
        }
        self.check();
    }

    /// Whoever lives sends heartbeats meanwhile.
    fn pass(&mut self, ms: u64) {
        self.world.pass(ms);
        for at in 0..self.clients.len() {
            self.beat_of(at, true);
        }
    }

    fn come(&mut self) {
        self.next_client += 1;
        let mut client = Client::new(&format!("m{}", self.next_client), &[]);
        self.choose_topics(&mut client);
        if self.random.below(4) == 0 {
            client.instance = Some(format!("i{}", self.random.below(2)));
        }
        self.clients.push(client);
        self.beat_of(self.clients.len() - 1, true);
    }

    fn choose_topics(&mut self, client: &mut Client) {
        client.pattern = Some(String::new());
        client.topics = match self.random.below(4) {
            0 => vec![NAMES[self.random.below(3)].to_owned()],
            1 => {
                client.pattern = Some("t-.*".to_owned());
                Vec::new()
            }
            _ => NAMES.map(str::to_owned).to_vec(),
        };
    }

    fn go(&mut self) {
        let at = self.random.below(self.clients.len());
        let mut client = self.clients.remove(at);
        client.owned.clear();
        let epoch = match client.instance {
            Some(_) if self.random.below(2) == 0 => -2,
            _ => -1,
        };
        let _ = self.world.ask(client.leaving(epoch));
    }

    fn resubscribe(&mut self) {
        let at = self.random.below(self.clients.len());
        let mut client = self.clients[at].clone();
        self.choose_topics(&mut client);
        self.clients[at] = client;
        self.beat_of(at, true);
    }

    fn change_topics(&mut self) {
        let topics = &mut self.world.topics;
        match self.random.below(3) {
            0 if topics.by_serial.len() < 3 => {
                let known = topics.by_serial.values().map(|it| it.name.clone());
                let known: BTreeSet<String> = known.collect();
                let name = NAMES.iter().find(|it| !known.contains(**it)).unwrap();
                topics.create(name, 4);
            }
            1 if topics.by_serial.len() > 1 => topics.delete(NAMES[self.random.below(3)]),
            _ => {
                let names: Vec<_> = topics.by_serial.values().cloned().collect();
                let topic = &names[self.random.below(names.len())];
                if topic.partition_count < 12 {
                    topics.grow(&topic.name, topic.partition_count + 2);
                }
            }
        }
    }

    /// A change is lost on the way, or it is stored and the answer is lost.
    fn fail_to_store(&mut self) {
        self.world.stores_at_once = false;
        let at = self.random.below(self.clients.len());
        self.world.send(self.clients[at].full());
        if !self.world.stores.is_empty() {
            let is_stored = self.random.below(2) == 0;
            let result = if is_stored {
                Ok(())
            } else {
                Err(ErrorKind::NotLeader)
            };
            self.world.stored(result);
        }
        self.world.stores_at_once = true;
    }

    fn beat(&mut self) {
        let at = self.random.below(self.clients.len());
        let is_full = self.random.below(2) == 0;
        self.beat_of(at, is_full);
    }

    fn beat_of(&mut self, at: usize, is_full: bool) {
        let client = &self.clients[at];
        let is_joining = client.epoch == 0;
        let request = if is_full || is_joining {
            client.full()
        } else {
            client.short()
        };
        let answer = self.world.ask(request);
        let is_slow = self.random.below(4) == 0;
        let is_lost = self.random.below(8) == 0;
        let client = &mut self.clients[at];
        match answer {
            Ok(_) if is_lost => {}
            Ok(beat) => {
                client.hear(&beat);
                // Letting go may take a while; nothing new is taken before.
                if !is_slow {
                    client.reconcile();
                    self.commit(at);
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
                ErrorKind::FencedInstance | ErrorKind::UnreleasedInstance => {
                    self.clients.remove(at);
                    // The list has moved up: whoever is next is asked another time.
                    self.clients.push(Client::new("-", &[]));
                    self.clients.pop();
                }
                other => panic!("{other:?}: {}", refused.reason),
            },
        }
    }

    fn commit(&mut self, at: usize) {
        let client = &self.clients[at];
        let is_allowed = self
            .world
            .coordinator
            .check_commit(GROUP, &client.id, client.epoch);
        assert_eq!(is_allowed, Ok(()));
        self.commits_count += 1;
    }

    /// Nobody reads what another member of the group reads.
    fn check(&self) {
        let Some(described) = self.world.coordinator.describe(GROUP) else {
            return;
        };
        let members: BTreeSet<&str> = described
            .members
            .iter()
            .map(|it| it.member.as_str())
            .collect();
        let mut read = BTreeSet::new();
        for client in &self.clients {
            // A member that was given up does not know it yet; its commits are refused.
            if members.contains(client.id.as_str()) && client.epoch > 0 {
                for partition in &client.owned {
                    assert!(read.insert(*partition), "{partition} is read by two");
                }
            }
        }
    }

    /// Everybody behaves: the group comes to rest, with everything assigned and nobody waiting.
    fn settle(&mut self) {
        for _ in 0..24 {
            self.world.pass(5_000);
            let mut at = 0;
            while at < self.clients.len() {
                let before = self.clients.len();
                self.beat_of(at, true);
                at += usize::from(self.clients.len() == before);
            }
            self.check();
        }
        for client in &mut self.clients {
            let beat = self.world.ask(client.full()).unwrap();
            client.hear(&beat);
            client.reconcile();
        }
        for client in &mut self.clients {
            let beat = self.world.ask(client.full()).unwrap();
            client.hear(&beat);
            client.reconcile();
        }
        self.check_rest();
    }

    fn check_rest(&self) {
        let Some(described) = self.world.coordinator.describe(GROUP) else {
            assert!(self.clients.is_empty());
            return;
        };
        assert_eq!(
            described.members.len(),
            self.clients.len(),
            "the dead are gone"
        );
        let expected = match self.clients.is_empty() {
            true => GroupPhase::Empty,
            false => GroupPhase::Stable,
        };
        assert_eq!(described.state, expected);
        let mut wanted = 0;
        for topic in self.world.topics.by_serial.values() {
            let reads = |it: &Client| {
                it.topics.contains(&topic.name)
                    || it.pattern.as_deref() == Some("t-.*") && topic.name.starts_with("t-")
            };
            if self.clients.iter().any(reads) {
                wanted += usize::try_from(topic.partition_count).unwrap();
            }
        }
        let read: usize = self.clients.iter().map(|it| it.owned.len()).sum();
        assert_eq!(read, wanted, "everything is read");
        let is_alike = self
            .clients
            .windows(2)
            .all(|two| two[0].topics == two[1].topics && two[0].pattern == two[1].pattern);
        let loads = self.clients.iter().map(|it| it.owned.len());
        if let (true, Some(least), Some(most)) = (is_alike, loads.clone().min(), loads.max()) {
            assert!(most - least <= 1);
        }
    }
}

#[test]
fn whatever_clients_do_no_partition_has_two_readers_and_all_come_to_rest() {
    let (mut epochs, mut commits) = (0, 0);
    for seed in 0..60 {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            run.act();
        }
        run.settle();
        commits += run.commits_count;
        epochs += run
            .world
            .coordinator
            .describe(GROUP)
            .map_or(0, |it| it.epoch);
    }
    assert!(
        epochs > 500 && commits > 2_000,
        "{epochs} epochs, {commits} commits"
    );
}
