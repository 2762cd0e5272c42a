//! What administrators ask about groups, and answers to it.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest,
        DescribeGroupsRequest, ListGroupsRequest, OffsetDeleteRequest,
        consumer_group_heartbeat_request::TopicPartitions as OwnedPartitions,
        offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    },
    protocol::Encodable,
};
use weir_broker::api::{
    ConsumerBeat, DescribedConsumer, DescribedConsumerGroup, DescribedGroup, DescribedMember,
    GroupKind, GroupPhase, ListedGroup, Outcome, Request, TopicPartitions,
};
use weir_door_kafka::codec::versions::Api;
use weir_model::{ErrorKind, TopicId};

use crate::samples::{TOPIC_ID, text};

pub(crate) fn encode_body(api: Api, version: i16, into: &mut BytesMut) {
    match api {
        Api::ListGroups => {
            let mut request = ListGroupsRequest::default();
            if version >= 4 {
                request.states_filter = vec![text("Stable"), text("Empty")];
            }
            if version >= 5 {
                request.types_filter = vec![text("classic")];
            }
            request.encode(into, version)
        }
        Api::DescribeGroups => DescribeGroupsRequest::default()
            .with_groups(vec![text("group").into(), text("other").into()])
            .with_include_authorized_operations(version >= 3)
            .encode(into, version),
        Api::ConsumerGroupHeartbeat => consumer_heartbeat(version).encode(into, version),
        Api::ConsumerGroupDescribe => ConsumerGroupDescribeRequest::default()
            .with_group_ids(vec![text("group").into(), text("other").into()])
            .with_include_authorized_operations(true)
            .encode(into, version),
        Api::DeleteGroups => DeleteGroupsRequest::default()
            .with_groups_names(vec![text("group").into(), text("other").into()])
            .encode(into, version),
        _ => {
            let partition =
                |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
            let topic = OffsetDeleteRequestTopic::default()
                .with_name(text("topic").into())
                .with_partitions(vec![partition(0), partition(1)]);
            OffsetDeleteRequest::default()
                .with_group_id(text("group").into())
                .with_topics(vec![topic])
                .encode(into, version)
        }
    }
    .unwrap();
}

/// A text of OffsetCommit 10 and OffsetFetch 10.
fn put_text(into: &mut BytesMut, text: &str) {
    into.put_u8(u8::try_from(text.len() + 1).unwrap());
    into.extend_from_slice(text.as_bytes());
}

/// OffsetCommit 10: two partitions of one topic.
pub(crate) fn commit_by_id(into: &mut BytesMut) {
    put_text(into, "group");
    into.put_i32(3);
    put_text(into, "member");
    into.put_u8(0);
    into.put_u8(1 + 1);
    into.put_u128(TOPIC_ID.as_u128());
    into.put_u8(1 + 2);
    for index in 0..2 {
        into.put_i32(index);
        into.put_i64(7);
        into.put_i32(-1);
        put_text(into, "note");
        into.put_u8(0);
    }
    into.extend_from_slice(&[0, 0]);
}

/// OffsetFetch 10: two partitions of one topic of a group, and all of another.
pub(crate) fn fetch_by_id(into: &mut BytesMut) {
    into.put_u8(1 + 2);
    put_text(into, "group");
    put_text(into, "member");
    into.put_i32(3);
    into.put_u8(1 + 1);
    into.put_u128(TOPIC_ID.as_u128());
    into.put_u8(1 + 2);
    into.put_i32(0);
    into.put_i32(1);
    into.extend_from_slice(&[0, 0]);
    put_text(into, "other");
    into.put_u8(0);
    into.put_i32(-1);
    into.extend_from_slice(&[0, 0]);
    into.put_u8(1);
    into.put_u8(0);
}

fn consumer_heartbeat(version: i16) -> ConsumerGroupHeartbeatRequest {
    let owned = OwnedPartitions::default()
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![0, 1]);
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text("group").into())
        .with_member_id(text("member"))
        .with_member_epoch(3)
        .with_rebalance_timeout_ms(20_000)
        .with_subscribed_topic_names(Some(vec![text("topic").into(), text("other").into()]))
        .with_topic_partitions(Some(vec![owned.clone(), owned]));
    if version >= 1 {
        request.with_subscribed_topic_regex(Some(text("t.*")))
    } else {
        request
    }
}

pub(crate) fn outcome(request: &Request, kind: Option<ErrorKind>) -> Outcome {
    match request {
        Request::ListGroups(wanted) => {
            let states: BTreeSet<_> = wanted.states.clone().unwrap_or_default();
            let state = states.first().copied().unwrap_or(GroupPhase::Stable);
            let group = ListedGroup {
                group: "group".into(),
                kind: GroupKind::Classic,
                protocol_type: "consumer".into(),
                state,
            };
            Outcome::ListGroups(kind.map_or_else(|| Ok(vec![group]), Err))
        }
        Request::DescribeGroups(groups) => {
            let answer = |_| kind.map_or_else(|| Ok(described()), |kind| Err(kind.into()));
            Outcome::DescribeGroups(groups.iter().map(answer).collect())
        }
        Request::ConsumerHeartbeat(asked) => {
            let beat = ConsumerBeat {
                member: asked.member.clone(),
                epoch: asked.epoch,
                interval_ms: 5_000,
                assignment: asked.owned.clone(),
            };
            Outcome::ConsumerBeat(kind.map_or(Ok(beat), |kind| Err(kind.into())))
        }
        Request::ShareHeartbeat(asked) => {
            let beat = ConsumerBeat {
                member: asked.member.clone(),
                epoch: asked.epoch,
                interval_ms: 5_000,
                assignment: Some(vec![(TopicId(TOPIC_ID), vec![0, 1])]),
            };
            Outcome::ConsumerBeat(kind.map_or(Ok(beat), |kind| Err(kind.into())))
        }
        Request::DescribeConsumerGroups(groups) | Request::DescribeShareGroups(groups) => {
            let answer =
                |_| kind.map_or_else(|| Ok(described_consumers()), |kind| Err(kind.into()));
            Outcome::DescribeConsumerGroups(groups.iter().map(answer).collect())
        }
        Request::DeleteGroups(groups) => {
            let answer = |_| kind.map_or(Ok(()), Err);
            Outcome::DeleteGroups(groups.iter().map(answer).collect())
        }
        Request::DeleteOffsets(asked) => {
            let answers = asked.partitions.iter().map(|_| Ok(())).collect();
            Outcome::DeleteOffsets(kind.map_or(Ok(answers), Err))
        }
        other => panic!("{other:?} is not about groups"),
    }
}

fn described_consumers() -> DescribedConsumerGroup {
    let partitions = TopicPartitions {
        id: TopicId(TOPIC_ID),
        name: "topic".into(),
        indexes: vec![0, 1],
    };
    DescribedConsumerGroup {
        state: GroupPhase::Reconciling,
        epoch: 4,
        assignment_epoch: 4,
        assignor: "uniform",
        members: vec![DescribedConsumer {
            member: "member".into(),
            instance: Some("instance".into()),
            rack: None,
            epoch: 3,
            is_classic: false,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            topics: vec!["topic".into()],
            pattern: Some("t.*".into()),
            assigned: vec![partitions.clone()],
            target: vec![partitions.clone(), partitions],
        }],
    }
}

fn described() -> DescribedGroup {
    DescribedGroup {
        state: GroupPhase::Stable,
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        members: vec![DescribedMember {
            member: "member".into(),
            instance: Some("instance".into()),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            metadata: Bytes::from_static(b"metadata"),
            assignment: Bytes::from_static(b"assignment"),
        }],
    }
}
