//! A clock that moves only when the simulation says so.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use weir_log::{Clock, Millis};

/// Wall-clock time and monotonic time of one simulated node. Clones share the time.
#[derive(Clone, Debug)]
pub struct SimClock {
    wall_ms: Arc<AtomicI64>,
    monotonic_ns: Arc<AtomicU64>,
}

impl SimClock {
    /// A clock that stands at `start`.
    pub fn new(start: Millis) -> Self {
        Self {
            wall_ms: Arc::new(AtomicI64::new(start.0)),
            monotonic_ns: Arc::default(),
        }
    }

    /// Lets `count_ms` pass on both clocks.
    pub fn advance_ms(&self, count_ms: u64) {
        let wall = Millis(self.wall_ms.load(Ordering::Relaxed)).plus(count_ms);
        self.wall_ms.store(wall.0, Ordering::Relaxed);
        self.monotonic_ns
            .fetch_add(count_ms.saturating_mul(1_000_000), Ordering::Relaxed);
    }

    /// Wall-clock time, ms since 1970.
    pub fn now_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::Relaxed)
    }

    /// Sets the wall clock, forwards or back; monotonic time stays.
    pub fn jump_to(&self, now: Millis) {
        self.wall_ms.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Millis {
        Millis(self.wall_ms.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_back_leaves_monotonic_time_alone() {
        let clock = SimClock::new(Millis(1_000));
        clock.advance_ms(5);
        clock.jump_to(Millis(10));
        assert_eq!(clock.now(), Millis(10));
        assert_eq!(clock.monotonic_ns(), 5_000_000);
    }
}
