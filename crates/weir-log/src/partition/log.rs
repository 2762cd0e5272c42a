//! One partition's log in memory: offsets, tail, manifest, watchers.

mod epochs;
mod latest;
mod refers;
mod take_over;
mod unneeded;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_model::{Offset, PartitionId};

use self::latest::latest_stored;
pub use self::take_over::{MissingRange, NotWhole};
use super::{
    ColdLookup, ColdRead, EpochTable, Lookup, PartitionManifest, Read, SegmentMeta, Traffic,
    WatchersFull, read::Wanted,
};
use crate::{
    cold::find_in_memory,
    tail::{Picked, TailBatch, TailBudget, TailQueue},
};

/// Most watchers of one partition.
pub const MAX_WATCHERS: usize = 10_000;
/// Fewer watchers than this are not looked through for those that are over.
const MIN_PRUNED_WATCHERS: u32 = 16;

/// Most batches that the flusher takes at once.
const MAX_UNFLUSHED_COUNT: usize = 1024;

/// Called by whoever appends, outside of the partition's lock. Must not block.
pub trait Watcher: Send + Sync {
    /// A batch of `size_bytes` was appended. Returns whether to be called again.
    fn appended(&self, size_bytes: usize) -> bool;
    /// Whether it need not be called any more. Asked from time to time, under the partition's
    /// lock: must not call back.
    fn is_over(&self) -> bool;
}

/// One partition's log. Appended to by one worker, read by anyone, flushed by one flusher.
///
/// A mutex rather than a channel: readers answer at once from the tail, and the lock is held for
/// a binary search and some reference counts, never for a copy or a disk access.
pub struct PartitionLog {
    id: PartitionId,
    budget: Arc<TailBudget>,
    state: Mutex<State>,
    tidied: Mutex<bool>,
    traffic: Traffic,
}

struct State {
    start: Offset,
    end: Offset,
    tail: TailQueue,
    epochs: EpochTable,
    manifest: Arc<PartitionManifest>,
    staged: Option<Replacement>,
    staged_is_planned: bool,
    brought: take_over::Brought,
    /// The batch with the latest record since the start: time and base offset.
    latest: Option<(i64, Offset)>,
    queued_for_eviction: bool,
    /// See [`PartitionLog::refers`].
    refers: bool,
    watchers: Vec<Arc<dyn Watcher>>,
    /// Those that are over go when there are this many: an idle partition calls none of them.
    prune_watchers_at: u32,
}

/// Segments that compaction wrote anew, until a flush takes them into the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// Offsets whose segments are replaced.
    pub(crate) from: Offset,
    /// Offset after the last one replaced.
    pub(crate) to: Offset,
    /// What replaces them.
    pub(crate) segments: Vec<SegmentMeta>,
}

/// What a flush starts from.
pub(crate) struct FlushPlan {
    pub(crate) manifest: Arc<PartitionManifest>,
    pub(crate) staged: Option<Replacement>,
    pub(crate) start: Offset,
}

impl PartitionLog {
    pub(crate) fn new(
        id: PartitionId,
        manifest: PartitionManifest,
        budget: Arc<TailBudget>,
    ) -> Arc<Self> {
        let is_stored = !manifest.segments.is_empty();
        let state = State {
            start: manifest.start,
            end: manifest.end(),
            tail: TailQueue::default(),
            epochs: EpochTable::default(),
            latest: latest_stored(&manifest),
            manifest: Arc::new(manifest),
            staged: None,
            staged_is_planned: false,
            brought: take_over::Brought::default(),
            queued_for_eviction: false,
            refers: is_stored,
            watchers: Vec::new(),
            prune_watchers_at: MIN_PRUNED_WATCHERS,
        };
        Arc::new(Self {
            id,
            budget,
            state: Mutex::new(state),
            tidied: Mutex::new(false),
            traffic: Traffic::default(),
        })
    }

