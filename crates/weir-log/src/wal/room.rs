//! Whether there is room for new work: what the writer, the spare maker and the doors share.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{WalFigures, counters::Counters};

/// State that all threads may read. Flags and counters only: nothing is decided by two of them
/// together.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) counters: Counters,
    disk_full: AtomicBool,
    too_long: AtomicBool,
    failed: AtomicBool,
}

impl Room {
    pub(super) fn set_disk_full(&self, is_full: bool) {
        if self.disk_full.swap(is_full, Relaxed) != is_full {
            tracing::info!(is_full, "disk of the write-ahead log");
        }
    }

    pub(super) fn is_disk_full(&self) -> bool {
        self.disk_full.load(Relaxed)
    }

    pub(super) fn set_live_bytes(&self, bytes: u64, is_too_long: bool) {
        self.counters.live_bytes.store(bytes, Relaxed);
        if self.too_long.swap(is_too_long, Relaxed) != is_too_long {
            tracing::info!(is_too_long, bytes, "length of the write-ahead log");
        }
    }

    pub(super) fn set_failed(&self) {
        self.failed.store(true, Relaxed);
    }

    pub(super) fn accepts(&self) -> bool {
        !(self.disk_full.load(Relaxed) || self.too_long.load(Relaxed) || self.failed.load(Relaxed))
    }

    pub(super) fn figures(&self) -> WalFigures {
        self.counters.figures()
    }
}
