//! A group's Raft log in memory: the window behind the last checkpoint.
//!
//! Entries are here as soon as they are handed to the write-ahead log; raft-rs counts them as
//! persisted only when the write-ahead log says so.

use std::collections::VecDeque;

use raft::{
    GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{ConfState, Entry, HardState, Snapshot},
};

/// The entries after `checkpoint_index`, without gaps.
pub(crate) struct GroupLog {
    checkpoint_index: u64,
    checkpoint_term: u64,
    entries: VecDeque<Entry>,
    initial: RaftState,
}

impl GroupLog {
    pub(crate) fn new(
        checkpoint: (u64, u64),
        hard_state: HardState,
        conf_state: ConfState,
        entries: Vec<Entry>,
    ) -> Self {
        let log = Self {
            checkpoint_index: checkpoint.0,
            checkpoint_term: checkpoint.1,
            entries: entries.into(),
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
            first > self.checkpoint_index,
            "a checkpointed entry is never replaced"
        );
        assert!(first <= self.last() + 1, "entries come without gaps");
        self.entries.truncate(self.position(first));
        self.entries.extend(entries);
        self.check();
    }

    /// Forgets entries up to `index`.
    pub(crate) fn compact(&mut self, index: u64) {
        assert!(
            index <= self.last(),
            "only entries that are there are compacted"
        );
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.index <= index)
        {
            let entry = self.entries.pop_front().expect("the front was just seen");
            (self.checkpoint_index, self.checkpoint_term) = (entry.index, entry.term);
        }
    }

    fn last(&self) -> u64 {
        self.checkpoint_index + self.entries.len() as u64
    }

    fn position(&self, index: u64) -> usize {
        usize::try_from(index - self.checkpoint_index - 1).expect("the window fits in memory")
    }

    fn check(&self) {
        if let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) {
            assert_eq!(
                first.index,
                self.checkpoint_index + 1,
                "the log begins at the checkpoint"
            );
            assert_eq!(last.index, self.last(), "the log has no gaps");
        }
    }
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
        if low <= self.checkpoint_index {
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
            size += (entry.data.len() + entry.context.len()) as u64 + 1;
            first || size <= limit
        });
        Ok(within.cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.checkpoint_index {
            return Ok(self.checkpoint_term);
        }
        if index < self.checkpoint_index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get(self.position(index));
        entry
            .map(|entry| entry.term)
            .ok_or(raft::Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.checkpoint_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Err(raft::Error::Store(
            StorageError::SnapshotTemporarilyUnavailable,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        log.compact(7);
        assert_eq!((log.first_index().unwrap(), log.term(7).unwrap()), (8, 1));
        assert!(read(&log, 7, 9, None).is_err());
        assert!(log.term(9).is_err());
    }
}
