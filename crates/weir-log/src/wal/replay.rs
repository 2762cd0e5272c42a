//! From records in the order of writing to the state of each group.

use std::collections::BTreeMap;

use weir_model::GroupId;

use super::{RecoveredGroup, WalEntry, WalError, WalRecord, live::LiveFiles};

/// The groups, and the files that hold them.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) live: LiveFiles,
    pub(super) groups: BTreeMap<GroupId, RecoveredGroup>,
}

impl Replay {
    /// Takes over one frame of the file `seq`. The error is a [`WalError::Gap`].
    pub(super) fn apply(&mut self, seq: u64, records: Vec<WalRecord>) -> Result<(), WalError> {
        self.live.check(&records)?;
        for record in records {
            self.live.note(seq, &record);
            match record {
                WalRecord::Entries { group, entries } => {
                    let known = &mut self.groups.entry(group).or_default().entries;
                    replace_tail(known, entries);
                }
                WalRecord::HardState { group, state } => {
                    self.groups.entry(group).or_default().hard_state = state;
                }
                WalRecord::Reset { group, .. } => {
                    self.groups.entry(group).or_default().entries.clear();
                }
            }
        }
        Ok(())
    }
}

fn replace_tail(known: &mut Vec<WalEntry>, entries: Vec<WalEntry>) {
    if let (Some(oldest), Some(first)) = (known.first(), entries.first()) {
        let kept = first.index.saturating_sub(oldest.index);
        known.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }
    known.extend(entries);
    debug_assert!(
        known
            .windows(2)
            .all(|pair| pair[1].index == pair[0].index + 1),
        "recovered entries have no gap"
    );
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_model::Term;

    use super::*;
    use crate::wal::HardState;

    const GROUP: GroupId = GroupId(4);

    fn entries(term: u64, range: std::ops::RangeInclusive<u64>) -> WalRecord {
        let entries = range
            .map(|index| WalEntry {
                index,
                term: Term(term),
                kind: 0,
                context: Bytes::new(),
                data: Bytes::new(),
            })
            .collect();
        WalRecord::Entries {
            group: GROUP,
            entries,
        }
    }

    fn replayed(records: Vec<WalRecord>) -> Vec<(u64, u64)> {
        let mut replay = Replay::default();
        replay.live.add_file(1, 0);
        replay.apply(1, records).unwrap();
        let group = &replay.groups[&GROUP];
        let entries = group.entries.iter();
        entries.map(|entry| (entry.index, entry.term.0)).collect()
    }

    #[test]
    fn later_entries_replace_from_their_first_index_on() {
        let records = vec![entries(1, 5..=9), entries(2, 7..=7)];
        assert_eq!(replayed(records), [(5, 1), (6, 1), (7, 2)]);
    }

    #[test]
    fn entries_below_all_known_ones_replace_all() {
        let records = vec![entries(1, 5..=9), entries(2, 3..=4)];
        assert_eq!(replayed(records), [(3, 2), (4, 2)]);
    }

    #[test]
    fn a_reset_drops_all_entries_and_the_log_goes_on_behind_it() {
        let reset = WalRecord::Reset {
            group: GROUP,
            index: 100,
            term: Term(3),
        };
        let records = vec![entries(1, 5..=9), reset, entries(3, 101..=101)];
        assert_eq!(replayed(records), [(101, 3)]);
    }

    #[test]
    fn the_last_hard_state_counts() {
        let state = |commit| HardState {
            term: Term(1),
            vote: 1,
            commit,
        };
        let mut replay = Replay::default();
        replay.live.add_file(1, 0);
        for commit in [1, 2] {
            let state = state(commit);
            let record = WalRecord::HardState {
                group: GROUP,
                state,
            };
            replay.apply(1, vec![record]).unwrap();
        }
        assert_eq!(replay.groups[&GROUP].hard_state, state(2));
    }
}
