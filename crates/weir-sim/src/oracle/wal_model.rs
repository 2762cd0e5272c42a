//! What the write-ahead log must remember: every group's state as acknowledged, and the
//! submissions that may or may not have made it.

use std::collections::{BTreeMap, VecDeque};

use weir_log::wal::{HardState, RecoveredGroup, WalEntry, WalRecord};
use weir_model::{GroupId, Term};

use super::{Broken, broken};
use crate::verdict::oracle_name;

/// What a group's records add up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupState {
    pub(crate) hard_state: HardState,
    /// Entries by index. Those at or below `released` stay, to compare what comes back.
    pub(crate) entries: BTreeMap<u64, WalEntry>,
    /// Index below which the log holds nothing that must be there.
    pub(crate) base: u64,
    pub(crate) base_term: Term,
}

impl GroupState {
    pub(crate) fn last_index(&self) -> u64 {
        self.entries
            .last_key_value()
            .map_or(self.base, |(index, _)| (*index).max(self.base))
    }

    fn apply(&mut self, record: &WalRecord) {
        match record {
            WalRecord::Entries { entries, .. } => {
                if let Some(first) = entries.first() {
                    self.entries.split_off(&first.index);
                }
                for entry in entries {
                    self.entries.insert(entry.index, entry.clone());
                }
            }
            WalRecord::HardState { state, .. } => self.hard_state = *state,
            WalRecord::Reset { index, term, .. } => {
                self.entries.clear();
                (self.base, self.base_term) = (*index, *term);
            }
        }
    }
}

pub(crate) type Groups = BTreeMap<GroupId, GroupState>;

fn apply(groups: &mut Groups, record: &WalRecord) {
    groups.entry(group_of(record)).or_default().apply(record);
}

fn group_of(record: &WalRecord) -> GroupId {
    match record {
        WalRecord::Entries { group, .. }
        | WalRecord::HardState { group, .. }
        | WalRecord::Reset { group, .. } => *group,
    }
}

/// The log's state as this side knows it.
#[derive(Debug, Default)]
pub(crate) struct WalModel {
    acknowledged: Groups,
    in_flight: VecDeque<(u64, Vec<WalRecord>)>,
    /// With all that was submitted: what the next records build on.
    submitted: Groups,
    released: BTreeMap<GroupId, u64>,
    next_number: u64,
}

impl WalModel {
    /// The group as if all submitted records were written.
    pub(crate) fn submitted(&self, group: GroupId) -> GroupState {
        self.submitted.get(&group).cloned().unwrap_or_default()
    }

    /// The highest index that may be released: committed and acknowledged.
    pub(crate) fn releasable(&self, group: GroupId) -> u64 {
        let state = self.acknowledged.get(&group);
        state.map_or(0, |state| state.hard_state.commit.min(state.last_index()))
    }

    pub(crate) fn released(&self, group: GroupId) -> u64 {
        self.released.get(&group).copied().unwrap_or(0)
    }

    pub(crate) fn release(&mut self, group: GroupId, index: u64) {
        let released = self.released.entry(group).or_default();
        *released = (*released).max(index);
    }

