//! What clients are told they may do, and which offsets they are told.

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        DescribeClusterRequest, DescribeGroupsRequest, MetadataRequest, OffsetFetchRequest,
        ResponseKind,
        metadata_request::MetadataRequestTopic,
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
    },
    protocol::Encodable,
};
use weir_access::acl::{
    Operation::{self, Create, Delete, Describe, Read},
    ResourceType::{self, Cluster, Group, Topic},
};
use weir_door::Session;
use weir_door_kafka::codec::versions;

use crate::{
    outcomes::outcome,
    permissions::{acl_on, logged_in_with},
    samples::{framed, text},
    wire::{NOW, decoded, sent},
};

type Rules = [(Operation, ResourceType, &'static str)];

/// The answer to a request of a user with these rules, and what the node was asked.
fn answered(
    rules: &Rules,
    (key, version): (i16, i16),
    request: &impl Encodable,
) -> (ResponseKind, Vec<String>) {
    let acls = rules
        .iter()
        .map(|(operation, resource, name)| acl_on(*operation, *resource, name));
    let mut session = logged_in_with(acls.collect());
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    let line = versions::by_key(key).unwrap();
    session.receive(NOW, framed(line, version, 1, &body));
    let mut asked = Vec::new();
    while let Some((ticket, request)) = session.poll_request() {
        asked.push(format!("{request:?}"));
        session.complete(NOW, ticket, outcome(&request, None));
    }
    (decoded(line, version, sent(&mut session)).1, asked)
}

fn bits(operations: &[Operation]) -> i32 {
    let operations = operations.iter();
    operations.fold(0, |bits, operation| bits | 1 << operation.code())
}

#[test]
fn a_topic_is_told_with_what_its_asker_may_do_with_it() {
    let topic = MetadataRequestTopic::default().with_name(Some(text("topic").into()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_include_topic_authorized_operations(true);
    let told = |rules: &Rules| match answered(rules, (3, 12), &request).0 {
        ResponseKind::Metadata(response) => response.topics[0].topic_authorized_operations,
        other => panic!("{other:?}"),
    };
    let rules = [
        (Read, Topic, "topic"),
        (Delete, Topic, "*"),
        (Create, Topic, "other"),
    ];
    assert_eq!(told(&rules), bits(&[Read, Delete, Describe]));
    assert_eq!(told(&[]), i32::MIN);
    let all =
        bits(&Operation::ALL[1..7]) | bits(&[Operation::DescribeConfigs, Operation::AlterConfigs]);
    assert_eq!(told(&[(Operation::All, Topic, "*")]), all);
}

#[test]
fn the_cluster_is_told_only_to_whoever_may_describe_it() {
    let request =
        DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    let told = |rules: &Rules| match answered(rules, (60, 0), &request).0 {
        ResponseKind::DescribeCluster(response) => response.cluster_authorized_operations,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&[(Create, Cluster, "kafka-cluster")]), 0);
    let rules = [(Create, Cluster, "kafka-cluster"), (Describe, Cluster, "*")];
    assert_eq!(told(&rules), bits(&[Create, Describe]));
    let request = MetadataRequest::default()
        .with_topics(Some(Vec::new()))
        .with_include_cluster_authorized_operations(true);
    let ResponseKind::Metadata(response) = answered(&rules, (3, 10), &request).0 else {
        panic!("not Metadata");
    };
    assert_eq!(
        response.cluster_authorized_operations,
        bits(&[Create, Describe])
    );
}

#[test]
fn a_group_is_told_with_what_its_asker_may_do_with_it() {
    let request = DescribeGroupsRequest::default()
        .with_groups(vec![text("group").into(), text("other").into()])
        .with_include_authorized_operations(true);
    let rules = [(Read, Group, "group"), (Delete, Group, "other")];
    let ResponseKind::DescribeGroups(response) = answered(&rules, (15, 5), &request).0 else {
        panic!("not DescribeGroups");
    };
    let told = response
        .groups
        .iter()
        .map(|group| group.authorized_operations);
    let expected = [bits(&[Read, Describe]), bits(&[Delete, Describe])];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn offsets_of_topics_that_may_not_be_described_are_refused_by_themselves() {
    let topic = |name: &'static str| {
        OffsetFetchRequestTopics::default()
            .with_name(text(name).into())
            .with_partition_indexes(vec![0, 1])
    };
    let group = |name: &'static str, topics| {
        OffsetFetchRequestGroup::default()
            .with_group_id(text(name).into())
            .with_topics(Some(topics))
    };
    let groups = vec![
        group(
            "group",
            vec![topic("hidden"), topic("topic"), topic("hidden-too")],
        ),
        group("nobodys", vec![topic("topic")]),
        group("group-2", vec![topic("hidden")]),
    ];
    let request = OffsetFetchRequest::default().with_groups(groups);
    let rules = [
        (Describe, Group, "group"),
        (Describe, Group, "group-2"),
        (Describe, Topic, "topic"),
    ];
    let (response, asked) = answered(&rules, (9, 9), &request);
    assert!(!asked.concat().contains("hidden"), "{asked:?}");
    let ResponseKind::OffsetFetch(response) = response else {
        panic!("not OffsetFetch");
    };
    let told = response.groups.iter().map(|group| {
        let topics = group.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|it| (it.error_code, it.committed_offset));
            (topic.name.to_string(), partitions.collect::<Vec<_>>())
        });
        (group.error_code, topics.collect::<Vec<_>>())
    });
    let hidden = |name: &str| (name.to_owned(), vec![(29, -1); 2]);
    let seen = ("topic".to_owned(), vec![(0, 8); 2]);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (0, vec![hidden("hidden"), seen, hidden("hidden-too")]),
            (30, vec![]),
            (0, vec![hidden("hidden")]),
        ]
    );
}
