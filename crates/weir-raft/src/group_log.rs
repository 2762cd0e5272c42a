//! A group's Raft log in memory: the window behind the last checkpoint.
//!
//! Entries are here as soon as they are handed to the write-ahead log; raft-rs counts them as
//! persisted only when the write-ahead log says so.

use std::collections::VecDeque;

use raft::{
    GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata},
};

use crate::GroupCheckpoint;

/// The entries after `floor_index`, without gaps. The floor is at or below the last checkpoint:
/// replicas that are a little behind get entries rather than a checkpoint.
pub(crate) struct GroupLog {
    floor_index: u64,
    floor_term: u64,
    entries: VecDeque<Entry>,
    /// What is offered to replicas below the floor.
    checkpoint: Option<GroupCheckpoint>,
    /// Bytes of the entries that the checkpoint covers.
    covered_bytes: u64,
    initial: RaftState,
}

impl GroupLog {
    pub(crate) fn new(
        floor: (u64, u64),
        hard_state: HardState,
        conf_state: ConfState,
        entries: Vec<Entry>,
    ) -> Self {
        let log = Self {
            floor_index: floor.0,
            floor_term: floor.1,
            entries: entries.into(),
            checkpoint: None,
            covered_bytes: 0,
            initial: RaftState {
                hard_state,
                conf_state,
            },
        };
        log.check();
        log
    }

    /// Replaces everything from the first of `entries` on.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else {
            return;
        };
        assert!(
            first > self.floor_index.max(self.checkpoint_index()),
            "a checkpointed entry is never replaced"
        );
        assert!(first <= self.last() + 1, "entries come without gaps");
        self.entries.truncate(self.position(first));
        self.entries.extend(entries);
        self.check();
    }

    /// Takes over the checkpoint that is offered from here on; an older one is of no use.
    pub(crate) fn set_checkpoint(&mut self, checkpoint: GroupCheckpoint) {
        assert!(
            checkpoint.index <= self.last(),
            "a checkpoint covers entries that are there"
        );
        let before = self.checkpoint_index();
        if checkpoint.index < before || checkpoint.index < self.floor_index {
            return;
        }
        let skipped = self.entries.iter().filter(|entry| entry.index > before);
        let covered = skipped.take_while(|entry| entry.index <= checkpoint.index);
        self.covered_bytes += covered.map(size_bytes).sum::<u64>();
        self.checkpoint = Some(checkpoint);
    }

    /// Index of the last entry in the checkpoint; 0 without one.
    pub(crate) fn checkpoint_index(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |held| held.index)
    }

    /// Index below which entries are gone.
    pub(crate) fn floor_index(&self) -> u64 {
        self.floor_index
    }

    /// Forgets entries that the checkpoint covers: those up to `index`, and the oldest of the
    /// others until `max_bytes` are left of them.
    pub(crate) fn compact(&mut self, index: u64, max_bytes: u64) {
        let end = self.checkpoint_index();
        while let Some(first) = self.entries.front() {
            let (at, size) = (first.index, size_bytes(first));
            if at > end || (at > index && self.covered_bytes <= max_bytes) {
                return;
            }
            (self.floor_index, self.floor_term) = (at, first.term);
            self.covered_bytes -= size;
            self.entries.pop_front();
        }
    }

    /// Forgets the entries up to `index`, whether a checkpoint covers them or not: nobody will ask
    /// for them.
    pub(crate) fn let_go(&mut self, index: u64) {
        while let Some(first) = self.entries.pop_front_if(|first| first.index <= index) {
            (self.floor_index, self.floor_term) = (first.index, first.term);
        }
    }

    /// The entries after `index`, where the entry at `index` has `term`; none otherwise.
    pub(crate) fn entries_after(&self, index: u64, term: u64) -> Vec<Entry> {
        let fits = index <= self.last() && self.term(index).is_ok_and(|known| known == term);
        let after = self.entries.iter().filter(|entry| entry.index > index);
        after.filter(|_| fits).cloned().collect()
    }

    fn last(&self) -> u64 {
        self.floor_index + self.entries.len() as u64
    }

    fn position(&self, index: u64) -> usize {
        usize::try_from(index - self.floor_index - 1).expect("the window fits in memory")
    }

    fn check(&self) {
        if let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) {
            assert_eq!(
                first.index,
                self.floor_index + 1,
                "the log begins at its floor"
            );
            assert_eq!(last.index, self.last(), "the log has no gaps");
        }
    }
}

