//! Transactions: a request of every kind and version, its outcome, and what its answer says.

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest,
        DescribeProducersRequest, DescribeTransactionsRequest, EndTxnRequest,
        InitProducerIdRequest, ListTransactionsRequest, ResponseKind, TxnOffsetCommitRequest,
        WriteTxnMarkersRequest,
        add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction},
        describe_producers_request::TopicRequest,
        txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic},
        write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic},
    },
    protocol::Encodable,
};
use weir_broker::api::{
    DescribedProducer, DescribedTransaction, ListedTransaction, Outcome, ProducerEpoch, Request,
    TransactionState,
};
use weir_door::Session;
use weir_door_kafka::{
    codec::versions::{Api, Served, by_key},
    wire_code,
};
use weir_model::{ErrorKind, Offset, ProducerId};

use crate::{
    samples::{all_versions, frame, framed, text},
    wire::{NOW, asked, decoded, fed, sent},
};

const PRODUCER: ProducerEpoch = ProducerEpoch {
    id: ProducerId(4),
    epoch: 2,
};

/// A body of one of the transactions' requests.
pub(crate) fn encode_body(api: Api, version: i16, into: &mut BytesMut) {
    match api {
        Api::AddPartitionsToTxn => add_partitions(version).encode(into, version),
        Api::AddOffsetsToTxn => AddOffsetsToTxnRequest::default()
            .with_transactional_id(text("tx").into())
            .with_group_id(text("group").into())
            .encode(into, version),
        Api::EndTxn => EndTxnRequest::default()
            .with_transactional_id(text("tx").into())
            .with_producer_id(4.into())
            .with_committed(true)
            .encode(into, version),
        Api::WriteTxnMarkers => markers().encode(into, version),
        Api::TxnOffsetCommit => offset_commit().encode(into, version),
        Api::DescribeProducers => {
            let topic = TopicRequest::default()
                .with_name(text("topic").into())
                .with_partition_indexes(vec![0, 1]);
            DescribeProducersRequest::default()
                .with_topics(vec![topic.clone(), topic])
                .encode(into, version)
        }
        Api::DescribeTransactions => DescribeTransactionsRequest::default()
            .with_transactional_ids(vec![text("tx").into(), text("other").into()])
            .encode(into, version),
        Api::ListTransactions => ListTransactionsRequest::default()
            .with_state_filters(vec![text("Ongoing"), text("Nonsense")])
            .with_producer_id_filters(vec![4.into()])
            .encode(into, version),
        other => panic!("{other:?} is no transactions' request"),
    }
    .unwrap();
}

fn add_partitions(version: i16) -> AddPartitionsToTxnRequest {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(text("topic").into())
        .with_partitions(vec![0, 1]);
    let topics = vec![topic.clone(), topic];
    if version < 4 {
        return AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(text("tx").into())
            .with_v3_and_below_producer_id(4.into())
            .with_v3_and_below_topics(topics);
    }
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(text("tx").into())
        .with_verify_only(true)
        .with_topics(topics);
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction.clone(), transaction])
}

fn markers() -> WriteTxnMarkersRequest {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(text("topic").into())
        .with_partition_indexes(vec![0, 1]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(4.into())
        .with_topics(vec![topic.clone(), topic]);
    WriteTxnMarkersRequest::default().with_markers(vec![marker.clone(), marker])
}

fn offset_commit() -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(5);
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(text("topic").into())
        .with_partitions(vec![partition.clone(), partition]);
    TxnOffsetCommitRequest::default()
        .with_transactional_id(text("tx").into())
        .with_group_id(text("group").into())
        .with_topics(vec![topic])
}

