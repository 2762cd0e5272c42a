//! Sessions of share groups' members that a connection has opened: they end with it.

use std::sync::{Mutex, PoisonError};

use weir_broker::api::share::ShareHold;

/// Most that one connection keeps: more than one client has by far. Past it the oldest one ends.
const MAX_HOLDS_COUNT: usize = 1_000;

/// A mutex: taken when a session is opened.
#[derive(Debug, Default)]
pub struct ShareHolds(Mutex<Vec<ShareHold>>);

impl ShareHolds {
    /// Keeps one more; ends of those that were replaced mean nothing any more.
    pub fn keep(&self, hold: ShareHold) {
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        holds.retain(|each| !each.is_of(&hold));
        if holds.len() >= MAX_HOLDS_COUNT {
            holds.remove(0);
        }
        holds.push(hold);
    }
}
