use std::collections::BTreeMap;

use super::*;

const RUN_COUNT: u64 = 200;
const STEP_COUNT: u64 = 80;
const OFFSET_COUNT: u64 = 60;
const ANNA: OwnerId = OwnerId(1);
const BORIS: OwnerId = OwnerId(2);

fn lock(owner: OwnerId) -> Lock {
    Lock {
        owner,
        until_ms: None,
    }
}

fn filled(count: u64) -> Ledger {
    let mut ledger = Ledger::new(0);
    ledger.extend(count);
    ledger
}

fn offsets(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|each| each.offset).collect()
}

#[test]
fn records_go_out_in_order_and_come_back_to_their_old_place() {
    let mut ledger = filled(5);
    assert_eq!(offsets(&ledger.acquire(lock(ANNA), 3)), [0, 1, 2]);
    ledger.settle(0, ANNA).unwrap();
    assert_eq!(ledger.release(1, ANNA, Release::Tried), Ok(1));
    let again = ledger.acquire(lock(BORIS), 2);
    assert_eq!(offsets(&again), [1, 3]);
    assert_eq!((again[0].delivery_count, again[1].delivery_count), (2, 1));
    assert_eq!(ledger.floor(), 1);
    let counts = Counts {
        ready: 1,
        acquired: 3,
    };
    assert_eq!(ledger.counts(), counts);
}

#[test]
fn what_somebody_else_has_or_nobody_cannot_be_settled_or_released() {
    let mut ledger = filled(2);
    ledger.acquire(lock(ANNA), 1);
    for offset in [0, 1, 7] {
        let refused = Err(NotHeld { offset });
        assert_eq!(ledger.settle(offset, BORIS).map(|_| ()), refused);
        assert_eq!(
            ledger.release(offset, BORIS, Release::Tried).map(|_| ()),
            refused
        );
    }
    ledger.settle(0, ANNA).unwrap();
    assert_eq!(ledger.settle(0, ANNA), Err(NotHeld { offset: 0 }));
}

#[test]
fn a_delivery_that_nobody_looked_at_does_not_count() {
    let mut ledger = filled(1);
    ledger.acquire(lock(ANNA), 1);
    assert_eq!(ledger.release(0, ANNA, Release::Untouched), Ok(0));
    assert_eq!(ledger.acquire(lock(ANNA), 1)[0].delivery_count, 1);
}

#[test]
fn an_owner_that_is_gone_leaves_all_that_it_had_and_nothing_of_others() {
    let mut ledger = filled(4);
    ledger.acquire(lock(ANNA), 1);
    ledger.acquire(lock(BORIS), 1);
    ledger.acquire(lock(ANNA), 1);
    assert_eq!(ledger.release_all(ANNA, Release::Tried), [0, 2]);
    assert_eq!(ledger.held(1).map(|held| held.lock.owner), Some(BORIS));
    assert_eq!(offsets(&ledger.acquire(lock(BORIS), 9)), [0, 2, 3]);
}

#[test]
fn a_lock_ends_at_its_time_unless_it_was_renewed() {
    let mut ledger = filled(2);
    let until = |until_ms| Lock {
        owner: ANNA,
        until_ms: Some(until_ms),
    };
    ledger.acquire(until(10), 2);
    ledger.renew(1, until(20)).unwrap();
    assert_eq!(ledger.next_end_ms(), Some(10));
    assert_eq!(ledger.end_locks(9, 9), []);
    let ended = ledger.end_locks(10, 9);
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].0, ended[0].1.lock.owner), (0, ANNA));
    assert_eq!(ledger.next_end_ms(), Some(20));
    assert_eq!(ledger.settle(0, ANNA), Err(NotHeld { offset: 0 }));
    ledger.settle(1, ANNA).unwrap();
    assert_eq!(ledger.next_end_ms(), None);
}

#[test]
fn a_hundred_million_waiting_records_take_some_hundred_bytes() {
    let mut ledger = filled(100_000_000);
    ledger.acquire(lock(ANNA), 10);
    assert!(ledger.encode().len() < 1_000);
}

