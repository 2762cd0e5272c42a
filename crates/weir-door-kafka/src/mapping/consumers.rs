//! ConsumerGroupHeartbeat 0 and 1, and ConsumerGroupDescribe 0 and 1 (KIP-848).

use kafka_protocol::{
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse,
        consumer_group_describe_response::{
            Assignment as DescribedAssignment, DescribedGroup as WireGroup, Member as WireMember,
            TopicPartitions as DescribedPartitions,
        },
        consumer_group_heartbeat_response::{Assignment, TopicPartitions as WirePartitions},
    },
    protocol::StrBytes,
};
use weir_broker::api::{
    ConsumerBeat, ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, Refused, Request,
    TopicPartitions,
};
use weir_model::{ErrorKind, TopicId};

use super::{
    group_admin::{operations, phase_name},
    plan::{Answer, AskedGroups, Client, MapError, Mapped, Plan},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// First ConsumerGroupHeartbeat whose clients make their ids themselves.
const OWN_ID_FROM: i16 = 1;
/// First ConsumerGroupDescribe that tells how a member speaks.
const MEMBER_TYPE_FROM: i16 = 1;
/// A member that speaks as these requests do.
const CONSUMER_MEMBER: i8 = 1;
/// The member type of those who speak the classic protocol.
const CLASSIC_MEMBER: i8 = 0;

fn code(kind: ErrorKind) -> i16 {
    wire_code::of(kind, Surface::Group)
}

pub(super) fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

fn owned(text: Option<StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

/// The words of a refusal; `None`: the code says it all.
pub(super) fn words(refused: Refused) -> (i16, Option<StrBytes>) {
    let reason = Some(refused.reason).filter(|reason| !reason.is_empty());
    (code(refused.error), reason.map(text))
}

/// Maps ConsumerGroupHeartbeat.
pub fn map_heartbeat(
    head: &Head,
    request: ConsumerGroupHeartbeatRequest,
    client: &Client,
) -> Result<Mapped, MapError> {
    if head.version >= OWN_ID_FROM && request.member_id.is_empty() {
        let refused = Refused {
            error: ErrorKind::InvalidRequest,
            reason: "MemberId can't be empty.".to_owned(),
        };
        return Ok(Mapped::Answered(answer_heartbeat(head, Err(refused))?));
    }
    let partitions = request.topic_partitions.map(|topics| {
        let topics = topics.into_iter();
        topics
            .map(|topic| (TopicId(topic.topic_id), topic.partitions))
            .collect()
    });
    let names = request.subscribed_topic_names.map(|names| {
        let names = names.iter();
        names.map(|name| name.to_string()).collect()
    });
    let request = ConsumerHeartbeat {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        epoch: request.member_epoch,
        instance: owned(request.instance_id),
        rack: owned(request.rack_id),
        rebalance_timeout_ms: u64::try_from(request.rebalance_timeout_ms).ok(),
        topics: names,
        pattern: owned(request.subscribed_topic_regex),
        assignor: owned(request.server_assignor),
        owned: partitions,
        client_id: client.id.to_string(),
        client_host: client.host.clone(),
    };
    let request = Request::ConsumerHeartbeat(request);
    Ok(Mapped::Ask(request, Plan::ConsumerHeartbeat))
}

/// Maps the outcome of ConsumerGroupHeartbeat.
pub fn answer_heartbeat(
    head: &Head,
    outcome: Result<ConsumerBeat, Refused>,
) -> Result<Answer, MapError> {
    let response = match outcome {
        Ok(beat) => {
            let assignment = beat.assignment.map(|topics| {
                let topics = topics.into_iter().map(|(id, indexes)| {
                    WirePartitions::default()
                        .with_topic_id(id.0)
                        .with_partitions(indexes)
                });
                Assignment::default().with_topic_partitions(topics.collect())
            });
            ConsumerGroupHeartbeatResponse::default()
                .with_member_id(Some(text(beat.member)))
                .with_member_epoch(beat.epoch)
                .with_heartbeat_interval_ms(i32::try_from(beat.interval_ms).unwrap_or(i32::MAX))
                .with_assignment(assignment)
        }
        Err(refused) => {
            let (code, message) = words(refused);
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(code)
                .with_error_message(message)
        }
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
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
    client: &Client,
) -> Result<Answer, MapError> {
    let groups = asked.ids.into_iter().zip(outcome).map(|(id, described)| {
        let response = WireGroup::default().with_group_id(id.clone().into());
        match described {
            Ok(group) => {
                let operations = operations(asked.tells_operations, &id, client);
                described_group(head, response, group).with_authorized_operations(operations)
            }
            Err(refused) => {
                let (code, message) = words(refused);
                response.with_error_code(code).with_error_message(message)
            }
        }
    });
    let response = ConsumerGroupDescribeResponse::default().with_groups(groups.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn described_group(head: &Head, response: WireGroup, group: DescribedConsumerGroup) -> WireGroup {
    let members = group.members.into_iter().map(|each| member(head, each));
    response
        .with_group_state(phase_name(group.state))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(StrBytes::from_static_str(group.assignor))
        .with_members(members.collect())
}

fn member(head: &Head, member: DescribedConsumer) -> WireMember {
    let member_type = match member.is_classic {
        true => CLASSIC_MEMBER,
        false => CONSUMER_MEMBER,
    };
    let names = member.topics.into_iter().map(|name| text(name).into());
    let response = WireMember::default()
        .with_member_id(text(member.member))
        .with_instance_id(member.instance.map(text))
        .with_rack_id(member.rack.map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(names.collect())
        .with_subscribed_topic_regex(member.pattern.map(text))
        .with_assignment(assignment(member.assigned))
        .with_target_assignment(assignment(member.target));
    if head.version >= MEMBER_TYPE_FROM {
        response.with_member_type(member_type)
    } else {
        response
    }
}

fn assignment(topics: Vec<TopicPartitions>) -> DescribedAssignment {
    let topics = topics.into_iter().map(|topic| {
        DescribedPartitions::default()
            .with_topic_id(topic.id.0)
            .with_topic_name(text(topic.name).into())
            .with_partitions(topic.indexes)
    });
    DescribedAssignment::default().with_topic_partitions(topics.collect())
}
