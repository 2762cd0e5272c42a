//! A group's bodies by chunks.
//!
//! Encoded: `u32` chunks in ascending order, each `u64` first offset, `u64` offset after the last,
//! `u64` bytes of batches, `u32` records, `i64` time of the newest in ms. How many refer to one is
//! what the partitions' lists say.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::{Millis, compaction::LiveRange};
use weir_model::{ErrorKind, Offset, batch::BatchHeader, reference};

use crate::encoding::{DecodeError, Reader, Writer};

/// A chunk with as many records takes no more.
const MAX_CHUNK_COUNT: u32 = 4_096;
/// A chunk with as many bytes takes no more.
const MAX_CHUNK_BYTES: u64 = 4 << 20;
/// How long bodies stay that nobody refers to, in ms: references to them may be under way.
pub(crate) const BODY_GRACE_MS: u64 = 30_000;

const CHUNK_BYTES: usize = 8 + 8 + 8 + 4 + 8;

/// The chunks that are not dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunks {
    by_first: BTreeMap<u64, Chunk>,
    /// Those that nobody refers to, by the time of the newest body.
    idle: BTreeSet<(Millis, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Chunk {
    end: u64,
    size_bytes: u64,
    record_count: u32,
    newest: Millis,
    /// Partitions whose logs refer to it.
    holder_count: u32,
}

impl Chunks {
    /// A batch of bodies was stored.
    pub(crate) fn appended(&mut self, base: Offset, header: &BatchHeader, now: Millis) {
        let end = base.0 + header.offset_count();
        let size_bytes = header.size_bytes as u64;
        if let Some((first, last)) = self.by_first.iter_mut().next_back()
            && last.end == base.0
            && last.takes_more()
        {
            if last.holder_count == 0 {
                self.idle.remove(&(last.newest, *first));
                self.idle.insert((now, *first));
            }
            last.end = end;
            last.size_bytes += size_bytes;
            last.record_count = last.record_count.saturating_add(header.record_count);
            last.newest = now;
            return;
        }
        let chunk = Chunk {
            end,
            size_bytes,
            record_count: header.record_count,
            newest: now,
            holder_count: 0,
        };
        self.by_first.insert(base.0, chunk);
        self.idle.insert((now, base.0));
    }

    /// The chunks that a batch refers to, by their first offsets, each once.
    ///
    /// # Errors
    ///
    /// `OffsetOutOfRange` where one is dead, or never was; `CorruptBatch` where the batch is no
    /// such.
    pub(crate) fn referred(&self, batch: &[u8]) -> Result<BTreeSet<u64>, ErrorKind> {
        let found = reference::references(batch).map_err(|_| ErrorKind::CorruptBatch)?;
        let chunks = found.into_iter().map(|found| self.chunk_of(found.offset.0));
        let chunks: Option<BTreeSet<u64>> = chunks.collect();
        chunks.ok_or(ErrorKind::OffsetOutOfRange)
    }

    fn chunk_of(&self, offset: u64) -> Option<u64> {
        let (first, chunk) = self.by_first.range(..=offset).next_back()?;
        (offset < chunk.end).then_some(*first)
    }

    /// One more refers to the chunk.
    ///
    /// # Panics
    ///
    /// Where the chunk is dead: a body would be lost.
    pub(super) fn hold(&mut self, first: u64) {
        let chunk = self.by_first.get_mut(&first);
        let chunk = chunk.expect("what is referred to is there");
        chunk.holder_count += 1;
        self.idle.remove(&(chunk.newest, first));
    }

    /// One less does.
    ///
    /// # Panics
    ///
    /// Where the chunk is dead, or nobody held it: a body was lost.
    pub(super) fn let_go(&mut self, first: u64) {
        let chunk = self.by_first.get_mut(&first);
        let chunk = chunk.expect("what is referred to is there");
        let left = chunk.holder_count.checked_sub(1);
        chunk.holder_count = left.expect("it was held");
        if chunk.holder_count == 0 {
            self.idle.insert((chunk.newest, first));
        }
    }

    /// Lets chunks die that nobody has referred to for long enough.
    pub(crate) fn sweep(&mut self, now: Millis) {
        // The clock was set back: their time begins now.
        let after_now = (now.plus(1), 0);
        for (newest, first) in self.idle.split_off(&after_now) {
            let chunk = self.by_first.get_mut(&first);
            let chunk = chunk.expect("an idle chunk is there");
            assert_eq!(newest, chunk.newest, "idle chunks are sorted by their time");
            chunk.newest = now;
            self.idle.insert((now, first));
        }
        while let Some((newest, first)) = self.idle.first().copied() {
            if now.since(newest) < BODY_GRACE_MS {
                break;
            }
            self.idle.pop_first();
            let dead = self.by_first.remove(&first);
            let dead = dead.expect("an idle chunk is there");
            assert_eq!(dead.holder_count, 0, "somebody refers to a chunk that dies");
        }
    }

    /// How long until the next one may die, in ms by the wall clock; 0 where that was set back.
    pub(crate) fn next_sweep_in_ms(&self, now: Millis) -> Option<u64> {
        let (newest, _) = self.idle.first()?;
        let is_set_back = self.idle.last().is_some_and(|(last, _)| *last > now);
        Some(if is_set_back {
            0
        } else {
            BODY_GRACE_MS.saturating_sub(now.since(*newest))
        })
    }

    /// The first body that is not dead, where the log of bodies ends at `end`.
    pub(crate) fn start(&self, end: Offset) -> Offset {
        self.by_first
            .keys()
            .next()
            .map_or(end, |first| Offset(*first))
    }

    /// What is not dead, ascending.
    pub(crate) fn live(&self) -> Vec<LiveRange> {
        let ranges = self.by_first.iter().map(|(first, chunk)| LiveRange {
            first: Offset(*first),
            end: Offset(chunk.end),
            size_bytes: chunk.size_bytes,
        });
        ranges.collect()
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.count(self.by_first.len());
        for (first, chunk) in &self.by_first {
            writer.u64(*first);
            writer.u64(chunk.end);
            writer.u64(chunk.size_bytes);
            writer.u32(chunk.record_count);
            writer.i64(chunk.newest.0);
        }
    }

    /// Without those who refer to them, who are to say so.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut chunks = Self::default();
        let mut before = 0;
        for _ in 0..reader.count(CHUNK_BYTES)? {
            let (first, end) = (reader.u64()?, reader.u64()?);
            let chunk = Chunk {
                end,
                size_bytes: reader.u64()?,
                record_count: reader.u32()?,
                newest: Millis(reader.i64()?),
                holder_count: 0,
            };
            if first < before || end <= first {
                return Err(reader.invalid("chunk of bodies"));
            }
            before = end;
            chunks.idle.insert((chunk.newest, first));
            chunks.by_first.insert(first, chunk);
        }
        Ok(chunks)
    }

    /// Whether the chunk is there.
    pub(super) fn has(&self, first: u64) -> bool {
        self.by_first.contains_key(&first)
    }
}

impl Chunk {
    fn takes_more(&self) -> bool {
        self.record_count < MAX_CHUNK_COUNT && self.size_bytes < MAX_CHUNK_BYTES
    }
}
