//! Record batches as a client sends them.

use bytes::Bytes;
use weir_model::{
    Offset,
    batch::{HEADER_BYTES, MAGIC, PATCHED_BYTES, patched_head},
    record::write_record,
};

use crate::world::Rng;

/// Different keys that there are: few, so that compaction has work.
const KEY_COUNT: u64 = 12;

/// A batch, and what the model keeps of it.
#[derive(Clone, Debug)]
pub(super) struct ModelBatch {
    pub(super) base_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) leader_epoch: i32,
    pub(super) base_timestamp_ms: i64,
    pub(super) max_timestamp_ms: i64,
    /// With its head as the broker writes it.
    pub(super) bytes: Bytes,
}

/// An uncompressed batch of `record_count` records, one millisecond apart, the first one at
/// `time_ms`.
pub(super) fn make_batch(
    base_offset: Offset,
    leader_epoch: i32,
    time_ms: i64,
    record_count: u32,
    data_bytes: usize,
    rng: &mut Rng,
) -> ModelBatch {
    let mut bytes = vec![0; HEADER_BYTES];
    for delta in 0..record_count {
        let key = rng.below(KEY_COUNT).to_be_bytes();
        let value = rng.bytes(data_bytes);
        write_record(
            i64::from(delta),
            delta,
            Some(&key),
            Some(&value),
            &mut bytes,
        );
    }
    let head = patched_head(base_offset, bytes.len(), leader_epoch);
    bytes[..PATCHED_BYTES].copy_from_slice(&head);
    let last_delta = record_count - 1;
    let max_timestamp_ms = time_ms + i64::from(last_delta);
    write_header(&mut bytes, time_ms, record_count, None, false);
    ModelBatch {
        base_offset,
        last_offset: base_offset.plus(u64::from(last_delta)),
        leader_epoch,
        base_timestamp_ms: time_ms,
        max_timestamp_ms,
        bytes: Bytes::from(bytes),
    }
}

/// Fills in the header that a client writes before its records, which are one millisecond
/// apart. `producer` is an idempotent producer's id, epoch and first sequence, whose batch may be
/// part of a transaction.
pub(in crate::campaign) fn write_header(
    bytes: &mut [u8],
    time_ms: i64,
    record_count: u32,
    producer: Option<(i64, i16, i32)>,
    is_transactional: bool,
) {
    let last_delta = record_count - 1;
    let (id, epoch, sequence) = producer.unwrap_or((-1, -1, -1));
    let max_timestamp_ms = time_ms + i64::from(last_delta);
    bytes[16] = MAGIC.to_be_bytes()[0];
    let attributes = i16::from(is_transactional) << 4;
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    bytes[23..27].copy_from_slice(&last_delta.to_be_bytes());
    bytes[27..35].copy_from_slice(&time_ms.to_be_bytes());
    bytes[35..43].copy_from_slice(&max_timestamp_ms.to_be_bytes());
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    bytes[57..61].copy_from_slice(&record_count.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}
