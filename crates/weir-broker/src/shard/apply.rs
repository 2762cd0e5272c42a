//! The deterministic part of a shard: one committed command at a time.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weir_log::partition::TailBatch;
use weir_model::{ErrorKind, Offset, PartitionId, batch::BatchHeader};
use weir_raft::{Applied, ApplyError};

use super::{Partition, Shard, ShardCommand, ShardEnv, command::NO_QUEUE_YET};
use crate::{
    api::Produced,
    bodies::{Chunks, HeldChunks, group_of_bodies},
    group::GroupCommand,
    outcome::AppliedOutcome,
    producer::{Arrival, ProducerTable, Verdict},
    queue::{Assignment, QueueApplied},
    transaction::{Marker, TransactionCommand, TransactionView, marker::shard_of_offsets},
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
                AppliedOutcome::Appended(self.append(at, partition, &batch, None, Taking::Whole))
            }
            ShardCommand::Enqueue {
                partition,
                is_declared,
                batch,
            } => AppliedOutcome::Appended(self.enqueue(at, partition, is_declared, &batch)),
            ShardCommand::AppendVerified {
                partition,
                ended_at,
                batch,
            } => AppliedOutcome::Appended(self.append(
                at,
                partition,
                &batch,
                Some(ended_at),
                Taking::Whole,
            )),
            ShardCommand::Mark(marker) => AppliedOutcome::Marked(self.mark(at, &marker)),
            ShardCommand::Transaction(mut command) => {
                if let TransactionCommand::End(end) = &mut command {
                    let current = self.transactions.producer(&end.transaction);
                    end.producer = self.env.seeded.end_epoch(end.producer, current);
                }
                AppliedOutcome::Transaction(self.transactions.apply(at.now, command))
            }
            ShardCommand::BringOffsets(bring) => {
                AppliedOutcome::Offsets(self.pending.bring(bring, at.now))
            }
            ShardCommand::Group(command) => self.apply_group(command),
            ShardCommand::Forget { topics } => {
                self.forget_topics(at.index, &topics);
                AppliedOutcome::Done
            }
            ShardCommand::Queue { partition, command } => {
                AppliedOutcome::Queue(self.apply_queue(at, partition, command))
            }
            ShardCommand::Share(command) => AppliedOutcome::Share(self.apply_share(at, command)),
            ShardCommand::EndSessions(gone) => {
                self.end_sessions(at, &gone);
                AppliedOutcome::Queue(QueueApplied::Done)
            }
            ShardCommand::Trim { partition, start } => {
                if let Some(trimmed) = self.partitions.get_mut(&partition) {
                    trimmed.retain_from(start, &mut self.bodies);
                }
                self.shares.trim(partition, self.start_of(partition));
                AppliedOutcome::Done
            }
            ShardCommand::SweepBodies => {
                self.sweep_bodies(at.now);
                AppliedOutcome::Done
            }
        })
    }

    fn apply_group(&mut self, command: GroupCommand) -> AppliedOutcome {
        match command {
            GroupCommand::PutGroup(record) => self.groups.apply(record),
            GroupCommand::ChangeConsumers(change) => {
                return AppliedOutcome::Group(self.groups.change(change));
            }
            GroupCommand::ChangeShare(change) => {
                return AppliedOutcome::Group(self.groups.change_share(change));
            }
            GroupCommand::CommitOffsets(commit) => {
                return AppliedOutcome::Offsets(self.offsets.apply(commit));
            }
            GroupCommand::DeleteGroup(group) => {
                self.groups.remove(&group);
                self.offsets.forget_group(&group);
            }
            GroupCommand::ForgetOffsets { group, places } => self.offsets.forget(&group, &places),
        }
        AppliedOutcome::Done
    }

    fn enqueue(
        &mut self,
        at: &Applied,
        partition: PartitionId,
        is_declared: bool,
        batch: &Bytes,
    ) -> Produced {
        if is_declared && self.queue(partition).is_none() {
            return Produced {
                base_offset: Err(NO_QUEUE_YET),
                ..Produced::default()
            };
        }
        self.append(at, partition, batch, None, Taking::OneByOne)
    }

    fn append(
        &mut self,
        at: &Applied,
        id: PartitionId,
        batch: &Bytes,
        verified: Option<u64>,
        taking: Taking,
    ) -> Produced {
        let env = &self.env;
        let partition = partition(&mut self.partitions, env, id);
        let append_time_ms = append_time(batch);
        let arrival = self.era.arrival(at, verified);
        let mut assigned = Vec::new();
        let (base_offset, refused_from) = match partition.append(
            at,
            id,
            batch.clone(),
            arrival,
            (env, &mut self.bodies),
            taking,
        ) {
            Ok(Stored::Now(base)) => {
                let refused = partition.arrived(at, batch, base, taking, &mut assigned);
                (Ok(base), refused)
            }
            Ok(Stored::Before(base)) => (Ok(base), partition.refused_before(base)),
            Err(error) => (Err(error), None),
        };
        let log_start = partition.log.start_offset();
        self.pass_on(id, assigned);
        self.stir_shares(id);
        Produced {
            base_offset,
            log_start,
            append_time_ms,
            refused_from,
            ..Produced::default()
        }
    }

    /// Ends a transaction in a partition, or for the offsets of this shard's groups. Where nothing
    /// of it is open, nothing is written: a coordinator may say it twice.
    fn mark(&mut self, at: &Applied, marker: &Marker) -> Result<(), ErrorKind> {
        if shard_of_offsets(marker.partition).is_some() {
            for commit in self.pending.end(marker, at.index, at.now)? {
                self.offsets.apply(commit);
            }
            return Ok(());
        }
        // A topic that was deleted meanwhile has nothing open.
        let Some(partition) = self.partitions.get_mut(&marker.partition) else {
            return Ok(());
        };
        let mut assigned = Vec::new();
        let marked = partition.mark(at, marker, &self.env, &mut assigned);
        self.pass_on(marker.partition, assigned);
        self.stir_shares(marker.partition);
        marked
    }
}