#[test]
fn every_second_record_that_is_left_costs_two_bits() {
    const COUNT: u64 = 400_000;
    let mut ledger = filled(COUNT);
    for offset in 0..COUNT {
        let taken = ledger.acquire(lock(ANNA), 1);
        assert_eq!(offsets(&taken), [offset]);
        if offset % 2 == 0 {
            ledger.settle(offset, ANNA).unwrap();
        }
    }
    ledger.release_all(ANNA, Release::Tried);
    assert_eq!(ledger.counts().ready, COUNT / 2);
    let size_bytes = u64::try_from(ledger.encode().len()).unwrap();
    assert!(size_bytes < COUNT / 8 + 16_000, "{size_bytes} bytes");
}

#[test]
fn a_log_that_loses_its_beginning_takes_with_it_whatever_state_it_was_in() {
    let mut ledger = filled(10);
    ledger.acquire(lock(ANNA), 4);
    ledger.settle(0, ANNA).unwrap();
    ledger.release(1, ANNA, Release::Tried).unwrap();
    assert_eq!(ledger.trim(3), 2);
    assert_eq!((ledger.floor(), ledger.counts().acquired), (3, 1));
    assert_eq!(ledger.trim(12), 1 + 6);
    assert_eq!((ledger.floor(), ledger.end()), (12, 12));
    assert_eq!(ledger.counts(), Counts::default());
}

#[test]
fn purging_leaves_what_is_held() {
    let mut ledger = filled(5);
    ledger.acquire(lock(ANNA), 2);
    ledger.release(0, ANNA, Release::Tried).unwrap();
    assert_eq!(ledger.purge(), 4);
    assert_eq!((ledger.first_ready(), ledger.counts().acquired), (None, 1));
    ledger.release(1, ANNA, Release::Tried).unwrap();
    assert_eq!(ledger.first_ready(), Some(1));
}

#[test]
fn a_record_in_the_middle_is_taken_only_where_nothing_is_forgotten_by_it() {
    let mut ledger = filled(5);
    assert_eq!(ledger.acquire_at(2, lock(ANNA)), None);
    assert!(ledger.acquire_at(0, lock(ANNA)).is_some());
    ledger.release(0, ANNA, Release::Tried).unwrap();
    ledger.acquire_at(1, lock(ANNA)).unwrap();
    assert_eq!(ledger.acquire_at(0, lock(BORIS)).unwrap().delivery_count, 2);
    assert_eq!(ledger.acquire_at(5, lock(ANNA)), None);
}

/// What a record may be, said in the plainest way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready(u32),
    Held(OwnerId, Option<i64>, u32),
}

#[derive(Clone, Debug)]
enum Step {
    Extend(u64),
    Acquire(OwnerId, Option<i64>, usize),
    Settle(u64, OwnerId),
    Release(u64, OwnerId, Release),
    ReleaseAll(OwnerId),
    EndLocks(i64),
    DropFirst,
    Purge,
    Trim(u64),
}

/// Numbers that follow from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn time(&mut self) -> i64 {
        i64::try_from(self.below(50)).unwrap()
    }

    fn step(&mut self) -> Step {
        let owner = OwnerId(1 + self.below(3));
        let offset = self.below(OFFSET_COUNT);
        match self.below(10) {
            0 | 1 => Step::Extend(offset),
            2 | 3 => {
                let until = (self.below(2) == 0).then(|| self.time());
                Step::Acquire(owner, until, usize::try_from(self.below(6)).unwrap())
            }
            4 => Step::Settle(offset, owner),
            5 if self.below(2) == 0 => Step::Release(offset, owner, Release::Tried),
            5 => Step::Release(offset, owner, Release::Untouched),
            6 => Step::ReleaseAll(owner),
            7 => Step::EndLocks(self.time()),
            8 if self.below(4) == 0 => Step::Purge,
            8 => Step::DropFirst,
            _ => Step::Trim(offset / 2),
        }
    }
}

/// A map with a state for each record that is not settled.
#[derive(Default)]
struct Plain {
    start: u64,
    end: u64,
    records: BTreeMap<u64, State>,
}

impl Plain {
    fn first_ready(&self) -> Option<(u64, u32)> {
        let mut records = self.records.iter();
        records.find_map(|(offset, state)| match state {
            State::Ready(count) => Some((*offset, *count)),
            State::Held(..) => None,
        })
    }