    /// The partition.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// What clients sent and took.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Appends a committed batch.
    ///
    /// # Panics
    /// Where the batch does not begin at the log's end: the caller assigns offsets.
    pub fn append(&self, batch: TailBatch) {
        let size_bytes = batch.bytes.len();
        let mut state = self.lock();
        assert_eq!(batch.base_offset, state.end, "batches leave no gap");
        assert!(batch.last_offset >= batch.base_offset, "a batch has a last");
        state.end = batch.last_offset.plus(1);
        state.epochs.appended(batch.leader_epoch, batch.base_offset);
        if state
            .latest
            .is_none_or(|(latest_ms, _)| batch.max_timestamp_ms > latest_ms)
        {
            state.latest = Some((batch.max_timestamp_ms, batch.base_offset));
        }
        state.tail.push(batch);
        let watchers = std::mem::take(&mut state.watchers);
        drop(state);
        self.budget.add_unflushed(size_bytes as u64);
        self.call(watchers, size_bytes);
    }

    fn call(&self, mut watchers: Vec<Arc<dyn Watcher>>, size_bytes: usize) {
        if watchers.is_empty() {
            return;
        }
        watchers.retain(|watcher| watcher.appended(size_bytes));
        if !watchers.is_empty() {
            self.lock().watchers.append(&mut watchers);
        }
    }

    /// First offset that may be read.
    pub fn start_offset(&self) -> Offset {
        self.lock().start
    }

    /// Offset after the last committed record: the high watermark.
    pub fn end_offset(&self) -> Offset {
        self.lock().end
    }

    /// Reads whole batches from the one with `from` on, up to `max_bytes`; with `min_one` the
    /// first one whatever its size.
    pub fn read(self: &Arc<Self>, from: Offset, max_bytes: usize, min_one: bool) -> Read {
        let mut picked = Picked::from(from);
        let mut goes_on = {
            let state = self.lock();
            let (start, end) = (state.start, state.end);
            if from < start || from > end {
                return Read::OutOfRange { start, end };
            }
            if from == end {
                return Read::AtEnd;
            }
            if state.tail.first_offset().is_none_or(|first| from < first) {
                drop(state);
                return Read::Cold(ColdRead {
                    partition: Arc::clone(self),
                    from,
                    max_bytes,
                    min_one,
                });
            }
            state.tail.pick(&mut picked, max_bytes, min_one)
        };
        while goes_on {
            goes_on = self.lock().tail.pick(&mut picked, max_bytes, min_one);
        }
        Read::Batches(picked.assemble())
    }

    /// Calls `watcher` at every append from now on, until it declines. Read once more after this:
    /// what was appended before is not reported.
    pub fn watch(&self, watcher: Arc<dyn Watcher>) -> Result<(), WatchersFull> {
        let mut state = self.lock();
        let count = |state: &State| u32::try_from(state.watchers.len()).unwrap_or(u32::MAX);
        if count(&state) >= state.prune_watchers_at {
            state.watchers.retain(|watcher| !watcher.is_over());
            state.prune_watchers_at = (2 * count(&state)).max(MIN_PRUNED_WATCHERS);
        }
        if state.watchers.len() >= MAX_WATCHERS {
            return Err(WatchersFull);
        }
        state.watchers.push(watcher);
        Ok(())
    }

    /// Moves the log's start up to `new_start`, at most to its end. Never moves it back.
    pub fn trim(&self, new_start: Offset) {
        let mut freed = Vec::new();
        let mut state = self.lock();
        let new_start = new_start.min(state.end);
        state.epochs.trimmed(new_start);
        if new_start <= state.start {
            return;
        }
        state.start = new_start;
        let below = new_start.min(state.manifest.end());
        while state
            .tail
            .front()
            .is_some_and(|batch| batch.last_offset < below)
        {
            freed.extend(state.tail.pop_front());
        }
        if state.latest.is_some_and(|(_, offset)| offset < new_start) {
            state.latest = state.latest_kept();
        }
        drop(state);
        drop(freed);
    }

    /// The first record at or after `time_ms`.
    pub fn lookup_timestamp(self: &Arc<Self>, time_ms: i64) -> Lookup {
        self.lookup(Offset(0), Wanted::AtOrAfter(time_ms))
    }

    /// The record with the latest time; the first of several. After a trim within a segment the
    /// segment's other records count only if its latest batch was not trimmed.
    pub fn max_timestamp(self: &Arc<Self>) -> Lookup {
        self.lookup(Offset(0), Wanted::Latest)
    }

