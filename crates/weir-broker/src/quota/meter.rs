//! How much of something there was in the last seconds, without a lock.
//!
//! A meter knows one time: when all that was counted so far will be paid for at its rate. What has not been used for
//! [`WINDOW_MS`] can be used at once, no more, which is what Kafka's average over eleven windows of a second comes to.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// For how long what is not used can be used later, in ms (Kafka's `quota.window.num` - 1 times
/// `quota.window.size.seconds`).
const WINDOW_MS: u32 = 10_000;
/// Longest time that a connection is held, and longest that what was too much is remembered, in ms.
pub const MAX_THROTTLE_MS: u64 = 3_600_000;

const US_PER_MS: u64 = 1_000;
const US_PER_S: f64 = 1_000_000.0;
const WINDOW_US: i64 = WINDOW_MS as i64 * 1_000;
const MAX_DEBT_US: i64 = 3_600_000_000;

/// One meter. Times are those of one clock that never goes back, in µs.
#[derive(Debug)]
pub(super) struct Meter {
    /// When what was counted is paid for.
    paid_us: AtomicI64,
    /// In a second: bits of an `f64`.
    rate: AtomicU64,
}

impl Meter {
    /// With nothing counted.
    pub(super) fn new(rate: f64) -> Self {
        Self {
            paid_us: AtomicI64::new(i64::MIN),
            rate: AtomicU64::new(rate.to_bits()),
        }
    }

    fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Relaxed))
    }

    /// Goes by another rate from now on, also for what is not paid yet. One at a time.
    pub(super) fn set_rate(&self, now_us: i64, rate: f64) {
        let before = self.rate();
        if before.to_bits() == rate.to_bits() {
            return;
        }
        self.rate.store(rate.to_bits(), Relaxed);
        let share = before / rate;
        let _ = self.paid_us.fetch_update(Relaxed, Relaxed, |paid_us| {
            let debt_us = paid_us.saturating_sub(now_us);
            (debt_us > 0).then(|| now_us.saturating_add(capped(debt_us as f64 * share)))
        });
    }

    /// Counts so much, and tells for how long it is too much, in ms.
    pub(super) fn count(&self, now_us: i64, amount: f64) -> u64 {
        let cost_us = capped(amount / self.rate() * US_PER_S);
        let after = |paid_us: i64| {
            let from_us = paid_us.max(now_us - WINDOW_US);
            from_us.saturating_add(cost_us).min(now_us + MAX_DEBT_US)
        };
        let before = self
            .paid_us
            .fetch_update(Relaxed, Relaxed, |paid_us| Some(after(paid_us)));
        let (Ok(paid_us) | Err(paid_us)) = before;
        debt_ms(after(paid_us), now_us)
    }

    /// For how long what was counted is too much, in ms.
    pub(super) fn debt_ms(&self, now_us: i64) -> u64 {
        debt_ms(self.paid_us.load(Relaxed), now_us)
    }

    /// Most that can be used at once.
    pub(super) fn window(&self) -> f64 {
        self.rate() * f64::from(WINDOW_MS) / 1_000.0
    }

    /// A new one would be the same.
    pub(super) fn is_rested(&self, now_us: i64) -> bool {
        self.paid_us.load(Relaxed) <= now_us - WINDOW_US
    }
}

/// µs, as many as there may be.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and the bounds are whole"
)]
fn capped(us: f64) -> i64 {
    (us as i64).clamp(0, MAX_DEBT_US)
}

fn debt_ms(paid_us: i64, now_us: i64) -> u64 {
    let debt_us = paid_us.saturating_sub(now_us);
    u64::try_from(debt_us).unwrap_or(0).div_ceil(US_PER_MS)
}
