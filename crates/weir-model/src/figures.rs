//! Durations counted by size, without a lock: what every part of a node measures itself with.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets, in microseconds. One more bucket has no bound.
pub const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 30_000_000,
];
const BUCKET_COUNT: usize = BOUNDS_US.len() + 1;

/// Counts durations. Two additions each, on one cache line or two.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKET_COUNT],
    sum_us: AtomicU64,
}

/// What a histogram has counted. Several add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramFigures {
    /// Durations by bucket: each those above the bound before and not above its own.
    pub counts: [u64; BUCKET_COUNT],
    /// Sum of all durations, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe_us(&self, took_us: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(took_us, Relaxed);
    }

    /// What was counted until now.
    pub fn figures(&self) -> HistogramFigures {
        let mut figures = HistogramFigures {
            sum_us: self.sum_us.load(Relaxed),
            ..HistogramFigures::default()
        };
        for (into, count) in figures.counts.iter_mut().zip(&self.counts) {
            *into = count.load(Relaxed);
        }
        figures
    }
}

impl HistogramFigures {
    /// Takes in what another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (into, count) in self.counts.iter_mut().zip(&other.counts) {
            *into += count;
        }
        self.sum_us += other.sum_us;
    }

    /// Durations counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_at_a_bound_counts_below_it_and_one_past_it_above() {
        let histogram = Histogram::default();
        for bound in BOUNDS_US {
            histogram.observe_us(bound);
            histogram.observe_us(bound + 1);
        }
        histogram.observe_us(0);
        let figures = histogram.figures();
        assert_eq!(figures.counts[0], 2);
        assert!(
            figures.counts[1..BOUNDS_US.len()]
                .iter()
                .all(|count| *count == 2)
        );
        assert_eq!(figures.counts[BOUNDS_US.len()], 1);
        let mut both = figures;
        both.add(&figures);
        assert_eq!(both.count(), 2 * figures.count());
        assert_eq!(both.sum_us, 2 * figures.sum_us);
    }
}