    /// As far as it can be answered from memory without decompressing.
    fn lookup(self: &Arc<Self>, from: Offset, wanted: Wanted) -> Lookup {
        let cold = || {
            Lookup::Cold(ColdLookup {
                partition: Arc::clone(self),
                wanted,
            })
        };
        match self.lookup_step(from, wanted) {
            LookupStep::NotFound => Lookup::NotFound,
            LookupStep::Memory(step) => find_in_memory(&step).unwrap_or_else(cold),
            LookupStep::Segment { .. } => cold(),
        }
    }

    /// Where records that fit may be, from `from` on.
    pub(crate) fn lookup_step(&self, from: Offset, wanted: Wanted) -> LookupStep {
        let state = self.lock();
        let from = from.max(state.start);
        let (time_ms, from) = match (wanted, state.latest) {
            (Wanted::AtOrAfter(time_ms), _) => (time_ms, from),
            (Wanted::Latest, Some((time_ms, offset))) => (time_ms, from.max(offset)),
            (Wanted::Latest, None) => return LookupStep::NotFound,
        };
        let in_memory = state.tail.first_offset();
        let segments = &state.manifest.segments[state.manifest.segment_at(from)..];
        let stored = segments
            .iter()
            .take_while(|segment| in_memory.is_none_or(|first| segment.base_offset < first))
            .find(|segment| segment.max_timestamp_ms >= time_ms);
        if in_memory.is_none_or(|first| from < first)
            && let Some(segment) = stored
        {
            return LookupStep::Segment {
                segment: *segment,
                from,
                time_ms,
            };
        }
        match state.tail.batch_at_time(from, time_ms) {
            Some(batch) => LookupStep::Memory(MemoryStep {
                batch: batch.clone(),
                from,
                time_ms,
            }),
            None => LookupStep::NotFound,
        }
    }

    /// What the last checkpoint says.
    pub fn manifest(&self) -> Arc<PartitionManifest> {
        Arc::clone(&self.lock().manifest)
    }

    /// What the partition takes on the disk, in bytes: its segments' batches, and those that only
    /// the write-ahead log has yet.
    pub fn size_bytes(&self) -> u64 {
        let state = self.lock();
        let kept = &state.manifest.segments[state.manifest.segment_at(state.start)..];
        let stored: u64 = kept.iter().map(|segment| segment.size_bytes).sum();
        stored + state.tail.bytes_from(state.manifest.end())
    }

    /// The time of the oldest batch that no segment has yet, in ms; `None`: there is none.
    pub fn oldest_unflushed_ms(&self) -> Option<i64> {
        let state = self.lock();
        let oldest = state.tail.batches_from(state.manifest.end()).next();
        oldest.map(|batch| batch.max_timestamp_ms)
    }

