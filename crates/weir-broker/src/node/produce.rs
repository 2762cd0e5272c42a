//! Appends: checked on the connection's thread, replicated by the shard, answered together.

use std::sync::Arc;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, PartitionId, batch::BatchHeader};
use weir_raft::NotCommitted;

use super::Node;
use crate::{
    api::{AckLevel, Outcome, Produce, ProducePartition, Produced},
    audit::is_internal,
    gather::Gather,
    intake::{self, Refused},
    limited::Limited,
    mailbox::Reply,
    metadata::TopicConfig,
    outcome::AppliedOutcome,
    shard::ShardCommand,
};

/// Longest time that is watched, in ms: a client that waits longer has no limit.
const MAX_TIMEOUT_MS: u64 = 60 * 60 * 1000;

/// A batch that may be proposed.
struct Checked {
    group: GroupId,
    partition: PartitionId,
    batch: Bytes,
    is_transactional: bool,
}

impl Node {
    pub(super) fn produce(self: &Arc<Self>, produce: Produce, reply: Reply) {
        let count = produce.partitions.len();
        let unsettled = failed(ErrorKind::TimedOut);
        let answers = Gather::new(count, unsettled, reply, Outcome::Produce);
        let task = self.limited(answers, produce.ack, produce.timeout_ms);
        let now = self.clock.now();
        let transaction = produce.transaction.map(Arc::new);
        for (at, partition) in produce.partitions.into_iter().enumerate() {
            match self.check(partition, produce.ack, transaction.is_some(), now) {
                Ok(checked) => {
                    let (task, node) = (task.clone(), Arc::clone(self));
                    let sent = self.sent(checked.partition, &checked.batch);
                    let Checked {
                        group,
                        partition,
                        batch,
                        is_transactional,
                    } = checked;
                    let done = Box::new(move |outcome| {
                        let produced = node.appended(group, outcome);
                        sent.count(&produced);
                        task.settle(at, produced);
                    });
                    match &transaction {
                        Some(transaction) if is_transactional => {
                            self.append_in_transaction(group, partition, batch, transaction, done);
                        }
                        Some(_) | None => {
                            self.propose(group, ShardCommand::append(partition, batch), done);
                        }
                    }
                }
                Err(answer) => task.settle(at, *answer),
            }
        }
    }

    fn limited(&self, answers: Gather<Produced>, ack: AckLevel, ms: u64) -> Limited<Produced> {
        match ack {
            AckLevel::Majority | AckLevel::InSync if ms <= MAX_TIMEOUT_MS => {
                Limited::until(answers, &self.purgatory, self.elapsed().plus(ms))
            }
            AckLevel::Majority | AckLevel::InSync | AckLevel::None => Limited::endless(answers),
        }
    }

    fn check(
        &self,
        produce: ProducePartition,
        ack: AckLevel,
        has_transaction: bool,
        now: Millis,
    ) -> Result<Checked, Box<Produced>> {
        let route = self.route(&produce.topic, produce.index);
        let route = route.map_err(|error| Box::new(failed(error)))?;
        let config = &route.topic.settings;
        if is_internal(route.topic.name.as_str()) {
            return Err(Box::new(failed(ErrorKind::InvalidTopic)));
        }
        if !self.leads(route.group) {
            return Err(Box::new(self.not_leader(route.group)));
        }
        if ack == AckLevel::InSync && !self.has_enough(route.group, config) {
            return Err(Box::new(failed(ErrorKind::NotEnoughReplicas)));
        }
        let batch = intake::admit(produce.batch, config, now);
        let batch = batch.map_err(|refused| Box::new(refused_as(refused)))?;
        let header = BatchHeader::parse(&batch).map_err(|_| failed(ErrorKind::CorruptBatch));
        let is_transactional = header.map_err(Box::new)?.is_transactional();
        if is_transactional && !has_transaction {
            return Err(Box::new(failed(ErrorKind::InvalidRecord)));
        }
        Ok(Checked {
            group: route.group,
            partition: route.partition,
            batch,
            is_transactional,
        })
    }

    /// Whether as many replicas keep up as the topic asks for, or all of them where there are
    /// fewer (KIP-966).
    fn has_enough(&self, group: GroupId, config: &TopicConfig) -> bool {
        let wanted = usize::try_from(config.min_insync_replicas).unwrap_or(usize::MAX);
        if wanted <= 1 {
            return true;
        }
        let (in_sync_count, replica_count) = self.in_sync_count(group);
        in_sync_count >= wanted.min(replica_count)
    }

    fn appended(&self, group: GroupId, outcome: Result<AppliedOutcome, NotCommitted>) -> Produced {
        match outcome {
            Ok(AppliedOutcome::Appended(produced)) => produced,
            Ok(
                AppliedOutcome::Metadata(_)
                | AppliedOutcome::Offsets(_)
                | AppliedOutcome::Transaction(_)
                | AppliedOutcome::Marked(_)
                | AppliedOutcome::Group(_)
                | AppliedOutcome::Queue(_)
                | AppliedOutcome::Share(_)
                | AppliedOutcome::Done,
            ) => failed(ErrorKind::InvalidRequest),
            Err(error) if error.kind() == ErrorKind::NotLeader => self.not_leader(group),
            Err(error) => failed(error.kind()),
        }
    }

    fn not_leader(&self, group: GroupId) -> Produced {
        Produced {
            leader: self.leader_instead(group, ErrorKind::NotLeader),
            ..failed(ErrorKind::NotLeader)
        }
    }
}

fn failed(error: ErrorKind) -> Produced {
    Produced {
        base_offset: Err(error),
        ..Produced::default()
    }
}

fn refused_as(refused: Refused) -> Produced {
    Produced {
        refusal: refused.detail,
        ..failed(refused.error)
    }
}
