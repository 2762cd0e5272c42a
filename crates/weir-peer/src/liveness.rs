//! Whether a peer is there.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::limits::{BEACON_INTERVAL_MS, PEER_TIMEOUT_MS};

const TIMEOUT: Duration = Duration::from_millis(PEER_TIMEOUT_MS);
const INTERVAL: Duration = Duration::from_millis(BEACON_INTERVAL_MS);

/// What was heard of a peer, and when.
#[derive(Default)]
pub(crate) struct Liveness {
    /// A mutex: several connections write, one task reads, all of them briefly.
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Rises when the peer's process is known to be gone: connections of earlier epochs are its
    /// remains, and what still comes from them is no sign of life.
    epoch: u64,
    incarnation: Option<u64>,
    heard_at: Option<Instant>,
    has_restarted: bool,
    is_up: bool,
}

/// What the watcher has to do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Tell(bool),
    Wait(Option<Instant>),
}

impl Liveness {
    /// The peer has connected; the epoch that the connection's bytes count for.
    pub(crate) fn greeted(&self, incarnation: u64) -> u64 {
        let mut state = self.lock();
        let earlier = state.incarnation.replace(incarnation);
        if earlier.is_some_and(|earlier| earlier != incarnation) {
            state.epoch += 1;
            state.has_restarted = true;
        }
        state.heard_at = Some(Instant::now());
        self.changed.notify_one();
        state.epoch
    }

    /// Bytes of the peer have come on a connection of that epoch.
    pub(crate) fn heard(&self, epoch: u64) {
        let mut state = self.lock();
        if state.epoch == epoch {
            state.heard_at = Some(Instant::now());
            if !state.is_up {
                self.changed.notify_one();
            }
        }
    }

    /// The peer's process is gone: nobody listens where it did.
    pub(crate) fn is_gone(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.heard_at = None;
        self.changed.notify_one();
    }

    /// Calls `tell` with each change, for ever.
    pub(crate) async fn watch(&self, mut tell: impl FnMut(bool)) {
        let mut grace = Instant::now();
        loop {
            let due = match self.step(Instant::now(), grace) {
                Step::Tell(is_up) => {
                    tell(is_up);
                    continue;
                }
                Step::Wait(due) => due,
            };
            let Some(due) = due else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(due) => {
                    // Who slept too long has not listened either: what came meanwhile is read
                    // first.
                    let now = Instant::now();
                    if now > due + INTERVAL {
                        grace = now + INTERVAL;
                    }
                }
            }
        }
    }

    fn step(&self, now: Instant, grace: Instant) -> Step {
        let mut state = self.lock();
        let due = state
            .heard_at
            .map(|heard_at| (heard_at + TIMEOUT).max(grace));
        let is_heard = due.is_some_and(|due| now < due);
        // A restart that nobody missed counts as a loss.
        let has_restarted = std::mem::take(&mut state.has_restarted);
        if state.is_up && (has_restarted || !is_heard) {
            state.is_up = false;
            return Step::Tell(false);
        }
        if !state.is_up && is_heard {
            state.is_up = true;
            return Step::Tell(true);
        }
        Step::Wait(due.filter(|_| state.is_up))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that the watcher tells at `now`.
    fn told(liveness: &Liveness, now: Instant) -> Vec<bool> {
        let mut told = Vec::new();
        while let Step::Tell(is_up) = liveness.step(now, now - TIMEOUT) {
            told.push(is_up);
        }
        told
    }

    #[test]
    fn a_peer_is_up_when_heard_of_and_lost_after_silence() {
        let liveness = Liveness::default();
        assert!(told(&liveness, Instant::now()).is_empty());
        let epoch = liveness.greeted(1);
        let now = Instant::now();
        assert_eq!(told(&liveness, now), [true]);
        assert!(told(&liveness, now).is_empty());
        assert_eq!(told(&liveness, now + TIMEOUT), [false]);
        liveness.heard(epoch);
        assert_eq!(told(&liveness, Instant::now()), [true]);
    }

    #[test]
    fn what_a_dead_process_left_in_its_connection_does_not_revive_it() {
        let liveness = Liveness::default();
        let epoch = liveness.greeted(1);
        assert_eq!(told(&liveness, Instant::now()), [true]);
        liveness.is_gone();
        assert_eq!(told(&liveness, Instant::now()), [false]);
        liveness.heard(epoch);
        assert!(told(&liveness, Instant::now()).is_empty());
        liveness.greeted(2);
        assert_eq!(told(&liveness, Instant::now()), [true]);
    }

    #[test]
    fn a_restart_that_nobody_missed_is_a_loss_and_a_return() {
        let liveness = Liveness::default();
        liveness.greeted(1);
        assert_eq!(told(&liveness, Instant::now()), [true]);
        liveness.greeted(1);
        assert!(told(&liveness, Instant::now()).is_empty());
        liveness.greeted(2);
        assert_eq!(told(&liveness, Instant::now()), [false, true]);
    }

    #[test]
    fn grace_defers_the_loss() {
        let liveness = Liveness::default();
        liveness.greeted(1);
        let now = Instant::now();
        assert_eq!(liveness.step(now, now), Step::Tell(true));
        let late = now + TIMEOUT + INTERVAL;
        let grace = late + INTERVAL;
        assert_eq!(liveness.step(late, grace), Step::Wait(Some(grace)));
        assert_eq!(liveness.step(grace, grace), Step::Tell(false));
    }
}
