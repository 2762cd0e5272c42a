//! Memory of all lanes together: where a message goes to thousands of queues, each lane alone would
//! have room for it.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::Lane;

/// Bytes of batches of all lanes that wait or are under way: past it messages wait where they are.
pub(super) const MAX_TOTAL_BYTES: usize = 256 << 20;

/// What all lanes take together.
#[derive(Default)]
pub(crate) struct Budget {
    used_bytes: AtomicUsize,
    /// Entries in `starved`.
    starved_count: AtomicUsize,
    /// Lanes whose messages wait for room, at most one entry for each. A mutex: taken where there
    /// is no room.
    starved: Mutex<VecDeque<Weak<Lane>>>,
}

impl Budget {
    pub(super) fn take(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn give(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.used_bytes.load(Relaxed) >= MAX_TOTAL_BYTES
    }

    pub(super) fn wait(&self, lane: Weak<Lane>) {
        let mut starved = self.lock();
        starved.push_back(lane);
        self.starved_count.store(starved.len(), Relaxed);
    }

    /// Lanes that have waited longest, while there is room.
    pub(super) fn next_starved(&self) -> Option<Weak<Lane>> {
        if self.starved_count.load(Relaxed) == 0 || self.is_full() {
            return None;
        }
        let mut starved = self.lock();
        let next = starved.pop_front();
        self.starved_count.store(starved.len(), Relaxed);
        next
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Weak<Lane>>> {
        self.starved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
