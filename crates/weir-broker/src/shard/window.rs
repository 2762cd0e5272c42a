//! Records of one read, opened: found by their offsets.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::{codec::decompress, partition::ReadBatches};
use weir_model::{
    PartitionId,
    batch::{BatchHeader, Codec, HEADER_BYTES},
    record::Records,
};

use crate::intake::MAX_INFLATED_BYTES;

/// Most bytes of records that are kept opened for all of a shard's queues; one read may be larger.
const MAX_WINDOWS_BYTES: usize = 16 << 20;
/// What a window takes of memory at least.
const WINDOW_MIN_BYTES: usize = 256;

/// The last window of each queue's partition, as many as memory is meant for.
#[derive(Default)]
pub(super) struct Windows {
    by_partition: BTreeMap<PartitionId, (u64, Window)>,
    /// By when they came.
    by_age: BTreeMap<u64, PartitionId>,
    next_age: u64,
    size_bytes: usize,
}

impl Windows {
    pub(super) fn of(&self, partition: PartitionId) -> Option<&Window> {
        self.by_partition.get(&partition).map(|(_, window)| window)
    }

    pub(super) fn keep(&mut self, partition: PartitionId, window: Window) {
        self.forget(partition);
        self.size_bytes += window.size_bytes();
        self.by_age.insert(self.next_age, partition);
        self.by_partition.insert(partition, (self.next_age, window));
        self.next_age += 1;
        while self.size_bytes > MAX_WINDOWS_BYTES && self.by_age.len() > 1 {
            if let Some((_, oldest)) = self.by_age.pop_first() {
                self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, partition: PartitionId) {
        if let Some((age, window)) = self.by_partition.remove(&partition) {
            self.by_age.remove(&age);
            self.size_bytes -= window.size_bytes();
        }
    }
}

/// Whole batches that follow each other.
pub(super) struct Window {
    batches: Vec<OpenBatch>,
    /// Everything before this offset, from the first batch on, is here or nowhere.
    next_offset: u64,
    size_bytes: usize,
}

struct OpenBatch {
    base: u64,
    last: u64,
    header: BatchHeader,
    body: Bytes,
    /// Of each record: offset less the base, and where it begins.
    places: Vec<(u32, usize)>,
}

/// A record of a window.
pub(super) struct FoundRecord<'a> {
    pub(super) header: &'a BatchHeader,
    /// The whole record, uncompressed.
    pub(super) record: Bytes,
    pub(super) timestamp_ms: i64,
}

/// Where an offset lies.
pub(super) enum Found<'a> {
    Record(FoundRecord<'a>),
    /// No record has it: it was compacted away, or cannot be opened.
    Nowhere,
    /// Not in this window.
    Outside,
}

impl Window {
    /// Opens what was read. May take long where it is compressed.
    pub(super) fn open(read: ReadBatches) -> Self {
        let next_offset = read.next_offset.0;
        let mut rest = read.joined();
        let mut batches = Vec::new();
        let mut size_bytes = rest.len();
        while let Ok(header) = BatchHeader::parse(&rest) {
            let batch = rest.split_to(header.size_bytes);
            let open = OpenBatch::open(header, &batch);
            size_bytes += open.own_bytes();
            batches.push(open);
        }
        Self {
            batches,
            next_offset,
            size_bytes,
        }
    }

    /// What it takes of memory.
    pub(super) fn size_bytes(&self) -> usize {
        WINDOW_MIN_BYTES + self.size_bytes
    }

    pub(super) fn find(&self, offset: u64) -> Found<'_> {
        let first = self.batches.first().map(|batch| batch.base);
        if first.is_none_or(|first| offset < first) || offset >= self.next_offset {
            return Found::Outside;
        }
        let at = self.batches.partition_point(|batch| batch.last < offset);
        let found = self.batches.get(at).and_then(|batch| batch.find(offset));
        found.map_or(Found::Nowhere, Found::Record)
    }
}

impl OpenBatch {
    fn open(header: BatchHeader, batch: &Bytes) -> Self {
        let base = u64::try_from(header.base_offset).unwrap_or(0);
        let packed = batch.slice(HEADER_BYTES..);
        let body = match header.codec {
            Codec::None => packed,
            codec @ (Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd) => {
                match decompress(codec, &packed, MAX_INFLATED_BYTES) {
                    Ok(body) => body.into(),
                    Err(error) => {
                        tracing::warn!(base, %error, "records that no queue can deliver");
                        Bytes::new()
                    }
                }
            }
        };
        let mut places = Vec::new();
        let mut at = 0;
        for record in Records::new(&body, header.record_count).map_while(Result::ok) {
            places.push((record.offset_delta, at));
            at += record.raw.len();
        }
        Self {
            base,
            last: base + u64::from(header.last_offset_delta),
            header,
            body,
            places,
        }
    }

