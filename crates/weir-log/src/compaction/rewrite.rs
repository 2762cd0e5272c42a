//! What becomes of one batch.

use weir_model::{
    batch::{BatchHeader, HEADER_BYTES, LENGTH_PREFIX_BYTES},
    record::{Record, Records},
};

use super::survey::{Survey, base_offset, decode};
use crate::{clock::Millis, codec::compress};

/// Attribute bit of a batch whose base timestamp is its delete horizon.
const HAS_HORIZON: i16 = 1 << 6;
/// Attribute bits that name the codec.
const CODEC_BITS: i16 = 0b111;

/// What compaction does with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Copied as it is.
    Keep,
    /// Left out.
    Drop,
    /// Replaced by these bytes.
    Rewrite(Vec<u8>),
}

/// Time as compaction sees it.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) now: Millis,
    pub(super) delete_retention_ms: u64,
}

/// Decides about one batch. `was_compacted`: an earlier compaction saw it, so that a horizon in
/// it is one of ours.
pub(super) fn fate(
    header: &BatchHeader,
    batch: &[u8],
    survey: &Survey,
    times: Times,
    was_compacted: bool,
) -> Fate {
    if base_offset(header) >= survey.end || header.is_control() || header.is_transactional() {
        return Fate::Keep;
    }
    if header.record_count == 0 {
        return emptied(header, batch, survey);
    }
    let Some(body) = decode(header, batch) else {
        return Fate::Keep;
    };
    let horizon = (was_compacted && header.attributes & HAS_HORIZON != 0)
        .then_some(Millis(header.base_timestamp_ms));
    let expired = horizon.is_some_and(|horizon| horizon <= times.now);
    let base = base_offset(header);
    let stays = |record: &Record<'_>| {
        let offset = base.plus(u64::from(record.offset_delta));
        let is_expired = expired && record.value.is_none();
        let is_latest = |key| !survey.keys.has_later(key, offset);
        !is_expired && record.key.is_some_and(is_latest)
    };
    let kept: Vec<Record<'_>> = Records::new(&body, header.record_count)
        .map_while(Result::ok)
        .filter(stays)
        .collect();
    if kept.is_empty() {
        return emptied(header, batch, survey);
    }
    let has_tombstone = kept.iter().any(|record| record.value.is_none());
    let needs_horizon = has_tombstone && horizon.is_none();
    let has_foreign_bit = !was_compacted && header.attributes & HAS_HORIZON != 0;
    if kept.len() == header.record_count as usize && !needs_horizon && !has_foreign_bit {
        return Fate::Keep;
    }
    let horizon = if needs_horizon {
        Some(times.now.plus(times.delete_retention_ms))
    } else {
        horizon
    };
    rewrite(header, batch, &kept, horizon)
}

/// A batch of which no record stays.
fn emptied(header: &BatchHeader, batch: &[u8], survey: &Survey) -> Fate {
    if !survey.is_last_batch(header) {
        return Fate::Drop;
    }
    if header.record_count == 0 {
        return Fate::Keep;
    }
    let mut out = batch[..HEADER_BYTES].to_vec();
    let attributes = header.attributes & !CODEC_BITS & !HAS_HORIZON;
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[57..61].copy_from_slice(&0_u32.to_be_bytes());
    Fate::Rewrite(seal(out))
}

fn rewrite(
    header: &BatchHeader,
    batch: &[u8],
    kept: &[Record<'_>],
    horizon: Option<Millis>,
) -> Fate {
    let base_ms = horizon.map_or(header.base_timestamp_ms, |horizon| horizon.0);
    let time_ms = |record: &Record<'_>| {
        header
            .base_timestamp_ms
            .saturating_add(record.timestamp_delta_ms)
    };
    let mut body = Vec::new();
    for record in kept {
        record.write(time_ms(record).saturating_sub(base_ms), &mut body);
    }
    let max_ms = if header.is_log_append_time() {
        header.max_timestamp_ms
    } else {
        kept.iter().map(time_ms).max().unwrap_or(-1)
    };
    let Ok(packed) = compress(header.codec, &body) else {
        return Fate::Keep;
    };
    let mut out = batch[..HEADER_BYTES].to_vec();
    let attributes = match horizon {
        Some(_) => header.attributes | HAS_HORIZON,
        None => header.attributes & !HAS_HORIZON,
    };
    let count = u32::try_from(kept.len()).expect("no more records than before");
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[27..35].copy_from_slice(&base_ms.to_be_bytes());
    out[35..43].copy_from_slice(&max_ms.to_be_bytes());
    out[57..61].copy_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&packed);
    if i32::try_from(out.len()).is_err() {
        return Fate::Keep;
    }
    Fate::Rewrite(seal(out))
}

/// Sets length and checksum.
fn seal(mut batch: Vec<u8>) -> Vec<u8> {
    let length = i32::try_from(batch.len() - LENGTH_PREFIX_BYTES).expect("the length was checked");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}
