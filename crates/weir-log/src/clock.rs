//! Time and randomness, as arguments.

use std::fmt;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// This time `count_ms` later, saturating.
    #[must_use]
    pub fn plus(self, count_ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(count_ms))
    }

    /// The first time at which `count_ms` have passed for sure since a clock showed this one: clocks show whole
    /// milliseconds, of which the first may have been almost over.
    #[must_use]
    pub fn after(self, count_ms: u64) -> Self {
        self.plus(count_ms.saturating_add(1))
    }

    /// Milliseconds from `earlier` to this time; 0 where `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time. May jump.
    fn now(&self) -> Millis;
    /// Nanoseconds since some fixed moment of this process. Never goes back.
    fn monotonic_ns(&self) -> u64;
}

/// Where random numbers come from.
pub trait Entropy: Send + Sync + 'static {
    /// The next number.
    fn next_u64(&self) -> u64;
}