    /// Notes records as handed over; gives the submission's number.
    pub(crate) fn submit(&mut self, records: Vec<WalRecord>) -> u64 {
        for record in &records {
            apply(&mut self.submitted, record);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.in_flight.push_back((number, records));
        number
    }

    /// Notes an acknowledgement. They come in the order of submission, once each.
    pub(crate) fn acknowledge(&mut self, number: u64) -> Result<(), Broken> {
        let Some((next, records)) = self.in_flight.pop_front() else {
            let detail = format!("submission {number} acknowledged, none is waiting");
            return Err(broken(oracle_name::INVENTED, detail));
        };
        if next != number {
            let detail = format!("submission {number} acknowledged before {next}");
            return Err(broken(oracle_name::INVENTED, detail));
        }
        for record in &records {
            apply(&mut self.acknowledged, record);
        }
        Ok(())
    }

    /// Submissions that were neither acknowledged nor recovered.
    pub(crate) fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// Checks what recovery found. It must be the acknowledged state with some beginning of the
    /// rest behind it; from here on that is the state.
    pub(crate) fn recover(
        &mut self,
        found: &BTreeMap<GroupId, RecoveredGroup>,
    ) -> Result<(), Broken> {
        let in_flight: Vec<WalRecord> = self
            .in_flight
            .drain(..)
            .flat_map(|(_, records)| records)
            .collect();
        let mut candidate = self.acknowledged.clone();
        let mut first_difference = self.difference(&candidate, found);
        if first_difference.is_some() {
            for record in &in_flight {
                apply(&mut candidate, record);
                if self.difference(&candidate, found).is_none() {
                    first_difference = None;
                    break;
                }
            }
        }
        match first_difference {
            Some(broken) => Err(broken),
            None => {
                self.submitted.clone_from(&candidate);
                self.acknowledged = candidate;
                Ok(())
            }
        }
    }

    fn difference(
        &self,
        expected: &Groups,
        found: &BTreeMap<GroupId, RecoveredGroup>,
    ) -> Option<Broken> {
        let nothing = (GroupState::default(), RecoveredGroup::default());
        let groups = expected.keys().chain(found.keys());
        for group in groups {
            let state = expected.get(group).unwrap_or(&nothing.0);
            let there = found.get(group).unwrap_or(&nothing.1);
            let floor = self.released(*group).max(state.base);
            if let Some(broken) = group_difference(*group, state, floor, there) {
                return Some(broken);
            }
        }
        None
    }
}

fn group_difference(
    group: GroupId,
    expected: &GroupState,
    floor: u64,
    found: &RecoveredGroup,
) -> Option<Broken> {
    if found.hard_state != expected.hard_state {
        let (had, has) = (expected.hard_state, found.hard_state);
        let back = has.term < had.term
            || has.commit < had.commit
            || (has.term == had.term && had.vote != 0 && has.vote != had.vote);
        let oracle = if back {
            oracle_name::HARD_STATE
        } else {
            oracle_name::INVENTED
        };
        let detail = format!("group {group}: expected {had:?}, found {has:?}");
        return Some(broken(oracle, detail));
    }
    let last_expected = expected.last_index();
    let (first, last) = match (found.entries.first(), found.entries.last()) {
        (Some(first), Some(last)) => (first.index, last.index),
        (None, _) | (_, None) => {
            let lost = last_expected > floor;
            return lost.then(|| {
                let detail = format!("group {group}: {}..={last_expected} are gone", floor + 1);
                broken(oracle_name::LOST, detail)
            });
        }
    };
    if last < last_expected && last_expected > floor || first > floor + 1 {
        let detail = format!(
            "group {group}: expected {}..={last_expected}, found {first}..={last}",
            floor + 1
        );
        return Some(broken(oracle_name::LOST, detail));
    }
    for (index, entry) in (first..).zip(&found.entries) {
        if expected.entries.get(&index) != Some(entry) {
            let detail = format!(
                "group {group}: entry {index} is not what was written: found {}, expected {}",
                brief(Some(entry)),
                brief(expected.entries.get(&index))
            );
            return Some(broken(oracle_name::INVENTED, detail));
        }
    }
    None
}

fn brief(entry: Option<&WalEntry>) -> String {
    entry.map_or_else(
        || "none".to_owned(),
        |entry| {
            let sum = crc32c::crc32c(&entry.data);
            let len = entry.data.len();
            format!(
                "index {} term {} {len} B sum {sum:08x}",
                entry.index, entry.term
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const GROUP: GroupId = GroupId(1);

    fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<WalEntry> {
        let entry = |index| WalEntry {
            index,
            term: Term(term),
            kind: 0,
            context: Bytes::new(),
            data: Bytes::copy_from_slice(&index.to_le_bytes()),
        };
        range.map(entry).collect()
    }

    fn found(entries: Vec<WalEntry>) -> BTreeMap<GroupId, RecoveredGroup> {
        let hard_state = HardState::default();
        BTreeMap::from([(
            GROUP,
            RecoveredGroup {
                hard_state,
                entries,
            },
        )])
    }

    fn model() -> WalModel {
        let mut model = WalModel::default();
        for range in [1..=3, 4..=5] {
            let entries = entries(range, 1);
            model.submit(vec![WalRecord::Entries {
                group: GROUP,
                entries,
            }]);
        }
        model.acknowledge(0).unwrap();
        model
    }

    #[test]
    fn what_was_not_acknowledged_may_be_there_or_not() {
        assert_eq!(model().recover(&found(entries(1..=3, 1))), Ok(()));
        assert_eq!(model().recover(&found(entries(1..=5, 1))), Ok(()));
    }

    #[test]
    fn loss_gaps_and_foreign_entries_are_told_apart() {
        let oracle = |entries| model().recover(&found(entries)).unwrap_err().oracle;
        assert_eq!(oracle(entries(1..=2, 1)), oracle_name::LOST);
        assert_eq!(oracle(entries(2..=3, 1)), oracle_name::LOST);
        assert_eq!(oracle(entries(1..=3, 2)), oracle_name::INVENTED);
        assert_eq!(oracle(entries(1..=6, 1)), oracle_name::INVENTED);
    }

    #[test]
    fn released_entries_may_be_gone_or_come_back() {
        let mut model = model();
        model.release(GROUP, 3);
        assert_eq!(model.recover(&found(Vec::new())), Ok(()));
        assert_eq!(model.recover(&found(entries(2..=3, 1))), Ok(()));
        let broken = model.recover(&found(entries(2..=2, 2))).unwrap_err();
        assert_eq!(broken.oracle, oracle_name::INVENTED);
    }
}
