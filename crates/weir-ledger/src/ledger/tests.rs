use std::collections::BTreeMap;

use super::*;

const RUN_COUNT: u64 = 300;
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

fn acquire(ledger: &mut Ledger, owner: OwnerId, count: usize) -> Vec<u64> {
    let taken = (0..count).map_while(|_| ledger.acquire(lock(owner)));
    taken.map(|each| each.offset).collect()
}

fn release_all(ledger: &mut Ledger, owner: OwnerId, how: Release) {
    let held: Vec<u64> = ledger.held_by(owner).map(|(offset, _)| offset).collect();
    for offset in held {
        ledger.release(offset, owner, how).unwrap();
    }
}

fn tries(delivery_count: u32, failed_count: u32) -> Tries {
    Tries {
        delivery_count,
        failed_count,
    }
}

#[test]
fn records_go_out_in_order_and_come_back_to_their_old_place() {
    let mut ledger = filled(5);
    assert_eq!(acquire(&mut ledger, ANNA, 3), [0, 1, 2]);
    ledger.settle(0, ANNA).unwrap();
    let released = ledger.release(1, ANNA, Release::Failed);
    assert_eq!(released, Ok(tries(1, 1)));
    let again = ledger.acquire(lock(BORIS)).unwrap();
    assert_eq!((again.offset, again.tries), (1, tries(2, 1)));
    let next = ledger.acquire(lock(BORIS)).unwrap();
    assert_eq!((next.offset, next.tries), (3, tries(1, 0)));
    assert!(next.serial > again.serial);
    assert_eq!(ledger.floor(), 1);
    let counts = Counts {
        ready: 1,
        acquired: 3,
    };
    assert_eq!(ledger.counts(), counts);
    assert_eq!(ledger.count_of(ANNA), 1);
}

#[test]
fn what_somebody_else_has_or_nobody_cannot_be_settled_or_released() {
    let mut ledger = filled(2);
    acquire(&mut ledger, ANNA, 1);
    for offset in [0, 1, 7] {
        let refused = Err(NotHeld { offset });
        assert_eq!(ledger.settle(offset, BORIS).map(|_| ()), refused);
        let released = ledger.release(offset, BORIS, Release::Failed);
        assert_eq!(released.map(|_| ()), refused);
    }
    ledger.settle(0, ANNA).unwrap();
    assert_eq!(ledger.settle(0, ANNA), Err(NotHeld { offset: 0 }));
}

#[test]
fn only_what_failed_counts_as_failed_and_what_nobody_saw_not_even_as_delivered() {
    let mut ledger = filled(1);
    for (how, wanted) in [
        (Release::Untouched, tries(0, 0)),
        (Release::Returned, tries(1, 0)),
        (Release::Failed, tries(2, 1)),
        (Release::Untouched, tries(2, 1)),
    ] {
        acquire(&mut ledger, ANNA, 1);
        assert_eq!(ledger.release(0, ANNA, how), Ok(wanted));
    }
}

#[test]
fn a_higher_level_goes_first_and_keeps_its_place_when_it_comes_back() {
    let mut ledger = filled(6);
    for (offset, level) in [(1, 3), (4, 9), (5, 3)] {
        assert!(ledger.withhold(offset));
        assert!(ledger.admit(offset, level));
    }
    let ready: Vec<(u8, u64)> = ledger.ready(9).collect();
    assert_eq!(ready, [(9, 4), (3, 1), (3, 5), (0, 0), (0, 2), (0, 3)]);
    assert_eq!(acquire(&mut ledger, ANNA, 4), [4, 1, 5, 0]);
    for offset in [5, 0, 4] {
        ledger.release(offset, ANNA, Release::Returned).unwrap();
    }
    assert_eq!(acquire(&mut ledger, BORIS, 9), [4, 5, 0, 2, 3]);
}

#[test]
fn what_is_withheld_is_not_ready_until_it_is_admitted() {
    let mut ledger = filled(5);
    for offset in [0, 2, 3] {
        assert!(ledger.withhold(offset));
        assert!(!ledger.withhold(offset));
    }
    assert_eq!(ledger.counts().ready, 2);
    assert!(ledger.admit(3, 0));
    assert!(!ledger.admit(3, 0) && !ledger.admit(1, 0) && !ledger.admit(5, 0));
    assert_eq!(acquire(&mut ledger, ANNA, 2), [1, 3]);
    assert!(ledger.admit(2, 0));
    assert!(ledger.admit(0, 0));
    assert!(!ledger.admit(1, 0));
    assert_eq!(acquire(&mut ledger, ANNA, 9), [0, 2, 4]);
}

