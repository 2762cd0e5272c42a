//! What members of share groups ask, and answers to it.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest,
        DescribeShareGroupOffsetsRequest, ShareAcknowledgeRequest, ShareFetchRequest,
        ShareGroupDescribeRequest, ShareGroupHeartbeatRequest,
        alter_share_group_offsets_request::{
            AlterShareGroupOffsetsRequestPartition as AlteredPartition,
            AlterShareGroupOffsetsRequestTopic as AlteredTopic,
        },
        delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic as DeletedTopic,
        describe_share_group_offsets_request::{
            DescribeShareGroupOffsetsRequestGroup as DescribedGroup,
            DescribeShareGroupOffsetsRequestTopic as DescribedTopic,
        },
        share_acknowledge_request::{
            AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch as Acknowledged,
        },
        share_fetch_request::{AcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic},
    },
    protocol::Encodable,
};
use weir_broker::api::{
    FetchedBatches, Outcome, Request,
    share::{
        AckRefused, AcquiredRange, DescribedShareOffset, ShareAdmin, ShareAdminAnswer, ShareAnswer,
        SharePart, ShareRefused, SharedPartition,
    },
};
use weir_door_kafka::codec::versions::Api;
use weir_model::{ErrorKind, TopicId, TopicName};

use crate::samples::{TOPIC_ID, text};

/// Bytes of group, member and epoch of the samples.
const HEAD_BYTES: usize = 1 + 5 + 1 + 6 + 4;

pub(crate) fn encode_body(api: Api, version: i16, into: &mut BytesMut) {
    match api {
        Api::ShareGroupHeartbeat => ShareGroupHeartbeatRequest::default()
            .with_group_id(text("group").into())
            .with_member_id(text("member"))
            .with_member_epoch(3)
            .with_subscribed_topic_names(Some(vec![text("topic").into(), text("other").into()]))
            .encode(into, version)
            .unwrap(),
        Api::ShareGroupDescribe => ShareGroupDescribeRequest::default()
            .with_group_ids(vec![text("group").into(), text("other").into()])
            .with_include_authorized_operations(true)
            .encode(into, version)
            .unwrap(),
        Api::DescribeShareGroupOffsets => {
            let topic = DescribedTopic::default()
                .with_topic_name(text("topic").into())
                .with_partitions(vec![0, 1]);
            let group = DescribedGroup::default()
                .with_group_id(text("group").into())
                .with_topics(Some(vec![topic]));
            DescribeShareGroupOffsetsRequest::default()
                .with_groups(vec![group.clone(), group.with_topics(None)])
                .encode(into, 0)
                .unwrap();
        }
        Api::AlterShareGroupOffsets => {
            let place = AlteredPartition::default().with_start_offset(7);
            let topic = AlteredTopic::default()
                .with_topic_name(text("topic").into())
                .with_partitions(vec![place.clone(), place.with_partition_index(1)]);
            AlterShareGroupOffsetsRequest::default()
                .with_group_id(text("group").into())
                .with_topics(vec![topic])
                .encode(into, version)
                .unwrap();
        }
        Api::DeleteShareGroupOffsets => {
            let topic = DeletedTopic::default().with_topic_name(text("topic").into());
            DeleteShareGroupOffsetsRequest::default()
                .with_group_id(text("group").into())
                .with_topics(vec![topic.clone(), topic])
                .encode(into, version)
                .unwrap();
        }
        Api::ShareFetch => {
            let mut body = BytesMut::new();
            fetch().encode(&mut body, 1).unwrap();
            // Acquire mode and renewal stand behind five numbers.
            put(into, &body, version, HEAD_BYTES + 5 * 4, &[1, 0]);
        }
        _ => {
            let mut body = BytesMut::new();
            acknowledge().encode(&mut body, 1).unwrap();
            put(into, &body, version, HEAD_BYTES, &[1]);
        }
    }
}

