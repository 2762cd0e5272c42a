//! Appends: checked on the connection's thread, replicated by the shard, answered together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use weir_log::Millis;
use weir_model::{
    ErrorKind, GroupId, Offset, PartitionId,
    batch::{self, BatchError, BatchHeader, Codec, HEADER_BYTES},
    record,
};
use weir_raft::NotCommitted;

use super::Node;
use crate::{
    api::{AckLevel, Outcome, Produce, ProducePartition, Produced},
    gather::Gather,
    mailbox::Reply,
    metadata::{TopicConfig, topic_config::TimestampType},
    outcome::AppliedOutcome,
    purgatory::{LimitKey, Purgatory},
    shard::ShardCommand,
};

/// How far a record's time may be ahead of the broker's, in ms (Kafka's
/// `message.timestamp.after.max.ms`).
const MAX_TIMESTAMP_AHEAD_MS: u64 = 60 * 60 * 1000;

/// Longest time that is watched, in ms: a client that waits longer has no limit.
const MAX_TIMEOUT_MS: u64 = 60 * 60 * 1000;

/// An append under way, and what answers if nothing else does in time.
#[derive(Clone)]
struct Producing {
    answers: Arc<Gather<Produced>>,
    limit: Option<(Arc<Purgatory>, LimitKey)>,
}

/// A batch that may be proposed.
struct Checked {
    group: GroupId,
    partition: PartitionId,
    batch: Bytes,
    is_transactional: bool,
}

impl Node {
    pub(super) fn produce(self: &Arc<Self>, produce: Produce, reply: Reply) {
        let unsettled = refused(ErrorKind::TimedOut);
        let count = produce.partitions.len();
        let answers = Arc::new(Gather::new(count, unsettled, reply, Outcome::Produce));
        let task = self.limited(answers, produce.ack, produce.timeout_ms);
        let now = self.clock.now();
        let transaction = produce.transaction.map(Arc::new);
        for (at, partition) in produce.partitions.into_iter().enumerate() {
            match self.check(partition, transaction.is_some(), now) {
                Ok(checked) => {
                    let task = task.clone();
                    let done = Box::new(move |outcome| task.settle(at, appended(&outcome)));
                    let Checked {
                        group,
                        partition,
                        batch,
                        is_transactional,
                    } = checked;
                    match &transaction {
                        Some(transaction) if is_transactional => {
                            self.append_in_transaction(group, partition, batch, transaction, done);
                        }
                        Some(_) | None => {
                            self.propose(group, ShardCommand::append(partition, batch), done);
                        }
                    }
                }
                Err(error) => task.settle(at, refused(error)),
            }
        }
    }

    fn limited(&self, answers: Arc<Gather<Produced>>, ack: AckLevel, timeout_ms: u64) -> Producing {
        let limit = match ack {
            AckLevel::Majority if timeout_ms <= MAX_TIMEOUT_MS => {
                let give_up = self.elapsed().plus(timeout_ms);
                let answers = Arc::clone(&answers);
                let timer = Box::new(move || answers.expire());
                let key = self.purgatory.limit(give_up, timer);
                Some((Arc::clone(&self.purgatory), key))
            }
            AckLevel::Majority | AckLevel::None => None,
        };
        Producing { answers, limit }
    }

    fn check(
        &self,
        produce: ProducePartition,
        has_transaction: bool,
        now: Millis,
    ) -> Result<Checked, ErrorKind> {
        let route = self.route(&produce.topic, produce.index)?;
        let (batch, is_transactional) = check_batch(produce.batch, &route.topic.settings, now)?;
        if is_transactional && !has_transaction {
            return Err(ErrorKind::InvalidRecord);
        }
        Ok(Checked {
            group: route.group,
            partition: route.partition,
            batch,
            is_transactional,
        })
    }
}

impl Producing {
    fn settle(&self, at: usize, answer: Produced) {
        if self.answers.is_settled_by(at, answer)
            && let Some((purgatory, key)) = &self.limit
        {
            purgatory.lift(*key);
        }
    }
}

fn appended(outcome: &Result<AppliedOutcome, NotCommitted>) -> Produced {
    match outcome {
        Ok(AppliedOutcome::Appended(produced)) => *produced,
        Ok(
            AppliedOutcome::Metadata(_)
            | AppliedOutcome::Offsets(_)
            | AppliedOutcome::Transaction(_)
            | AppliedOutcome::Marked(_)
            | AppliedOutcome::Done,
        ) => refused(ErrorKind::InvalidRequest),
        Err(error) => refused(error.kind()),
    }
}

fn refused(error: ErrorKind) -> Produced {
    Produced {
        base_offset: Err(error),
        log_start: Offset(0),
    }
}

/// Checks one batch as Kafka's `LogValidator` does; gives it as it is to be stored, and whether it
/// belongs to a transaction.
fn check_batch(
    batch: Bytes,
    config: &TopicConfig,
    now: Millis,
) -> Result<(Bytes, bool), ErrorKind> {
    let header = BatchHeader::parse(&batch).map_err(kind_of)?;
    if header.size_bytes != batch.len() {
        // Kafka allows one batch a partition since Produce version 3.
        return Err(ErrorKind::InvalidRecord);
    }
    if batch.len() > usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX) {
        return Err(ErrorKind::MessageTooLarge);
    }
    batch::verify_crc(&batch).map_err(kind_of)?;
    let is_dense = u64::from(header.record_count) == header.offset_count();
    let is_transactional = header.is_transactional();
    let has_producer = header.producer_id.is_some();
    if !is_dense || header.is_control() || (is_transactional && !has_producer) {
        return Err(ErrorKind::InvalidRecord);
    }
    // Compressed records stay as they came: to look into them is the reader's work.
    if header.codec == Codec::None
        && record::check_dense(&batch[HEADER_BYTES..], header.record_count).is_err()
    {
        return Err(ErrorKind::InvalidRecord);
    }
    if header.producer_id.is_some() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return Err(ErrorKind::InvalidRecord);
    }
    match config.timestamp_type {
        TimestampType::CreateTime => {
            if Millis(header.max_timestamp_ms) > now.plus(MAX_TIMESTAMP_AHEAD_MS) {
                return Err(ErrorKind::InvalidTimestamp);
            }
            Ok((batch, is_transactional))
        }
        TimestampType::LogAppendTime => {
            let mut stamped = BytesMut::from(&batch[..]);
            batch::stamp_append_time(&mut stamped, now.0);
            Ok((stamped.freeze(), is_transactional))
        }
    }
}

fn kind_of(error: BatchError) -> ErrorKind {
    match error {
        BatchError::Truncated { .. } | BatchError::Checksum { .. } | BatchError::Length(_) => {
            ErrorKind::CorruptBatch
        }
        BatchError::Magic(_) => ErrorKind::UnsupportedFormat,
        BatchError::Codec(_) | BatchError::NegativeCount => ErrorKind::InvalidRecord,
    }
}
