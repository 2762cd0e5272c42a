//! How fast batches may be brought.

use weir_log::Millis;

/// Time's worth of bytes that may be saved up, in ms. So little that clients, who wait for the
/// same disks and processors, do not feel a burst.
const BURST_MS: u64 = 20;

/// A token bucket that may be overdrawn once: what a call brings is known afterwards.
pub(super) struct Throttle {
    bytes_per_s: u64,
    left_bytes: i64,
    filled_at: Option<Millis>,
}

impl Throttle {
    /// 0: no limit.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        Self {
            bytes_per_s,
            left_bytes: 0,
            filled_at: None,
        }
    }

    /// Whether a call may be made.
    pub(super) fn admits(&mut self, now: Millis) -> bool {
        if self.bytes_per_s == 0 {
            return true;
        }
        let passed_ms = self.filled_at.map_or(BURST_MS, |at| now.since(at));
        let rate = u128::from(self.bytes_per_s);
        let gained = i64::try_from(u128::from(passed_ms) * rate / 1000).unwrap_or(i64::MAX);
        if gained > 0 {
            let burst = i64::try_from(u128::from(BURST_MS) * rate / 1000).unwrap_or(i64::MAX);
            self.left_bytes = self.left_bytes.saturating_add(gained).min(burst.max(1));
            self.filled_at = Some(now);
        }
        self.left_bytes > 0
    }

    /// Counts what was brought.
    pub(super) fn spend(&mut self, size_bytes: usize) {
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        self.left_bytes = self.left_bytes.saturating_sub(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_brought_is_waited_for_and_no_more_than_a_burst_is_saved_up() {
        let mut throttle = Throttle::new(1000);
        assert!(throttle.admits(Millis(0)));
        throttle.spend(2020);
        assert!(!throttle.admits(Millis(2000)));
        assert!(throttle.admits(Millis(2001)));
        assert!(throttle.admits(Millis(1_000_000)));
        throttle.spend(20);
        assert!(!throttle.admits(Millis(1_000_000)));
    }

    #[test]
    fn slow_rates_add_up_over_short_looks() {
        let mut throttle = Throttle::new(100);
        assert!(throttle.admits(Millis(0)));
        throttle.spend(3);
        assert!((1..10).all(|at| !throttle.admits(Millis(at))));
        assert!((10..21).any(|at| throttle.admits(Millis(at))));
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let mut throttle = Throttle::new(0);
        throttle.spend(usize::MAX);
        assert!(throttle.admits(Millis(0)));
    }
}
