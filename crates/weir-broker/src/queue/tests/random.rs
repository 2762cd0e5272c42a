//! Steps drawn from a seed, against what clients see: who holds what, told in the plainest way.

use std::collections::BTreeMap;

use weir_log::Millis;
use weir_model::fields::BasicProperties;

use super::bench::{Bench, attach, batch, consumer, session, short};
use crate::{
    api::queues::{Held, Settlement},
    queue::{
        Assignment, Attach, ConsumerKey, Overflow, Queue, QueueApplied, QueueCommand, QueueSettings,
    },
};

const RUN_COUNT: u64 = 400;
const STEP_COUNT: u64 = 120;
const CONSUMER_COUNT: u64 = 4;

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn often(&mut self) -> bool {
        self.below(2) == 0
    }

    fn settings(&mut self) -> QueueSettings {
        let mut some = |value| self.often().then_some(value);
        QueueSettings {
            message_ttl_ms: None,
            max_length_count: some(8),
            max_length_bytes: some(60),
            delivery_limit_count: some(2_u64).and_then(|it| u32::try_from(it).ok()),
            retry_delay_ms: some(5).map(|min_ms| (min_ms, 20)),
            highest_priority: if some(1).is_some() { 2 } else { 0 },
            is_single_active: some(1).is_some(),
            dead_letter: some(1).map(|_| (short("dlx"), None)),
            overflow: match self.below(4) {
                0 => Overflow::RejectPublish,
                1 => Overflow::RejectPublishDeadLetter,
                _ => Overflow::DropHead,
            },
            ..QueueSettings::default()
        }
    }

    fn attach(&mut self) -> Attach {
        let number = 1 + self.below(CONSUMER_COUNT);
        Attach {
            is_exclusive: self.below(8) == 0,
            priority: i32::from(self.often()),
            ..attach(number, 1 + u32::try_from(self.below(3)).unwrap())
        }
    }
}

/// What clients have seen.
#[derive(Default)]
struct Clients {
    /// Who has which message now, by offset.
    held: BTreeMap<u64, Assignment>,
    /// What was acknowledged, purged or put away: never seen again.
    done: Vec<u64>,
    last_serial: Option<u64>,
}

impl Clients {
    fn take(&mut self, bench: &Bench, assigned: &[Assignment]) {
        for each in assigned {
            assert!(self.last_serial.is_none_or(|last| last < each.serial));
            self.last_serial = Some(each.serial);
            assert!(!self.done.contains(&each.offset), "{each:?} comes again");
            let before = self.held.insert(each.offset, *each);
            assert!(before.is_none(), "{each:?} is {before:?}");
        }
        self.check(bench);
    }

    /// The queue says the same.
    fn check(&self, bench: &Bench) {
        let figures = bench.queue.figures();
        assert_eq!(figures.unacked_count, self.held.len() as u64);
        for each in self.held.values() {
            let held = bench.queue.ledger.held(each.offset).unwrap();
            assert_eq!(held.serial, each.serial);
        }
        let is_ready = |(_, offset): &(u8, u64)| self.held.contains_key(offset);
        assert!(!bench.queue.ready(usize::MAX).iter().any(is_ready));
    }

    fn any(&self, chance: &mut Chance) -> Option<Assignment> {
        let count = u64::try_from(self.held.len()).unwrap();
        let at = usize::try_from(chance.below(count.max(1))).unwrap();
        self.held.values().nth(at).copied()
    }
}

fn messages(chance: &mut Chance) -> bytes::Bytes {
    let count = 1 + chance.below(4);
    let all = (0..count).map(|_| {
        let priority = chance
            .often()
            .then(|| u8::try_from(chance.below(5)).unwrap());
        let own = BasicProperties {
            priority,
            ..BasicProperties::default()
        };
        (
            own,
            &b"body, of some bytes"[..usize::try_from(chance.below(19)).unwrap()],
        )
    });
    batch(&all.collect::<Vec<_>>())
}

fn settle(bench: &mut Bench, clients: &mut Clients, chance: &mut Chance) -> Vec<Assignment> {
    let Some(each) = clients.any(chance) else {
        return Vec::new();
    };
    let how = match chance.below(4) {
        0 | 1 => Settlement::Ack,
        2 if chance.often() => Settlement::Reject,
        2 => Settlement::Requeue,
        _ => Settlement::RequeueFailed,
    };
    clients.held.remove(&each.offset);
    if matches!(how, Settlement::Ack | Settlement::Reject) {
        clients.done.push(each.offset);
    }
    bench.settle(&[each], how)
}