/// Version 2 has more at `at`.
fn put(into: &mut BytesMut, body: &[u8], version: i16, at: usize, more: &[u8]) {
    into.put_slice(&body[..at]);
    if version > 1 {
        into.put_slice(more);
    }
    into.put_slice(&body[at..]);
}

fn fetch() -> ShareFetchRequest {
    let acks = AcknowledgementBatch::default()
        .with_first_offset(4)
        .with_last_offset(5)
        .with_acknowledge_types(vec![1, 2]);
    let partition = FetchPartition::default()
        .with_partition_index(1)
        .with_acknowledgement_batches(vec![acks.clone(), acks]);
    let topic = FetchTopic::default()
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![partition.clone(), partition]);
    let forgotten = ForgottenTopic::default()
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![2, 3]);
    ShareFetchRequest::default()
        .with_group_id(Some(text("group").into()))
        .with_member_id(Some(text("member")))
        .with_share_session_epoch(3)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_max_records(500)
        .with_batch_size(100)
        .with_topics(vec![topic])
        .with_forgotten_topics_data(vec![forgotten])
}

fn acknowledge() -> ShareAcknowledgeRequest {
    let acks = Acknowledged::default()
        .with_first_offset(4)
        .with_last_offset(4)
        .with_acknowledge_types(vec![1]);
    let partition = AcknowledgePartition::default()
        .with_partition_index(1)
        .with_acknowledgement_batches(vec![acks.clone(), acks]);
    let topic = AcknowledgeTopic::default()
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![partition.clone(), partition]);
    ShareAcknowledgeRequest::default()
        .with_group_id(Some(text("group").into()))
        .with_member_id(Some(text("member")))
        .with_share_session_epoch(3)
        .with_topics(vec![topic])
}

/// `kind` says no; one of them as a whole.
pub(crate) fn outcome(request: &Request, kind: Option<ErrorKind>) -> Outcome {
    let request = match request {
        Request::ShareAdmin(asked) => return Outcome::ShareAdmin(administered(asked, kind)),
        request => request,
    };
    let Request::Share(request) = request else {
        panic!("{request:?} is not of a member");
    };
    if kind == Some(ErrorKind::NotCoordinator) {
        return Outcome::Share(Err(ShareRefused::Invalid("no")));
    }
    let partitions = request.partitions.iter();
    Outcome::Share(Ok(ShareAnswer {
        lock_ms: 30_000,
        partitions: partitions.map(|part| shared(part, kind)).collect(),
        hold: None,
    }))
}

fn administered(asked: &ShareAdmin, kind: Option<ErrorKind>) -> ShareAdminAnswer {
    let id = TopicId(TOPIC_ID);
    let changed = |count: usize| {
        let all = vec![Ok(id); count];
        ShareAdminAnswer::Changed(kind.map_or(Ok(all), |kind| Err(kind.into())))
    };
    let offset = DescribedShareOffset {
        topic: TopicName::new("topic").unwrap(),
        id: Some(id),
        index: 1,
        place: Ok(Some((9, 5))),
    };
    match asked {
        ShareAdmin::Describe(groups) => {
            let told = |_| kind.map_or_else(|| Ok(vec![offset.clone()]), |kind| Err(kind.into()));
            ShareAdminAnswer::Described(groups.iter().map(told).collect())
        }
        ShareAdmin::Alter { places, .. } => changed(places.len()),
        ShareAdmin::Delete { topics, .. } => changed(topics.len()),
    }
}

fn shared(part: &SharePart, kind: Option<ErrorKind>) -> SharedPartition {
    let batches = FetchedBatches {
        chunks: vec![Bytes::from_static(b"first"), Bytes::from_static(b"second")],
        size_bytes: 11,
    };
    SharedPartition {
        topic: part.topic,
        index: part.index,
        acknowledged: kind.map_or(Ok(()), |kind| Err(AckRefused::Failed(kind))),
        batches: kind.map_or(Ok(batches), Err),
        acquired: vec![AcquiredRange {
            first: 7,
            last: 9,
            delivery_count: 2,
        }],
        leader: None,
    }
}
