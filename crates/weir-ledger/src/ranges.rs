//! Stretches of offsets that are looked at or dropped as one.

use std::ops::Range;

use crate::{ledger::Ledger, returned::Returned};

impl Ledger {
    /// Whether the record is ready.
    pub fn is_ready(&self, offset: u64) -> bool {
        self.is_fresh(offset) || self.lanes.values().any(|lane| lane.get(offset).is_some())
    }

    /// All records of the range that are ready are done with, though nobody had them. Takes no
    /// longer where the range is long.
    pub fn drop_range(&mut self, range: Range<u64>) {
        let end = range.end.min(self.end);
        if range.start >= end {
            return;
        }
        for lane in self.lanes.values_mut() {
            lane.remove_range(range.start..end);
        }
        self.lanes.retain(|_, lane| !Returned::is_empty(lane));
        if end <= self.fresh_from {
            return;
        }
        if range.start <= self.fresh_from {
            self.withheld_count -= self.withheld.remove_range(self.fresh_from..end);
            self.fresh_from = end;
            self.pass_withheld();
        } else {
            self.withheld_count += self.withheld.insert_range(range.start..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lock, OwnerId, Release};

    const LOCK: Lock = Lock {
        owner: OwnerId(1),
        until_ms: None,
    };

    fn ready_of(ledger: &Ledger) -> Vec<u64> {
        (0..ledger.end() + 2)
            .filter(|it| ledger.is_ready(*it))
            .collect()
    }

    #[test]
    fn a_dropped_range_leaves_what_is_held_and_what_is_outside() {
        for range in [0..4, 1..3, 2..9, 4..5, 5..10, 3..3, 9..20, 0..20] {
            let mut ledger = Ledger::new(0);
            ledger.extend(10);
            for _ in 0..4 {
                ledger.acquire(LOCK).unwrap();
            }
            ledger.release(1, LOCK.owner, Release::Returned).unwrap();
            ledger.release(3, LOCK.owner, Release::Failed).unwrap();
            ledger.acquire_at(6, LOCK).unwrap();
            let before = ready_of(&ledger);
            assert_eq!(before, [1, 3, 4, 5, 7, 8, 9]);
            ledger.drop_range(range.clone());
            let expected: Vec<u64> = before
                .into_iter()
                .filter(|it| !range.contains(it))
                .collect();
            assert_eq!(ready_of(&ledger), expected, "{range:?}");
            assert_eq!(ledger.counts().ready, expected.len() as u64, "{range:?}");
            assert_eq!(ledger.counts().acquired, 3, "{range:?}");
            assert_eq!(ledger.first_ready(), expected.first().copied(), "{range:?}");
        }
    }

    #[test]
    fn a_range_of_any_length_is_dropped_at_once() {
        let mut ledger = Ledger::new(0);
        ledger.extend(1 << 50);
        ledger.drop_range(0..1 << 49);
        assert_eq!(ledger.first_ready(), Some(1 << 49));
        assert_eq!(ledger.counts().ready, 1 << 49);
    }
}
