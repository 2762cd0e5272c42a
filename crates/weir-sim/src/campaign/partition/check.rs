//! What readers get is what was committed, byte for byte, or an error that has a cause.

use std::collections::BTreeMap;

use weir_log::{
    Read, ReadBatches, ReadError,
    partition::{Lookup, TimestampOffset},
};
use weir_model::{Offset, PartitionId};

use super::{
    compacted::{Content, subset},
    run::{Model, Run},
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Most bytes that one read of a whole log asks for.
const SWEEP_BYTES: usize = 64 << 10;

/// Where a bit was changed.
#[derive(Clone, Debug)]
pub(super) struct Flipped {
    pub(super) path: String,
    pub(super) offset: u64,
}

impl Run<'_> {
    pub(super) fn read_at(
        &mut self,
        id: PartitionId,
        percent: u64,
        max_bytes: usize,
    ) -> Result<(), Broken> {
        let from = self
            .models
            .get(&id)
            .map_or(Offset(0), |m| m.offset_at(percent));
        self.read_checked(id, from, max_bytes, None)?;
        Ok(())
    }

    /// Reads all partitions from start to end. Damage is allowed where `flipped` is.
    pub(super) fn read_everything(&mut self, flipped: Option<&Flipped>) -> Result<(), Broken> {
        let ids: Vec<PartitionId> = self.models.keys().copied().collect();
        for id in ids {
            let (mut from, end) = self
                .models
                .get(&id)
                .map_or_else(Default::default, |m| (m.start, m.end()));
            while from < end {
                match self.read_checked(id, from, SWEEP_BYTES, flipped)? {
                    Some(next) => from = next,
                    None => break,
                }
            }
            if self.plan.is_compacted && flipped.is_none() {
                self.check_latest(id)?;
            }
        }
        Ok(())
    }

    /// All records that a reader of the whole log gets; `None` where a fault ended it.
    pub(super) fn sweep(
        &mut self,
        id: PartitionId,
    ) -> Result<Option<BTreeMap<Offset, Content>>, Broken> {
        let mut found = BTreeMap::new();
        let (mut from, end) = self
            .models
            .get(&id)
            .map_or_else(Default::default, |m| (m.start, m.end()));
        while from < end {
            let log = self.node().log(id);
            let batches = match log.read(from, SWEEP_BYTES, true) {
                Read::Batches(batches) => Ok(batches),
                Read::Cold(cold) => self.node().store.run_cold(&cold),
                Read::AtEnd | Read::OutOfRange { .. } => return Ok(Some(found)),
            };
            let batches = match batches {
                Ok(batches) => batches,
                Err(error) => {
                    self.check_read_error(&error, None)?;
                    return Ok(None);
                }
            };
            let Some(model) = self.models.get(&id) else {
                return Ok(None);
            };
            from = subset(id, model, from, &batches, &mut found)?;
        }
        Ok(Some(found))
    }

    /// Reads once and compares. Gives where to go on; `None` behind the end or an error.
    fn read_checked(
        &mut self,
        id: PartitionId,
        from: Offset,
        max_bytes: usize,
        flipped: Option<&Flipped>,
    ) -> Result<Option<Offset>, Broken> {
        let log = self.node().log(id);
        let read = match log.read(from, max_bytes, true) {
            Read::Batches(batches) => Ok(batches),
            Read::Cold(cold) => {
                self.host.counts.add("cold_reads", 1);
                self.node().store.run_cold(&cold)
            }
            Read::AtEnd => {
                let end = self.models.get(&id).map_or(Offset(0), Model::end);
                if from == end {
                    return Ok(None);
                }
                let detail = format!("partition {id} ends at {from}, committed to {end}");
                return Err(broken(oracle_name::LOST, detail));
            }
            Read::OutOfRange { start, end } => {
                let detail = format!("partition {id}: {from} is outside {start} to {end}");
                return Err(broken(oracle_name::LOST, detail));
            }
        };
        match read {
            Ok(batches) => {
                let model = self.models.get(&id);
                let next = match model {
                    None => from,
                    Some(model) if self.plan.is_compacted => {
                        subset(id, model, from, &batches, &mut BTreeMap::new())?
                    }
                    Some(model) => same(id, model, from, &batches)?,
                };
                self.host.trace.event("served", &[from.0, next.0], || {
                    format!("{id} {from} to {next}")
                });
                Ok((next > from).then_some(next))
            }
            Err(error) => {
                self.check_read_error(&error, flipped)?;
                Ok(None)
            }
        }
    }

    pub(super) fn check_read_error(
        &mut self,
        error: &ReadError,
        flipped: Option<&Flipped>,
    ) -> Result<(), Broken> {
        match error {
            ReadError::Corrupt { path, position, .. } => {
                let is_named = flipped
                    .is_some_and(|flipped| *path == flipped.path && *position <= flipped.offset);
                if !is_named {
                    let detail = format!("flipped {flipped:?}, named: {error}");
                    return Err(broken(oracle_name::CORRUPTION, detail));
                }
                self.host.counts.add("flips_named", 1);
                Ok(())
            }
            ReadError::Failed { .. } => self.explained("a read", &error.to_string()),
            ReadError::Busy | ReadError::Closed | ReadError::OutOfRange { .. } => {
                let detail = format!("a read: {error}");
                Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
            }
        }
    }

    pub(super) fn lookup(&mut self, id: PartitionId, percent: u64) -> Result<(), Broken> {
        let Some(model) = self.models.get(&id).filter(|_| !self.plan.is_compacted) else {
            return Ok(());
        };
        let wanted = model.offset_at(percent);
        let time_ms = model
            .batches
            .iter()
            .find(|batch| batch.last_offset >= wanted)
            .map_or(0, |batch| batch.max_timestamp_ms);
        let expected = first_at(model, time_ms);
        let log = self.node().log(id);
        let found = match log.lookup_timestamp(time_ms) {
            Lookup::Found(found) => Ok(Some(found)),
            Lookup::NotFound => Ok(None),
            Lookup::Cold(cold) => self.node().store.run_lookup(&cold),
        };
        match found {
            Ok(found) if found == expected => Ok(()),
            Ok(found) => {
                let detail = format!(
                    "partition {id}: first record at {time_ms} ms: expected {expected:?}, found {found:?}"
                );
                Err(broken(oracle_name::INVENTED, detail))
            }
            Err(error) => self.check_read_error(&error, None),
        }
    }
}