    /// Whether a flush would change the manifest: batches to write, segments to drop or replace.
    pub fn is_dirty(&self) -> bool {
        let state = self.lock();
        state.end > state.manifest.end()
            || state.start > state.manifest.start
            || state.staged.is_some()
            || !state.brought.is_obsolete_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a lookup has to go on.
pub(crate) enum LookupStep {
    /// No record fits.
    NotFound,
    /// In this batch, perhaps.
    Memory(MemoryStep),
    /// In this segment, perhaps.
    Segment {
        segment: SegmentMeta,
        from: Offset,
        time_ms: i64,
    },
}

/// Where in the tail to look: for the first record at `from` or later, and at the time or later.
pub(crate) struct MemoryStep {
    pub(crate) batch: TailBatch,
    pub(crate) from: Offset,
    pub(crate) time_ms: i64,
}

/// The flusher's, the compactor's and the budget's side.
impl PartitionLog {
    /// What a flush up to `up_to` is to be added to.
    ///
    /// # Panics
    /// Where `up_to` is past the log's end.
    pub(crate) fn plan_flush(&self, up_to: Offset) -> FlushPlan {
        let mut state = self.lock();
        assert!(up_to <= state.end, "a flush covers what was appended");
        assert!(up_to >= state.manifest.end(), "a flush never goes back");
        state.staged_is_planned = state.staged.is_some();
        FlushPlan {
            manifest: Arc::clone(&state.manifest),
            staged: state.staged.clone(),
            start: state.start,
        }
    }

    /// Some of the unflushed batches from `from` on and below `up_to`: so many that the lock is
    /// held briefly. None where `from` is `up_to`.
    ///
    /// # Panics
    /// Where `up_to` is inside a batch.
    pub(crate) fn unflushed(&self, from: Offset, up_to: Offset) -> Vec<TailBatch> {
        let state = self.lock();
        assert!(from >= state.manifest.end(), "the rest may be gone");
        let batches: Vec<TailBatch> = state
            .tail
            .batches_from(from)
            .take_while(|batch| batch.base_offset < up_to)
            .take(MAX_UNFLUSHED_COUNT)
            .cloned()
            .collect();
        drop(state);
        let reaches = batches
            .last()
            .is_none_or(|last| last.last_offset.plus(1) <= up_to);
        assert!(reaches, "a flush ends at a batch");
        batches
    }

    /// Whether the partition's directory holds no files but ours.
    pub(crate) fn tidied(&self) -> MutexGuard<'_, bool> {
        self.tidied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a manifest that is in a durable checkpoint. Returns the segments whose files
    /// are not named any more.
    pub(crate) fn install(self: &Arc<Self>, manifest: PartitionManifest) -> Vec<SegmentMeta> {
        let mut state = self.lock();
        let old = Arc::clone(&state.manifest);
        assert!(manifest.end() >= old.end(), "manifests never shrink");
        assert!(manifest.end() <= state.end, "a manifest covers appends");
        let mut dropped = old.segments.clone();
        let mut freed = Vec::new();
        dropped.append(&mut state.brought.take_obsolete());
        if std::mem::take(&mut state.staged_is_planned)
            && let Some(staged) = state.staged.take()
        {
            // Memory has them as they were: from now on readers get what is left of them.
            let is_replaced = |batch: &TailBatch| batch.last_offset < staged.to;
            while state.tail.front().is_some_and(is_replaced) {
                freed.extend(state.tail.pop_front());
            }
            dropped.extend(staged.segments);
        }
        dropped.retain(|segment| !manifest.names(segment));
        let flushed = state.tail.bytes_from(old.end()) - state.tail.bytes_from(manifest.end());
        state.manifest = Arc::new(manifest);
        let evictable = state.first_evictable();
        let queue = evictable.filter(|_| !state.queued_for_eviction);
        state.queued_for_eviction |= evictable.is_some();
        drop(state);
        self.budget.sub_unflushed(flushed);
        if let Some(position_bytes) = queue {
            self.budget.add_evictable(position_bytes, self);
        }
        dropped
    }

    /// Keeps what compaction wrote until the next flush. Returns false, and keeps nothing, while
    /// an earlier replacement waits.
    pub(crate) fn stage(&self, replacement: Replacement) -> bool {
        let mut state = self.lock();
        if state.staged.is_some() {
            return false;
        }
        state.staged = Some(replacement);
        true
    }

    /// Whether a replacement waits for a flush.
    pub(crate) fn has_staged(&self) -> bool {
        self.lock().staged.is_some()
    }

    /// Drops flushed batches whose buffers stand before `below_bytes`. Returns where the oldest
    /// flushed batch that is left stands.
    pub(crate) fn evict(&self, below_bytes: u64) -> Option<u64> {
        let mut freed = Vec::new();
        let mut state = self.lock();
        let mut left = state.first_evictable();
        while left.is_some_and(|position_bytes| position_bytes < below_bytes) {
            freed.extend(state.tail.pop_front());
            left = state.first_evictable();
        }
        state.queued_for_eviction = left.is_some();
        drop(state);
        left
    }

    /// Forgets the unflushed batches' share of the node's counter: the partition is gone.
    pub(crate) fn close(&self) {
        let state = self.lock();
        let unflushed = state.tail.bytes_from(state.manifest.end());
        self.budget.sub_unflushed(unflushed);
    }
}

impl State {
    fn first_evictable(&self) -> Option<u64> {
        self.tail
            .front()
            .filter(|batch| batch.last_offset < self.manifest.end())
            .map(|batch| batch.pin.position_bytes())
    }
}

impl std::fmt::Debug for PartitionLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PartitionLog").field(&self.id).finish()
    }
}
