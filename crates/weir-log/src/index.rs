//! The sparse index of a segment: where to start reading for an offset or a time.
//!
//! An entry names a batch that begins at least [`INTERVAL_BYTES`] behind the one that the entry
//! before names. Which batches those are follows from the segment alone, so a lost index can be
//! made again. The encoding stands in `docs/formats-segments.md`.

use weir_model::{
    Offset,
    batch::{BatchHeader, PATCHED_BYTES, patched_head},
};

use crate::{partition::SegmentMeta, segment::SegmentKey};

/// Distance between entries, in bytes.
pub(crate) const INTERVAL_BYTES: u64 = 16 << 10;
/// Length of one entry in the file.
pub(crate) const ENTRY_BYTES: usize = 32;

/// One batch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) base_offset: Offset,
    /// Where the batch begins in the file, in bytes.
    pub(crate) position: u64,
    /// Latest time of all batches before it in the segment; `i64::MIN` where there is none.
    pub(crate) max_before_ms: i64,
    /// CRC-32C of the heads of the batches from the entry before up to this one.
    pub(crate) heads_crc: u32,
}

impl IndexEntry {
    /// Appends the encoding of the entry at place `at`. The checksum ties it to file and place.
    pub(crate) fn encode(&self, key: SegmentKey, at: u32, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&self.base_offset.0.to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.max_before_ms.to_le_bytes());
        out.extend_from_slice(&self.heads_crc.to_le_bytes());
        let crc = checksum(key, at, &out[from..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    fn decode(key: SegmentKey, at: u32, bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*crc) != checksum(key, at, fields) {
            return None;
        }
        let (words, heads_crc) = fields.as_chunks::<8>();
        let [base_offset, position, max_before_ms] = *words.as_array()?;
        Some(Self {
            base_offset: Offset(u64::from_le_bytes(base_offset)),
            position: u64::from_le_bytes(position),
            max_before_ms: i64::from_le_bytes(max_before_ms),
            heads_crc: u32::from_le_bytes(*heads_crc.as_array()?),
        })
    }
}

fn checksum(key: SegmentKey, at: u32, fields: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&key.partition.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &key.base_offset.0.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &key.generation.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &at.to_le_bytes());
    crc32c::crc32c_append(crc, fields)
}

/// A segment's index in memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) entries: Vec<IndexEntry>,
}

impl SegmentIndex {
    /// Decodes a whole index. `None` where it is not what was written.
    pub(crate) fn decode(key: SegmentKey, bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let entries = (0_u32..)
            .zip(chunks)
            .map(|(at, chunk)| IndexEntry::decode(key, at, chunk))
            .collect::<Option<_>>()?;
        Some(Self { entries })
    }

    /// Whether it can be this segment's: entries in order and inside of it.
    pub(crate) fn fits(&self, meta: &SegmentMeta) -> bool {
        let (mut position, mut offset) = (0, meta.base_offset);
        self.entries.iter().all(|entry| {
            let follows = entry.position >= position + INTERVAL_BYTES && entry.base_offset > offset;
            (position, offset) = (entry.position, entry.base_offset);
            follows && position < meta.size_bytes && offset < meta.next_offset
        })
    }

    pub(crate) fn encode(&self, key: SegmentKey) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for (at, entry) in (0_u32..).zip(&self.entries) {
            entry.encode(key, at, &mut out);
        }
        out
    }

    /// How many entries come before the last batch that may hold `offset`, or the batch itself.
    pub(crate) fn count_to_offset(&self, offset: Offset) -> usize {
        self.entries
            .partition_point(|entry| entry.base_offset <= offset)
    }

    /// How many entries name batches before which all is older than `time_ms`.
    pub(crate) fn count_to_time(&self, time_ms: i64) -> usize {
        self.entries
            .partition_point(|entry| entry.max_before_ms < time_ms)
    }
}

