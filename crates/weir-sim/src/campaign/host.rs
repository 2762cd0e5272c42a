//! The machine that a campaign's node runs on, and what it knows of faults.

use std::sync::Arc;

use weir_log::{Clock, Millis};

use crate::world::{
    Counts, SimClock, SimEntropy, Trace,
    disk::{DiskConfig, SimDisk},
};

/// When every simulated world begins, ms since 1970.
const START: Millis = Millis(1_700_000_000_000);

/// Keeps the production code's numbers apart from the plan's.
const ENTROPY_SALT: u64 = 0x5eed;

/// Disk, clock and trace of one run, with the faults since the last start.
pub(super) struct Host {
    pub(super) disk: SimDisk,
    pub(super) clock: SimClock,
    pub(super) trace: Trace,
    /// Goes on over restarts, as the machine's own does.
    pub(super) entropy: Arc<SimEntropy>,
    pub(super) counts: Counts,
    /// Errors that the disk gave since the last start.
    error_count: u64,
}

impl Host {
    pub(super) fn new(config: DiskConfig, seed: u64, trace: Trace) -> Self {
        let clock = SimClock::new(START);
        Self {
            disk: SimDisk::new(config, clock.clone(), trace.clone()),
            clock,
            trace,
            entropy: Arc::new(SimEntropy::new(seed ^ ENTROPY_SALT)),
            counts: Counts::default(),
            error_count: 0,
        }
    }

    /// Whether an error may be seen: the disk failed something, or is off.
    pub(super) fn may_fail(&mut self) -> bool {
        self.error_count += self.disk.take_error_count();
        self.error_count > 0 || self.disk.is_off()
    }

    /// Ends the process, with or without a power cut.
    pub(super) fn restart(&mut self, power_cut: bool, salt: u64) {
        if power_cut {
            self.disk.power_cut(salt);
        } else {
            self.disk.kill(salt);
        }
        self.disk = self.disk.reopened();
        let now = self.clock.now();
        let word = now.0.unsigned_abs();
        self.trace.event("clock", &[word], || now.to_string());
        self.error_count = 0;
        self.counts.add("restarts", 1);
    }

    /// Counters of this run and its disk.
    pub(super) fn all_counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        counts.merge(&self.disk.counts());
        counts
    }
}
