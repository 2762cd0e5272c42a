//! Where each leader epoch of a partition begins. Batches carry their epoch, but retention and
//! compaction take batches away; clients ask for epochs all the same (KIP-101, KIP-320).

use weir_model::Offset;

/// Most epochs that a partition remembers. Past it the oldest goes: who asks for it hears where
/// the oldest one that is left begins, which is never less than the truth.
pub const MAX_EPOCHS: usize = 512;

/// The end of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch asked for, or the largest below it.
    pub epoch: i32,
    /// Offset after the last record of that epoch.
    pub end: Offset,
}

/// Leader epochs with their first offsets, both ascending. A function of the partition's appends
/// and trims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochTable {
    entries: Vec<(i32, Offset)>,
}

/// Entries that no table has: too many, or not ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leader epochs are too many or do not ascend")]
pub struct NotAscending;

impl EpochTable {
    /// A table of these entries.
    pub fn new(entries: Vec<(i32, Offset)>) -> Result<Self, NotAscending> {
        let ascends = entries
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        (ascends && entries.len() <= MAX_EPOCHS)
            .then_some(Self { entries })
            .ok_or(NotAscending)
    }

    /// Epochs with their first offsets.
    pub fn entries(&self) -> &[(i32, Offset)] {
        &self.entries
    }

    /// A batch of `epoch` is appended at `offset`. Costs a comparison where the epoch is known.
    pub(crate) fn appended(&mut self, epoch: i32, offset: Offset) {
        if self.entries.last().is_some_and(|(last, _)| *last >= epoch) {
            return;
        }
        if self.entries.len() == MAX_EPOCHS {
            self.entries.remove(0);
        }
        self.entries.push((epoch, offset));
    }

    /// Nothing is left before `start`.
    pub(crate) fn trimmed(&mut self, start: Offset) {
        let gone = self.entries.partition_point(|(_, first)| *first <= start);
        if gone > 0 {
            self.entries.drain(..gone - 1);
            self.entries[0].1 = start;
        }
    }

    /// Where `epoch` ends in a log that ends at `end` under the leader of epoch `current`; `None`
    /// where the epoch is not known here.
    ///
    /// Source: Kafka's `LeaderEpochFileCache.endOffsetFor`.
    pub fn end_of(&self, epoch: i32, current: i32, end: Offset) -> Option<EpochEnd> {
        let above = self.entries.partition_point(|(each, _)| *each <= epoch);
        let latest = self
            .entries
            .last()
            .map_or(current, |last| last.0.max(current));
        if epoch < 0 || epoch > latest {
            return None;
        }
        if epoch == latest {
            return Some(EpochEnd { epoch, end });
        }
        // Without a batch of its own the current epoch begins at the end.
        let end = self.entries.get(above).map_or(end, |(_, first)| *first);
        let floor = above.checked_sub(1).map(|at| self.entries[at].0);
        Some(EpochEnd {
            epoch: floor.unwrap_or(epoch),
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(i32, u64)]) -> EpochTable {
        let entries = entries.iter().map(|(epoch, at)| (*epoch, Offset(*at)));
        EpochTable::new(entries.collect()).unwrap()
    }

    fn ends(table: &EpochTable, epoch: i32) -> Option<(i32, u64)> {
        let found = table.end_of(epoch, 9, Offset(100));
        found.map(|found| (found.epoch, found.end.0))
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let table = table(&[(2, 10), (5, 30), (7, 60)]);
        let expected = [
            (-1, None),
            (0, Some((0, 10))),
            (2, Some((2, 30))),
            (4, Some((2, 30))),
            (5, Some((5, 60))),
            (7, Some((7, 100))),
            (8, Some((7, 100))),
            (9, Some((9, 100))),
            (10, None),
        ];
        for (epoch, end) in expected {
            assert_eq!(ends(&table, epoch), end, "epoch {epoch}");
        }
    }

    #[test]
    fn an_empty_log_knows_its_leaders_epoch_alone() {
        let table = EpochTable::default();
        assert_eq!(
            table.end_of(3, 3, Offset(0)),
            Some(EpochEnd {
                epoch: 3,
                end: Offset(0)
            })
        );
        assert_eq!(table.end_of(4, 3, Offset(0)), None);
        assert_eq!(
            table.end_of(2, 3, Offset(0)),
            Some(EpochEnd {
                epoch: 2,
                end: Offset(0)
            })
        );
    }

    #[test]
    fn only_the_first_batch_of_an_epoch_is_noted() {
        let mut noted = EpochTable::default();
        for (epoch, offset) in [(1, 0), (1, 5), (3, 9), (3, 12)] {
            noted.appended(epoch, Offset(offset));
        }
        assert_eq!(noted, table(&[(1, 0), (3, 9)]));
    }

    #[test]
    fn a_trim_keeps_the_epoch_that_the_log_now_begins_in() {
        let full = table(&[(1, 0), (3, 10), (4, 20)]);
        for (start, left) in [
            (0, table(&[(1, 0), (3, 10), (4, 20)])),
            (5, table(&[(1, 5), (3, 10), (4, 20)])),
            (10, table(&[(3, 10), (4, 20)])),
            (15, table(&[(3, 15), (4, 20)])),
            (90, table(&[(4, 90)])),
        ] {
            let mut trimmed = full.clone();
            trimmed.trimmed(Offset(start));
            assert_eq!(trimmed, left, "start {start}");
        }
    }

    #[test]
    fn the_oldest_epoch_goes_when_there_are_too_many() {
        let mut full = EpochTable::default();
        for epoch in 0..=i32::try_from(MAX_EPOCHS).unwrap() {
            full.appended(epoch, Offset(u64::from(epoch.unsigned_abs())));
        }
        assert_eq!(full.entries().len(), MAX_EPOCHS);
        assert_eq!(full.entries()[0], (1, Offset(1)));
        let mut longer = full.entries().to_vec();
        longer.insert(0, (0, Offset(0)));
        assert_eq!(EpochTable::new(longer), Err(NotAscending));
    }

    #[test]
    fn entries_that_do_not_ascend_are_refused() {
        for entries in [[(2, 1), (2, 2)], [(3, 1), (2, 2)], [(2, 3), (4, 2)]] {
            let entries = entries.map(|(epoch, at)| (epoch, Offset(at))).to_vec();
            assert_eq!(EpochTable::new(entries), Err(NotAscending));
        }
    }
}
