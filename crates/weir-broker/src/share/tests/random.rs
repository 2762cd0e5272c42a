//! Steps drawn from a seed, against the plainest books of who has what.

use std::collections::BTreeMap;

use weir_log::Millis;
use weir_model::PartitionId;

use crate::share::{
    Acks, ComesBack, ShareApplied, ShareCommand, ShareTable, Step, StepPart, Stretch, Take, Terms,
};

const ID: PartitionId = PartitionId(7);
const RUN_COUNT: u64 = 200;
const STEP_COUNT: u64 = 150;
const TERMS: Terms = Terms {
    lock_ms: 50,
    comes_back: ComesBack {
        delivery_limit: 4,
        retry_ms: 0,
        retry_max_ms: 0,
        keeps_dead: false,
    },
    max_locks: 12,
};

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ready(u32),
    Held { by: String, until: i64, count: u32 },
    Done,
}

/// By offset; what is missing was never taken.
#[derive(Default)]
struct Books(BTreeMap<u64, State>);

impl Books {
    fn of(&self, offset: u64) -> State {
        self.0.get(&offset).cloned().unwrap_or(State::Ready(0))
    }

    fn give_back(&mut self, offset: u64, count: u32) {
        let is_last = count >= u32::from(TERMS.comes_back.delivery_limit);
        let state = if is_last {
            State::Done
        } else {
            State::Ready(count)
        };
        self.0.insert(offset, state);
    }

    fn held(&self) -> impl Iterator<Item = (u64, &str, i64, u32)> {
        self.0.iter().filter_map(|(offset, state)| match state {
            State::Held { by, until, count } => Some((*offset, by.as_str(), *until, *count)),
            State::Ready(_) | State::Done => None,
        })
    }

    fn take(&mut self, by: &str, first: u64, last: u64, now: i64) -> Vec<(u64, u32)> {
        let mut taken = Vec::new();
        for offset in first..=last {
            let room = self.held().count() < TERMS.max_locks as usize;
            if let (true, State::Ready(count)) = (room, self.of(offset)) {
                let until = now + i64::from(TERMS.lock_ms) + 1;
                let (by, count) = (by.to_owned(), count + 1);
                self.0.insert(offset, State::Held { by, until, count });
                taken.push((offset, count));
            }
        }
        taken
    }

    fn acknowledge(&mut self, by: &str, first: u64, last: u64, kind: u8, now: i64) -> bool {
        let is_own =
            |offset| matches!(self.of(offset), State::Held { by: owner, .. } if owner == by);
        if !(first..=last).all(is_own) {
            return false;
        }
        for offset in first..=last {
            let State::Held { by, count, .. } = self.of(offset) else {
                unreachable!("it was just seen");
            };
            match kind {
                2 => self.give_back(offset, count),
                4 => {
                    let until = now + i64::from(TERMS.lock_ms) + 1;
                    self.0.insert(offset, State::Held { by, until, count });
                }
                _ => {
                    self.0.insert(offset, State::Done);
                }
            }
        }
        true
    }
}

fn step(member: &str, acks: Vec<Acks>, take: Option<Take>) -> ShareCommand {
    ShareCommand::Step(Step {
        group: "g".to_owned(),
        member: member.to_owned(),
        terms: TERMS,
        parts: vec![StepPart {
            partition: ID,
            acks,
            take,
        }],
    })
}

// Table: one arm per step.
fn run(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut table, mut books, mut now) = (ShareTable::default(), Books::default(), 0_i64);
    let apply = |table: &mut ShareTable, now: i64, command: ShareCommand| {
        table.apply(Millis(now), command, |_| 0, &mut Vec::new())
    };
    let begin = ShareCommand::Begin {
        group: "g".to_owned(),
        partition: ID,
        start: 0,
        is_first: true,
    };
    apply(&mut table, 0, begin);
    for at in 0..STEP_COUNT {
        now += i64::try_from(chance.below(8)).unwrap();
        let member = format!("m{}", chance.below(3));
        let first = chance.below(30);
        let last = first + chance.below(6);
        match chance.below(6) {
            0 => {
                apply(&mut table, now, ShareCommand::Expire);
                let over: Vec<_> = books.held().filter(|each| each.2 <= now).collect();
                let over: Vec<_> = over.into_iter().map(|each| (each.0, each.3)).collect();
                over.into_iter()
                    .for_each(|(offset, count)| books.give_back(offset, count));
            }
            1 => {
                let release = ShareCommand::Release {
                    group: "g".to_owned(),
                    member: member.clone(),
                    partitions: vec![ID],
                };
                apply(&mut table, now, release);
                let own: Vec<_> = books.held().filter(|each| each.1 == member).collect();
                let own: Vec<_> = own.into_iter().map(|each| (each.0, each.3)).collect();
                for (offset, count) in own {
                    books.0.insert(offset, State::Ready(count - 1));
                }
            }
            2 | 3 => {
                let take = Take {
                    end: last + 1,
                    void: Vec::new(),
                    wanted: vec![Stretch { first, last }],
                };
                let applied = apply(&mut table, now, step(&member, Vec::new(), Some(take)));
                let ShareApplied::Stepped(parts) = applied else {
                    panic!("{applied:?}");
                };
                let ranges = parts[0].acquired.iter();
                let got = ranges.flat_map(|range| {
                    let count = u32::try_from(range.delivery_count).unwrap();
                    (range.first..=range.last).map(move |offset| (offset, count))
                });
                let got: Vec<_> = got.collect();
                assert_eq!(got, books.take(&member, first, last, now), "{seed} {at}");
            }
            _ => {
                let kind = u8::try_from(chance.below(5)).unwrap();
                let acks = vec![Acks {
                    first,
                    last,
                    kinds: vec![kind],
                }];
                let applied = apply(&mut table, now, step(&member, acks, None));
                let ShareApplied::Stepped(parts) = applied else {
                    panic!("{applied:?}");
                };
                let expected = books.acknowledge(&member, first, last, kind, now);
                assert_eq!(parts[0].acknowledged.is_ok(), expected, "{seed} {at}");
            }
        }
        let ends = books.held().map(|each| each.2).min();
        assert_eq!(table.next_end().map(|end| end.0), ends, "{seed} {at}");
        assert_eq!(
            ShareTable::decode(&table.encode()).as_ref(),
            Ok(&table),
            "{seed} {at}"
        );
    }
}

#[test]
fn any_history_keeps_the_books() {
    (0..RUN_COUNT).for_each(run);
}
