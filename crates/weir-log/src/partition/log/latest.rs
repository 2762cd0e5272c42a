//! The batch with the latest record.

use weir_model::Offset;

use super::State;
use crate::partition::PartitionManifest;

impl State {
    /// The latest record's batch among those not trimmed.
    pub(super) fn latest_kept(&self) -> Option<(i64, Offset)> {
        let stored = latest_of(
            self.manifest.segments[self.manifest.segment_at(self.start)..]
                .iter()
                .map(|segment| (segment.max_timestamp_ms, segment.max_timestamp_offset))
                .filter(|(_, offset)| *offset >= self.start),
        );
        let in_memory = latest_of(
            self.tail
                .batches_from(self.start)
                .map(|batch| (batch.max_timestamp_ms, batch.base_offset)),
        );
        latest_of(stored.into_iter().chain(in_memory))
    }
}

pub(super) fn latest_stored(manifest: &PartitionManifest) -> Option<(i64, Offset)> {
    latest_of(
        manifest
            .segments
            .iter()
            .map(|segment| (segment.max_timestamp_ms, segment.max_timestamp_offset))
            .filter(|(_, offset)| *offset >= manifest.start),
    )
}

/// The first of those with the greatest time.
fn latest_of(batches: impl Iterator<Item = (i64, Offset)>) -> Option<(i64, Offset)> {
    batches
        .filter(|(time_ms, _)| *time_ms != i64::MIN)
        .min_by_key(|(time_ms, offset)| (std::cmp::Reverse(*time_ms), *offset))
}
