//! What a flush of a transient partition need not write.

use weir_model::Offset;

use super::PartitionLog;

impl PartitionLog {
    /// A flush up to here writes nothing, and lets go of the batches before the start that no
    /// segment has: the last batch boundary that is not after the start.
    pub fn unneeded_end(&self) -> Offset {
        let state = self.lock();
        let needed = state.tail.batches_from(state.start).next();
        let boundary = needed.map_or(state.end, |batch| batch.base_offset);
        boundary.max(state.manifest.end())
    }

    /// Whether a flush up to [`PartitionLog::unneeded_end`] lets go of anything.
    pub fn has_unneeded(&self) -> bool {
        let end = self.unneeded_end();
        let state = self.lock();
        let mut segments = state.manifest.segments.iter();
        end > state.manifest.end() || segments.any(|segment| segment.next_offset <= state.start)
    }

    /// Bytes of the batches that no segment has.
    pub fn unflushed_bytes(&self) -> u64 {
        let state = self.lock();
        state.tail.bytes_from(state.manifest.end())
    }
}
