//! The two clocks of a turn.

use weir_log::{Clock, Millis};

/// When a turn happens, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, which may jump: what commands and clients see.
    pub now: Millis,
    /// Milliseconds of a clock that never jumps: what elections and heartbeats go by.
    pub elapsed_ms: u64,
}

impl Moment {
    /// The clock that never jumps, as a time.
    pub fn elapsed(&self) -> Millis {
        Millis(i64::try_from(self.elapsed_ms).unwrap_or(i64::MAX))
    }

    /// What `clock` shows.
    pub fn of(clock: &dyn Clock) -> Self {
        Self {
            now: clock.now(),
            elapsed_ms: clock.monotonic_ns() / 1_000_000,
        }
    }
}