/// One batch, as far as a segment's description and its index depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchFacts {
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) size_bytes: u64,
    /// `i64::MIN`: no records.
    pub(crate) max_timestamp_ms: i64,
    pub(crate) leader_epoch: i32,
}

impl BatchFacts {
    /// The first bytes of the batch as they stand in the segment.
    pub(crate) fn head(&self) -> [u8; PATCHED_BYTES] {
        let size_bytes = usize::try_from(self.size_bytes).expect("a batch is in memory");
        patched_head(self.base_offset, size_bytes, self.leader_epoch)
    }

    /// Of a batch whose offsets were checked.
    pub(crate) fn of(header: &BatchHeader) -> Self {
        let base_offset = Offset::from_wire(header.base_offset).expect("the offset was checked");
        Self {
            base_offset,
            last_offset: base_offset.plus(u64::from(header.last_offset_delta)),
            size_bytes: header.size_bytes as u64,
            max_timestamp_ms: if header.record_count == 0 {
                i64::MIN
            } else {
                header.max_timestamp_ms
            },
            leader_epoch: header.leader_epoch,
        }
    }
}

impl SegmentMeta {
    /// Counts a batch in. Returns the index entry that is due for it.
    pub(crate) fn add(&mut self, batch: &BatchFacts) -> Option<IndexEntry> {
        assert!(batch.base_offset >= self.next_offset, "batches only follow");
        let entry = IndexEntry {
            base_offset: batch.base_offset,
            position: self.size_bytes,
            max_before_ms: self.max_timestamp_ms,
            heads_crc: self.heads_crc,
        };
        let is_due = self.size_bytes - self.indexed_bytes >= INTERVAL_BYTES;
        if is_due {
            self.indexed_bytes = self.size_bytes;
            self.index_count += 1;
            self.heads_crc = 0;
        }
        self.heads_crc = crc32c::crc32c_append(self.heads_crc, &batch.head());
        self.size_bytes += batch.size_bytes;
        self.next_offset = batch.last_offset.plus(1);
        if batch.max_timestamp_ms > self.max_timestamp_ms {
            self.max_timestamp_ms = batch.max_timestamp_ms;
            self.max_timestamp_offset = batch.base_offset;
        }
        is_due.then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use weir_model::PartitionId;

    use super::*;

    fn key(generation: u32) -> SegmentKey {
        SegmentKey {
            partition: PartitionId(7),
            base_offset: Offset(0),
            generation,
        }
    }

    fn index() -> SegmentIndex {
        let entry = |n: u64, max_before_ms| IndexEntry {
            base_offset: Offset(n * 10),
            position: n * 20_000,
            max_before_ms,
            heads_crc: 77,
        };
        SegmentIndex {
            entries: vec![entry(1, 5), entry(2, 5), entry(3, 9)],
        }
    }

    #[test]
    fn an_index_reads_back_and_damage_is_seen_at_every_byte() {
        let bytes = index().encode(key(0));
        assert_eq!(SegmentIndex::decode(key(0), &bytes), Some(index()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(SegmentIndex::decode(key(0), &damaged), None, "byte {at}");
        }
        assert_eq!(SegmentIndex::decode(key(0), &bytes[1..]), None);
    }

    #[test]
    fn another_files_or_places_entry_is_refused() {
        let bytes = index().encode(key(0));
        assert_eq!(SegmentIndex::decode(key(1), &bytes), None);
        assert_eq!(SegmentIndex::decode(key(0), &bytes[ENTRY_BYTES..]), None);
    }

    #[test]
    fn lookups_count_the_entries_before() {
        let index = index();
        let at = |offset| index.count_to_offset(Offset(offset));
        assert_eq!([at(9), at(10), at(29), at(99)], [0, 1, 2, 3]);
        let time = |time_ms| index.count_to_time(time_ms);
        assert_eq!([time(5), time(6), time(9), time(10)], [0, 2, 2, 3]);
    }
}
