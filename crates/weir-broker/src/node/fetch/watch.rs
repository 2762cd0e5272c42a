//! What a fetch that waits hears of.

use std::sync::{Arc, atomic::Ordering};

use weir_log::partition::Watcher;

use super::{FetchTask, Pass, Place};

/// Tells `task` of what arrives.
pub(super) fn of(task: &Arc<FetchTask>) -> Arc<dyn Watcher> {
    Arc::new(Watch(Arc::clone(task)))
}

struct Watch(Arc<FetchTask>);

impl Watch {
    /// What arrives may be undecided, and an end decides what arrived before it: how much there is
    /// to read is seen by reading.
    fn appended_to_transactions(&self) -> bool {
        let task = &self.0;
        let has_something = |place: &Place| place.has_more_than(0) && !task.is_undecided(place);
        if task.places.iter().any(has_something) {
            Pass::new(Arc::clone(task), false, None).run();
        }
        !task.is_answered()
    }
}

impl Watcher for Watch {
    fn appended(&self, size_bytes: usize) -> bool {
        if self.0.committed_only {
            return self.appended_to_transactions();
        }
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        let before = self.0.missing_bytes.fetch_sub(size, Ordering::AcqRel);
        if before > 0 && before <= size {
            Pass::new(Arc::clone(&self.0), true, None).run();
        }
        before > size
    }

    fn is_over(&self) -> bool {
        self.0.is_answered()
    }
}
