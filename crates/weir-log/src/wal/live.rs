//! Which files are still needed, and by whom.

use std::collections::BTreeMap;

use weir_model::GroupId;

use super::{HardState, WalEntry, WalError, WalRecord, config::MAX_ENTRY_BYTES};

/// One file that is needed, or may be.
#[derive(Debug, Default)]
struct LiveFile {
    bytes: u64,
    /// Highest index of each group's entries that count.
    highest: BTreeMap<GroupId, u64>,
}

/// One group, as far as the writer must know it.
#[derive(Debug, Default)]
struct GroupMark {
    hard_state: Option<HardState>,
    /// `None` where the log has nothing of the group, so that any index may come next.
    last_index: Option<u64>,
    released_index: u64,
}

/// All files in use, and all groups in them.
#[derive(Debug, Default)]
pub(super) struct LiveFiles {
    files: BTreeMap<u64, LiveFile>,
    groups: BTreeMap<GroupId, GroupMark>,
}

impl LiveFiles {
    /// Adds the file that is written from here on.
    pub(super) fn add_file(&mut self, seq: u64, bytes: u64) {
        let highest = BTreeMap::new();
        let before = self.files.insert(seq, LiveFile { bytes, highest });
        assert!(before.is_none(), "a file number is used once");
    }

    /// Whether the newest file is the only one.
    pub(super) fn is_one_file(&self) -> bool {
        self.files.len() == 1
    }

    /// Length of all files.
    pub(super) fn total_bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    /// Refuses records that could not be read back.
    pub(super) fn check(&self, records: &[WalRecord]) -> Result<(), WalError> {
        let mut lasts: BTreeMap<GroupId, u64> = BTreeMap::new();
        for record in records {
            match record {
                WalRecord::HardState { .. } => {}
                WalRecord::Reset { group, index, .. } => {
                    lasts.insert(*group, *index);
                }
                WalRecord::Entries { group, entries } => {
                    let mark = self.groups.get(group).and_then(|mark| mark.last_index);
                    let last = lasts.get(group).copied().or(mark);
                    let last = check_entries(*group, last, entries)?;
                    lasts.insert(*group, last);
                }
            }
        }
        Ok(())
    }

    /// Takes note of a record in the file `seq`, which must have passed [`LiveFiles::check`].
    pub(super) fn note(&mut self, seq: u64, record: &WalRecord) {
        match record {
            WalRecord::HardState { group, state } => {
                self.groups.entry(*group).or_default().hard_state = Some(*state);
            }
            WalRecord::Reset { group, index, .. } => {
                self.forget_from(*group, 0);
                let mark = self.groups.entry(*group).or_default();
                // A log that goes on below an earlier checkpoint needs its entries again.
                (mark.last_index, mark.released_index) = (Some(*index), *index);
            }
            WalRecord::Entries { group, entries } => {
                let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
                    return;
                };
                self.forget_from(*group, first.index);
                let file = self.files.get_mut(&seq);
                let file = file.expect("records go to a file in use");
                file.highest.insert(*group, last.index);
                self.groups.entry(*group).or_default().last_index = Some(last.index);
            }
        }
    }

    /// The group's entries from `index` on no longer count. Files go oldest first, so the
    /// record that says so outlives them.
    fn forget_from(&mut self, group: GroupId, index: u64) {
        for file in self.files.values_mut() {
            if let Some(highest) = file.highest.get_mut(&group) {
                *highest = (*highest).min(index.saturating_sub(1));
            }
        }
    }

    /// The group's entries up to `index` are stored elsewhere.
    pub(super) fn release(&mut self, group: GroupId, index: u64) {
        let mark = self.groups.entry(group).or_default();
        mark.released_index = mark.released_index.max(index);
    }

    /// Number of the oldest file still needed; the newest always is.
    pub(super) fn first_live_seq(&self) -> u64 {
        let needed = self.files.iter().find(|(_, file)| self.is_needed(file));
        let newest = self.files.last_key_value();
        let (seq, _) = needed.or(newest).expect("a log has a file");
        *seq
    }

    fn is_needed(&self, file: &LiveFile) -> bool {
        file.highest.iter().any(|(group, highest)| {
            let mark = self.groups.get(group);
            mark.is_none_or(|mark| mark.released_index < *highest)
        })
    }

    /// Takes out the files below `seq`: number and size.
    pub(super) fn take_below(&mut self, seq: u64) -> BTreeMap<u64, u64> {
        let kept = self.files.split_off(&seq);
        let gone = std::mem::replace(&mut self.files, kept);
        gone.into_iter()
            .map(|(seq, file)| (seq, file.bytes))
            .collect()
    }

    /// Every group's hard state, as records.
    pub(super) fn hard_states(&self) -> Vec<WalRecord> {
        let known = self.groups.iter();
        known
            .filter_map(|(group, mark)| {
                let state = mark.hard_state?;
                let group = *group;
                Some(WalRecord::HardState { group, state })
            })
            .collect()
    }
}

