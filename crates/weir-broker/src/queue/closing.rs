//! A queue that is about to be deleted under a condition, closed where the condition holds: what
//! comes in between would go with it.

use weir_log::Millis;

use super::{Queue, QueueApplied, SessionKey};

/// How long a queue stays closed at most, in ms: longer than a deletion is tried, should its node
/// not come to an end with it.
const MAX_CLOSED_MS: u64 = 60_000;
/// Most deletions of one queue that are under way at a time.
pub(super) const MAX_CLOSERS_COUNT: usize = 1_000;

/// Under which condition a queue may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseIf {
    /// It has no consumer.
    pub(crate) is_unused: bool,
    /// No message of it is ready.
    pub(crate) is_empty: bool,
}

/// One deletion of a queue: a key that no other has, nor any session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CloserKey(pub(crate) SessionKey);

impl Queue {
    /// Takes neither messages nor consumers any more, for that deletion.
    pub(super) fn close(&mut self, now: Millis, closer: CloserKey, only: CloseIf) -> QueueApplied {
        let applied = self.meets(only);
        if !matches!(applied, QueueApplied::Counted(_)) {
            // Asked again, and the condition does not hold any more.
            self.reopen(closer);
            return applied;
        }
        let is_known = self.closers.contains_key(&closer);
        if !is_known && self.closers.len() >= MAX_CLOSERS_COUNT {
            return QueueApplied::TooManyDeletions;
        }
        self.closers.insert(closer, now.plus(MAX_CLOSED_MS));
        applied
    }

    fn meets(&self, only: CloseIf) -> QueueApplied {
        if only.is_unused && self.consumers.count() > 0 {
            return QueueApplied::StillUsed;
        }
        let ready_count = self.ledger.counts().ready;
        // What is behind its log does not know what it holds.
        if only.is_empty && (ready_count > 0 || self.is_behind) {
            return QueueApplied::NotEmpty;
        }
        QueueApplied::Counted(ready_count)
    }

    /// That deletion closes it no longer; another one may.
    pub(super) fn reopen(&mut self, closer: CloserKey) {
        self.closers.remove(&closer);
    }

    /// Whether it is about to be deleted.
    pub(super) fn is_closed(&self) -> bool {
        !self.closers.is_empty()
    }

    /// Deletions that never came to their end close it no longer.
    pub(super) fn reopen_if_due(&mut self, now: Millis) {
        self.closers.retain(|_, until| *until > now);
    }
}
