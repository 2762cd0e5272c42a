//! AddPartitionsToTxn 0 to 5, AddOffsetsToTxn 0 to 4, EndTxn 0 to 5 and TxnOffsetCommit 0 to 5.

use kafka_protocol::{
    messages::{
        AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
        AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, TxnOffsetCommitRequest,
        TxnOffsetCommitResponse,
        add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction},
        add_partitions_to_txn_response::{
            AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult,
            AddPartitionsToTxnTopicResult,
        },
        txn_offset_commit_response::{
            TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
        },
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    AddOffsets, AddPartitions, CommittedOffset, EndTransaction, OffsetCommit, PartitionAnswers,
    ProducerEpoch, Request, TopicRef, TransactionOffsetCommit,
};
use weir_model::{ErrorKind, ProducerId};

use super::{
    grouped::{Grouped, by_name},
    plan::{Answer, Client, MapError, Mapped, Plan},
};
use crate::{
    codec::{header::Head, versions::Api},
    wire_code::{self, Surface},
};

/// First AddPartitionsToTxn that names several transactions.
const TRANSACTIONS_FROM: i16 = 4;
/// First EndTxn after which the producer goes on with another epoch (KIP-890).
const BUMP_FROM: i16 = 5;
/// First TxnOffsetCommit that adds the group to the transaction.
const ADD_FROM: i16 = 5;
/// First TxnOffsetCommit that says which member commits.
const MEMBER_FROM: i16 = 3;

/// The code of `kind`. What a client of an older version does not know it is told as Kafka would.
pub fn code(head: &Head, kind: ErrorKind) -> i16 {
    let (fenced_from, abortable_from) = match head.api {
        Api::InitProducerId => (4, 6),
        Api::Produce => (i16::MAX, 11),
        Api::EndTxn => (2, 5),
        Api::TxnOffsetCommit => (2, 4),
        _ => (2, 4),
    };
    match kind {
        ErrorKind::ProducerFenced if head.version < fenced_from => {
            wire_code::INVALID_PRODUCER_EPOCH
        }
        ErrorKind::TransactionAbortable if head.version < abortable_from => {
            wire_code::INVALID_TXN_STATE
        }
        kind => wire_code::of(kind, Surface::Group),
    }
}

/// A producer as a client names it: what no producer can have, none has.
pub fn producer(id: i64, epoch: i16) -> ProducerEpoch {
    ProducerEpoch {
        id: ProducerId(id),
        epoch,
    }
}

/// One transaction's part of an AddPartitionsToTxn.
pub type AskedTransaction = (StrBytes, Grouped);

/// Maps AddPartitionsToTxn.
pub fn map_add_partitions(
    head: &Head,
    request: AddPartitionsToTxnRequest,
) -> Result<Mapped, MapError> {
    let transactions = if head.version >= TRANSACTIONS_FROM {
        request.transactions
    } else {
        let only = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        vec![only]
    };
    let mut asked = Vec::new();
    let mut wanted = Vec::new();
    for transaction in transactions {
        let (grouped, partitions) = partitions_of(transaction.topics);
        wanted.push(AddPartitions {
            transaction: transaction.transactional_id.to_string(),
            producer: producer(transaction.producer_id.0, transaction.producer_epoch),
            verify_only: transaction.verify_only,
            partitions,
        });
        asked.push((transaction.transactional_id.0, grouped));
    }
    Ok(Mapped::Ask(
        Request::AddPartitions(wanted),
        Plan::AddPartitions(asked),
    ))
}

fn partitions_of(topics: Vec<AddPartitionsToTxnTopic>) -> (Grouped, Vec<(TopicRef, i32)>) {
    let mut grouped = Grouped::default();
    let mut partitions = Vec::new();
    for topic in topics {
        let asked = by_name(&topic.name);
        grouped.topic(topic.name.0, Uuid::nil());
        for index in topic.partitions {
            grouped.partition(index, asked.as_ref().err().copied());
            if let Ok(topic) = &asked {
                partitions.push((topic.clone(), index));
            }
        }
    }
    (grouped, partitions)
}

