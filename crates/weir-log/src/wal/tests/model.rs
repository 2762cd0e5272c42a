//! Any history of commits, releases and restarts gives back what a plain map would.

use super::*;
use crate::wal::HardState;

/// A group as a plain list: what must come back, apart from what was released.
#[derive(Default)]
struct Expected {
    entries: BTreeMap<u64, Bytes>,
    hard_state: HardState,
    last: u64,
    released: u64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

fn step(group: GroupId, expected: &mut Expected, random: &mut Random) -> WalRecord {
    match random.below(12) {
        0 => {
            expected.hard_state = HardState {
                term: Term(random.below(9)),
                vote: random.below(3),
                commit: expected.last,
            };
            let state = expected.hard_state;
            WalRecord::HardState { group, state }
        }
        1 => {
            expected.entries.clear();
            expected.last += random.below(5);
            expected.released = expected.last;
            WalRecord::Reset {
                group,
                index: expected.last,
                term: Term(1),
            }
        }
        choice => {
            let unreleased = expected.last - expected.released;
            let back = if choice < 5 {
                random.below(unreleased + 1)
            } else {
                0
            };
            let first = expected.last + 1 - back;
            let count = 1 + random.below(4);
            expected.entries.split_off(&first);
            let entries = (first..first + count).map(|index| {
                let length = usize::try_from(random.below(9_000)).unwrap();
                let data = Bytes::from(vec![u8::try_from(random.below(256)).unwrap(); length]);
                expected.entries.insert(index, data.clone());
                entry(index, 1, data)
            });
            let entries = entries.collect();
            expected.last = first + count - 1;
            WalRecord::Entries { group, entries }
        }
    }
}

fn assert_is_expected(recovered: &RecoveredGroup, expected: &Expected, what: &str) {
    assert_eq!(recovered.hard_state, expected.hard_state, "{what}");
    let first = recovered
        .entries
        .first()
        .map_or(expected.last + 1, |entry| entry.index);
    assert!(
        first <= expected.released + 1 || first == expected.last + 1,
        "{what}"
    );
    let wanted = expected.entries.range(expected.released + 1..);
    let found = recovered
        .entries
        .iter()
        .filter(|entry| entry.index > expected.released);
    let found = found.map(|entry| (&entry.index, &entry.data));
    assert!(wanted.eq(found), "{what}");
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let mut all: BTreeMap<GroupId, Expected> = BTreeMap::new();
    for turn in 0..150 {
        let mut records = Vec::new();
        for _ in 0..random.below(4) {
            let group = GroupId(u32::try_from(random.below(3)).unwrap());
            records.push(step(group, all.entry(group).or_default(), &mut random));
        }
        wal.commit(&records).unwrap();
        for (group, expected) in &mut all {
            if random.below(3) == 0 {
                expected.released += random.below(expected.last - expected.released + 1);
                wal.release(*group, expected.released);
            }
        }
        if random.below(8) == 0 {
            wal.spare_maker().prepare().unwrap();
        }
        if random.below(10) == 0 {
            let (opened, groups, report) = try_open(&disk).unwrap();
            assert!(!report.has_torn_tail());
            for (group, expected) in &all {
                let what = format!("seed {seed} turn {turn} group {group}");
                let nothing = RecoveredGroup::default();
                assert_is_expected(groups.get(group).unwrap_or(&nothing), expected, &what);
            }
            wal = opened;
            for (group, expected) in &all {
                wal.release(*group, expected.released);
            }
        }
    }
}

#[test]
fn whatever_was_committed_and_not_released_comes_back() {
    (0..100).for_each(run);
}
