//! Transient partitions past their budget: what nobody needs any more leaves memory, and of what
//! is needed the largest partitions' go to segments, which are never synced and end with this run.

use std::sync::{Arc, atomic::Ordering};

use weir_log::{FlushError, FlushJob, Millis, PartitionLog};
use weir_model::Offset;
use weir_raft::Input;

use super::{CheckpointFailed, Checkpointer, FLUSH_PART, FULL_RETRY_MS};

/// Part of the budget that must have come in since the last look for what nobody needs, before
/// the next look.
const LOOK_PART: u64 = 8;
/// Part of the budget that may stay unwritten after partitions are spilled.
const LEFT_PART: u64 = 8;
/// Time between two looks for segments that nobody needs, in ms.
const TIDY_INTERVAL_MS: u64 = 1_000;

/// What was spilled.
#[derive(Default)]
pub(super) struct Spilling {
    /// Unwritten bytes that were needed when last looked for what is not.
    needed_bytes: u64,
    /// Everything goes to segments at the next look, whatever its size.
    pub(super) is_wanted: bool,
    /// There may be segments.
    has_segments: bool,
    next_tidy: Option<Millis>,
    /// When a full disk is tried again.
    retry_at: Option<Millis>,
}

impl Checkpointer {
    /// Keeps transient partitions within their budget.
    pub(super) fn spill(&mut self) -> Result<(), CheckpointFailed> {
        let now = self.node.elapsed();
        let is_time = |at: Option<Millis>| at.is_none_or(|at| at <= now);
        let budget_bytes = self.node.config.store.transient_budget_bytes;
        let unwritten_bytes = self.node.env.store.transient_unflushed_bytes();
        let spilling = &mut self.spilling;
        // Trims and dropped partitions make it less.
        spilling.needed_bytes = spilling.needed_bytes.min(unwritten_bytes);
        let has_grown = unwritten_bytes - spilling.needed_bytes >= budget_bytes / LOOK_PART;
        let is_tidy_due = spilling.has_segments && is_time(spilling.next_tidy);
        if !(has_grown || is_tidy_due || spilling.is_wanted) || !is_time(spilling.retry_at) {
            return Ok(());
        }
        spilling.next_tidy = Some(now.plus(TIDY_INTERVAL_MS));
        let logs = self.node.env.store.transient_partitions();
        let has_segments = |log: &Arc<PartitionLog>| !log.manifest().segments.is_empty();
        self.spilling.has_segments &= logs.iter().any(has_segments);
        let unneeded = logs.iter().filter(|log| log.has_unneeded());
        let jobs = unneeded.map(|log| (Arc::clone(log), log.unneeded_end()));
        let spilled = self.write_out(jobs.collect()).and_then(|()| {
            let unwritten_bytes = self.node.env.store.transient_unflushed_bytes();
            self.spilling.needed_bytes = unwritten_bytes;
            let is_due = unwritten_bytes >= budget_bytes / FLUSH_PART;
            match (std::mem::take(&mut self.spilling.is_wanted), is_due) {
                (true, _) => self.write_largest(logs, 0),
                (false, true) => self.write_largest(logs, budget_bytes / LEFT_PART),
                (false, false) => Ok(()),
            }
        });
        self.spilled(now, spilled)
    }

    /// Spills partitions until so many bytes are left in memory alone.
    fn write_largest(
        &mut self,
        logs: Vec<Arc<PartitionLog>>,
        left_bytes: u64,
    ) -> Result<(), FlushError> {
        let sized = logs.into_iter().filter(|log| log.is_dirty());
        let mut sized: Vec<_> = sized.map(|log| (log.unflushed_bytes(), log)).collect();
        sized.sort_by_key(|(size_bytes, log)| (std::cmp::Reverse(*size_bytes), log.id()));
        let mut unwritten_bytes: u64 = sized.iter().map(|(size_bytes, _)| size_bytes).sum();
        let mut jobs = Vec::new();
        for (size_bytes, log) in sized {
            if left_bytes > 0 && unwritten_bytes <= left_bytes {
                break;
            }
            unwritten_bytes -= size_bytes;
            let end = log.end_offset();
            jobs.push((log, end));
        }
        self.write_out(jobs)?;
        self.spilling.has_segments = true;
        self.spilling.needed_bytes = self.node.env.store.transient_unflushed_bytes();
        Ok(())
    }

    fn write_out(&self, ends: Vec<(Arc<PartitionLog>, Offset)>) -> Result<(), FlushError> {
        let job = |(partition, up_to): (Arc<PartitionLog>, Offset)| {
            let place = self.node.stored_as(partition.id());
            FlushJob {
                policy: place.map(|place| place.policy).unwrap_or_default(),
                partition,
                up_to,
            }
        };
        let jobs: Vec<FlushJob> = ends.into_iter().map(job).collect();
        let store = &self.node.env.store;
        store.installed(store.spill(&jobs)?);
        Ok(())
    }

    fn spilled(
        &mut self,
        now: Millis,
        spilled: Result<(), FlushError>,
    ) -> Result<(), CheckpointFailed> {
        let is_full = match spilled {
            Ok(()) => false,
            Err(error @ FlushError::Full { .. }) => {
                if self.spilling.retry_at.is_none() {
                    tracing::warn!(%error, "disk full: transient queues have their memory alone");
                }
                true
            }
            Err(error @ (FlushError::Failed { .. } | FlushError::Corrupt { .. })) => {
                return Err(error.into());
            }
        };
        self.spilling.retry_at = is_full.then(|| now.plus(FULL_RETRY_MS));
        self.state.is_spill_full.store(is_full, Ordering::Release);
        for handle in &self.node.handles {
            handle.send(Input::Nudge);
        }
        Ok(())
    }
}
