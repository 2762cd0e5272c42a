//! Records deleted from a partition's front.

use std::sync::Arc;

use weir_log::partition::PartitionLog;
use weir_model::{ErrorKind, Offset};
use weir_raft::NotCommitted;

use super::Node;
use crate::{
    api::{
        Outcome,
        admin::{DeleteRecords, Managed},
    },
    audit::is_internal,
    gather::Gather,
    mailbox::Reply,
    shard::ShardCommand,
};

/// "Up to the high watermark" on the wire.
const HIGH_WATERMARK: i64 = -1;

type Trimming = Gather<Result<Offset, ErrorKind>>;

impl Node {
    pub(super) fn delete_records(self: &Arc<Self>, wanted: Vec<DeleteRecords>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut);
        let outcome = |answers| Outcome::Managed(Managed::DeletedRecords(answers));
        let task = Arc::new(Gather::new(wanted.len(), unsettled, reply, outcome));
        for (at, wanted) in wanted.into_iter().enumerate() {
            if let Err(error) = self.trim_partition(&wanted, &task, at) {
                task.settle(at, Err(error));
            }
        }
    }

    /// `Ok`: the part is settled, or will be.
    fn trim_partition(
        &self,
        wanted: &DeleteRecords,
        task: &Arc<Trimming>,
        at: usize,
    ) -> Result<(), ErrorKind> {
        let route = self.route(&wanted.topic, wanted.index)?;
        if is_internal(route.topic.name.as_str()) {
            return Err(ErrorKind::InvalidTopic);
        }
        let log = self.readable_on(&route, -1)?;
        if !route.topic.settings.cleanup_policy.delete {
            return Err(ErrorKind::PolicyViolation);
        }
        let Some(start) = new_start(&log, wanted.offset)? else {
            task.settle(at, Ok(log.start_offset()));
            return Ok(());
        };
        let task = Arc::clone(task);
        let checkpoints = Arc::clone(&self.env.checkpoints);
        let done = move |outcome: Result<_, NotCommitted>| {
            task.settle(
                at,
                match outcome {
                    Ok(_) => Ok(log.start_offset()),
                    Err(error) => Err(error.kind()),
                },
            );
            // Space comes back with the next checkpoint.
            checkpoints.want_room();
        };
        let command = ShardCommand::trim(route.partition, start);
        self.propose(route.group, command, Box::new(done));
        Ok(())
    }
}

/// Where the log is to start; `None`: it starts there or later already.
fn new_start(log: &PartitionLog, offset: i64) -> Result<Option<Offset>, ErrorKind> {
    let end = log.end_offset();
    let start = match offset {
        HIGH_WATERMARK => end,
        offset => Offset::from_wire(offset).ok_or(ErrorKind::OffsetOutOfRange)?,
    };
    if start > end {
        return Err(ErrorKind::OffsetOutOfRange);
    }
    Ok((start > log.start_offset()).then_some(start))
}
