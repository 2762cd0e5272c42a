//! One partition's batches in memory, oldest first, without gaps.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use weir_model::{
    Offset,
    batch::{PATCHED_BYTES, patched_head},
};

use super::TailPin;
use crate::partition::ReadBatches;

/// What a batch costs in memory besides its buffer, in bytes.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

/// Batches below this are copied together when they are read, in bytes: a chunk of its own would
/// cost more than the copy.
const MAX_COPIED_BYTES: usize = 4096;

/// Queues with room for more entries than this shrink before they are empty.
const SHRINK_ABOVE_COUNT: usize = 1024;

/// Most batches picked at once: so many that the partition's lock is held briefly.
const MAX_PICKED_COUNT: usize = 1024;

/// One record batch v2, committed.
#[derive(Clone, Debug)]
pub struct TailBatch {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Latest record's time, ms since 1970.
    pub max_timestamp_ms: i64,
    /// Leader epoch under which it was appended.
    pub leader_epoch: i32,
    /// The batch as received: its first 16 bytes are replaced when it is served or written.
    pub bytes: Bytes,
    /// Counts the buffer that `bytes` is a slice of.
    pub pin: Arc<TailPin>,
}

#[derive(Debug)]
struct Entry {
    batch: TailBatch,
    /// Latest time of this and all earlier batches that were in memory with it.
    running_max_ms: i64,
    /// Bytes of this and all earlier batches that were ever in the queue.
    pushed_bytes: u64,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct TailQueue {
    entries: VecDeque<Entry>,
    pushed_bytes: u64,
}

impl TailQueue {
    /// First offset in memory.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.entries.front().map(|entry| entry.batch.base_offset)
    }

    pub(crate) fn front(&self) -> Option<&TailBatch> {
        self.entries.front().map(|entry| &entry.batch)
    }

    pub(crate) fn push(&mut self, batch: TailBatch) {
        let before = self
            .entries
            .back()
            .map_or(i64::MIN, |entry| entry.running_max_ms);
        self.pushed_bytes += batch.bytes.len() as u64;
        self.entries.push_back(Entry {
            running_max_ms: before.max(batch.max_timestamp_ms),
            pushed_bytes: self.pushed_bytes,
            batch,
        });
    }

    /// Bytes of batches from the one with `offset` on.
    pub(crate) fn bytes_from(&self, offset: Offset) -> u64 {
        let at = self
            .entries
            .partition_point(|entry| entry.batch.last_offset < offset);
        self.entries.get(at).map_or(0, |entry| {
            self.pushed_bytes - entry.pushed_bytes + entry.batch.bytes.len() as u64
        })
    }

    /// Takes the first batch out; gives memory back as the queue empties.
    pub(crate) fn pop_front(&mut self) -> Option<TailBatch> {
        let entry = self.entries.pop_front()?;
        let (len, capacity) = (self.entries.len(), self.entries.capacity());
        if len == 0 || (capacity > SHRINK_ABOVE_COUNT && len < capacity / 4) {
            self.entries.shrink_to(len * 2);
        }
        Some(entry.batch)
    }

    /// The batches from the one with `from` on.
    pub(crate) fn batches_from(&self, from: Offset) -> impl Iterator<Item = &TailBatch> {
        let at = self
            .entries
            .partition_point(|entry| entry.batch.last_offset < from);
        self.entries.range(at..).map(|entry| &entry.batch)
    }

    /// The first batch with offsets from `from` on and a record at or after `time_ms`.
    pub(crate) fn batch_at_time(&self, from: Offset, time_ms: i64) -> Option<&TailBatch> {
        let by_time = self
            .entries
            .partition_point(|entry| entry.running_max_ms < time_ms);
        let by_offset = self
            .entries
            .partition_point(|entry| entry.batch.last_offset < from);
        self.entries
            .range(by_time.max(by_offset)..)
            .map(|entry| &entry.batch)
            .find(|batch| batch.max_timestamp_ms >= time_ms)
    }

    /// Adds batches from where `picked` ends, as long as they fit. Returns whether to go on: there
    /// may be more that fit.
    pub(crate) fn pick(&self, picked: &mut Picked, max_bytes: usize, min_one: bool) -> bool {
        if self
            .first_offset()
            .is_none_or(|first| picked.next_offset < first)
        {
            return false;
        }
        for (count, batch) in self.batches_from(picked.next_offset).enumerate() {
            let size_bytes = picked.size_bytes + batch.bytes.len();
            let is_needed = min_one && picked.batches.is_empty();
            if size_bytes > max_bytes && !is_needed {
                return false;
            }
            if count == MAX_PICKED_COUNT {
                return true;
            }
            picked.size_bytes = size_bytes;
            picked.next_offset = batch.last_offset.plus(1);
            picked.batches.push(PickedBatch {
                base_offset: batch.base_offset,
                leader_epoch: batch.leader_epoch,
                bytes: batch.bytes.clone(),
            });
        }
        false
    }
}

/// Batches on their way to a reader.
pub(crate) struct Picked {
    batches: Vec<PickedBatch>,
    size_bytes: usize,
    next_offset: Offset,
}

struct PickedBatch {
    base_offset: Offset,
    leader_epoch: i32,
    bytes: Bytes,
}

impl PickedBatch {
    fn is_copied(&self) -> bool {
        self.bytes.len() < MAX_COPIED_BYTES
    }

    /// How much of it goes into the shared buffer.
    fn copied_bytes(&self) -> usize {
        if self.is_copied() {
            self.bytes.len()
        } else {
            PATCHED_BYTES
        }
    }
}

impl Picked {
    /// Nothing yet.
    pub(crate) fn from(from: Offset) -> Self {
        Self {
            batches: Vec::new(),
            size_bytes: 0,
            next_offset: from,
        }
    }

    /// Patches heads: one buffer for all heads and small batches, slices for the rest.
    pub(crate) fn assemble(self) -> ReadBatches {
        let copied_bytes = self.batches.iter().map(PickedBatch::copied_bytes).sum();
        let slice_count = self.batches.iter().filter(|b| !b.is_copied()).count();
        let mut copied = BytesMut::with_capacity(copied_bytes);
        let mut chunks = Vec::with_capacity(1 + 2 * slice_count);
        for batch in self.batches {
            let size = batch.bytes.len();
            copied.extend_from_slice(&patched_head(batch.base_offset, size, batch.leader_epoch));
            if batch.is_copied() {
                copied.extend_from_slice(&batch.bytes[PATCHED_BYTES..]);
            } else {
                chunks.push(copied.split().freeze());
                chunks.push(batch.bytes.slice(PATCHED_BYTES..));
            }
        }
        if !copied.is_empty() {
            chunks.push(copied.freeze());
        }
        ReadBatches {
            chunks,
            size_bytes: self.size_bytes,
            next_offset: self.next_offset,
        }
    }
}
