//! What readers of a compacted log get: committed records in order, the last one of each key
//! among them.

use std::collections::BTreeMap;

use weir_log::{Millis, ReadBatches, compaction};
use weir_model::{
    Offset, PartitionId,
    batch::{BatchHeader, HEADER_BYTES, verify_crc},
    record::Records,
};

use super::{
    batch::ModelBatch,
    run::{Model, Run},
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Key and value of a record.
pub(super) type Content = (Vec<u8>, Vec<u8>);

impl Run<'_> {
    pub(super) fn compact(&mut self, id: PartitionId, min_dirty_percent: u8) -> Result<(), Broken> {
        let policy = compaction::CompactionPolicy {
            delete_retention_ms: 1_000,
            min_dirty_percent,
            min_lag_ms: 0,
            max_lag_ms: u64::MAX,
            segment_bytes: self.plan.segment_bytes,
            key_map_bytes: 1 << 20,
            now: Millis(self.host.clock.now_ms()),
        };
        let log = self.node().log(id);
        let compacted = compaction::run(&self.node().store, &log, policy);
        match compacted {
            Ok(compaction::Compaction::Nothing) => Ok(()),
            Ok(compaction::Compaction::Staged { .. }) => {
                self.host.counts.add("compactions", 1);
                Ok(())
            }
            Err(error) => {
                let is_full = matches!(error, weir_log::FlushError::Full { .. });
                self.must_stop |= !is_full;
                self.explained("a compaction", &error.to_string())
            }
        }
    }

    /// Reads a compacted partition from start to end and looks for the last record of each key.
    pub(super) fn check_latest(&mut self, id: PartitionId) -> Result<(), Broken> {
        let Some(served) = self.sweep(id)? else {
            return Ok(());
        };
        let Some(model) = self.models.get(&id) else {
            return Ok(());
        };
        let mut latest: BTreeMap<Vec<u8>, Offset> = BTreeMap::new();
        for batch in &model.batches {
            for (offset, (key, _)) in records_of(&batch.bytes)? {
                if offset >= model.start {
                    latest.insert(key, offset);
                }
            }
        }
        match latest.values().find(|offset| !served.contains_key(offset)) {
            None => Ok(()),
            Some(offset) => {
                let detail = format!("partition {id}: {offset} is the last of its key, and gone");
                Err(broken(oracle_name::LOST, detail))
            }
        }
    }
}

/// Checks that every record served is the committed one at its offset. Gives where to go on.
pub(super) fn subset(
    id: PartitionId,
    model: &Model,
    from: Offset,
    served: &ReadBatches,
    found: &mut BTreeMap<Offset, Content>,
) -> Result<Offset, Broken> {
    let bytes: Vec<u8> = served.chunks.concat();
    let mut rest = bytes.as_slice();
    let mut last = None;
    while !rest.is_empty() {
        let header = BatchHeader::parse(rest).map_err(|error| not_a_batch(&error.to_string()))?;
        let (batch, behind) = rest.split_at(header.size_bytes);
        verify_crc(batch).map_err(|error| not_a_batch(&error.to_string()))?;
        let base = Offset::from_wire(header.base_offset).unwrap_or_default();
        let committed = model
            .batches
            .binary_search_by_key(&base, |batch| batch.base_offset)
            .map(|at| &model.batches[at])
            .map_err(|_| not_a_batch(&format!("no batch was committed at {base}")))?;
        let is_in_order = last.is_none_or(|last| base > last);
        if !is_in_order || header.leader_epoch != committed.leader_epoch {
            let detail = format!("partition {id}: order or epoch of the batch at {base}");
            return Err(broken(oracle_name::CORRUPTION, detail));
        }
        last = Some(base);
        check_records(id, batch, committed, found)?;
        rest = behind;
    }
    if served.next_offset <= from {
        let detail = format!("partition {id}: a read from {from} does not get on");
        return Err(broken(oracle_name::LOST, detail));
    }
    Ok(served.next_offset)
}

fn check_records(
    id: PartitionId,
    batch: &[u8],
    committed: &ModelBatch,
    found: &mut BTreeMap<Offset, Content>,
) -> Result<(), Broken> {
    let expected = records_of(&committed.bytes)?;
    for (offset, content) in records_of(batch)? {
        if expected.get(&offset) != Some(&content) {
            let detail = format!("partition {id}: the record at {offset} was not committed so");
            return Err(broken(oracle_name::CORRUPTION, detail));
        }
        found.insert(offset, content);
    }
    Ok(())
}

fn records_of(batch: &[u8]) -> Result<BTreeMap<Offset, Content>, Broken> {
    let header = BatchHeader::parse(batch).map_err(|error| not_a_batch(&error.to_string()))?;
    let base = Offset::from_wire(header.base_offset).unwrap_or_default();
    let records = Records::new(&batch[HEADER_BYTES..], header.record_count);
    records
        .map(|record| {
            let record = record.map_err(|error| not_a_batch(&format!("{error:?}")))?;
            let bytes = |field: Option<&[u8]>| field.unwrap_or_default().to_vec();
            let offset = base.plus(u64::from(record.offset_delta));
            Ok((offset, (bytes(record.key), bytes(record.value))))
        })
        .collect()
}

fn not_a_batch(reason: &str) -> Broken {
    broken(
        oracle_name::CORRUPTION,
        format!("what is served is no batch: {reason}"),
    )
}