/// Checks entries that follow `last`, and gives the new last index.
fn check_entries(group: GroupId, last: Option<u64>, entries: &[WalEntry]) -> Result<u64, WalError> {
    let first_index = entries.first().map_or(0, |entry| entry.index);
    let gap = |index, expected| WalError::Gap {
        group,
        index,
        expected,
    };
    if first_index == 0 {
        return Err(gap(0, last.map_or(1, |last| last.saturating_add(1))));
    }
    if let Some(last) = last.filter(|last| first_index - 1 > *last) {
        return Err(gap(first_index, last.saturating_add(1)));
    }
    for (entry, expected) in entries.iter().zip(first_index..) {
        if entry.index != expected {
            return Err(gap(entry.index, expected));
        }
        let bytes = entry.data.len() + entry.context.len();
        if bytes > MAX_ENTRY_BYTES {
            return Err(WalError::TooLarge {
                bytes,
                max_bytes: MAX_ENTRY_BYTES,
            });
        }
    }
    Ok(first_index.saturating_add(entries.len() as u64 - 1))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_model::Term;

    use super::*;

    const GROUP: GroupId = GroupId(1);
    const OTHER: GroupId = GroupId(2);

    fn entries(group: GroupId, range: std::ops::RangeInclusive<u64>) -> WalRecord {
        let entries = range
            .map(|index| WalEntry {
                index,
                term: Term(1),
                kind: 0,
                context: Bytes::new(),
                data: Bytes::new(),
            })
            .collect();
        WalRecord::Entries { group, entries }
    }

    fn three_files() -> LiveFiles {
        let mut live = LiveFiles::default();
        for seq in 1..=3 {
            live.add_file(seq, 100);
        }
        live
    }

    #[test]
    fn a_file_goes_when_every_group_in_it_is_released_and_not_before_an_older_one() {
        let mut live = three_files();
        live.note(1, &entries(GROUP, 1..=9));
        live.note(2, &entries(OTHER, 1..=9));
        live.release(OTHER, 9);
        assert_eq!(live.first_live_seq(), 1);
        live.release(GROUP, 8);
        assert_eq!(live.first_live_seq(), 1);
        live.release(GROUP, 9);
        assert_eq!(live.first_live_seq(), 3);
        assert_eq!(live.take_below(3), BTreeMap::from([(1, 100), (2, 100)]));
        assert_eq!(live.total_bytes(), 100);
    }

    #[test]
    fn the_newest_file_never_goes() {
        let mut live = three_files();
        live.note(3, &entries(GROUP, 1..=9));
        live.release(GROUP, 9);
        assert_eq!(live.first_live_seq(), 3);
    }

    #[test]
    fn replaced_entries_hold_no_file() {
        let mut live = three_files();
        live.note(1, &entries(GROUP, 1..=100));
        live.note(2, &entries(GROUP, 50..=60));
        live.release(GROUP, 49);
        assert_eq!(live.first_live_seq(), 2);
        live.release(GROUP, 60);
        assert_eq!(live.first_live_seq(), 3);
    }

    #[test]
    fn a_reset_frees_every_file_before_it() {
        let mut live = three_files();
        live.note(1, &entries(GROUP, 1..=100));
        let reset = WalRecord::Reset {
            group: GROUP,
            index: 500,
            term: Term(1),
        };
        live.note(2, &reset);
        assert_eq!(live.first_live_seq(), 3);
        assert_eq!(live.check(&[entries(GROUP, 501..=501)]), Ok(()));
    }

    #[test]
    fn a_log_that_goes_on_below_an_earlier_release_keeps_its_files() {
        let mut live = three_files();
        live.note(1, &entries(GROUP, 1..=100));
        live.release(GROUP, 100);
        let reset = WalRecord::Reset {
            group: GROUP,
            index: 0,
            term: Term(0),
        };
        live.note(1, &reset);
        live.note(2, &entries(GROUP, 1..=50));
        assert_eq!(live.first_live_seq(), 2);
        live.release(GROUP, 50);
        assert_eq!(live.first_live_seq(), 3);
    }

    #[test]
    fn a_gap_is_refused_also_within_one_commit() {
        let mut live = three_files();
        live.note(1, &entries(GROUP, 1..=9));
        let gap = |index, expected| {
            Err(WalError::Gap {
                group: GROUP,
                index,
                expected,
            })
        };
        assert_eq!(live.check(&[entries(GROUP, 10..=11)]), Ok(()));
        assert_eq!(live.check(&[entries(GROUP, 5..=6)]), Ok(()));
        assert_eq!(live.check(&[entries(GROUP, 11..=11)]), gap(11, 10));
        let two = [entries(GROUP, 5..=6), entries(GROUP, 8..=8)];
        assert_eq!(live.check(&two), gap(8, 7));
        assert_eq!(live.check(&[entries(GROUP, 0..=1)]), gap(0, 10));
    }
}
