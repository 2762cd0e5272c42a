//! What clients sent to a partition and took from it on this node, since it was opened here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts; each partition has its own, so that connections rarely meet at one.
#[derive(Debug, Default)]
pub struct Traffic {
    produced_records: AtomicU64,
    produced_bytes: AtomicU64,
    fetched_bytes: AtomicU64,
}

/// What was counted. Several add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficFigures {
    /// Records that were acknowledged.
    pub produced_records: u64,
    /// Bytes of their batches.
    pub produced_bytes: u64,
    /// Bytes of batches that were given out.
    pub fetched_bytes: u64,
}

impl Traffic {
    /// A batch was stored for a client.
    pub fn produced(&self, records: u64, bytes: u64) {
        self.produced_records.fetch_add(records, Relaxed);
        self.produced_bytes.fetch_add(bytes, Relaxed);
    }

    /// Batches were given to a client.
    pub fn fetched(&self, bytes: u64) {
        self.fetched_bytes.fetch_add(bytes, Relaxed);
    }

    /// What was counted until now.
    pub fn figures(&self) -> TrafficFigures {
        TrafficFigures {
            produced_records: self.produced_records.load(Relaxed),
            produced_bytes: self.produced_bytes.load(Relaxed),
            fetched_bytes: self.fetched_bytes.load(Relaxed),
        }
    }
}

impl TrafficFigures {
    /// Takes in what another one has counted.
    pub fn add(&mut self, other: &Self) {
        self.produced_records += other.produced_records;
        self.produced_bytes += other.produced_bytes;
        self.fetched_bytes += other.fetched_bytes;
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
