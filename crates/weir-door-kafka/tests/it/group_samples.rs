//! What administrators ask about groups, and answers to it.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetDeleteRequest,
        offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    },
    protocol::Encodable,
};
use weir_broker::api::{
    DescribedGroup, DescribedMember, GroupKind, GroupPhase, ListedGroup, Outcome, Request,
};
use weir_door_kafka::codec::versions::Api;
use weir_model::ErrorKind;

use crate::samples::text;

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