fn size_bytes(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len()) as u64 + 1
}

impl Storage for GroupLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.floor_index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        assert!(
            high <= self.last() + 1,
            "raft-rs asks for entries that are there"
        );
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0_u64;
        let range = self.position(low)..self.position(high);
        let within = self.entries.range(range).take_while(|entry| {
            let first = size == 0;
            size += size_bytes(entry);
            first || size <= limit
        });
        Ok(within.cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.floor_index {
            return Ok(self.floor_term);
        }
        if index < self.floor_index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get(self.position(index));
        entry
            .map(|entry| entry.term)
            .ok_or(raft::Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.floor_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        let Some(checkpoint) = &self.checkpoint else {
            return Err(raft::Error::Store(
                StorageError::SnapshotTemporarilyUnavailable,
            ));
        };
        let metadata = SnapshotMetadata {
            conf_state: Some(checkpoint.members.to_conf_state()).into(),
            index: checkpoint.index,
            term: checkpoint.term.0,
            ..SnapshotMetadata::default()
        };
        Ok(Snapshot {
            data: checkpoint.body.clone(),
            metadata: Some(metadata).into(),
            ..Snapshot::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_model::Term;

    use super::*;
    use crate::Members;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index,
            term,
            data: vec![0; 10].into(),
            ..Entry::default()
        }
    }

    fn log() -> GroupLog {
        let entries = vec![entry(6, 1), entry(7, 1), entry(8, 2)];
        GroupLog::new((5, 1), HardState::default(), ConfState::default(), entries)
    }

    fn checkpoint(index: u64) -> GroupCheckpoint {
        GroupCheckpoint {
            index,
            term: Term(1),
            members: Members::default(),
            body: Bytes::new(),
        }
    }

    fn read(log: &GroupLog, low: u64, high: u64, max: Option<u64>) -> raft::Result<Vec<u64>> {
        let entries = log.entries(low, high, max, GetEntriesContext::empty(false))?;
        Ok(entries.iter().map(|entry| entry.index).collect())
    }

    #[test]
    fn a_size_limit_still_gives_one_entry() {
        assert_eq!(read(&log(), 6, 9, Some(0)).unwrap(), [6]);
        assert_eq!(read(&log(), 6, 9, None).unwrap(), [6, 7, 8]);
    }

    #[test]
    fn an_append_in_the_middle_replaces_the_rest() {
        let mut log = log();
        log.append(vec![entry(7, 3)]);
        assert_eq!((log.last_index().unwrap(), log.term(7).unwrap()), (7, 3));
    }

    #[test]
    fn a_compacted_log_remembers_the_term_at_its_edge() {
        let mut log = log();
        log.set_checkpoint(checkpoint(7));
        log.compact(7, u64::MAX);
        assert_eq!((log.first_index().unwrap(), log.term(7).unwrap()), (8, 1));
        assert!(read(&log, 7, 9, None).is_err());
        assert!(log.term(9).is_err());
    }

    #[test]
    fn entries_that_nobody_will_ask_for_go_without_a_checkpoint() {
        let mut log = log();
        log.let_go(7);
        assert_eq!((log.first_index().unwrap(), log.term(7).unwrap()), (8, 1));
        assert_eq!(read(&log, 8, 9, None).unwrap(), [8]);
    }

    #[test]
    fn what_a_checkpoint_covers_stays_until_it_is_too_much() {
        let mut log = log();
        log.set_checkpoint(checkpoint(7));
        log.compact(5, u64::MAX);
        assert_eq!(log.first_index().unwrap(), 6);
        log.compact(5, 11);
        assert_eq!(log.first_index().unwrap(), 7);
        log.compact(8, 0);
        assert_eq!(log.first_index().unwrap(), 8, "never past the checkpoint");
    }

    #[test]
    fn entries_after_a_foreign_entry_are_of_no_use() {
        let log = log();
        assert_eq!(log.entries_after(7, 1).len(), 1);
        assert!(log.entries_after(7, 2).is_empty());
        assert!(log.entries_after(9, 2).is_empty());
    }
}
