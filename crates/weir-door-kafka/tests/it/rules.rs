//! Rules of single requests that real clients stand on.

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, FetchRequest, InitProducerIdRequest, JoinGroupRequest,
        ListOffsetsRequest, MetadataRequest, OffsetFetchRequest, ResponseKind,
        create_topics_request::{CreatableReplicaAssignment, CreatableTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        offset_fetch_request::OffsetFetchRequestTopic,
    },
    protocol::Encodable,
};
use weir_broker::api::{OffsetSpec, Outcome, Request};
use weir_door::Session;
use weir_door_kafka::{KafkaSession, codec::versions, wire_code};
use weir_model::ErrorKind;

use crate::{
    outcomes::outcome,
    samples::{TOPIC_ID, framed, text},
    wire::{NOW, asked, decoded, fed, sent},
};

fn received(key: i16, version: i16, request: &impl Encodable) -> KafkaSession {
    received_as(key, version, version, request)
}

/// A request of `version` whose body looks like one of `shape`.
fn received_as(key: i16, version: i16, shape: i16, request: &impl Encodable) -> KafkaSession {
    let mut body = BytesMut::new();
    request.encode(&mut body, shape).unwrap();
    fed(&framed(versions::by_key(key).unwrap(), version, 1, &body))
}

fn answer_of(key: i16, version: i16, session: &mut KafkaSession) -> ResponseKind {
    decoded(versions::by_key(key).unwrap(), version, sent(session)).1
}

fn metadata_of(version: i16, request: &MetadataRequest) -> (Option<usize>, bool) {
    let (_, Request::Metadata(asked)) = asked(&mut received(3, version, request)) else {
        panic!("not a Metadata request");
    };
    (asked.topics.map(|topics| topics.len()), asked.auto_create)
}

#[test]
fn metadata_of_no_topics_means_all_of_them_at_version_0_only() {
    let none = MetadataRequest::default().with_topics(Some(Vec::new()));
    assert_eq!(metadata_of(0, &none), (None, true));
    assert_eq!(metadata_of(1, &none), (Some(0), true));
    let all = MetadataRequest::default().with_topics(None);
    assert_eq!(metadata_of(1, &all), (None, true));
    let looking = all.with_allow_auto_topic_creation(false);
    assert_eq!(metadata_of(4, &looking), (None, false));
}

#[test]
fn metadata_answers_stand_in_the_order_of_the_request() {
    let named = |name| MetadataRequestTopic::default().with_name(Some(text(name).into()));
    let by_id = MetadataRequestTopic::default().with_name(None);
    let topics = vec![
        named("a/b"),
        named("topic"),
        by_id.clone(),
        by_id.with_topic_id(TOPIC_ID),
        named(".."),
    ];
    let request = MetadataRequest::default().with_topics(Some(topics));
    let mut session = received(3, 13, &request);
    let (ticket, request) = asked(&mut session);
    session.complete(NOW, ticket, outcome(&request, None));
    let ResponseKind::Metadata(answer) = answer_of(3, 13, &mut session) else {
        panic!("not a Metadata answer");
    };
    let codes: Vec<_> = answer.topics.iter().map(|each| each.error_code).collect();
    assert_eq!(codes, [17, 0, 100, 0, 17]);
}

#[test]
fn a_node_that_is_down_is_no_broker() {
    let request = MetadataRequest::default().with_topics(None);
    let mut session = received(3, 13, &request);
    let (ticket, request) = asked(&mut session);
    let Outcome::Metadata(mut told) = outcome(&request, None) else {
        panic!("not metadata");
    };
    let mut down = told.brokers[0].clone();
    (down.node, down.is_fenced) = (2, true);
    told.brokers.push(down);
    session.complete(NOW, ticket, Outcome::Metadata(told));
    let ResponseKind::Metadata(answer) = answer_of(3, 13, &mut session) else {
        panic!("not a Metadata answer");
    };
    let brokers: Vec<i32> = answer.brokers.iter().map(|each| each.node_id.0).collect();
    assert_eq!(brokers, [1]);
}

#[test]
fn half_a_producer_id_is_no_request() {
    for (id, epoch) in [(5, -1), (-1, 0), (-2, -2)] {
        let request = InitProducerIdRequest::default()
            .with_producer_id(id.into())
            .with_producer_epoch(epoch);
        let mut session = received(22, 4, &request);
        let ResponseKind::InitProducerId(answer) = answer_of(22, 4, &mut session) else {
            panic!("not an InitProducerId answer");
        };
        assert_eq!(answer.error_code, wire_code::INVALID_REQUEST);
    }
}

