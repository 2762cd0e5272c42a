//! WriteTxnMarkers 1, DescribeProducers 0, DescribeTransactions 0 and ListTransactions 0 to 2.

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
        DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse,
        WriteTxnMarkersRequest, WriteTxnMarkersResponse,
        describe_producers_response::{PartitionResponse, ProducerState, TopicResponse},
        describe_transactions_response::{TopicData, TransactionState as DescribedState},
        list_transactions_response::TransactionState as ListedState,
        write_txn_markers_response::{
            WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
        },
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    DescribedProducer, DescribedTransaction, ListTransactions, ListedTransaction, PartitionAnswers,
    Request, TopicRef, TransactionState, WriteMarkers,
};
use weir_model::{ErrorKind, ProducerId};

use super::{
    grouped::{Grouped, by_name},
    plan::{Answer, MapError, Mapped, Plan},
    transactions::{flat_code, producer},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

const STATES: [(TransactionState, &str); 6] = [
    (TransactionState::Empty, "Empty"),
    (TransactionState::Ongoing, "Ongoing"),
    (TransactionState::PrepareCommit, "PrepareCommit"),
    (TransactionState::PrepareAbort, "PrepareAbort"),
    (TransactionState::CompleteCommit, "CompleteCommit"),
    (TransactionState::CompleteAbort, "CompleteAbort"),
];

fn state_name(state: TransactionState) -> StrBytes {
    let named = STATES.iter().find(|(each, _)| *each == state);
    StrBytes::from_static_str(named.map_or("", |(_, name)| name))
}

/// Adds a topic; gives what the node is asked for.
fn add_topic(
    grouped: &mut Grouped,
    wanted: &mut Vec<(TopicRef, i32)>,
    name: StrBytes,
    indexes: Vec<i32>,
) {
    let asked = by_name(&name);
    grouped.topic(name, Uuid::nil());
    for index in indexes {
        grouped.partition(index, asked.as_ref().err().copied());
        if let Ok(topic) = &asked {
            wanted.push((topic.clone(), index));
        }
    }
}

/// One marker's producer and partitions, and how many of these the node is asked for.
pub type AskedMarker = (i64, Grouped, usize);

/// Maps WriteTxnMarkers.
pub fn map_markers(request: WriteTxnMarkersRequest) -> Result<Mapped, MapError> {
    let mut plans = Vec::new();
    let mut wanted = Vec::new();
    for marker in request.markers {
        let mut grouped = Grouped::default();
        let mut partitions = Vec::new();
        for topic in marker.topics {
            add_topic(
                &mut grouped,
                &mut partitions,
                topic.name.0,
                topic.partition_indexes,
            );
        }
        plans.push((marker.producer_id.0, grouped, partitions.len()));
        wanted.push(WriteMarkers {
            producer: producer(marker.producer_id.0, marker.producer_epoch),
            commit: marker.transaction_result,
            coordinator_epoch: marker.coordinator_epoch,
            partitions,
        });
    }
    Ok(Mapped::Ask(
        Request::WriteMarkers(wanted),
        Plan::WriteMarkers(plans),
    ))
}

/// Maps the outcome of WriteTxnMarkers.
pub fn answer_markers(
    head: &Head,
    plans: Vec<AskedMarker>,
    outcome: PartitionAnswers,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let markers = plans.into_iter().map(|(id, grouped, count)| {
        let answers: Vec<_> = outcome.by_ref().take(count).collect();
        let topics = grouped.regroup(
            answers,
            |index, answer| {
                let error_code = match answer {
                    Ok(Err(kind)) => wire_code::of(kind, Surface::Write),
                    other => flat_code(head, other),
                };
                WritableTxnMarkerPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(error_code)
            },
            |name, _, partitions| {
                WritableTxnMarkerTopicResult::default()
                    .with_name(name.into())
                    .with_partitions(partitions)
            },
        );
        WritableTxnMarkerResult::default()
            .with_producer_id(id.into())
            .with_topics(topics)
    });
    let response = WriteTxnMarkersResponse::default().with_markers(markers.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps DescribeProducers.
pub fn map_producers(request: DescribeProducersRequest) -> Result<Mapped, MapError> {
    let mut grouped = Grouped::default();
    let mut wanted = Vec::new();
    for topic in request.topics {
        add_topic(
            &mut grouped,
            &mut wanted,
            topic.name.0,
            topic.partition_indexes,
        );
    }
    Ok(Mapped::Ask(
        Request::DescribeProducers(wanted),
        Plan::DescribeProducers(grouped),
    ))
}

/// Maps the outcome of DescribeProducers.
pub fn answer_producers(
    head: &Head,
    grouped: Grouped,
    outcome: Vec<Result<Vec<DescribedProducer>, ErrorKind>>,
) -> Result<Answer, MapError> {
    let topics = grouped.regroup(
        outcome,
        |index, described| {
            let response = PartitionResponse::default().with_partition_index(index);
            match described {
                Ok(Ok(producers)) => {
                    let producers = producers.into_iter().map(producer_state);
                    response.with_active_producers(producers.collect())
                }
                Ok(Err(kind)) => response.with_error_code(wire_code::of(kind, Surface::Read)),
                Err(code) => response.with_error_code(code),
            }
        },
        |name, _, partitions| {
            TopicResponse::default()
                .with_name(name.into())
                .with_partitions(partitions)
        },
    );
    let response = DescribeProducersResponse::default().with_topics(topics);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn producer_state(described: DescribedProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(described.producer.id.0.into())
        .with_producer_epoch(described.producer.epoch.into())
        .with_last_sequence(described.last_sequence)
        .with_last_timestamp(described.last_used_ms)
        .with_coordinator_epoch(described.coordinator_epoch)
        .with_current_txn_start_offset(described.open.map_or(-1, |open| open.wire()))
}

/// Maps DescribeTransactions.
pub fn map_describe(request: DescribeTransactionsRequest) -> Result<Mapped, MapError> {
    let ids: Vec<StrBytes> = request
        .transactional_ids
        .into_iter()
        .map(|id| id.0)
        .collect();
    let wanted = ids.iter().map(ToString::to_string).collect();
    Ok(Mapped::Ask(
        Request::DescribeTransactions(wanted),
        Plan::DescribeTransactions(ids),
    ))
}

/// Maps the outcome of DescribeTransactions.
pub fn answer_describe(
    head: &Head,
    ids: Vec<StrBytes>,
    outcome: Vec<Result<DescribedTransaction, ErrorKind>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let states = ids.into_iter().map(|id| {
        let state = DescribedState::default().with_transactional_id(id.into());
        match outcome.next() {
            Some(Ok(described)) => described_state(state, described),
            Some(Err(kind)) => state.with_error_code(wire_code::of(kind, Surface::Group)),
            None => state.with_error_code(wire_code::UNKNOWN_SERVER_ERROR),
        }
    });
    let response =
        DescribeTransactionsResponse::default().with_transaction_states(states.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn described_state(state: DescribedState, described: DescribedTransaction) -> DescribedState {
    let mut by_topic: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, index) in described.partitions {
        by_topic.entry(topic).or_default().push(index);
    }
    let topics = by_topic.into_iter().map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(StrBytes::from_string(topic).into())
            .with_partitions(partitions)
    });
    state
        .with_transaction_state(state_name(described.state))
        .with_transaction_timeout_ms(described.timeout_ms)
        .with_transaction_start_time_ms(described.started_ms)
        .with_producer_id(described.producer.id.0.into())
        .with_producer_epoch(described.producer.epoch)
        .with_topics(topics.collect())
}

/// Maps ListTransactions. States that do not exist are told as such. Patterns are not matched: no
/// regular expression is made of what a client sent.
pub fn map_list(head: &Head, request: ListTransactionsRequest) -> Result<Mapped, MapError> {
    let pattern = request.transactional_id_pattern.unwrap_or_default();
    if !pattern.is_empty() {
        let response = ListTransactionsResponse::default()
            .with_error_code(wire_code::INVALID_REGULAR_EXPRESSION);
        return Ok(Mapped::Answered(Answer::Frame(vec![
            head.frame(&response)?,
        ])));
    }
    let mut states = Vec::new();
    let mut unknown = Vec::new();
    for name in request.state_filters {
        match STATES.iter().find(|(_, each)| **each == *name) {
            Some((state, _)) => states.push(*state),
            None => unknown.push(name),
        }
    }
    if states.is_empty() && !unknown.is_empty() {
        let answer = answer_list(head, unknown, Vec::new())?;
        return Ok(Mapped::Answered(answer));
    }
    let ids = request.producer_id_filters.into_iter();
    let wanted = ListTransactions {
        states,
        producers: ids.map(|id| ProducerId(id.0)).collect(),
        older_than_ms: u64::try_from(request.duration_filter).ok(),
    };
    Ok(Mapped::Ask(
        Request::ListTransactions(wanted),
        Plan::ListTransactions(unknown),
    ))
}

/// Maps the outcome of ListTransactions.
pub fn answer_list(
    head: &Head,
    unknown: Vec<StrBytes>,
    outcome: Vec<ListedTransaction>,
) -> Result<Answer, MapError> {
    let states = outcome.into_iter().map(|listed| {
        ListedState::default()
            .with_transactional_id(StrBytes::from_string(listed.transaction).into())
            .with_producer_id(listed.producer.0.into())
            .with_transaction_state(state_name(listed.state))
    });
    let response = ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown)
        .with_transaction_states(states.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