    fn release(&mut self, how: Release, is_meant: impl Fn(u64, OwnerId, Option<i64>) -> bool) {
        for (offset, state) in &mut self.records {
            if let State::Held(owner, until, count) = *state
                && is_meant(*offset, owner, until)
            {
                *state = State::Ready(count - u32::from(how == Release::Untouched));
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Extend(end) => {
                let from = self.end.max(self.start);
                self.records
                    .extend((from..end).map(|offset| (offset, State::Ready(0))));
                self.end = self.end.max(end);
            }
            Step::Acquire(owner, until, limit) => {
                for _ in 0..limit {
                    let Some((offset, count)) = self.first_ready() else {
                        return;
                    };
                    self.records
                        .insert(offset, State::Held(owner, until, count + 1));
                }
            }
            Step::Settle(offset, owner) => {
                let held = self.records.get(&offset);
                if matches!(held, Some(State::Held(holder, ..)) if *holder == owner) {
                    self.records.remove(&offset);
                }
            }
            Step::Release(at, by, how) => {
                self.release(how, |offset, owner, _| offset == at && owner == by);
            }
            Step::ReleaseAll(by) => self.release(Release::Tried, |_, owner, _| owner == by),
            Step::EndLocks(now) => {
                self.release(Release::Tried, |_, _, until| {
                    until.is_some_and(|at| at <= now)
                });
            }
            Step::DropFirst => {
                if let Some((offset, _)) = self.first_ready() {
                    self.records.remove(&offset);
                }
            }
            Step::Purge => self
                .records
                .retain(|_, state| matches!(state, State::Held(..))),
            Step::Trim(start) => {
                self.records = self.records.split_off(&start);
                self.start = self.start.max(start);
                self.end = self.end.max(start);
            }
        }
    }
}

fn take(ledger: &mut Ledger, step: &Step) {
    match *step {
        Step::Extend(end) => ledger.extend(end),
        Step::Acquire(owner, until_ms, limit) => {
            ledger.acquire(Lock { owner, until_ms }, limit);
        }
        Step::Settle(offset, owner) => drop(ledger.settle(offset, owner)),
        Step::Release(offset, owner, how) => drop(ledger.release(offset, owner, how)),
        Step::ReleaseAll(owner) => drop(ledger.release_all(owner, Release::Tried)),
        Step::EndLocks(now_ms) => drop(ledger.end_locks(now_ms, usize::MAX)),
        Step::DropFirst => drop(ledger.drop_first()),
        Step::Purge => drop(ledger.purge()),
        Step::Trim(start) => drop(ledger.trim(start)),
    }
}

fn state_of(ledger: &Ledger, offset: u64) -> Option<State> {
    if let Some(held) = ledger.held(offset) {
        let lock = held.lock;
        return Some(State::Held(lock.owner, lock.until_ms, held.delivery_count));
    }
    if ledger.returned.contains(offset) {
        let count = ledger.returned.counts().get(&offset).copied();
        return Some(State::Ready(count.unwrap_or(1)));
    }
    (ledger.fresh_from()..ledger.end())
        .contains(&offset)
        .then_some(State::Ready(0))
}

#[test]
fn the_ledger_says_what_a_plain_map_says() {
    for seed in 1..=RUN_COUNT {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut ledger = Ledger::new(0);
        let mut plain = Plain::default();
        for _ in 0..STEP_COUNT {
            let step = chance.step();
            take(&mut ledger, &step);
            plain.take(&step);
            for offset in 0..OFFSET_COUNT {
                let wanted = plain.records.get(&offset).copied();
                let found = state_of(&ledger, offset);
                assert_eq!(found, wanted, "seed {seed}: {offset} after {step:?}");
            }
            let held = |state: &&State| matches!(state, State::Held(..));
            let acquired = plain.records.values().filter(held).count() as u64;
            let ready = plain.records.len() as u64 - acquired;
            assert_eq!(ledger.counts(), Counts { ready, acquired }, "seed {seed}");
            let first_ready = plain.first_ready().map(|(offset, _)| offset);
            assert_eq!(ledger.first_ready(), first_ready, "seed {seed}");
            let floor = plain.records.keys().next().copied();
            let wanted = floor.unwrap_or_else(|| ledger.end());
            assert_eq!(ledger.floor(), wanted, "seed {seed}");
            assert_eq!(
                Ledger::decode(&ledger.encode()),
                Ok(ledger.clone()),
                "seed {seed}"
            );
        }
    }
}