/// Maps the outcome of AddPartitionsToTxn.
pub fn answer_add_partitions(
    head: &Head,
    asked: Vec<AskedTransaction>,
    outcome: Vec<PartitionAnswers>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let results = asked.into_iter().map(|(id, grouped)| {
        let answers = outcome.next().unwrap_or_default();
        let topics = grouped.regroup(
            answers,
            |index, answer| {
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(index)
                    .with_partition_error_code(flat_code(head, answer))
            },
            |name, _, partitions| {
                AddPartitionsToTxnTopicResult::default()
                    .with_name(name.into())
                    .with_results_by_partition(partitions)
            },
        );
        AddPartitionsToTxnResult::default()
            .with_transactional_id(id.into())
            .with_topic_results(topics)
    });
    let mut results: Vec<AddPartitionsToTxnResult> = results.collect();
    let response = if head.version >= TRANSACTIONS_FROM {
        AddPartitionsToTxnResponse::default().with_results_by_transaction(results)
    } else {
        let only = results.pop().unwrap_or_default();
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(only.topic_results)
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// The code of a partition's answer.
pub fn flat_code(head: &Head, answer: Result<Result<(), ErrorKind>, i16>) -> i16 {
    match answer {
        Ok(Ok(())) => wire_code::NONE,
        Ok(Err(kind)) => code(head, kind),
        Err(code) => code,
    }
}

/// Maps AddOffsetsToTxn.
pub fn map_add_offsets(request: &AddOffsetsToTxnRequest) -> Result<Mapped, MapError> {
    let wanted = AddOffsets {
        transaction: request.transactional_id.to_string(),
        producer: producer(request.producer_id.0, request.producer_epoch),
        group: request.group_id.to_string(),
    };
    Ok(Mapped::Ask(Request::AddOffsets(wanted), Plan::AddOffsets))
}

/// Maps the outcome of AddOffsetsToTxn.
pub fn answer_add_offsets(head: &Head, outcome: Result<(), ErrorKind>) -> Result<Answer, MapError> {
    let response = AddOffsetsToTxnResponse::default().with_error_code(flat_code(head, Ok(outcome)));
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps EndTxn.
pub fn map_end(head: &Head, request: &EndTxnRequest, client: &Client) -> Result<Mapped, MapError> {
    let end = EndTransaction {
        transaction: request.transactional_id.to_string(),
        producer: producer(request.producer_id.0, request.producer_epoch),
        commit: request.committed,
        bumps_epoch: head.version >= BUMP_FROM,
        connection: client.connection,
    };
    Ok(Mapped::Ask(
        Request::EndTransaction(end),
        Plan::EndTransaction,
    ))
}

/// Maps the outcome of EndTxn.
pub fn answer_end(
    head: &Head,
    outcome: Result<ProducerEpoch, ErrorKind>,
) -> Result<Answer, MapError> {
    let mut response = EndTxnResponse::default();
    match outcome {
        Ok(producer) if head.version >= BUMP_FROM => {
            response.producer_id = producer.id.0.into();
            response.producer_epoch = producer.epoch;
        }
        Ok(_) => {}
        Err(kind) => response.error_code = code(head, kind),
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps TxnOffsetCommit.
pub fn map_offset_commit(
    head: &Head,
    request: TxnOffsetCommitRequest,
    client: &Client,
) -> Result<Mapped, MapError> {
    let mut grouped = Grouped::default();
    let mut offsets = Vec::new();
    for topic in request.topics {
        let asked = by_name(&topic.name);
        grouped.topic(topic.name.0, Uuid::nil());
        for partition in topic.partitions {
            grouped.partition(partition.partition_index, asked.as_ref().err().copied());
            if let Ok(topic) = &asked {
                let metadata = partition.committed_metadata;
                offsets.push(CommittedOffset {
                    topic: topic.clone(),
                    index: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata.map_or_else(String::new, |text| text.to_string()),
                });
            }
        }
    }
    if offsets.is_empty() {
        let answer = answer_offset_commit(head, grouped, Vec::new())?;
        return Ok(Mapped::Answered(answer));
    }
    let generation = if head.version >= MEMBER_FROM {
        request.generation_id
    } else {
        -1
    };
    let commit = TransactionOffsetCommit {
        transaction: request.transactional_id.to_string(),
        producer: producer(request.producer_id.0, request.producer_epoch),
        adds: head.version >= ADD_FROM,
        connection: client.connection,
        commit: OffsetCommit {
            group: request.group_id.to_string(),
            generation,
            member: request.member_id.to_string(),
            instance: request.group_instance_id.map(|text| text.to_string()),
            offsets,
        },
    };
    let request = Request::TransactionOffsetCommit(commit);
    Ok(Mapped::Ask(request, Plan::TransactionOffsetCommit(grouped)))
}

/// Maps the outcome of TxnOffsetCommit.
pub fn answer_offset_commit(
    head: &Head,
    grouped: Grouped,
    outcome: PartitionAnswers,
) -> Result<Answer, MapError> {
    let topics = grouped.regroup(
        outcome,
        |index, answer| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(flat_code(head, answer))
        },
        |name, _, partitions| {
            TxnOffsetCommitResponseTopic::default()
                .with_name(name.into())
                .with_partitions(partitions)
        },
    );
    let response = TxnOffsetCommitResponse::default().with_topics(topics);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
