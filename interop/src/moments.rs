//! Moments of faults, from a seed.

use std::time::Duration;

/// Draws moments; the same ones for the same seed.
pub(crate) struct Moments(u64);

impl Moments {
    /// The draws of a seed.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A time up to `max_ms`.
    pub(crate) fn next(&mut self, max_ms: u64) -> Duration {
        Duration::from_millis(self.draw(max_ms + 1))
    }

    /// A time between two.
    pub(crate) fn between(&mut self, min_ms: u64, max_ms: u64) -> Duration {
        Duration::from_millis(min_ms) + self.next(max_ms - min_ms)
    }

    /// A number below `end`.
    pub(crate) fn draw(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// One of them.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let end = u64::try_from(of.len()).ok().filter(|end| *end > 0)?;
        usize::try_from(self.draw(end))
            .ok()
            .and_then(|index| of.get(index))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_moments() {
        let draw = || {
            let mut moments = Moments::from_seed(5);
            [moments.next(9), moments.next(9), moments.next(9)]
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().all(|time| *time <= Duration::from_millis(9)));
    }
}
