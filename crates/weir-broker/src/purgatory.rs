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
    Timer(Timer),
}

impl Parked {
    fn answer(self) {
        match self {
            Self::Unwatched(task) => task.expire(),
            Self::Timer(timer) => timer(),
            Self::Watched(task) => {
                if let Some(task) = task.upgrade() {
                    task.expire();
                }
            }
        }
    }
}

#[derive(Default)]
struct Waiting {
    by_deadline: BTreeMap<Millis, Vec<Parked>>,
    limits: BTreeMap<LimitKey, Timer>,
    next_limit: u64,
    /// When [`Purgatory::run`] looks again by itself.
    looks_at: Millis,
    closed: bool,
}

type Timer = Box<dyn FnOnce() + Send>;

/// A limit by its time and a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LimitKey(Millis, u64);

/// Milliseconds of the clock that never jumps.
pub(crate) fn elapsed(clock: &dyn Clock) -> Millis {
    Millis(i64::try_from(clock.monotonic_ns() / 1_000_000).unwrap_or(i64::MAX))
}

impl Waiting {
    /// The first time at which something is due.
    fn next(&self) -> Option<Millis> {
        let parked = self.by_deadline.first_key_value().map(|(at, _)| *at);
        let limit = self.limits.first_key_value().map(|(key, _)| key.0);
        parked.into_iter().chain(limit).min()
    }
}

/// One per node. A fetch that is answered before its deadline leaves a weak reference until
/// then: some bytes for as long as its client wanted to wait.
///
/// A mutex rather than a channel: it is taken once per fetch that found nothing, and twice per
/// append, to insert into a map.
#[derive(Default)]
pub(crate) struct Purgatory {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Purgatory {
    /// Keeps the fetch until its deadline, or answers it at once where the node closes.
    /// `is_watched`: somebody else holds it until then.
    pub(crate) fn add(&self, deadline: Millis, task: &Arc<FetchTask>, is_watched: bool) {
        let parked = if is_watched {
            Parked::Watched(Arc::downgrade(task))
        } else {
            Parked::Unwatched(Arc::clone(task))
        };
        self.park(deadline, parked);
    }

    /// Calls `timer` at its time, or when the node closes.
    pub(crate) fn at(&self, time: Millis, timer: Timer) {
        self.park(time, Parked::Timer(timer));
    }

    fn park(&self, deadline: Millis, parked: Parked) {
        let mut waiting = self.lock();
        if waiting.closed {
            drop(waiting);
            return parked.answer();
        }
        waiting
            .by_deadline
            .entry(deadline)
            .or_default()
            .push(parked);
        self.added(&waiting, deadline);
    }

    /// Calls `timer` at its time unless it is [lifted](Self::lift) first or the node closes: for
    /// what is answered in any case, and as a rule much earlier.
    pub(crate) fn limit(&self, time: Millis, timer: Timer) -> LimitKey {
        let mut waiting = self.lock();
        let key = LimitKey(time, waiting.next_limit);
        waiting.next_limit += 1;
        if !waiting.closed {
            waiting.limits.insert(key, timer);
            self.added(&waiting, time);
        }
        key
    }

    /// The timer of that key is not called any more.
    pub(crate) fn lift(&self, key: LimitKey) {
        let lifted = self.lock().limits.remove(&key);
        drop(lifted);
    }

    fn added(&self, waiting: &Waiting, deadline: Millis) {
        if deadline < waiting.looks_at {
            self.changed.notify_one();
        }
    }

    /// Answers what is due at `now`.
    pub(crate) fn expire(&self, now: Millis) {
        let (due, over) = {
            let mut waiting = self.lock();
            let later = waiting.by_deadline.split_off(&now.plus(1));
            let due = std::mem::replace(&mut waiting.by_deadline, later);
            let later = waiting.limits.split_off(&LimitKey(now.plus(1), 0));
            (due, std::mem::replace(&mut waiting.limits, later))
        };
        over.into_values().for_each(|timer| timer());
        due.into_values().flatten().for_each(Parked::answer);
    }

    /// Answers what is due until [`close`](Self::close).
    pub(crate) fn run(&self, clock: &dyn Clock) {
        loop {
            let now = elapsed(clock);
            self.expire(now);
            let mut waiting = self.lock();
            if waiting.closed {
                return;
            }
            let sleep_ms = waiting
                .next()
                .map_or(MAX_SLEEP_MS, |at| at.since(now).min(MAX_SLEEP_MS));
            waiting.looks_at = now.plus(sleep_ms);
            drop(
                self.changed
                    .wait_timeout(waiting, Duration::from_millis(sleep_ms))
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Ends [`run`](Self::run) and answers everybody who waits. Limits are dropped: what they
    /// bound is still under way and has an answer of its own.
    pub(crate) fn close(&self) {
        let limits = {
            let mut waiting = self.lock();
            waiting.closed = true;
            std::mem::take(&mut waiting.limits)
        };
        drop(limits);
        self.changed.notify_one();
        self.expire(Millis(i64::MAX));
    }

    /// Whether the node closes.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn limit(purgatory: &Purgatory, at_ms: i64, called: &Arc<AtomicU64>) -> LimitKey {
        let called = Arc::clone(called);
        let timer = move || {
            called.fetch_add(1, Ordering::Relaxed);
        };
        purgatory.limit(Millis(at_ms), Box::new(timer))
    }

    #[test]
    fn a_limit_is_called_once_at_its_time_and_not_where_it_was_lifted() {
        let (purgatory, called) = (Purgatory::default(), Arc::default());
        limit(&purgatory, 10, &called);
        let lifted = limit(&purgatory, 10, &called);
        limit(&purgatory, 11, &called);
        purgatory.lift(lifted);
        purgatory.expire(Millis(9));
        assert_eq!(called.load(Ordering::Relaxed), 0);
        purgatory.expire(Millis(10));
        assert_eq!(called.load(Ordering::Relaxed), 1);
        purgatory.lift(lifted);
        purgatory.expire(Millis(100));
        assert_eq!(called.load(Ordering::Relaxed), 2);
        assert_eq!(purgatory.lock().next(), None);
    }

    #[test]
    fn a_node_that_closes_calls_timers_and_drops_limits() {
        let (purgatory, called) = (Purgatory::default(), Arc::<AtomicU64>::default());
        let timers = Arc::<AtomicU64>::default();
        limit(&purgatory, 10, &called);
        let counts = Arc::clone(&timers);
        let timer = move || {
            counts.fetch_add(1, Ordering::Relaxed);
        };
        purgatory.at(Millis(10), Box::new(timer));
        purgatory.close();
        limit(&purgatory, 10, &called);
        purgatory.expire(Millis(i64::MAX));
        assert_eq!(called.load(Ordering::Relaxed), 0);
        assert_eq!(timers.load(Ordering::Relaxed), 1);
        assert_eq!(Arc::strong_count(&called), 1);
    }
}
