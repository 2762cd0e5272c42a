//! A state machine that appends batches to partitions, as a shard of the broker does.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use weir_log::{
    Millis,
    partition::{PartitionLog, PartitionManifest, PartitionStore, TailBatch},
};
use weir_model::{Offset, PartitionId, batch::BatchHeader};
use weir_raft::{Applied, ApplyError, Command, Context, StateMachine};

/// The partitions of one group.
pub(crate) struct Batches {
    store: Arc<PartitionStore>,
    partitions: BTreeMap<PartitionId, Arc<PartitionLog>>,
}

impl Batches {
    /// No partitions yet.
    pub(crate) fn new(store: Arc<PartitionStore>) -> Self {
        Self {
            store,
            partitions: BTreeMap::new(),
        }
    }

    /// Appends `batch` to `partition`.
    pub(crate) fn append(partition: PartitionId, batch: Bytes) -> Command {
        let mut head = BytesMut::with_capacity(8);
        head.put_u64_le(partition.0);
        Command {
            head: head.freeze(),
            payload: batch,
        }
    }

    /// All partitions with their logs.
    pub(crate) fn logs(&self) -> Vec<Arc<PartitionLog>> {
        self.partitions.values().map(Arc::clone).collect()
    }

    fn apply_to(&mut self, at: &Applied, mut command: Bytes) -> Result<Offset, String> {
        let id = command
            .try_get_u64_le()
            .map_err(|error| error.to_string())?;
        let id = PartitionId(id);
        let header = BatchHeader::parse(&command).map_err(|error| error.to_string())?;
        let store = &self.store;
        let new = || store.partition(id, PartitionManifest::default());
        let log = self.partitions.entry(id).or_insert_with(new);
        let base_offset = log.end_offset();
        log.append(TailBatch {
            base_offset,
            last_offset: base_offset.plus(u64::from(header.last_offset_delta)),
            max_timestamp_ms: header.max_timestamp_ms,
            leader_epoch: at.term.leader_epoch(),
            pin: self.store.pin(command.len(), 1),
            bytes: command,
        });
        Ok(base_offset)
    }
}

impl StateMachine for Batches {
    type Outcome = Offset;

    fn apply(&mut self, at: &Applied, command: Bytes) -> Result<Offset, ApplyError> {
        self.apply_to(at, command).map_err(|reason| ApplyError {
            group: at.group,
            index: at.index,
            reason,
        })
    }

    fn leadership(&mut self, _context: &mut Context<'_, Offset>) {}

    fn next_deadline(&self) -> Option<Millis> {
        None
    }

    fn handle_timeout(&mut self, _context: &mut Context<'_, Offset>) {}
}