/// An outcome that says yes; with `kind` no.
pub(crate) fn outcome(request: &Request, kind: Option<ErrorKind>) -> Outcome {
    fn or<T>(kind: Option<ErrorKind>, value: T) -> Result<T, ErrorKind> {
        kind.map_or(Ok(value), Err)
    }
    match request {
        Request::AddPartitions(wanted) => {
            let answers = |each: usize| vec![or(kind, ()); each];
            let wanted = wanted.iter().map(|each| answers(each.partitions.len()));
            Outcome::AddPartitions(wanted.collect())
        }
        Request::AddOffsets(_) => Outcome::AddOffsets(or(kind, ())),
        Request::EndTransaction(_) => Outcome::EndTransaction(or(kind, PRODUCER)),
        Request::TransactionOffsetCommit(commit) => {
            Outcome::OffsetCommit(vec![or(kind, ()); commit.commit.offsets.len()])
        }
        Request::WriteMarkers(wanted) => {
            let count = wanted.iter().map(|each| each.partitions.len()).sum();
            Outcome::WriteMarkers(vec![or(kind, ()); count])
        }
        Request::DescribeProducers(wanted) => {
            let described = DescribedProducer {
                producer: PRODUCER,
                last_sequence: 8,
                last_used_ms: 9,
                coordinator_epoch: 3,
                open: Some(Offset(5)),
            };
            let answers = wanted.iter().map(|_| or(kind, vec![described]));
            Outcome::DescribeProducers(answers.collect())
        }
        Request::DescribeTransactions(ids) => {
            let described = DescribedTransaction {
                state: TransactionState::Ongoing,
                producer: PRODUCER,
                timeout_ms: 60_000,
                started_ms: 7,
                partitions: vec![("topic".to_owned(), 0), ("topic".to_owned(), 1)],
            };
            let answers = ids.iter().map(|_| or(kind, described.clone()));
            Outcome::DescribeTransactions(answers.collect())
        }
        Request::ListTransactions(_) => Outcome::ListTransactions(vec![ListedTransaction {
            transaction: "tx".to_owned(),
            producer: PRODUCER.id,
            state: TransactionState::PrepareCommit,
        }]),
        other => panic!("{other:?} is no transactions' request"),
    }
}

fn answers(key: i16) -> impl Iterator<Item = (Served, i16)> {
    all_versions().filter(move |(line, _)| line.key == key)
}

fn answered(line: Served, version: i16, kind: Option<ErrorKind>) -> ResponseKind {
    let mut session = fed(&frame(line, version, 1));
    let (ticket, request) = asked(&mut session);
    let outcome = crate::outcomes::outcome(&request, kind);
    session.complete(NOW, ticket, outcome);
    decoded(line, version, sent(&mut session)).1
}

#[test]
fn an_end_tells_the_next_epoch_where_its_version_has_one() {
    for (line, version) in answers(26) {
        let ResponseKind::EndTxn(answer) = answered(line, version, None) else {
            panic!("not an EndTxn answer");
        };
        let expected = if version >= 5 { (4, 2) } else { (-1, -1) };
        assert_eq!((*answer.producer_id, answer.producer_epoch), expected);
        let mut session = fed(&frame(line, version, 1));
        let Request::EndTransaction(end) = asked(&mut session).1 else {
            panic!("not an end");
        };
        assert_eq!((end.commit, end.bumps_epoch), (true, version >= 5));
    }
}

#[test]
fn old_clients_hear_of_a_fence_by_the_code_they_know() {
    for (line, version) in answers(26) {
        let fenced = Some(ErrorKind::ProducerFenced);
        let ResponseKind::EndTxn(answer) = answered(line, version, fenced) else {
            panic!("not an EndTxn answer");
        };
        let expected = if version < 2 {
            wire_code::INVALID_PRODUCER_EPOCH
        } else {
            wire_code::PRODUCER_FENCED
        };
        assert_eq!(answer.error_code, expected, "version {version}");
    }
    for (line, version) in answers(0) {
        let abortable = Some(ErrorKind::TransactionAbortable);
        let ResponseKind::Produce(answer) = answered(line, version, abortable) else {
            panic!("not a Produce answer");
        };
        let expected = if version < 11 {
            wire_code::INVALID_TXN_STATE
        } else {
            wire_code::TRANSACTION_ABORTABLE
        };
        let code = answer.responses[0].partition_responses[0].error_code;
        assert_eq!(code, expected, "version {version}");
    }
}

#[test]
fn several_transactions_are_answered_each_in_its_place() {
    for (line, version) in answers(24) {
        let mut session = fed(&frame(line, version, 1));
        let (ticket, request) = asked(&mut session);
        let Request::AddPartitions(wanted) = &request else {
            panic!("not partitions to add");
        };
        let verifies: Vec<_> = wanted.iter().map(|each| each.verify_only).collect();
        let expected: &[bool] = if version < 4 { &[false] } else { &[true, true] };
        assert_eq!(verifies, expected);
        session.complete(NOW, ticket, outcome(&request, None));
        let answer = decoded(line, version, sent(&mut session)).1;
        let ResponseKind::AddPartitionsToTxn(answer) = answer else {
            panic!("not an AddPartitionsToTxn answer");
        };
        let counts = (
            answer.results_by_transaction.len(),
            answer.results_by_topic_v3_and_below.len(),
        );
        assert_eq!(counts, if version < 4 { (0, 2) } else { (2, 0) });
    }
}

