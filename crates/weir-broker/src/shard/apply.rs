//! The deterministic part of a shard: one committed command at a time.

use bytes::Bytes;
use weir_log::partition::{PartitionManifest, TailBatch};
use weir_model::{ErrorKind, Offset, PartitionId, batch::BatchHeader};
use weir_raft::{Applied, ApplyError};

use super::{Partition, Shard, ShardCommand};
use crate::{
    api::Produced,
    group::GroupCommand,
    outcome::AppliedOutcome,
    producer::{Arrival, ProducerTable, Verdict},
};

impl Shard {
    pub(crate) fn apply(
        &mut self,
        at: &Applied,
        command: Bytes,
    ) -> Result<AppliedOutcome, ApplyError> {
        let command = ShardCommand::decode(command).map_err(|reason| ApplyError {
            group: at.group,
            index: at.index,
            reason,
        })?;
        self.era.pass(at);
        Ok(match command {
            ShardCommand::Append { partition, batch } => {
                AppliedOutcome::Appended(self.append(at, partition, batch))
            }
            ShardCommand::Group(GroupCommand::PutGroup(record)) => {
                self.groups.apply(record);
                AppliedOutcome::Done
            }
            ShardCommand::Group(GroupCommand::CommitOffsets(commit)) => {
                AppliedOutcome::Offsets(self.offsets.apply(commit))
            }
            ShardCommand::Trim { partition, start } => {
                if let Some(partition) = self.partitions.get(&partition) {
                    partition.log.trim(start);
                }
                AppliedOutcome::Done
            }
        })
    }

    fn append(&mut self, at: &Applied, id: PartitionId, batch: Bytes) -> Produced {
        let env = &self.env;
        let partition = self.partitions.entry(id).or_insert_with(|| {
            let log = env.open_partition(id, PartitionManifest::default());
            Partition {
                log,
                producers: ProducerTable::default(),
            }
        });
        let arrival = self.era.arrival(at, None);
        let base_offset = partition.append(at, batch, arrival, |bytes| env.store.pin(bytes, 1));
        Produced {
            base_offset,
            log_start: partition.log.start_offset(),
        }
    }
}

impl Partition {
    fn append(
        &mut self,
        at: &Applied,
        batch: Bytes,
        arrival: Arrival,
        pin: impl FnOnce(usize) -> std::sync::Arc<weir_log::partition::TailPin>,
    ) -> Result<Offset, ErrorKind> {
        // The leader has checked the batch; a batch that does not parse is refused on every
        // replica alike.
        let header = BatchHeader::parse(&batch).map_err(|_| ErrorKind::CorruptBatch)?;
        match self.producers.check(&header, arrival) {
            Verdict::Refused(error) => return Err(error),
            Verdict::Unverified { .. } => return Err(ErrorKind::InvalidTxnState),
            Verdict::Duplicate { base_offset } => return Ok(base_offset),
            Verdict::Append => {}
        }
        let base_offset = self.log.end_offset();
        self.producers.record(&header, base_offset, at.now);
        self.log.append(TailBatch {
            base_offset,
            last_offset: base_offset.plus(u64::from(header.last_offset_delta)),
            max_timestamp_ms: header.max_timestamp_ms,
            leader_epoch: at.term.leader_epoch(),
            pin: pin(batch.len()),
            bytes: batch,
        });
        Ok(base_offset)
    }
}
