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

    /// Takes the first batch out; gives memory back once nothing is left.
    pub(crate) fn pop_front(&mut self) -> Option<TailBatch> {
        let entry = self.entries.pop_front()?;
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
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

    /// As many batches from `from` on as fit in `max_bytes`, by reference.
    pub(crate) fn pick(&self, from: Offset, max_bytes: usize, min_one: bool) -> Vec<Picked> {
        let mut size_bytes = 0;
        let mut picked = Vec::new();
        for batch in self.batches_from(from) {
            size_bytes += batch.bytes.len();
            if size_bytes > max_bytes && !(min_one && picked.is_empty()) {
                break;
            }
            picked.push(Picked {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                leader_epoch: batch.leader_epoch,
                bytes: batch.bytes.clone(),
            });
        }
        picked
    }
}

/// A batch on its way to a reader.
pub(crate) struct Picked {
    base_offset: Offset,
    last_offset: Offset,
    leader_epoch: i32,
    bytes: Bytes,
}

impl Picked {
    fn is_copied(&self) -> bool {
        self.bytes.len() < MAX_COPIED_BYTES
    }
}

/// Patches heads: one buffer for all heads and small batches, slices for the rest.
pub(crate) fn assemble(picked: Vec<Picked>, from: Offset) -> ReadBatches {
    let mut copied = BytesMut::with_capacity(copied_bytes(&picked));
    let next_offset = picked.last().map_or(from, |last| last.last_offset.plus(1));
    let mut chunks = Vec::with_capacity(1 + 2 * picked.iter().filter(|p| !p.is_copied()).count());
    let mut size_bytes = 0;
    for batch in picked {
        let size = batch.bytes.len();
        size_bytes += size;
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
        size_bytes,
        next_offset,
    }
}

fn copied_bytes(picked: &[Picked]) -> usize {
    let size = |batch: &Picked| {
        if batch.is_copied() {
            batch.bytes.len()
        } else {
            PATCHED_BYTES
        }
    };
    picked.iter().map(size).sum()
}