#[test]
fn a_fetch_session_that_was_never_given_is_not_found() {
    for (id, epoch, code) in [(5, 1, 70), (0, 1, 70), (5, -1, 0)] {
        let request = FetchRequest::default()
            .with_session_id(id)
            .with_session_epoch(epoch);
        let mut session = received(1, 12, &request);
        let ResponseKind::Fetch(answer) = answer_of(1, 12, &mut session) else {
            panic!("not a Fetch answer");
        };
        assert_eq!((answer.error_code, answer.session_id), (code, 0));
    }
}

#[test]
fn special_timestamps_are_those_of_the_version() {
    let cases = [
        (1, -1, Ok(OffsetSpec::Latest)),
        (1, -2, Ok(OffsetSpec::Earliest)),
        (1, 12, Ok(OffsetSpec::Timestamp(12))),
        (6, -3, Err(35)),
        (7, -3, Ok(OffsetSpec::MaxTimestamp)),
        (7, -4, Err(35)),
        (8, -4, Ok(OffsetSpec::EarliestLocal)),
        (8, -5, Err(35)),
        (9, -5, Ok(OffsetSpec::LatestTiered)),
        (10, -6, Err(35)),
        (11, -6, Ok(OffsetSpec::EarliestPendingUpload)),
        (11, -7, Err(35)),
        (11, i64::MIN, Err(35)),
    ];
    for (version, timestamp, expected) in cases {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default()
            .with_name(text("topic").into())
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_topics(vec![topic]);
        let mut session = received_as(2, version, version.min(10), &request);
        let got = match session.poll_request() {
            Some((_, Request::ListOffsets(list))) => Ok(list.wanted[0].at),
            Some(other) => panic!("{other:?}"),
            None => {
                let ResponseKind::ListOffsets(answer) = answer_of(2, version, &mut session) else {
                    panic!("not a ListOffsets answer");
                };
                let partition = &answer.topics[0].partitions[0];
                assert_eq!((partition.offset, partition.timestamp), (-1, -1));
                Err(partition.error_code)
            }
        };
        assert_eq!(got, expected, "version {version}, timestamp {timestamp}");
    }
}

#[test]
fn a_topic_named_twice_or_placed_with_a_gap_is_not_created() {
    let topic = |name| {
        CreatableTopic::default()
            .with_name(text(name).into())
            .with_num_partitions(-1)
            .with_replication_factor(-1)
    };
    let second = CreatableReplicaAssignment::default().with_partition_index(1);
    let placed = topic("placed").with_assignments(vec![second]);
    let odd = topic("odd").with_num_partitions(-2);
    let topics = vec![topic("twice"), placed, topic("good"), odd, topic("twice")];
    let request = CreateTopicsRequest::default().with_topics(topics);
    let mut session = received(19, 7, &request);
    let (ticket, request) = asked(&mut session);
    session.complete(NOW, ticket, outcome(&request, None));
    let ResponseKind::CreateTopics(answer) = answer_of(19, 7, &mut session) else {
        panic!("not a CreateTopics answer");
    };
    let codes: Vec<_> = answer.topics.iter().map(|each| each.error_code).collect();
    assert_eq!(codes, [42, 39, 0, 37], "a name is answered once");
}

#[test]
fn a_groups_error_is_in_every_partition_at_version_1() {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(text("topic").into())
        .with_partition_indexes(vec![4, 5]);
    let request = OffsetFetchRequest::default()
        .with_group_id(text("group").into())
        .with_topics(Some(vec![topic]));
    for (version, expected, top) in [(1, vec![(4, 16), (5, 16)], 0), (2, vec![], 16)] {
        let mut session = received(9, version, &request);
        let (ticket, _) = asked(&mut session);
        let refused = Err(ErrorKind::NotCoordinator);
        session.complete(NOW, ticket, Outcome::OffsetFetch(vec![refused]));
        let ResponseKind::OffsetFetch(answer) = answer_of(9, version, &mut session) else {
            panic!("not an OffsetFetch answer");
        };
        let partitions = answer.topics.iter().flat_map(|each| &each.partitions);
        let codes: Vec<_> = partitions
            .map(|each| (each.partition_index, each.error_code))
            .collect();
        assert_eq!((codes, answer.error_code), (expected, top));
    }
}

#[test]
fn a_first_join_must_know_its_id_from_version_4() {
    for version in 0..=9 {
        let request = JoinGroupRequest::default()
            .with_group_id(text("group").into())
            .with_session_timeout_ms(9);
        let request = if version >= 1 {
            request.with_rebalance_timeout_ms(11)
        } else {
            request
        };
        let (_, Request::JoinGroup(join)) = asked(&mut received(11, version, &request)) else {
            panic!("not a JoinGroup request");
        };
        assert_eq!(join.require_known_member, version >= 4);
        assert_eq!(join.rebalance_timeout_ms, if version >= 1 { 11 } else { 9 });
        assert_eq!(
            (&*join.client_id, &*join.client_host),
            ("sample", "/127.0.0.1")
        );
    }
}
