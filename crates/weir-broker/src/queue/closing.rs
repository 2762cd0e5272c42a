//! A queue that is about to be deleted under a condition, closed where the condition holds: what
//! comes in between would go with it.

use weir_log::Millis;

use super::{Queue, QueueApplied};

/// How long a queue stays closed at most, in ms: longer than a deletion is tried, should its node
/// not come to an end with it.
const MAX_CLOSED_MS: u64 = 60_000;

/// Under which condition a queue may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CloseIf {
    /// It has no consumer.
    pub(crate) is_unused: bool,
    /// No message of it is ready.
    pub(crate) is_empty: bool,
}

impl Queue {
    /// Takes neither messages nor consumers any more.
    pub(super) fn close(&mut self, now: Millis, only: CloseIf) -> QueueApplied {
        if only.is_unused && self.consumers.count() > 0 {
            return QueueApplied::StillUsed;
        }
        let ready_count = self.ledger.counts().ready;
        // What is behind its log does not know what it holds.
        if only.is_empty && (ready_count > 0 || self.is_behind) {
            return QueueApplied::NotEmpty;
        }
        self.closed_until = Some(now.plus(MAX_CLOSED_MS));
        QueueApplied::Counted(ready_count)
    }

    pub(super) fn reopen(&mut self) {
        self.closed_until = None;
    }

    /// Whether it is about to be deleted.
    pub(super) fn is_closed(&self) -> bool {
        self.closed_until.is_some()
    }

    /// A deletion that never came to its end closes it no longer.
    pub(super) fn reopen_if_due(&mut self, now: Millis) {
        if self.closed_until.is_some_and(|until| until <= now) {
            self.reopen();
        }
    }
}