/// The first kept record at or after `time_ms`: records of a batch are a millisecond apart.
fn first_at(model: &Model, time_ms: i64) -> Option<TimestampOffset> {
    model.batches.iter().find_map(|batch| {
        let skipped = model.start.0.saturating_sub(batch.base_offset.0);
        let since = u64::try_from(time_ms - batch.base_timestamp_ms).unwrap_or(0);
        let delta = since.max(skipped);
        let offset = batch.base_offset.plus(delta);
        (offset <= batch.last_offset).then(|| TimestampOffset {
            offset,
            timestamp_ms: batch.base_timestamp_ms.saturating_add_unsigned(delta),
            leader_epoch: batch.leader_epoch,
        })
    })
}

/// Compares what was served with the committed batches from the one with `from` on.
fn same(
    id: PartitionId,
    model: &Model,
    from: Offset,
    served: &ReadBatches,
) -> Result<Offset, Broken> {
    let bytes: Vec<u8> = served.chunks.concat();
    let mut rest = bytes.as_slice();
    let mut next = from;
    let wanted = model.batches.iter().filter(|b| b.last_offset >= from);
    for batch in wanted {
        if rest.is_empty() {
            break;
        }
        let Some(behind) = rest.strip_prefix(batch.bytes.as_ref()) else {
            let detail = format!(
                "partition {id}: what is served at {} is not the committed batch ({} bytes of {})",
                batch.base_offset,
                rest.len(),
                batch.bytes.len()
            );
            return Err(broken(oracle_name::CORRUPTION, detail));
        };
        rest = behind;
        next = batch.last_offset.plus(1);
    }
    if !rest.is_empty() || served.next_offset != next || served.size_bytes != bytes.len() {
        let detail = format!(
            "partition {id}: served {} bytes from {from} to {}, committed to {next}",
            bytes.len(),
            served.next_offset
        );
        return Err(broken(oracle_name::INVENTED, detail));
    }
    Ok(next)
}
