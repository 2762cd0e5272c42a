//! What a partition answers to reads and lookups.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use weir_model::{Offset, PartitionId};

use super::PartitionLog;

/// Answer of [`PartitionLog::read`].
#[derive(Debug)]
pub enum Read {
    /// Batches from memory.
    Batches(ReadBatches),
    /// The data is on disk: hand this to [`super::PartitionStore::read_cold`].
    Cold(ColdRead),
    /// There is nothing at this offset yet.
    AtEnd,
    /// The offset is outside the log.
    OutOfRange {
        /// First offset of the log.
        start: Offset,
        /// Offset after the last record.
        end: Offset,
    },
}

/// Whole batches with their heads patched: the chunks one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBatches {
    /// The bytes. The first batch may start before the offset asked for.
    pub chunks: Vec<Bytes>,
    /// Sum of the chunks' lengths.
    pub size_bytes: usize,
    /// Where to read on.
    pub next_offset: Offset,
}

impl ReadBatches {
    /// All chunks as one; a single one as it is.
    pub fn joined(self) -> Bytes {
        match <[Bytes; 1]>::try_from(self.chunks) {
            Ok([one]) => one,
            Err(chunks) => {
                let mut whole = BytesMut::with_capacity(self.size_bytes);
                chunks
                    .iter()
                    .for_each(|chunk| whole.extend_from_slice(chunk));
                whole.freeze()
            }
        }
    }
}

/// A read that needs the disk.
#[derive(Clone, Debug)]
pub struct ColdRead {
    pub(crate) partition: Arc<PartitionLog>,
    pub(crate) from: Offset,
    pub(crate) max_bytes: usize,
    pub(crate) min_one: bool,
}

impl ColdRead {
    /// What is read.
    pub fn partition(&self) -> PartitionId {
        self.partition.id()
    }

    /// From where on.
    pub fn from(&self) -> Offset {
        self.from
    }
}

/// Answer of a lookup by time.
#[derive(Debug)]
pub enum Lookup {
    /// Found in memory.
    Found(TimestampOffset),
    /// No record fits.
    NotFound,
    /// The disk, or the decompression of a batch, is needed: hand this to
    /// [`super::PartitionStore::lookup_cold`].
    Cold(ColdLookup),
}

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's offset.
    pub offset: Offset,
    /// The record's time, ms since 1970.
    pub timestamp_ms: i64,
    /// Leader epoch of its batch.
    pub leader_epoch: i32,
}

/// A lookup that must not run on a worker.
#[derive(Clone, Debug)]
pub struct ColdLookup {
    pub(crate) partition: Arc<PartitionLog>,
    pub(crate) wanted: Wanted,
}

/// What a lookup looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The first record at or after this time, in ms.
    AtOrAfter(i64),
    /// The record with the latest time.
    Latest,
}