/// Whether a queue takes a batch as a whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    Whole,
    OneByOne,
}

/// When a batch was stored.
enum Stored {
    Now(Offset),
    Before(Offset),
}

/// The partition, which begins where it is first heard of.
pub(super) fn partition<'a>(
    partitions: &'a mut BTreeMap<PartitionId, Partition>,
    env: &ShardEnv,
    id: PartitionId,
) -> &'a mut Partition {
    partitions.entry(id).or_insert_with(|| {
        let log = env.begin_partition(id);
        Partition {
            log,
            start: Offset(0),
            producers: ProducerTable::default(),
            view: None,
            queue: None,
            held: HeldChunks::default(),
        }
    })
}

/// The time of all its records, where the broker gave it.
fn append_time(batch: &[u8]) -> Option<i64> {
    let header = BatchHeader::parse(batch).ok()?;
    header
        .is_log_append_time()
        .then_some(header.max_timestamp_ms)
}

impl Partition {
    fn append(
        &mut self,
        at: &Applied,
        id: PartitionId,
        batch: Bytes,
        arrival: Arrival,
        (env, bodies): (&ShardEnv, &mut Chunks),
        taking: Taking,
    ) -> Result<Stored, ErrorKind> {
        // The leader has checked the batch; a batch that does not parse is refused on every
        // replica alike.
        let header = BatchHeader::parse(&batch).map_err(|_| ErrorKind::CorruptBatch)?;
        match self.producers.check(&header, arrival) {
            Verdict::Refused(error) => return Err(error),
            Verdict::Unverified { .. } => return Err(ErrorKind::InvalidTxnState),
            Verdict::Duplicate { .. } if env.seeded.skips_dedup() => {
                let base_offset = self.log.end_offset();
                self.store(at, &header, base_offset, batch, env);
                return Ok(Stored::Now(base_offset));
            }
            Verdict::Duplicate { base_offset } => return Ok(Stored::Before(base_offset)),
            Verdict::Append => {}
        }
        if taking == Taking::Whole && !self.has_room(header.record_count) {
            return Err(ErrorKind::PolicyViolation);
        }
        let base_offset = self.log.end_offset();
        if header.has_references() {
            let chunks = bodies.referred(&batch)?;
            let last = base_offset.plus(u64::from(header.last_offset_delta));
            self.refer(chunks, last, bodies);
        }
        if header.is_transactional() {
            let view = self.view(id, env);
            if view.is_full() && arrival.verified.is_some() {
                return Err(ErrorKind::Overloaded);
            }
            self.producers.record(&header, base_offset, at.now);
            // Before the append: a reader takes the log's end first.
            if !env.seeded.ignores_open() {
                view.set_first_open(self.producers.first_open());
            }
        } else {
            self.producers.record(&header, base_offset, at.now);
        }
        if group_of_bodies(id) == Some(at.group) {
            bodies.appended(base_offset, &header, at.now);
        }
        self.store(at, &header, base_offset, batch, env);
        Ok(Stored::Now(base_offset))
    }

    fn mark(
        &mut self,
        at: &Applied,
        marker: &Marker,
        env: &ShardEnv,
        assigned: &mut Vec<Assignment>,
    ) -> Result<(), ErrorKind> {
        if !self.producers.check_end(marker)? {
            return Ok(());
        }
        let Some(first) = self.producers.end(marker, at.index, at.now) else {
            return Ok(());
        };
        let last = self.log.end_offset();
        let aborted = (!marker.commit).then_some((marker.producer.id, first));
        let view = self.view(marker.partition, env);
        view.ended(self.producers.first_open(), aborted, last);
        let batch = marker.batch(at.now);
        let header = BatchHeader::parse(&batch).expect("a marker is a batch");
        self.store(at, &header, last, batch.clone(), env);
        self.arrived(at, &batch, last, Taking::Whole, assigned);
        self.ended(at, marker, assigned);
        Ok(())
    }

    fn view(&mut self, id: PartitionId, env: &ShardEnv) -> Arc<TransactionView> {
        let open = || env.views.get_or_open(id, Arc::default);
        Arc::clone(self.view.get_or_insert_with(open))
    }

    fn store(
        &self,
        at: &Applied,
        header: &BatchHeader,
        base_offset: Offset,
        batch: Bytes,
        env: &ShardEnv,
    ) {
        let (bytes, pin) = env.kept(batch);
        self.log.append(TailBatch {
            base_offset,
            last_offset: base_offset.plus(u64::from(header.last_offset_delta)),
            max_timestamp_ms: header.max_timestamp_ms,
            leader_epoch: at.term.leader_epoch(),
            pin,
            bytes,
        });
    }
}