    fn own_bytes(&self) -> usize {
        let inflated = match self.header.codec {
            Codec::None => 0,
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => self.body.len(),
        };
        inflated + self.places.len() * size_of::<(u32, usize)>()
    }

    fn find(&self, offset: u64) -> Option<FoundRecord<'_>> {
        let delta = u32::try_from(offset.checked_sub(self.base)?).ok()?;
        let place = self
            .places
            .binary_search_by_key(&delta, |(delta, _)| *delta);
        let (_, at) = self.places[place.ok()?];
        let record = Records::new(&self.body[at..], 1).next()?.ok()?;
        let timestamp_ms = if self.header.is_log_append_time() {
            self.header.max_timestamp_ms
        } else {
            let base_ms = self.header.base_timestamp_ms;
            base_ms.saturating_add(record.timestamp_delta_ms)
        };
        Some(FoundRecord {
            header: &self.header,
            record: self.body.slice_ref(record.raw),
            timestamp_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use weir_log::codec::compress_at;
    use weir_model::{
        Offset,
        batch::{patched_head, set_codec},
        record::write_record,
    };

    use super::*;

    /// Records of these offsets in one batch.
    fn batch(offsets: &[u64], codec: Codec) -> Vec<u8> {
        let base = offsets[0];
        let mut body = Vec::new();
        for offset in offsets {
            let delta = u32::try_from(offset - base).unwrap();
            write_record(i64::from(delta), delta, None, Some(b"value"), &mut body);
        }
        let body = compress_at(codec, -1, &body).unwrap();
        let mut bytes = vec![0; HEADER_BYTES];
        bytes.extend_from_slice(&body);
        let head = patched_head(Offset(base), bytes.len(), 0);
        bytes[..head.len()].copy_from_slice(&head);
        bytes[16] = 2;
        let last_delta = i32::try_from(offsets[offsets.len() - 1] - base).unwrap();
        bytes[23..27].copy_from_slice(&last_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&1_000_i64.to_be_bytes());
        let count = i32::try_from(offsets.len()).unwrap();
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        set_codec(&mut bytes, codec);
        bytes
    }

    fn window(batches: &[Vec<u8>], next_offset: u64) -> Window {
        let chunks: Vec<Bytes> = batches.iter().cloned().map(Bytes::from).collect();
        Window::open(ReadBatches {
            size_bytes: chunks.iter().map(Bytes::len).sum(),
            chunks,
            next_offset: Offset(next_offset),
        })
    }

    #[test]
    fn records_are_found_compressed_or_not_and_gaps_are_nowhere() {
        for codec in [Codec::None, Codec::Lz4, Codec::Gzip] {
            let batches = [batch(&[5, 6, 7], codec), batch(&[9, 12], Codec::None)];
            let window = window(&batches, 13);
            for offset in [5, 6, 7, 9, 12] {
                let Found::Record(found) = window.find(offset) else {
                    panic!("{codec:?}: {offset} is not found");
                };
                let record = Records::new(&found.record, 1).next().unwrap().unwrap();
                assert_eq!(record.value, Some(&b"value"[..]));
                let base = if offset < 8 { 5 } else { 9 };
                let time_ms = 1_000 + i64::try_from(offset - base).unwrap();
                assert_eq!(found.timestamp_ms, time_ms);
            }
            for offset in [8, 10, 11] {
                assert!(matches!(window.find(offset), Found::Nowhere), "{offset}");
            }
            for offset in [0, 4, 13, 99] {
                assert!(matches!(window.find(offset), Found::Outside), "{offset}");
            }
        }
    }

    #[test]
    fn records_that_cannot_be_opened_are_nowhere() {
        let mut damaged = batch(&[0, 1], Codec::Gzip);
        damaged.truncate(HEADER_BYTES + 3);
        let head = patched_head(Offset(0), damaged.len(), 0);
        damaged[..head.len()].copy_from_slice(&head);
        let window = window(&[damaged], 2);
        assert!(matches!(window.find(0), Found::Nowhere));
        assert!(matches!(window.find(1), Found::Nowhere));
    }
}
