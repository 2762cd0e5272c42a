//! Segments brought from another replica, and the manifest that takes them in.
//!
//! What is brought stays beside the manifest until the group's replica takes the whole checkpoint
//! over; a take-over that is given up leaves it to the next one.

use weir_model::Offset;

use super::{PartitionLog, latest::latest_stored};
use crate::{
    partition::{PartitionManifest, SegmentMeta, manifest::BROUGHT_BIT},
    segment::SegmentKey,
};

/// Beside the manifest.
#[derive(Default)]
pub(super) struct Brought {
    /// Finished segments that the manifest does not name yet, in order.
    segments: Vec<SegmentMeta>,
    /// Files of no use to this log any more. A durable checkpoint may name them until the next
    /// manifest is installed.
    obsolete: Vec<SegmentMeta>,
    /// Of the last segment begun: no two files of one partition have the same name.
    serial: u32,
}

impl Brought {
    pub(super) fn is_obsolete_empty(&self) -> bool {
        self.obsolete.is_empty()
    }

    pub(super) fn take_obsolete(&mut self) -> Vec<SegmentMeta> {
        std::mem::take(&mut self.obsolete)
    }
}

/// Offsets that another replica has and this one does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingRange {
    /// First offset.
    pub from: Offset,
    /// Offset after the last one; a batch ends there.
    pub to: Offset,
    /// Whether a batch may begin before `from`: what is before it is not kept here.
    pub begins_inside: bool,
    /// Whether compaction left gaps, as far as the other replica's manifest tells.
    pub may_have_gaps: bool,
    /// Roughly, in bytes.
    pub size_bytes: u64,
}

/// The log cannot be made what another replica's manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segments do not lead from {start} to {end}")]
pub struct NotWhole {
    /// First offset wanted.
    pub start: Offset,
    /// Offset after the last one wanted.
    pub end: Offset,
}

impl PartitionLog {
    /// What must be brought so that this log holds what `target` does from `start` on, in order.
    /// Each range lies in one of `target`'s segments. Where the log's stored end is past the
    /// target's there is nothing to be had from it.
    ///
    /// What an earlier try brought and does not fit this target is given up.
    pub fn missing(
        &self,
        target: &PartitionManifest,
        start: Offset,
    ) -> Result<Vec<MissingRange>, NotWhole> {
        let start = start.max(target.start);
        let end = target.end();
        let mut state = self.lock();
        let stored_end = state.manifest.end();
        if stored_end > end {
            return Err(NotWhole { start, end });
        }
        let begin = stored_end.max(start);
        let brought = std::mem::take(&mut state.brought.segments);
        let fits = |segment: &SegmentMeta| {
            segment.base_offset >= stored_end
                && segment.next_offset > begin
                && segment.next_offset <= end
        };
        let (kept, unfit) = brought.into_iter().partition(fits);
        state.brought.obsolete.extend::<Vec<_>>(unfit);
        state.brought.segments = kept;
        let mut missing = Vec::new();
        for segment in &target.segments {
            let mut from = segment.base_offset.max(begin);
            for there in &state.brought.segments {
                let to = there.base_offset.min(segment.next_offset);
                push_range(
                    &mut missing,
                    segment,
                    from,
                    to,
                    stored_end < start && from == start,
                );
                from = from.max(there.next_offset);
            }
            let is_inside = stored_end < start && from == start;
            push_range(&mut missing, segment, from, segment.next_offset, is_inside);
        }
        Ok(missing)
    }

    /// The log as it is with all that was brought: from `start` to `end`.
    pub fn with_brought(&self, start: Offset, end: Offset) -> Result<PartitionManifest, NotWhole> {
        let not_whole = NotWhole { start, end };
        let state = self.lock();
        let start = start.max(state.manifest.start);
        if start >= end {
            return Ok(PartitionManifest {
                start: end,
                segments: Vec::new(),
            });
        }
        let stored = state.manifest.segments.iter();
        let mut segments: Vec<SegmentMeta> = stored
            .chain(&state.brought.segments)
            .filter(|segment| segment.next_offset > start)
            .copied()
            .collect();
        segments.sort_by_key(|segment| segment.base_offset);
        let manifest = PartitionManifest { start, segments };
        if manifest.check().is_ok() && manifest.end() == end {
            Ok(manifest)
        } else {
            Err(not_whole)
        }
    }

    /// Takes over a manifest that is in a durable checkpoint: of another replica's state, with
    /// this log's own segments and those brought. What was in memory goes. Readers that are under
    /// way go on or begin again; watchers stay.
    pub fn take_over(&self, manifest: PartitionManifest) {
        let mut state = self.lock();
        state.refers = true;
        let unflushed = state.tail.bytes_from(state.manifest.end());
        let tail = std::mem::take(&mut state.tail);
        let mut dropped = state.manifest.segments.clone();
        dropped.append(&mut state.brought.segments);
        dropped.extend(state.staged.take().into_iter().flat_map(|s| s.segments));
        dropped.retain(|segment| !manifest.names(segment));
        state.brought.obsolete.append(&mut dropped);
        state.staged_is_planned = false;
        state.start = manifest.start;
        state.end = manifest.end();
        state.latest = latest_stored(&manifest);
        state.manifest = std::sync::Arc::new(manifest);
        drop(state);
        self.budget.sub_unflushed(unflushed);
        drop(tail);
    }

    /// Finished segments that were brought and wait for [`PartitionLog::take_over`], in order.
    pub fn brought(&self) -> Vec<SegmentMeta> {
        self.lock().brought.segments.clone()
    }

    /// The segment whose batches are in this file, which is relative to the data directory.
    pub fn segment_in(&self, path: &str) -> Option<SegmentMeta> {
        let manifest = self.manifest();
        let mut segments = manifest.segments.iter();
        segments
            .find(|segment| SegmentKey::new(self.id, segment).segment_path() == path)
            .copied()
    }

    /// A segment to bring batches from `base_offset` on into, with a name of its own.
    pub(crate) fn begin_brought(&self, base_offset: Offset, created_ms: i64) -> SegmentMeta {
        let mut state = self.lock();
        let is_brought = |segment: &&SegmentMeta| segment.generation & BROUGHT_BIT != 0;
        let named = state.manifest.segments.iter().filter(is_brought);
        let last = named.map(|segment| segment.generation & !BROUGHT_BIT).max();
        let serial = state.brought.serial.max(last.unwrap_or(0)) + 1;
        state.brought.serial = serial;
        SegmentMeta::empty(base_offset, BROUGHT_BIT | serial, created_ms)
    }

    /// Keeps a segment whose file is written.
    pub(crate) fn keep_brought(&self, segment: SegmentMeta) {
        let mut state = self.lock();
        let segments = &mut state.brought.segments;
        let at = segments.partition_point(|other| other.base_offset < segment.base_offset);
        segments.insert(at, segment);
    }
}

fn push_range(
    missing: &mut Vec<MissingRange>,
    segment: &SegmentMeta,
    from: Offset,
    to: Offset,
    begins_inside: bool,
) {
    if from >= to {
        return;
    }
    let offsets = segment.next_offset.0 - segment.base_offset.0;
    let share = u128::from(segment.size_bytes) * u128::from(to.0 - from.0) / u128::from(offsets);
    missing.push(MissingRange {
        from,
        to,
        begins_inside,
        may_have_gaps: segment.generation > 0,
        size_bytes: u64::try_from(share).unwrap_or(u64::MAX),
    });
}
