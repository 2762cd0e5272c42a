//! Fetches and others that wait, ordered by when they give up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use weir_log::{Clock, Millis};

use crate::node::fetch::FetchTask;

/// Longest sleep, in ms: how late a clock that jumped is noticed.
const MAX_SLEEP_MS: u64 = 1_000;

/// A fetch that partitions watch for is kept by its watchers; any other one by this.
enum Parked {
    Watched(Weak<FetchTask>),
    Unwatched(Arc<FetchTask>),
    Timer(Box<dyn FnOnce() + Send>),
}

#[derive(Default)]
struct Waiting {
    by_deadline: BTreeMap<Millis, Vec<Parked>>,
    closed: bool,
}

/// Milliseconds of the clock that never jumps.
pub(crate) fn elapsed(clock: &dyn Clock) -> Millis {
    Millis(i64::try_from(clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX))
}

/// One per node. A fetch that is answered before its deadline leaves a weak reference until
/// then: some bytes for as long as its client wanted to wait.
///
/// A mutex rather than a channel: it is taken once per fetch that found nothing, to insert into
/// a map.
#[derive(Default)]
pub(crate) struct Purgatory {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Purgatory {
    /// Keeps the fetch until its deadline. `is_watched`: somebody else holds it until then.
    pub(crate) fn add(&self, deadline: Millis, task: &Arc<FetchTask>, is_watched: bool) {
        let parked = if is_watched {
            Parked::Watched(Arc::downgrade(task))
        } else {
            Parked::Unwatched(Arc::clone(task))
        };
        self.park(deadline, parked);
    }

    /// Calls `timer` at its time, or when the node closes.
    pub(crate) fn at(&self, time: Millis, timer: Box<dyn FnOnce() + Send>) {
        if self.lock().closed {
            return timer();
        }
        self.park(time, Parked::Timer(timer));
    }

    fn park(&self, deadline: Millis, parked: Parked) {
        let mut waiting = self.lock();
        let is_first = waiting
            .by_deadline
            .first_key_value()
            .is_none_or(|(at, _)| deadline < *at);
        waiting
            .by_deadline
            .entry(deadline)
            .or_default()
            .push(parked);
        drop(waiting);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Answers what is due at `now`.
    pub(crate) fn expire(&self, now: Millis) {
        let due = {
            let mut waiting = self.lock();
            let later = waiting.by_deadline.split_off(&now.plus(1));
            std::mem::replace(&mut waiting.by_deadline, later)
        };
        for parked in due.into_values().flatten() {
            match parked {
                Parked::Unwatched(task) => task.expire(),
                Parked::Timer(timer) => timer(),
                Parked::Watched(task) => {
                    if let Some(task) = task.upgrade() {
                        task.expire();
                    }
                }
            }
        }
    }

    /// Answers what is due until [`close`](Self::close).
    pub(crate) fn run(&self, clock: &dyn Clock) {
        loop {
            let now = elapsed(clock);
            self.expire(now);
            let waiting = self.lock();
            if waiting.closed {
                return;
            }
            let next = waiting
                .by_deadline
                .first_key_value()
                .map(|(at, _)| at.since(now));
            let sleep = Duration::from_millis(next.unwrap_or(MAX_SLEEP_MS).min(MAX_SLEEP_MS));
            drop(
                self.changed
                    .wait_timeout(waiting, sleep)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Ends [`run`](Self::run) and answers everybody who waits.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
        self.expire(Millis(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
