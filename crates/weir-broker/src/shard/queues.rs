//! Queues of the shard's partitions: the part that is applied.

use bytes::Bytes;
use weir_model::{Offset, PartitionId, batch::BatchHeader};
use weir_raft::Applied;

use super::{Partition, Shard, apply::Taking, apply::partition};
use crate::{
    bodies::Chunks,
    queue::{Arrived, Assignment, Gone, LogRange, Queue, QueueApplied, QueueCommand},
    transaction::Marker,
};

/// Records that are done with at a queue's front are trimmed from its log in as large steps, or when
/// nothing else is left.
const TRIM_STEP_COUNT: u64 = 64;

impl Shard {
    pub(super) fn apply_queue(
        &mut self,
        at: &Applied,
        id: PartitionId,
        command: QueueCommand,
    ) -> QueueApplied {
        let found = match &command {
            QueueCommand::Configure(_) => Some(partition(&mut self.partitions, &self.env, id)),
            QueueCommand::Attach(_)
            | QueueCommand::Detach { .. }
            | QueueCommand::Settle { .. }
            | QueueCommand::Get { .. }
            | QueueCommand::Purge
            | QueueCommand::Remove { .. }
            | QueueCommand::Hopped(_)
            | QueueCommand::Wake
            | QueueCommand::Close(..)
            | QueueCommand::Reopen(_) => self.partitions.get_mut(&id),
        };
        let Some(partition) = found else {
            return QueueApplied::NotAQueue;
        };
        if matches!(command, QueueCommand::Configure(_)) && partition.queue.is_none() {
            let queue = Queue::new(partition.log_range());
            partition.queue = Some(Box::new(queue));
        }
        let Some(queue) = &mut partition.queue else {
            return QueueApplied::NotAQueue;
        };
        let mut assigned = Vec::new();
        let applied = queue.apply(at.stamp(), command, &mut assigned);
        partition.let_go_of_settled(&mut self.bodies);
        self.pass_on(id, assigned);
        applied
    }

    pub(super) fn end_sessions(&mut self, at: &Applied, gone: &Gone) {
        let mut all = Vec::new();
        for (id, partition) in &mut self.partitions {
            if let Some(queue) = &mut partition.queue {
                let mut assigned = Vec::new();
                queue.end_sessions(at.now, gone, self.env.seeded, &mut assigned);
                partition.let_go_of_settled(&mut self.bodies);
                all.push((*id, assigned));
            }
        }
        self.pump.sessions_ended(gone);
        for (id, assigned) in all {
            self.pass_on(id, assigned);
        }
    }

    /// The queue of a partition.
    pub(crate) fn queue(&self, id: PartitionId) -> Option<&Queue> {
        self.partitions.get(&id)?.queue.as_deref()
    }
}

impl Partition {
    fn log_range(&self) -> LogRange {
        let end = self.log.end_offset();
        let stable_end = self.view.as_ref().map_or(end, |view| view.stable_end(end));
        LogRange {
            start: self.start.0,
            end: end.0,
            stable_end: stable_end.0,
        }
    }

    /// As a checkpoint has it; nothing where it is no queue.
    pub(super) fn encode_queue(&self) -> Bytes {
        let queue = self.queue.as_ref();
        queue.map_or_else(Bytes::new, |queue| queue.encode())
    }

    /// Whether the queue takes a batch of so many records; there may be no queue.
    pub(super) fn has_room(&self, record_count: u32) -> bool {
        let queue = self.queue.as_ref();
        queue.is_none_or(|queue| queue.takes_whole(record_count))
    }

    /// Tells the queue of a batch; gives the first record that it does not take.
    pub(super) fn arrived(
        &mut self,
        at: &Applied,
        batch: &[u8],
        base_offset: Offset,
        taking: Taking,
        assigned: &mut Vec<Assignment>,
    ) -> Option<u32> {
        self.queue.as_ref()?;
        let range = self.log_range();
        let queue = self.queue.as_mut()?;
        let header = BatchHeader::parse(batch).ok()?;
        let arrived = Arrived {
            batch,
            header: &header,
            base_offset: base_offset.0,
        };
        let may_refuse = taking == Taking::OneByOne;
        let refused_from = queue.arrived(at.stamp(), &arrived, may_refuse, assigned);
        queue.decided(at.now, range, assigned);
        refused_from
    }

    pub(super) fn refused_before(&self, base_offset: Offset) -> Option<u32> {
        self.queue.as_ref()?.refused_before(base_offset.0)
    }

    /// Tells the queue of the end of a transaction.
    pub(super) fn ended(&mut self, at: &Applied, marker: &Marker, assigned: &mut Vec<Assignment>) {
        if self.queue.is_none() {
            return;
        }
        let range = self.log_range();
        if let Some(queue) = &mut self.queue {
            queue.ended(at.now, marker.producer.id, marker.commit, assigned);
            queue.decided(at.now, range, assigned);
        }
    }

    pub(super) fn trim(&mut self, start: Offset, bodies: &mut Chunks) {
        self.log.trim(start);
        self.start = start.min(self.log.end_offset()).max(self.start);
        if let Some(view) = &self.view {
            view.trim(self.start);
        }
        if let Some(queue) = &mut self.queue {
            queue.trimmed(self.start.0);
        }
        // Last: who still finds a message in the log finds its body.
        if !self.held.is_empty() {
            self.held.trimmed(self.start, bodies);
            self.log.set_refers(!self.held.is_empty());
        }
    }

    /// Lets go of what is before `start`; of a queue that keeps settled messages for a while, no
    /// others.
    pub(super) fn retain_from(&mut self, start: Offset, bodies: &mut Chunks) {
        let queue = self.queue.as_ref();
        let keeps_for_a_while = queue.filter(|queue| {
            let replay_ms = queue.settings().replay_ms;
            replay_ms.is_some_and(|ms| ms < u64::MAX)
        });
        let floor = keeps_for_a_while.map(|queue| Offset(queue.floor()));
        self.trim(floor.map_or(start, |floor| start.min(floor)), bodies);
    }

    /// Space comes back once nobody needs a message any more, nor wants to read it again.
    fn let_go_of_settled(&mut self, bodies: &mut Chunks) {
        let Some(queue) = &self.queue else { return };
        if queue.settings().replay_ms.is_some() {
            return;
        }
        let (floor, start) = (queue.floor(), self.start.0);
        let is_all = floor >= self.log.end_offset().0;
        if floor > start && (is_all || floor - start >= TRIM_STEP_COUNT) {
            self.trim(Offset(floor), bodies);
        }
    }
}