fn detach(
    bench: &mut Bench,
    clients: &mut Clients,
    consumer: ConsumerKey,
    chance: &mut Chance,
) -> Vec<Assignment> {
    let first_unsent = chance.below(200);
    let held = match chance.often() {
        true => Held::Stays,
        false => Held::Returns,
    };
    let (_, assigned) = bench.apply(QueueCommand::Detach {
        consumer,
        held,
        first_unsent,
    });
    let ledger = &bench.queue.ledger;
    clients.held.retain(|offset, each| {
        let is_kept = ledger
            .held(*offset)
            .is_some_and(|it| it.serial == each.serial);
        let may_return = held == Held::Returns || each.serial >= first_unsent;
        let is_its = (each.session, each.tag) == (consumer.session, Some(consumer.tag));
        assert!(is_kept || (is_its && may_return), "{each:?} went");
        is_kept
    });
    assigned
}

fn step(bench: &mut Bench, clients: &mut Clients, chance: &mut Chance) {
    bench.now = bench.now.plus(chance.below(10));
    let assigned = match chance.below(15) {
        0..=2 => bench.enqueue(&messages(chance)).1,
        3 | 4 => bench.apply(QueueCommand::Attach(chance.attach())).1,
        5 => {
            let consumer = consumer(1 + chance.below(CONSUMER_COUNT));
            detach(bench, clients, consumer, chance)
        }
        6..=8 => settle(bench, clients, chance),
        9 => {
            let number = 1 + chance.below(CONSUMER_COUNT);
            let gone = session(number);
            clients.held.retain(|_, each| each.session != gone);
            bench.end_session(number)
        }
        10 => {
            let number = 1 + chance.below(CONSUMER_COUNT);
            let request = chance.below(60);
            let before = clients.held.len();
            let (given, _) = bench.get(number, request);
            let is_new = |each: &Assignment| !clients.held.contains_key(&each.offset);
            let given: Vec<Assignment> = given.into_iter().filter(is_new).collect();
            assert!(before + given.len() >= clients.held.len());
            given
        }
        11 => {
            let ready = bench.queue.ready(usize::MAX);
            clients.done.extend(ready.iter().map(|(_, offset)| *offset));
            let (purged, assigned) = bench.apply(QueueCommand::Purge);
            assert_eq!(purged, QueueApplied::Counted(ready.len() as u64));
            assigned
        }
        12 => {
            let letters: Vec<_> = bench.queue.dead_letters().collect();
            clients.done.extend(letters.iter().map(|it| it.offset));
            let hopped = letters.iter().map(|it| (it.offset, it.serial)).collect();
            bench.apply(QueueCommand::Hopped(hopped)).1
        }
        13 => {
            bench.now = bench.queue.next_end_of_wait().unwrap_or(bench.now);
            bench.apply(QueueCommand::Wake).1
        }
        _ => bench.apply(QueueCommand::Wake).1,
    };
    clients.take(bench, &assigned);
}

/// What is ready goes out in order, within its level.
fn drain(bench: &mut Bench, clients: &mut Clients) {
    for number in 1..=CONSUMER_COUNT {
        clients
            .held
            .retain(|_, each| each.session != session(number));
        let assigned = bench.end_session(number);
        clients.take(bench, &assigned);
    }
    bench.now = Millis(1 << 40);
    bench.apply(QueueCommand::Wake);
    let ready = bench.queue.ready(usize::MAX);
    let assigned = bench.attach(attach(9, 0));
    let order: Vec<u64> = assigned.iter().map(|each| each.offset).collect();
    let wanted: Vec<u64> = ready.iter().map(|(_, offset)| *offset).collect();
    assert_eq!(order, wanted);
    clients.take(bench, &assigned);
    for each in assigned {
        clients.held.remove(&each.offset);
        bench.settle(&[each], Settlement::Ack);
    }
    let letters: Vec<_> = bench.queue.dead_letters().collect();
    let hopped = letters.iter().map(|it| (it.offset, it.serial)).collect();
    bench.apply(QueueCommand::Hopped(hopped));
    assert_eq!(bench.queue.figures().ready_count, 0);
    assert_eq!(bench.queue.floor(), bench.queue.ledger.end());
}

#[test]
fn whatever_comes_every_message_is_one_clients_or_nobodys() {
    for seed in 1..=RUN_COUNT {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bench = Bench::new(chance.settings());
        let mut clients = Clients::default();
        for at in 0..STEP_COUNT {
            let tried = std::panic::AssertUnwindSafe(|| {
                step(&mut bench, &mut clients, &mut chance);
            });
            let tried = std::panic::catch_unwind(tried);
            assert!(tried.is_ok(), "seed {seed}, step {at}");
        }
        drain(&mut bench, &mut clients);
    }
}

#[test]
fn a_snapshot_that_is_cut_anywhere_or_damaged_is_refused_or_another_queue() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut bench = Bench::new(chance.settings());
    let mut clients = Clients::default();
    for _ in 0..STEP_COUNT {
        step(&mut bench, &mut clients, &mut chance);
    }
    bench.put_undecided(5, 2);
    crate::encoding::trial::damage(&bench.queue.encode(), Queue::decode);
}