#[test]
fn what_is_open_is_described_with_its_first_offset_and_its_state_by_kafkas_name() {
    let ResponseKind::DescribeProducers(answer) = answered(by_key(61).unwrap(), 0, None) else {
        panic!("not a DescribeProducers answer");
    };
    let state = &answer.topics[1].partitions[1].active_producers[0];
    assert_eq!(
        (state.current_txn_start_offset, state.last_sequence),
        (5, 8)
    );
    let ResponseKind::DescribeTransactions(answer) = answered(by_key(65).unwrap(), 0, None) else {
        panic!("not a DescribeTransactions answer");
    };
    let state = &answer.transaction_states[1];
    assert_eq!(&*state.transaction_state, "Ongoing");
    assert_eq!(state.topics[0].partitions, [0, 1]);
    let ResponseKind::ListTransactions(answer) = answered(by_key(66).unwrap(), 2, None) else {
        panic!("not a ListTransactions answer");
    };
    assert_eq!(answer.unknown_state_filters, [text("Nonsense")]);
    assert_eq!(
        &*answer.transaction_states[0].transaction_state,
        "PrepareCommit"
    );
}

#[test]
fn a_pattern_of_transactional_ids_is_refused_and_not_ignored() {
    let line = by_key(66).unwrap();
    let mut body = BytesMut::new();
    ListTransactionsRequest::default()
        .with_transactional_id_pattern(Some(text(".*")))
        .encode(&mut body, 2)
        .unwrap();
    let mut session = fed(&framed(line, 2, 1, &body));
    let answer = decoded(line, 2, sent(&mut session)).1;
    let ResponseKind::ListTransactions(answer) = answer else {
        panic!("not a ListTransactions answer");
    };
    assert_eq!(answer.error_code, wire_code::INVALID_REGULAR_EXPRESSION);
}

#[test]
fn a_transactional_producer_brings_its_timeout_and_an_empty_id_is_refused() {
    let line = by_key(22).unwrap();
    let init = |id| {
        let mut body = BytesMut::new();
        InitProducerIdRequest::default()
            .with_transactional_id(Some(text(id).into()))
            .with_transaction_timeout_ms(123)
            .encode(&mut body, 4)
            .unwrap();
        fed(&framed(line, 4, 1, &body))
    };
    let mut session = init("tx");
    let (ticket, request) = asked(&mut session);
    let Request::InitProducerId(asked) = request else {
        panic!("not a producer's begin");
    };
    let transactional = asked.transactional.unwrap();
    assert_eq!((&*transactional.id, transactional.timeout_ms), ("tx", 123));
    let later = Outcome::ProducerId(Err(ErrorKind::ConcurrentTransactions));
    session.complete(NOW, ticket, later);
    let ResponseKind::InitProducerId(answer) = decoded(line, 4, sent(&mut session)).1 else {
        panic!("not an InitProducerId answer");
    };
    assert_eq!(answer.error_code, wire_code::CONCURRENT_TRANSACTIONS);
    let ResponseKind::InitProducerId(answer) = decoded(line, 4, sent(&mut init(""))).1 else {
        panic!("not an InitProducerId answer");
    };
    assert_eq!(answer.error_code, wire_code::INVALID_REQUEST);
}

#[test]
fn the_newer_way_to_end_transactions_is_told_as_a_feature_of_the_cluster() {
    let line = by_key(18).unwrap();
    for version in 0..=4 {
        let mut body = BytesMut::new();
        let request = ApiVersionsRequest::default();
        let request = if version >= 3 {
            request
                .with_client_software_name(text("test"))
                .with_client_software_version(text("1"))
        } else {
            request
        };
        request.encode(&mut body, version).unwrap();
        let mut session = fed(&framed(line, version, 1, &body));
        let answer = decoded(line, version, sent(&mut session)).1;
        let ResponseKind::ApiVersions(answer) = answer else {
            panic!("not an ApiVersions answer");
        };
        let levels = answer.finalized_features.iter();
        let levels: Vec<_> = levels
            .map(|each| (each.name.to_string(), each.max_version_level))
            .collect();
        let told = [
            ("group.version".to_owned(), 1),
            ("share.version".to_owned(), 1),
            ("transaction.version".to_owned(), 2),
        ];
        let expected = if version >= 3 {
            told.to_vec()
        } else {
            Vec::new()
        };
        assert_eq!(levels, expected, "version {version}");
        let is_supported_told = !answer.supported_features.is_empty();
        assert_eq!(is_supported_told, version >= 4);
    }
}
