//! ConsumerGroupHeartbeat and ConsumerGroupDescribe 0 to 1 (KIP-848).

use kafka_protocol::{
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse,
        consumer_group_describe_response::{
            Assignment as WireTarget, DescribedGroup, Member, TopicPartitions as WireNamed,
        },
        consumer_group_heartbeat_response::{Assignment, TopicPartitions as WirePartitions},
    },
    protocol::StrBytes,
};
use weir_broker::api::{
    ConsumerBeat, ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, NamedPartitions,
    Refused, Request, TopicPartitions,
};
use weir_model::TopicId;

use super::{
    group_admin::{operations, phase_name},
    plan::{Answer, AskedGroups, Client, MapError, Mapped, Plan},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// First version in which the client chooses the member's id, and names a regular expression.
const MEMBER_ID_FROM: i16 = 1;
/// Epochs below this one mean nothing: -1 leaves, -2 leaves for a while.
const MIN_EPOCH: i32 = -2;
/// Members by protocol, in a description.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

fn owned(text: Option<&StrBytes>) -> Option<String> {
    text.map(ToString::to_string)
}

fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

/// Maps ConsumerGroupHeartbeat.
pub fn map_heartbeat(
    head: &Head,
    request: ConsumerGroupHeartbeatRequest,
    client: &Client,
) -> Result<Mapped, MapError> {
    if let Some(reason) = invalid(head, &request) {
        let answer = heartbeat_refused(head, wire_code::INVALID_REQUEST, reason)?;
        return Ok(Mapped::Answered(answer));
    }
    let names = request.subscribed_topic_names;
    let partitions = request.topic_partitions;
    let beat = ConsumerHeartbeat {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        epoch: request.member_epoch,
        instance: owned(request.instance_id.as_ref()),
        rack: owned(request.rack_id.as_ref()),
        rebalance_timeout_ms: u64::try_from(request.rebalance_timeout_ms).ok(),
        topics: names.map(|names| names.iter().map(|name| name.to_string()).collect()),
        regex: owned(request.subscribed_topic_regex.as_ref()),
        assignor: owned(request.server_assignor.as_ref()),
        owned: partitions.map(|topics| {
            let topics = topics.into_iter();
            topics.map(|topic| (TopicId(topic.topic_id), topic.partitions)).collect()
        }),
        client_id: client.id.to_string(),
        client_host: client.host.clone(),
    };
    let request = Request::ConsumerHeartbeat(Box::new(beat));
    Ok(Mapped::Ask(request, Plan::ConsumerHeartbeat))
}

/// What is wrong with a request by itself, in Kafka's words.
fn invalid(head: &Head, request: &ConsumerGroupHeartbeatRequest) -> Option<&'static str> {
    let is_empty = |text: &Option<StrBytes>| text.as_ref().is_some_and(|text| text.is_empty());
    let epoch = request.member_epoch;
    if request.member_id.is_empty() && (head.version >= MEMBER_ID_FROM || epoch != 0) {
        return Some("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return Some("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return Some("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return Some("RackId can't be empty.");
    }
    if epoch < MIN_EPOCH {
        return Some("MemberEpoch is invalid.");
    }
    if epoch == MIN_EPOCH && request.instance_id.is_none() {
        return Some("InstanceId can't be null.");
    }
    if epoch != 0 {
        return None;
    }
    if request.rebalance_timeout_ms == -1 {
        return Some("RebalanceTimeoutMs must be provided in first request.");
    }
    let owned = request.topic_partitions.as_ref();
    if owned.is_none_or(|owned| !owned.is_empty()) {
        return Some("TopicPartitions must be empty when (re-)joining.");
    }
    if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
        return Some(
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        );
    }
    None
}

/// Maps the outcome of ConsumerGroupHeartbeat.
pub fn answer_heartbeat(
    head: &Head,
    outcome: Result<ConsumerBeat, Refused>,
) -> Result<Answer, MapError> {
    let beat = match outcome {
        Ok(beat) => beat,
        Err(refused) => {
            let code = wire_code::of(refused.error, Surface::Group);
            return heartbeat_refused(head, code, &refused.reason);
        }
    };
    let assignment = beat.assignment.map(assignment);
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(beat.member)))
        .with_member_epoch(beat.epoch)
        .with_heartbeat_interval_ms(i32::try_from(beat.interval_ms).unwrap_or(i32::MAX))
        .with_assignment(assignment);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn heartbeat_refused(head: &Head, code: i16, reason: &str) -> Result<Answer, MapError> {
    let message = (!reason.is_empty()).then(|| text(reason.to_owned()));
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_error_code(code)
        .with_error_message(message);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn assignment(partitions: TopicPartitions) -> Assignment {
    let topics = partitions.into_iter().map(|(id, partitions)| {
        WirePartitions::default()
            .with_topic_id(id.0)
            .with_partitions(partitions)
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

/// Maps ConsumerGroupDescribe.
pub fn map_describe(request: ConsumerGroupDescribeRequest) -> Result<Mapped, MapError> {
    let ids: Vec<StrBytes> = request.group_ids.into_iter().map(|group| group.0).collect();
    let groups = ids.iter().map(ToString::to_string).collect();
    let asked = AskedGroups {
        ids,
        tells_operations: request.include_authorized_operations,
    };
    let request = Request::DescribeConsumerGroups(groups);
    Ok(Mapped::Ask(request, Plan::DescribeConsumerGroups(asked)))
}

/// Maps the outcome of ConsumerGroupDescribe.
pub fn answer_describe(
    head: &Head,
    asked: AskedGroups,
    outcome: Vec<Result<DescribedConsumerGroup, Refused>>,
) -> Result<Answer, MapError> {
    let operations = operations(asked.tells_operations);
    let groups = asked.ids.into_iter().zip(outcome).map(|(id, described)| {
        let response = DescribedGroup::default()
            .with_group_id(id.into())
            .with_authorized_operations(operations);
        match described {
            Ok(group) => response
                .with_group_state(phase_name(group.state))
                .with_group_epoch(group.epoch)
                .with_assignment_epoch(group.assignment_epoch)
                .with_assignor_name(text(group.assignor))
                .with_members(group.members.into_iter().map(|each| member(head, each)).collect()),
            Err(refused) => response
                .with_error_code(wire_code::of(refused.error, Surface::Group))
                .with_error_message(Some(text(refused.reason))),
        }
    });
    let response = ConsumerGroupDescribeResponse::default().with_groups(groups.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn member(head: &Head, member: DescribedConsumer) -> Member {
    let topics = member.topics.into_iter().map(|name| text(name).into());
    let mut response = Member::default()
        .with_member_id(text(member.member))
        .with_instance_id(member.instance.map(text))
        .with_rack_id(member.rack.map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(topics.collect())
        .with_subscribed_topic_regex(member.regex.map(text))
        .with_assignment(named(member.assignment))
        .with_target_assignment(named(member.target));
    if head.version >= 1 {
        response.member_type = if member.is_classic {
            CLASSIC_MEMBER
        } else {
            CONSUMER_MEMBER
        };
    }
    response
}

fn named(partitions: Vec<NamedPartitions>) -> WireTarget {
    let topics = partitions.into_iter().map(|topic| {
        WireNamed::default()
            .with_topic_id(topic.id.0)
            .with_topic_name(text(topic.name.as_str().to_owned()).into())
            .with_partitions(topic.partitions)
    });
    WireTarget::default().with_topic_partitions(topics.collect())
}
