//! Batches of transactions on their way into a partition.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{ErrorKind, GroupId, PartitionId, batch::BatchHeader};
use weir_raft::Done;

use super::{
    Node,
    coordinator::{Membership, MembershipAnswer},
};
use crate::{
    api::{ProduceTransaction, Produced, ProducerEpoch},
    outcome::AppliedOutcome,
    shard::{Held, Question},
};

impl Node {
    /// Appends a checked batch that belongs to a transaction. What would begin it in the partition
    /// waits until the coordinator has said that the partition is part of it.
    pub(super) fn append_in_transaction(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        batch: Bytes,
        transaction: &Arc<ProduceTransaction>,
        done: Done<AppliedOutcome>,
    ) {
        let producer = match producer_of(&batch) {
            Ok(producer) => producer,
            Err(error) => return done(Ok(refused(error))),
        };
        let held = Held {
            partition,
            producer,
            batch,
            done,
        };
        let (node, transaction) = (Arc::clone(self), Arc::clone(transaction));
        self.visit_leading(group, move |visited| match visited {
            Ok((shard, context)) => {
                if let Some(question) = shard.append_in_transaction(held, context) {
                    node.ask_for(group, question, &transaction);
                }
            }
            Err(_) => (held.done)(Ok(refused(ErrorKind::NotLeader))),
        });
    }

    fn ask_for(
        self: &Arc<Self>,
        group: GroupId,
        question: Question,
        transaction: &ProduceTransaction,
    ) {
        let membership = Membership {
            transaction: transaction.id.clone(),
            producer: question.key.producer,
            adds: transaction.adds,
            partitions: vec![question.key.partition],
        };
        let (node, adds) = (Arc::clone(self), transaction.adds);
        let answered = move |answer: MembershipAnswer| {
            let answer = only_answer(answer).map_err(|error| as_producers_know(error, adds));
            node.visit_leading(group, move |visited| {
                // Who leads no more has let go of what waited.
                if let Ok((shard, context)) = visited {
                    shard.answered(question, answer, adds, context);
                }
            });
        };
        self.ask_coordinator(membership, Box::new(answered));
    }
}

/// The answer for the one partition that was asked for.
pub(super) fn only_answer(answer: MembershipAnswer) -> Result<(), ErrorKind> {
    let answers = answer?;
    answers
        .first()
        .copied()
        .unwrap_or(Err(ErrorKind::InvalidRequest))
}

/// Coordinators' errors as Kafka gives them to those who produce. `is_newer`: a client that adds
/// partitions by producing, and tries again while its last transaction is being ended.
pub(super) fn as_producers_know(error: ErrorKind, is_newer: bool) -> ErrorKind {
    match error {
        ErrorKind::ProducerFenced => ErrorKind::InvalidProducerEpoch,
        ErrorKind::ConcurrentTransactions if !is_newer => ErrorKind::CoordinatorUnreachable,
        error => error,
    }
}

fn producer_of(batch: &[u8]) -> Result<ProducerEpoch, ErrorKind> {
    let header = BatchHeader::parse(batch).map_err(|_| ErrorKind::CorruptBatch)?;
    let id = header.producer_id.ok_or(ErrorKind::InvalidRecord)?;
    Ok(ProducerEpoch {
        id,
        epoch: header.producer_epoch,
    })
}

fn refused(error: ErrorKind) -> AppliedOutcome {
    AppliedOutcome::Appended(Produced {
        base_offset: Err(error),
        ..Produced::default()
    })
}
