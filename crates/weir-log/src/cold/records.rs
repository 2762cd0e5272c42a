//! Finding a record by its time.

use std::borrow::Cow;

use weir_model::{
    Offset,
    batch::{BatchHeader, Codec, HEADER_BYTES},
    record::Records,
};

use crate::{
    codec::{MAX_DECOMPRESSED_BYTES, decompress},
    partition::{
        ColdLookup, Lookup, PartitionLog, ReadError, SegmentMeta, TimestampOffset,
        log::{LookupStep, MemoryStep},
    },
    segment::{SegmentFiles, SegmentKey, SegmentReader},
};

/// How often a lookup starts again because its segment was replaced or dropped meanwhile.
const MAX_ATTEMPTS: u32 = 16;

/// Carries out a lookup: segments first, then the tail.
pub(crate) fn lookup(
    files: &SegmentFiles,
    lookup: &ColdLookup,
) -> Result<Option<TimestampOffset>, ReadError> {
    let partition = &lookup.partition;
    let mut from = Offset(0);
    let mut attempt = 0;
    loop {
        match partition.lookup_step(from, lookup.wanted) {
            LookupStep::NotFound => return Ok(None),
            LookupStep::Memory(step) => {
                if let Some(found) = find_in_step(&step) {
                    return Ok(Some(found));
                }
                from = step.batch.last_offset.plus(1);
            }
            LookupStep::Segment {
                segment,
                from: at,
                time_ms,
            } => match find_in_segment(files, partition, &segment, at, time_ms) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => from = segment.next_offset,
                Err(error) if partition.manifest().names(&segment) || attempt == MAX_ATTEMPTS => {
                    return Err(error);
                }
                Err(_replaced) => attempt += 1,
            },
        }
    }
}

fn find_in_segment(
    files: &SegmentFiles,
    partition: &PartitionLog,
    segment: &SegmentMeta,
    from: Offset,
    time_ms: i64,
) -> Result<Option<TimestampOffset>, ReadError> {
    if segment.size_bytes == 0 {
        return Ok(None);
    }
    let key = SegmentKey::new(partition.id(), segment);
    let mut reader = SegmentReader::open(files, key, *segment)?;
    reader.seek(from, time_ms);
    while let Some((header, batch)) = reader.next()? {
        if header.record_count > 0
            && header.max_timestamp_ms >= time_ms
            && let Some(found) = find_in_batch(&header, &batch, from, time_ms)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The answer, where the step's batch gives it without being decompressed.
pub(crate) fn find_in_memory(step: &MemoryStep) -> Option<Lookup> {
    let header = BatchHeader::parse(&step.batch.bytes).ok()?;
    if header.codec == Codec::None || header.is_log_append_time() {
        find_in_step(step).map(Lookup::Found)
    } else {
        None
    }
}

fn find_in_step(step: &MemoryStep) -> Option<TimestampOffset> {
    let mut header = BatchHeader::parse(&step.batch.bytes).ok()?;
    header.base_offset = step.batch.base_offset.wire();
    header.leader_epoch = step.batch.leader_epoch;
    find_in_batch(&header, &step.batch.bytes, step.from, step.time_ms)
}

/// The first record of a batch from `from` on, at or after `time_ms`. `None` also where records
/// cannot be decoded: they are the client's bytes, and what they say is not ours to enforce here.
fn find_in_batch(
    header: &BatchHeader,
    batch: &[u8],
    from: Offset,
    time_ms: i64,
) -> Option<TimestampOffset> {
    let base = Offset::from_wire(header.base_offset)?;
    let found = |offset, timestamp_ms| TimestampOffset {
        offset,
        timestamp_ms,
        leader_epoch: header.leader_epoch,
    };
    if header.is_log_append_time() {
        let last = base.plus(u64::from(header.last_offset_delta));
        let fits = header.max_timestamp_ms >= time_ms && last >= from;
        return fits.then(|| found(base.max(from), header.max_timestamp_ms));
    }
    let body = &batch[HEADER_BYTES..];
    let body = match header.codec {
        Codec::None => Cow::Borrowed(body),
        codec => Cow::Owned(decompress(codec, body, MAX_DECOMPRESSED_BYTES).ok()?),
    };
    Records::new(&body, header.record_count)
        .map_while(Result::ok)
        .map(|record| {
            let timestamp_ms = header
                .base_timestamp_ms
                .saturating_add(record.timestamp_delta_ms);
            found(base.plus(u64::from(record.offset_delta)), timestamp_ms)
        })
        .find(|record| record.offset >= from && record.timestamp_ms >= time_ms)
}
