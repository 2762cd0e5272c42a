//! After the last step: faults end, and clients get what they are owed.

use super::{clients::Size, run::Run};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Rounds in which a node must get over a full disk.
const RECOVERY_ROUNDS: usize = 10;
/// Time of a round: longer than a full disk is left alone.
const ROUND_MS: u64 = 600;
/// Rounds beyond two per batch before a batch counts as never answered.
const RETRY_MARGIN_COUNT: usize = 20;

impl Run<'_> {
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        self.host.disk.disarm();
        self.free_disk();
        if self.hard_count() == self.hard_count_at_start && !self.must_stop {
            self.recover_without_restart()?;
        } else {
            self.restart(true, self.plan.seed, None)?;
        }
        self.retry_everything()?;
        self.sweep(false)?;
        self.restart(true, self.plan.seed, None)
    }

    /// A disk that was full and has space again: the node goes on by itself.
    fn recover_without_restart(&mut self) -> Result<(), Broken> {
        for _ in 0..RECOVERY_ROUNDS {
            self.round()?;
        }
        if self.must_stop || !self.node().is_ready() {
            let detail = "the node does not go on once the disk has space";
            return Err(broken(oracle_name::PROGRESS, detail));
        }
        self.host.counts.add("went_on", 1);
        Ok(())
    }

    fn round(&mut self) -> Result<(), Broken> {
        self.host.clock.advance_ms(ROUND_MS);
        self.node().checkpoint();
        self.settle()?;
        self.hear()
    }

    /// Lets every producer send what has no answer, until all have one.
    fn retry_everything(&mut self) -> Result<(), Broken> {
        let size = Size {
            record_count: 1,
            data_bytes: 10,
        };
        let keys: Vec<_> = self.producers.streams.keys().copied().collect();
        for key in keys {
            if !self.created.contains(&key.1.0) {
                continue;
            }
            let is_answered = |run: &Self| run.producers.streams[&key].is_answered();
            let wanted = self.producers.streams[&key].batches.len();
            for _ in 0..2 * wanted + RETRY_MARGIN_COUNT {
                if is_answered(self) || self.must_stop {
                    break;
                }
                self.produce(Some(key.0), key.1, size);
                self.round()?;
            }
            if !is_answered(self) {
                let detail = format!("{key:?}: not all batches have an answer");
                return Err(broken(oracle_name::PROGRESS, detail));
            }
        }
        Ok(())
    }
}
