//! A log's leader epochs.

use super::PartitionLog;
use crate::partition::{EpochEnd, EpochTable};

impl PartitionLog {
    /// Where `epoch` ends under the leader of epoch `current`; `None` where it is not known here.
    pub fn end_of_epoch(&self, epoch: i32, current: i32) -> Option<EpochEnd> {
        let state = self.lock();
        state.epochs.end_of(epoch, current, state.end)
    }

    /// The leader epochs of what was appended and not trimmed.
    pub fn epochs(&self) -> EpochTable {
        self.lock().epochs.clone()
    }

    /// Takes over the epochs of a checkpoint, whose manifest the log already has.
    pub fn restore_epochs(&self, epochs: EpochTable) {
        self.lock().epochs = epochs;
    }
}