#[test]
fn a_lock_ends_at_its_time_unless_it_was_renewed() {
    let mut ledger = filled(2);
    let until = |until_ms| Lock {
        owner: ANNA,
        until_ms: Some(until_ms),
    };
    ledger.acquire(until(10)).unwrap();
    ledger.acquire(until(10)).unwrap();
    ledger.renew(1, until(20)).unwrap();
    assert_eq!(ledger.next_end_ms(), Some(10));
    assert_eq!(ledger.ended(9).count(), 0);
    let ended: Vec<u64> = ledger.ended(10).map(|(offset, _)| offset).collect();
    assert_eq!(ended, [0]);
    ledger.release(0, ANNA, Release::Failed).unwrap();
    assert_eq!(ledger.next_end_ms(), Some(20));
    ledger.settle(1, ANNA).unwrap();
    assert_eq!(ledger.next_end_ms(), None);
}

#[test]
fn a_record_that_is_handed_over_is_never_ready_in_between() {
    let mut ledger = filled(2);
    let first = ledger.acquire(lock(ANNA)).unwrap();
    let later = ledger.hand_over(0, ANNA, Release::Failed, lock(BORIS));
    let later = later.unwrap();
    assert!(later.serial > first.serial);
    assert_eq!(later.tries, tries(2, 1));
    assert_eq!(ledger.settle(0, ANNA), Err(NotHeld { offset: 0 }));
    let untouched = ledger.release(0, BORIS, Release::Untouched);
    assert_eq!(untouched, Ok(tries(1, 1)));
}

#[test]
fn a_hundred_million_waiting_records_take_some_hundred_bytes() {
    let mut ledger = filled(100_000_000);
    acquire(&mut ledger, ANNA, 10);
    assert!(ledger.encode().len() < 1_000);
}

#[test]
fn every_second_record_that_is_left_costs_some_bits() {
    const COUNT: u64 = 400_000;
    for (how, bits) in [(Release::Returned, 1), (Release::Failed, 2)] {
        let mut ledger = filled(COUNT);
        for offset in 0..COUNT {
            assert_eq!(acquire(&mut ledger, ANNA, 1), [offset]);
            if offset % 2 == 0 {
                ledger.settle(offset, ANNA).unwrap();
            }
        }
        release_all(&mut ledger, ANNA, how);
        assert_eq!(ledger.counts().ready, COUNT / 2);
        let size_bytes = u64::try_from(ledger.encode().len()).unwrap();
        assert!(size_bytes < bits * COUNT / 8 + 16_000, "{size_bytes} bytes");
    }
}

#[test]
fn a_log_that_loses_its_beginning_takes_with_it_whatever_state_it_was_in() {
    let mut ledger = filled(10);
    ledger.withhold(6);
    acquire(&mut ledger, ANNA, 4);
    ledger.settle(0, ANNA).unwrap();
    ledger.release(1, ANNA, Release::Failed).unwrap();
    assert_eq!(ledger.trim(3), 2);
    assert_eq!((ledger.floor(), ledger.counts().acquired), (3, 1));
    assert_eq!(ledger.trim(12), 1 + 5);
    assert_eq!((ledger.floor(), ledger.end()), (12, 12));
    assert_eq!(ledger.counts(), Counts::default());
}

#[test]
fn purging_leaves_what_is_held() {
    let mut ledger = filled(5);
    acquire(&mut ledger, ANNA, 2);
    ledger.release(0, ANNA, Release::Failed).unwrap();
    assert_eq!(ledger.purge(), 4);
    assert_eq!((ledger.first_ready(), ledger.counts().acquired), (None, 1));
    ledger.release(1, ANNA, Release::Failed).unwrap();
    assert_eq!(ledger.first_ready(), Some(1));
}

#[test]
fn a_record_in_the_middle_may_be_taken() {
    let mut ledger = filled(5);
    assert!(ledger.acquire_at(2, lock(ANNA)).is_some());
    assert_eq!(ledger.acquire_at(2, lock(ANNA)), None);
    assert_eq!(ledger.acquire_at(5, lock(ANNA)), None);
    assert!(ledger.drop_at(1) && !ledger.drop_at(2));
    ledger.release(2, ANNA, Release::Returned).unwrap();
    assert_eq!(acquire(&mut ledger, BORIS, 9), [0, 2, 3, 4]);
}

