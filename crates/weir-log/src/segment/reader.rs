//! Reading batches from one segment file, verified.

use std::{io, sync::Arc};

use bytes::Bytes;
use weir_model::{
    Offset,
    batch::{
        BatchError, BatchHeader, HEADER_BYTES, LENGTH_PREFIX_BYTES, PATCHED_BYTES, verify_crc,
    },
};

use super::{SegmentFiles, SegmentKey};
use crate::{
    disk::DiskFile,
    index::{INTERVAL_BYTES, SegmentIndex},
    partition::{ReadError, SegmentMeta},
};

/// Least length of a read from disk, in bytes: what a reader of old data will ask for next.
const READ_AHEAD_BYTES: u64 = 1 << 20;
/// Memory for a long batch grows by this much, in bytes, as its bytes are read.
const GROWTH_BYTES: usize = 8 << 20;

/// What the next batch's base offset must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// This one.
    Exactly(Offset),
    /// This one or a later one: compaction left gaps.
    AtLeast(Offset),
}

/// A part of a segment in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    position: u64,
    bytes: Bytes,
}

impl Window {
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn covers(&self, position: u64, size_bytes: u64) -> bool {
        position >= self.position
            && position + size_bytes <= self.position + self.bytes.len() as u64
    }

    fn slice(&self, position: u64, size_bytes: u64) -> Bytes {
        let from = index_of(position - self.position);
        self.bytes.slice(from..from + index_of(size_bytes))
    }
}

fn index_of(size_bytes: u64) -> usize {
    usize::try_from(size_bytes).expect("what is in memory has a usize")
}

/// Walks through one segment, batch by batch.
pub(crate) struct SegmentReader<'a> {
    files: &'a SegmentFiles,
    key: SegmentKey,
    meta: SegmentMeta,
    path: String,
    file: Arc<dyn DiskFile>,
    window: Window,
    position: u64,
    expect: Expect,
    /// For the heads' checksums; without it they are not checked.
    index: Option<Arc<SegmentIndex>>,
    /// Index entries before the part of the segment that is checked next.
    entry_count: usize,
    /// Where that part begins, in bytes.
    heads_checked_to: u64,
}

impl<'a> SegmentReader<'a> {
    /// At the beginning of the segment.
    pub(crate) fn open(
        files: &'a SegmentFiles,
        key: SegmentKey,
        meta: SegmentMeta,
    ) -> Result<Self, ReadError> {
        let mut reader = Self::open_without_index(files, key, meta)?;
        reader.index = Some(files.index(key, &meta)?);
        Ok(reader)
    }

    /// At the beginning of the segment, to make its index.
    pub(crate) fn open_without_index(
        files: &'a SegmentFiles,
        key: SegmentKey,
        meta: SegmentMeta,
    ) -> Result<Self, ReadError> {
        let path = key.segment_path();
        let file = files.open(key, &path)?;
        let expect = if meta.generation == 0 {
            Expect::Exactly(meta.base_offset)
        } else {
            Expect::AtLeast(meta.base_offset)
        };
        Ok(Self {
            files,
            key,
            meta,
            path,
            file,
            window: Window::default(),
            position: 0,
            expect,
            index: None,
            entry_count: 0,
            heads_checked_to: 0,
        })
    }

    /// Goes to a batch from which on all that hold `offset` or later ones are met, and all of
    /// `time_ms` or later.
    pub(crate) fn seek(&mut self, offset: Offset, time_ms: i64) {
        let Some(index) = &self.index else {
            return;
        };
        let count = index
            .count_to_offset(offset)
            .max(index.count_to_time(time_ms))
            .min(self.meta.index_count as usize);
        if let Some(entry) = count.checked_sub(1).map(|last| index.entries[last]) {
            self.entry_count = count;
            self.position = entry.position;
            self.heads_checked_to = entry.position;
            self.expect = Expect::Exactly(entry.base_offset);
        }
    }

    /// Goes back to a batch that was read last.
    pub(crate) fn seek_back(&mut self, position: u64) {
        self.position = position;
    }

    /// Uses what an earlier reader of the segment read ahead.
    pub(crate) fn take_read_ahead(&mut self) {
        if let Some(window) = self.files.window(self.key) {
            self.window = window;
        }
    }

    /// Leaves what was read ahead to the next reader.
    pub(crate) fn keep_read_ahead(&self) {
        let end = self.window.position + self.window.bytes.len() as u64;
        if self.window.covers(self.position, 0) && self.position < end {
            self.files.keep_window(self.key, self.window.clone());
        } else {
            self.files.forget_window(self.key);
        }
    }

    /// Where the next batch begins, in bytes.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that are in memory since they were read last.
    pub(crate) fn window_bytes(&self) -> usize {
        self.window.size_bytes()
    }

    /// Whether the next batch, of this length, is in memory with what was read last.
    pub(crate) fn is_in_window(&self, size_bytes: u64) -> bool {
        self.window.covers(self.position, size_bytes)
    }

    /// Whether what it takes to learn the next batch's length is in memory with what was read
    /// last.
    pub(crate) fn is_head_in_window(&self) -> bool {
        let size_bytes = if self.is_head_checked() {
            HEADER_BYTES as u64
        } else {
            self.heads_span(self.next_part().0)
        };
        self.is_in_window(size_bytes.max(HEADER_BYTES as u64))
    }

    /// Bytes from `position` to the next batch, which must be in memory.
    pub(crate) fn read_since(&self, position: u64) -> Bytes {
        self.window.slice(position, self.position - position)
    }

