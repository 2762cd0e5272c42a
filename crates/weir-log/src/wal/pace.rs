//! How long commits take: a disk that has become slow shows here before anything fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_model::figures::{Histogram, HistogramFigures};

use crate::clock::Clock;

/// Commits that are remembered.
pub const RECENT_COMMIT_COUNT: usize = 16;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_US: u64 = 1_000;

/// How long commits took lately, from the first byte written to the end of the sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitPace {
    /// Age of the commit under way, in ms.
    pub under_way_ms: Option<u64>,
    /// Commits since the log was opened.
    pub commit_count: u64,
    recent_ms: [u64; RECENT_COMMIT_COUNT],
}

impl CommitPace {
    /// Durations in ms of the last commits, the newest first; `limit` at most.
    pub fn newest_ms(&self, limit: u64) -> impl Iterator<Item = u64> {
        let kept = RECENT_COMMIT_COUNT as u64;
        let first = self.commit_count.saturating_sub(limit.min(kept));
        let numbers = (first..self.commit_count).rev();
        numbers.map(|number| self.recent_ms[slot(number)])
    }

    /// The same and one commit more that took `took_ms`.
    #[must_use]
    pub fn with(mut self, took_ms: u64) -> Self {
        self.recent_ms[slot(self.commit_count)] = took_ms;
        self.commit_count += 1;
        self
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number % RECENT_COMMIT_COUNT as u64).expect("a place among 16")
}

#[derive(Default)]
struct Measured {
    begun_ns: Option<u64>,
    ended: CommitPace,
}

/// Measures. A mutex: taken twice per commit, to write a number.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    measured: Mutex<Measured>,
    /// All commits that count, from the first byte written to the end of the sync.
    took: Histogram,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            measured: Mutex::default(),
            took: Histogram::default(),
        }
    }

    pub(super) fn begin(&self) {
        self.lock().begun_ns = Some(self.clock.monotonic_ns());
    }

    /// `counts`: the commit was written, or failed for good.
    pub(super) fn end(&self, counts: bool) {
        let now_ns = self.clock.monotonic_ns();
        let mut measured = self.lock();
        let Some(begun_ns) = measured.begun_ns.take() else {
            return;
        };
        if counts {
            let took_ns = now_ns.saturating_sub(begun_ns);
            self.took.observe_us(took_ns / NS_PER_US);
            measured.ended = measured.ended.with(took_ns / NS_PER_MS);
        }
    }

    pub(super) fn took(&self) -> HistogramFigures {
        self.took.figures()
    }

    pub(super) fn read(&self) -> CommitPace {
        let now_ns = self.clock.monotonic_ns();
        let measured = self.lock();
        let age_ms = |begun_ns| now_ns.saturating_sub(begun_ns) / NS_PER_MS;
        CommitPace {
            under_way_ms: measured.begun_ns.map(age_ms),
            ..measured.ended
        }
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::Millis;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Millis {
            Millis(0)
        }

        fn monotonic_ns(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn commits_are_measured_and_the_last_ones_remembered() {
        let hand = Arc::new(Hand::default());
        let pace = Pace::new(Arc::<Hand>::clone(&hand));
        assert_eq!(pace.read(), CommitPace::default());
        for took_ms in 1..=20 {
            pace.begin();
            hand.0.fetch_add(took_ms * NS_PER_MS, Ordering::Relaxed);
            assert_eq!(pace.read().under_way_ms, Some(took_ms));
            pace.end(true);
        }
        let read = pace.read();
        assert_eq!((read.under_way_ms, read.commit_count), (None, 20));
        assert_eq!((pace.took().count(), pace.took().sum_us), (20, 210_000));
        assert_eq!(read.newest_ms(3).collect::<Vec<_>>(), [20, 19, 18]);
        let all: Vec<u64> = (5..=20).rev().collect();
        assert_eq!(read.newest_ms(u64::MAX).collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_try_that_found_no_room_does_not_count() {
        let pace = Pace::new(Arc::new(Hand::default()));
        pace.begin();
        pace.end(false);
        assert_eq!(pace.read(), CommitPace::default());
    }
}
