//! What a pass has to know before it writes: the latest offset of keys, the last batch of each
//! producer.

use std::collections::BTreeMap;

use weir_model::{
    Offset, PartitionId, ProducerId,
    batch::{BatchHeader, HEADER_BYTES},
    record::Records,
};

use super::key_map::KeyMap;
use crate::{
    codec::{MAX_DECOMPRESSED_BYTES, decompress},
    partition::{ReadError, SegmentMeta},
    segment::{SegmentFiles, SegmentKey, SegmentReader},
};

/// Most producers whose last batch is looked for. Of the others every emptied batch is kept.
const MAX_TRACKED_PRODUCERS: usize = 1 << 20;

/// The facts of one pass.
pub(super) struct Survey {
    pub(super) keys: KeyMap,
    /// The pass decides about records before this offset; it is a batch's first one.
    pub(super) end: Offset,
    last_batches: BTreeMap<ProducerId, Offset>,
}

impl Survey {
    /// Whether the batch may be the last one of its producer.
    pub(super) fn is_last_batch(&self, header: &BatchHeader) -> bool {
        let base = base_offset(header);
        header.producer_id.is_some_and(|producer| {
            self.last_batches
                .get(&producer)
                .is_none_or(|last| *last <= base)
        })
    }

    fn note_producer(&mut self, header: &BatchHeader) {
        let Some(producer) = header.producer_id.filter(|_| !header.is_control()) else {
            return;
        };
        if self.last_batches.len() < MAX_TRACKED_PRODUCERS
            || self.last_batches.contains_key(&producer)
        {
            self.last_batches.insert(producer, base_offset(header));
        }
    }

    fn note_keys(&mut self, header: &BatchHeader, batch: &[u8]) {
        let Some(body) = decode(header, batch) else {
            return;
        };
        let base = base_offset(header);
        for record in Records::new(&body, header.record_count).map_while(Result::ok) {
            if let Some(key) = record.key {
                self.keys
                    .insert(key, base.plus(u64::from(record.offset_delta)));
            }
        }
    }
}

/// The decompressed records of a batch that compaction may look into, checked to be well-formed
/// with rising offsets within the batch.
pub(super) fn decode(header: &BatchHeader, batch: &[u8]) -> Option<Vec<u8>> {
    if header.is_control() || header.is_transactional() || header.record_count == 0 {
        return None;
    }
    let body = decompress(header.codec, &batch[HEADER_BYTES..], MAX_DECOMPRESSED_BYTES).ok()?;
    let mut next_delta = 0;
    for record in Records::new(&body, header.record_count) {
        let delta = record.ok()?.offset_delta;
        if delta < next_delta || delta > header.last_offset_delta {
            return None;
        }
        next_delta = delta.checked_add(1)?;
    }
    Some(body)
}

pub(super) fn base_offset(header: &BatchHeader) -> Offset {
    Offset::from_wire(header.base_offset).expect("the reader checked the offset")
}

/// Reads all `inputs`, keys from `dirty_from` on, until the map is full.
pub(super) fn survey(
    files: &SegmentFiles,
    id: PartitionId,
    inputs: &[SegmentMeta],
    dirty_from: Offset,
    map_bytes: usize,
) -> Result<Survey, ReadError> {
    let mut survey = Survey {
        keys: KeyMap::new(map_bytes),
        end: dirty_from,
        last_batches: BTreeMap::new(),
    };
    for segment in inputs.iter().filter(|segment| segment.size_bytes > 0) {
        let mut reader = SegmentReader::open(files, SegmentKey::new(id, segment), *segment)?;
        while let Some((header, batch)) = reader.next()? {
            let base = base_offset(&header);
            if base >= dirty_from {
                if survey.keys.is_full() && base > dirty_from {
                    survey.end = base;
                    return Ok(survey);
                }
                survey.note_keys(&header, &batch);
            }
            survey.note_producer(&header);
        }
    }
    survey.end = inputs.last().map_or(dirty_from, |last| last.next_offset);
    Ok(survey)
}
