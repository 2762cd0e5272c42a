//! ShareGroupHeartbeat 1 and ShareGroupDescribe 1 (KIP-932).

use kafka_protocol::{
    messages::{
        ShareGroupDescribeRequest, ShareGroupDescribeResponse, ShareGroupHeartbeatRequest,
        ShareGroupHeartbeatResponse,
        share_group_describe_response::{
            Assignment as DescribedAssignment, DescribedGroup as WireGroup, Member as WireMember,
            TopicPartitions as DescribedPartitions,
        },
        share_group_heartbeat_response::{Assignment, TopicPartitions as WirePartitions},
    },
    protocol::StrBytes,
};
use weir_broker::api::{
    ConsumerBeat, DescribedConsumer, DescribedConsumerGroup, Refused, Request, ShareHeartbeat,
};

use super::{
    consumers::{text, words},
    group_admin::{operations, phase_name},
    plan::{Answer, AskedGroups, Client, MapError, Mapped, Plan},
};
use crate::codec::header::Head;

/// Maps ShareGroupHeartbeat.
pub fn map_heartbeat(
    request: ShareGroupHeartbeatRequest,
    client: &Client,
) -> Result<Mapped, MapError> {
    let names = request.subscribed_topic_names;
    let request = ShareHeartbeat {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        epoch: request.member_epoch,
        rack: request.rack_id.map(|rack| rack.to_string()),
        topics: names.map(|names| names.iter().map(|name| name.to_string()).collect()),
        client_id: client.id.to_string(),
        client_host: client.host.clone(),
    };
    let request = Request::ShareHeartbeat(request);
    Ok(Mapped::Ask(request, Plan::ShareHeartbeat))
}

/// Maps the outcome of ShareGroupHeartbeat.
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
            ShareGroupHeartbeatResponse::default()
                .with_member_id(Some(text(beat.member)))
                .with_member_epoch(beat.epoch)
                .with_heartbeat_interval_ms(i32::try_from(beat.interval_ms).unwrap_or(i32::MAX))
                .with_assignment(assignment)
        }
        Err(refused) => {
            let (code, message) = words(refused);
            ShareGroupHeartbeatResponse::default()
                .with_error_code(code)
                .with_error_message(message)
        }
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps ShareGroupDescribe.
pub fn map_describe(request: ShareGroupDescribeRequest) -> Result<Mapped, MapError> {
    let ids: Vec<StrBytes> = request.group_ids.into_iter().map(|group| group.0).collect();
    let groups = ids.iter().map(ToString::to_string).collect();
    let asked = AskedGroups {
        ids,
        tells_operations: request.include_authorized_operations,
    };
    let request = Request::DescribeShareGroups(groups);
    Ok(Mapped::Ask(request, Plan::DescribeShareGroups(asked)))
}

/// Maps the outcome of ShareGroupDescribe.
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
                described_group(response, group).with_authorized_operations(operations)
            }
            Err(refused) => {
                let (code, message) = words(refused);
                response.with_error_code(code).with_error_message(message)
            }
        }
    });
    let response = ShareGroupDescribeResponse::default().with_groups(groups.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn described_group(response: WireGroup, group: DescribedConsumerGroup) -> WireGroup {
    response
        .with_group_state(phase_name(group.state))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(StrBytes::from_static_str(group.assignor))
        .with_members(group.members.into_iter().map(member).collect())
}

fn member(member: DescribedConsumer) -> WireMember {
    let names = member.topics.into_iter().map(|name| text(name).into());
    let topics = member.assigned.into_iter().map(|topic| {
        DescribedPartitions::default()
            .with_topic_id(topic.id.0)
            .with_topic_name(text(topic.name).into())
            .with_partitions(topic.indexes)
    });
    WireMember::default()
        .with_member_id(text(member.member))
        .with_rack_id(member.rack.map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(names.collect())
        .with_assignment(DescribedAssignment::default().with_topic_partitions(topics.collect()))
}