    /// Length of the next batch as its head has it; `None` at the segment's end.
    pub(crate) fn next_size_bytes(&mut self) -> Result<Option<u64>, ReadError> {
        let left = self.meta.size_bytes - self.position;
        if left == 0 {
            return Ok(None);
        }
        if left < HEADER_BYTES as u64 {
            return Err(self.corrupt("the segment ends inside a batch"));
        }
        self.check_heads()?;
        self.load(HEADER_BYTES as u64)?;
        self.size_at(self.position, self.meta.size_bytes).map(Some)
    }

    /// Length of the batch at `position`, whose head is in memory, and which must end at `end` or
    /// before.
    fn size_at(&self, position: u64, end: u64) -> Result<u64, ReadError> {
        let head = self.window.slice(position, PATCHED_BYTES as u64);
        let length: [u8; 4] = head[8..LENGTH_PREFIX_BYTES]
            .try_into()
            .expect("the slice has the array's length");
        u64::try_from(i32::from_be_bytes(length))
            .ok()
            .map(|length| length + LENGTH_PREFIX_BYTES as u64)
            .filter(|size_bytes| (HEADER_BYTES as u64..=end - position).contains(size_bytes))
            .ok_or_else(|| self.corrupt("a batch's length is out of range"))
    }

    fn is_head_checked(&self) -> bool {
        self.index.is_none() || self.position < self.heads_checked_to
    }

    /// Where the next index entry's batch begins, and the heads' checksum up to there.
    fn next_part(&self) -> (u64, u32) {
        let entries = self.index.as_ref().map_or(&[][..], |index| &index.entries);
        let counted = &entries[..entries.len().min(self.meta.index_count as usize)];
        counted
            .get(self.entry_count)
            .map_or((self.meta.size_bytes, self.meta.heads_crc), |entry| {
                (entry.position, entry.heads_crc)
            })
    }

    /// How much from the position on holds all heads before `end`: a part's last batch begins
    /// less than an interval behind its first.
    fn heads_span(&self, end: u64) -> u64 {
        (end - self.position).min(INTERVAL_BYTES + PATCHED_BYTES as u64)
    }

    /// Checks the heads up to the next index entry: the batches' own checksums leave them out.
    fn check_heads(&mut self) -> Result<(), ReadError> {
        if self.is_head_checked() {
            return Ok(());
        }
        let (end, expected) = self.next_part();
        let span = self.heads_span(end);
        self.load(span)?;
        let damaged = || self.corrupt("the head of this or one of the next batches is damaged");
        let (mut at, mut crc) = (self.position, 0);
        while at < end {
            if at + PATCHED_BYTES as u64 > self.position + span {
                return Err(damaged());
            }
            let head = self.window.slice(at, PATCHED_BYTES as u64);
            crc = crc32c::crc32c_append(crc, &head);
            at += self.size_at(at, end).map_err(|_| damaged())?;
        }
        if crc != expected {
            return Err(damaged());
        }
        self.heads_checked_to = end;
        self.entry_count += 1;
        Ok(())
    }

    /// The next batch, checked; `None` at the segment's end.
    pub(crate) fn next(&mut self) -> Result<Option<(BatchHeader, Bytes)>, ReadError> {
        let Some(size_bytes) = self.next_size_bytes()? else {
            return Ok(None);
        };
        self.load(size_bytes)?;
        let batch = self.window.slice(self.position, size_bytes);
        let checked = BatchHeader::parse(&batch).and_then(|header| {
            verify_crc(&batch)?;
            Ok(header)
        });
        let header = checked.map_err(|error: BatchError| self.corrupt(&error.to_string()))?;
        let last = self.check_offsets(&header)?;
        self.position += size_bytes;
        self.expect = if self.meta.generation == 0 {
            Expect::Exactly(last.plus(1))
        } else {
            Expect::AtLeast(last.plus(1))
        };
        Ok(Some((header, batch)))
    }

    fn check_offsets(&self, header: &BatchHeader) -> Result<Offset, ReadError> {
        let wrong = || {
            self.corrupt(&format!(
                "a batch has base offset {}, expected {:?}",
                header.base_offset, self.expect
            ))
        };
        let base = Offset::from_wire(header.base_offset).ok_or_else(wrong)?;
        let fits = match self.expect {
            Expect::Exactly(expected) => base == expected,
            Expect::AtLeast(expected) => base >= expected,
        };
        let last = base.0.saturating_add(u64::from(header.last_offset_delta));
        if fits && last < self.meta.next_offset.0 {
            Ok(Offset(last))
        } else {
            Err(wrong())
        }
    }

    /// Brings `size_bytes` from the position on into memory, and more behind it.
    fn load(&mut self, size_bytes: u64) -> Result<(), ReadError> {
        if self.window.covers(self.position, size_bytes) {
            return Ok(());
        }
        let left = self.meta.size_bytes - self.position;
        let wanted = index_of(size_bytes.max(READ_AHEAD_BYTES).min(left));
        let mut bytes = Vec::new();
        while bytes.len() < wanted {
            let more = GROWTH_BYTES.min(wanted - bytes.len());
            let at = self.position + bytes.len() as u64;
            let count = self
                .file
                .append_at(&mut bytes, more, at)
                .map_err(|error| self.failed(&error))?;
            if count < more {
                let end = at + count as u64;
                return Err(ReadError::Corrupt {
                    path: self.path.clone(),
                    position: end,
                    reason: format!("the file ends before {} bytes", self.meta.size_bytes),
                });
            }
        }
        self.window = Window {
            position: self.position,
            bytes: bytes.into(),
        };
        Ok(())
    }

    /// Damage at the next batch.
    pub(crate) fn corrupt(&self, reason: &str) -> ReadError {
        ReadError::Corrupt {
            path: self.path.clone(),
            position: self.position,
            reason: reason.to_owned(),
        }
    }

    fn failed(&self, error: &io::Error) -> ReadError {
        ReadError::Failed {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }
}