/// What a record may be, said in the plainest way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready(u8, Tries),
    Held(OwnerId, Option<i64>, u8, Tries),
    Withheld,
}

#[derive(Clone, Debug)]
enum Step {
    Extend(u64),
    Withhold(u64),
    Admit(u64, u8),
    Acquire(OwnerId, Option<i64>, usize),
    AcquireAt(u64, OwnerId),
    Settle(u64, OwnerId),
    Release(u64, OwnerId, Release),
    HandOver(u64, OwnerId, Release, OwnerId),
    DropFirst,
    DropAt(u64),
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

    fn how(&mut self) -> Release {
        match self.below(3) {
            0 => Release::Failed,
            1 => Release::Returned,
            _ => Release::Untouched,
        }
    }

    fn step(&mut self) -> Step {
        let owner = OwnerId(1 + self.below(3));
        let offset = self.below(OFFSET_COUNT);
        match self.below(13) {
            0 | 1 => Step::Extend(offset),
            2 => Step::Withhold(offset),
            3 => Step::Admit(offset, u8::try_from(self.below(3)).unwrap()),
            4 | 5 => {
                let until = (self.below(2) == 0).then(|| self.time());
                Step::Acquire(owner, until, usize::try_from(self.below(6)).unwrap())
            }
            6 => Step::AcquireAt(offset, owner),
            7 => Step::Settle(offset, owner),
            8 => Step::Release(offset, owner, self.how()),
            9 => Step::HandOver(offset, owner, self.how(), OwnerId(4)),
            10 if self.below(4) == 0 => Step::Purge,
            10 => Step::DropFirst,
            11 => Step::DropAt(offset),
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
    fn first_ready(&self) -> Option<(u64, u8, Tries)> {
        let ready = self
            .records
            .iter()
            .filter_map(|(offset, state)| match state {
                State::Ready(level, tries) => Some((*offset, *level, *tries)),
                State::Held(..) | State::Withheld => None,
            });
        ready.min_by_key(|(offset, level, _)| (std::cmp::Reverse(*level), *offset))
    }

    fn hold(&mut self, offset: u64, owner: OwnerId, until: Option<i64>) {
        if let Some(State::Ready(level, before)) = self.records.get(&offset).copied() {
            let tries = tries(before.delivery_count + 1, before.failed_count);
            let held = State::Held(owner, until, level, tries);
            self.records.insert(offset, held);
        }
    }

    fn is_held(&self, offset: u64, by: OwnerId) -> bool {
        let held = self.records.get(&offset);
        matches!(held, Some(State::Held(owner, ..)) if *owner == by)
    }

    fn release(&mut self, offset: u64, by: OwnerId, how: Release) {
        if let Some(State::Held(owner, _, level, tries)) = self.records.get(&offset).copied()
            && owner == by
        {
            let ready = State::Ready(level, tries.after(how));
            self.records.insert(offset, ready);
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Extend(end) => {
                let from = self.end.max(self.start);
                let new = (from..end).map(|at| (at, State::Ready(0, Tries::default())));
                self.records.extend(new);
                self.end = self.end.max(end);
            }
            // Only what is new is withheld.
            Step::Withhold(offset) => {
                self.records.insert(offset, State::Withheld);
            }
            Step::Admit(offset, level) => {
                let ready = State::Ready(level, Tries::default());
                self.records.insert(offset, ready);
            }
            Step::Acquire(owner, until, limit) => {
                for _ in 0..limit {
                    if let Some((offset, ..)) = self.first_ready() {
                        self.hold(offset, owner, until);
                    }
                }
            }
            Step::AcquireAt(offset, owner) => self.hold(offset, owner, None),
            Step::Settle(offset, owner) => {
                if self.is_held(offset, owner) {
                    self.records.remove(&offset);
                }
            }
            Step::Release(at, by, how) => self.release(at, by, how),
            Step::HandOver(at, by, how, to) => {
                if self.is_held(at, by) {
                    self.release(at, by, how);
                    self.hold(at, to, None);
                }
            }
            Step::DropFirst => {
                if let Some((offset, ..)) = self.first_ready() {
                    self.records.remove(&offset);
                }
            }
            Step::DropAt(offset) => {
                if matches!(self.records.get(&offset), Some(State::Ready(..))) {
                    self.records.remove(&offset);
                }
            }
            Step::Purge => self
                .records
                .retain(|_, state| !matches!(state, State::Ready(..))),
            Step::Trim(start) => {
                self.records = self.records.split_off(&start);
                self.start = self.start.max(start);
                self.end = self.end.max(start);
            }
        }
    }
}

/// Takes the step; `false` where it changes nothing because its condition does not hold.
fn take(ledger: &mut Ledger, plain: &Plain, step: &Step) -> bool {
    match *step {
        Step::Extend(end) => ledger.extend(end),
        Step::Withhold(offset) => return ledger.withhold(offset),
        Step::Admit(offset, level) => {
            // What is settled must not be admitted: the keeper sees to it.
            let is_withheld = plain.records.get(&offset) == Some(&State::Withheld);
            return is_withheld && ledger.admit(offset, level);
        }
        Step::Acquire(owner, until_ms, limit) => {
            for _ in 0..limit {
                ledger.acquire(Lock { owner, until_ms });
            }
        }
        Step::AcquireAt(offset, owner) => drop(ledger.acquire_at(offset, lock(owner))),
        Step::Settle(offset, owner) => drop(ledger.settle(offset, owner)),
        Step::Release(offset, owner, how) => drop(ledger.release(offset, owner, how)),
        Step::HandOver(offset, owner, how, to) => {
            let _ = ledger.hand_over(offset, owner, how, lock(to));
        }
        Step::DropFirst => drop(ledger.drop_first()),
        Step::DropAt(offset) => drop(ledger.drop_at(offset)),
        Step::Purge => drop(ledger.purge()),
        Step::Trim(start) => drop(ledger.trim(start)),
    }
    true
}

fn state_of(ledger: &Ledger, offset: u64) -> Option<State> {
    if let Some(held) = ledger.held(offset) {
        let Lock { owner, until_ms } = held.lock;
        return Some(State::Held(owner, until_ms, held.level, held.tries));
    }
    let mut lanes = ledger.lanes.iter();
    let ready = lanes.find_map(|(level, lane)| Some(State::Ready(*level, lane.get(offset)?)));
    let is_fresh = ledger.is_fresh(offset);
    assert!(!is_fresh || ready.is_none(), "in two states: {offset}");
    let fresh = State::Ready(0, Tries::default());
    ready.or_else(|| is_fresh.then_some(fresh))
}

fn check(ledger: &Ledger, plain: &Plain) {
    for offset in 0..OFFSET_COUNT {
        let wanted = plain.records.get(&offset).copied();
        let wanted = wanted.filter(|state| *state != State::Withheld);
        assert_eq!(state_of(ledger, offset), wanted, "{offset}");
    }
    let count = |is_meant: fn(&State) -> bool| {
        plain
            .records
            .values()
            .filter(|state| is_meant(state))
            .count() as u64
    };
    let counts = Counts {
        ready: count(|state| matches!(state, State::Ready(..))),
        acquired: count(|state| matches!(state, State::Held(..))),
    };
    assert_eq!(ledger.counts(), counts);
    let first_ready = plain.first_ready().map(|(offset, ..)| offset);
    assert_eq!(ledger.first_ready(), first_ready);
    let first_of_all = ledger.ready(1).next().map(|(_, offset)| offset);
    assert_eq!(first_of_all, first_ready);
    assert_eq!(ledger.ready(usize::MAX).count() as u64, counts.ready);
    let mut known = plain.records.iter();
    if let Some((floor, _)) = known.find(|(_, state)| **state != State::Withheld) {
        assert!(ledger.floor() <= *floor && ledger.floor() >= plain.start);
    }
    assert_eq!(Ledger::decode(&ledger.encode()).as_ref(), Ok(ledger));
}

#[test]
fn the_ledger_says_what_a_plain_map_says() {
    for seed in 1..=RUN_COUNT {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut ledger = Ledger::new(0);
        let mut plain = Plain::default();
        for _ in 0..STEP_COUNT {
            let step = chance.step();
            if take(&mut ledger, &plain, &step) {
                plain.take(&step);
            }
            let (ledger, plain) = (&ledger, &plain);
            let checked = std::panic::catch_unwind(|| check(ledger, plain));
            assert!(checked.is_ok(), "seed {seed} after {step:?}");
        }
    }
}
