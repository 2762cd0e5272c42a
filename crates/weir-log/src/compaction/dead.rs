//! Segments of a log of which ranges die, in no order: those that are mostly dead are written again
//! with what is left of them. What is left is less than half, so that no byte is copied more often,
//! on the whole, than once.

use std::sync::Arc;

use weir_model::{Offset, batch::BatchHeader};

use super::{Compaction, rewrite::Fate, run::Passes, survey::base_offset};
use crate::partition::{FlushError, PartitionLog, PartitionStore, SegmentMeta, tidy::tidy};

/// A range that has not died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRange {
    /// Its first offset, where a batch begins.
    pub first: Offset,
    /// The offset after its last one, where a batch ends.
    pub end: Offset,
    /// Length of its batches, in bytes.
    pub size_bytes: u64,
}

/// What has not died of a log up to some offset. What has died stays dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Ascending.
    pub ranges: Vec<LiveRange>,
    /// Nothing is known of what is behind.
    pub end: Offset,
}

impl Live {
    fn overlaps(&self, segment: &SegmentMeta) -> &[LiveRange] {
        let from = self
            .ranges
            .partition_point(|range| range.end <= segment.base_offset);
        let rest = &self.ranges[from..];
        &rest[..rest.partition_point(|range| range.first < segment.next_offset)]
    }

    fn has(&self, offset: Offset) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= offset);
        self.ranges
            .get(at)
            .is_some_and(|range| range.first <= offset)
    }

    /// A range that lies in two segments counts in both.
    fn is_mostly_dead(&self, segment: &SegmentMeta) -> bool {
        let live = self.overlaps(segment).iter();
        let live_bytes: u64 = live.map(|range| range.size_bytes).sum();
        segment.next_offset <= self.end && live_bytes <= segment.size_bytes / 2
    }
}

/// Writes the first sealed segments again that follow each other and are mostly dead, joined up to
/// `segment_bytes`. Runs long: for a maintenance thread. After an error the log is as it was.
///
/// # Errors
///
/// As those of a flush.
pub fn drop_dead(
    store: &PartitionStore,
    partition: &Arc<PartitionLog>,
    live: &Live,
    segment_bytes: u64,
) -> Result<Compaction, FlushError> {
    let manifest = partition.manifest();
    let Some((_active, sealed)) = manifest.segments.split_last() else {
        return Ok(Compaction::Nothing);
    };
    let kept = manifest.segment_at(partition.start_offset());
    let sealed = &sealed[kept.min(sealed.len())..];
    let Some(run) = mostly_dead(sealed, live).filter(|_| !partition.has_staged()) else {
        return Ok(Compaction::Nothing);
    };
    tidy(store.disk(), partition)?;
    let mut passes = Passes::new(store, partition.id(), segment_bytes);
    let fate_of = |header: &BatchHeader, _: &[u8]| match live.has(base_offset(header)) {
        true => Fate::Keep,
        false => Fate::Drop,
    };
    let done = passes.rewrite(run, &fate_of).and_then(|segments| {
        passes.sync_dir()?;
        Ok((segments, 1))
    });
    passes.stage(partition, run, done)
}

/// The first segments that are worth it. One that is empty already is so only beside another.
fn mostly_dead<'a>(sealed: &'a [SegmentMeta], live: &Live) -> Option<&'a [SegmentMeta]> {
    let mut runs = sealed
        .chunk_by(|one, next| live.is_mostly_dead(one) && live.is_mostly_dead(next))
        .filter(|run| run.iter().all(|segment| live.is_mostly_dead(segment)));
    runs.find(|run| run.len() > 1 || run.iter().any(|segment| segment.size_bytes > 0))
}
