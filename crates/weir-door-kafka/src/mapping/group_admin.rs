//! ListGroups 0 to 5, DescribeGroups 0 to 6, DeleteGroups 0 to 2 and OffsetDelete 0.

use std::collections::BTreeSet;

use kafka_protocol::{
    messages::{
        DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
        ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
        delete_groups_response::DeletableGroupResult,
        describe_groups_response::{DescribedGroup as WireGroup, DescribedGroupMember},
        list_groups_response::ListedGroup as WireListed,
        offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    DeleteOffsets, DescribedGroup, DescribedMember, GroupKind, GroupPhase, ListGroups, ListedGroup,
    Refused, Request,
};
use weir_model::ErrorKind;

use super::{
    grouped::{Grouped, by_name},
    plan::{Answer, AskedGroups, Client, MapError, Mapped, Plan},
};
use crate::{
    codec::header::Head,
    permit::operations::NOT_ASKED,
    wire_code::{self, Surface},
};

/// Every phase with Kafka's name for it.
const PHASES: [(GroupPhase, &str); 7] = [
    (GroupPhase::Empty, "Empty"),
    (GroupPhase::PreparingRebalance, "PreparingRebalance"),
    (GroupPhase::CompletingRebalance, "CompletingRebalance"),
    (GroupPhase::Assigning, "Assigning"),
    (GroupPhase::Reconciling, "Reconciling"),
    (GroupPhase::Stable, "Stable"),
    (GroupPhase::Dead, "Dead"),
];
/// Every kind with Kafka's name for it.
const KINDS: [(GroupKind, &str); 3] = [
    (GroupKind::Classic, "classic"),
    (GroupKind::Consumer, "consumer"),
    (GroupKind::Share, "share"),
];
/// First ListGroups with states, and with types.
const LIST_STATE_FROM: i16 = 4;
const LIST_KIND_FROM: i16 = 5;
/// First DescribeGroups with allowed operations.
const OPERATIONS_FROM: i16 = 3;
/// First DescribeGroups with instance ids.
const INSTANCE_FROM: i16 = 4;
/// First DescribeGroups that says that a group is not there.
const NOT_FOUND_FROM: i16 = 6;

fn code(kind: ErrorKind) -> i16 {
    wire_code::of(kind, Surface::Group)
}

fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

/// Kafka's name of a phase.
pub(super) fn phase_name(phase: GroupPhase) -> StrBytes {
    let name = PHASES.iter().find(|(known, _)| *known == phase);
    StrBytes::from_static_str(name.map_or("Unknown", |(_, name)| name))
}

/// What the client may do with a group that is there.
pub(super) fn operations(tells_operations: bool, group: &str, client: &Client) -> i32 {
    match tells_operations {
        true => client.told(|rights| rights.on_group(group)),
        false => NOT_ASKED,
    }
}

/// What a filter names, in any case; a name that nothing has matches nothing. `None`: all.
fn filter<V: Copy + Ord>(names: &[StrBytes], known: &[(V, &str)]) -> Option<BTreeSet<V>> {
    if names.is_empty() {
        return None;
    }
    let find = |name: &StrBytes| {
        let found = known
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(value, _)| *value)
    };
    Some(names.iter().filter_map(find).collect())
}

/// Maps ListGroups.
pub fn map_list(request: &ListGroupsRequest) -> Result<Mapped, MapError> {
    let wanted = ListGroups {
        states: filter(&request.states_filter, &PHASES),
        kinds: filter(&request.types_filter, &KINDS),
    };
    Ok(Mapped::Ask(Request::ListGroups(wanted), Plan::ListGroups))
}

/// Maps the outcome of ListGroups.
pub fn answer_list(
    head: &Head,
    outcome: Result<Vec<ListedGroup>, ErrorKind>,
) -> Result<Answer, MapError> {
    let response = match outcome {
        Ok(groups) => {
            let groups = groups.into_iter().map(|group| listed(head, group));
            ListGroupsResponse::default().with_groups(groups.collect())
        }
        Err(kind) => ListGroupsResponse::default().with_error_code(code(kind)),
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn listed(head: &Head, group: ListedGroup) -> WireListed {
    let mut response = WireListed::default()
        .with_group_id(text(group.group).into())
        .with_protocol_type(text(group.protocol_type));
    if head.version >= LIST_STATE_FROM {
        response.group_state = phase_name(group.state);
    }
    if head.version >= LIST_KIND_FROM {
        let name = KINDS.iter().find(|(known, _)| *known == group.kind);
        response.group_type = StrBytes::from_static_str(name.map_or("unknown", |(_, name)| name));
    }
    response
}

/// Maps DescribeGroups.
pub fn map_describe(request: DescribeGroupsRequest) -> Result<Mapped, MapError> {
    let ids: Vec<StrBytes> = request.groups.into_iter().map(|group| group.0).collect();
    let groups = ids.iter().map(ToString::to_string).collect();
    let asked = AskedGroups {
        ids,
        tells_operations: request.include_authorized_operations,
    };
    let request = Request::DescribeGroups(groups);
    Ok(Mapped::Ask(request, Plan::DescribeGroups(asked)))
}

/// Maps the outcome of DescribeGroups.
pub fn answer_describe(
    head: &Head,
    asked: AskedGroups,
    outcome: Vec<Result<DescribedGroup, Refused>>,
    client: &Client,
) -> Result<Answer, MapError> {
    let groups = asked.ids.into_iter().zip(outcome).map(|(id, described)| {
        // Where there is no code for it, a group that is not there is a dead one.
        let is_told = match &described {
            Ok(_) => true,
            Err(refused) => {
                refused.error == ErrorKind::GroupNotFound && head.version < NOT_FOUND_FROM
            }
        };
        let operations = operations(asked.tells_operations && is_told, &id, client);
        let mut response = WireGroup::default().with_group_id(id.into());
        if head.version >= OPERATIONS_FROM {
            response.authorized_operations = operations;
        }
        described_group(head, response, described)
    });
    let response = DescribeGroupsResponse::default().with_groups(groups.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn described_group(
    head: &Head,
    response: WireGroup,
    described: Result<DescribedGroup, Refused>,
) -> WireGroup {
    match described {
        Ok(group) => {
            let members = group.members.into_iter().map(|each| member(head, each));
            response
                .with_group_state(phase_name(group.state))
                .with_protocol_type(text(group.protocol_type))
                .with_protocol_data(text(group.protocol))
                .with_members(members.collect())
        }
        Err(refused) if refused.error == ErrorKind::GroupNotFound => {
            let response = response.with_group_state(phase_name(GroupPhase::Dead));
            if head.version < NOT_FOUND_FROM {
                return response;
            }
            response
                .with_error_code(code(refused.error))
                .with_error_message(Some(text(refused.reason)))
        }
        Err(refused) => response.with_error_code(code(refused.error)),
    }
}

fn member(head: &Head, member: DescribedMember) -> DescribedGroupMember {
    let response = DescribedGroupMember::default()
        .with_member_id(text(member.member))
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment);
    if head.version >= INSTANCE_FROM {
        response.with_group_instance_id(member.instance.map(text))
    } else {
        response
    }
}

/// Maps DeleteGroups.
pub fn map_delete(request: DeleteGroupsRequest) -> Result<Mapped, MapError> {
    let ids: Vec<StrBytes> = request
        .groups_names
        .into_iter()
        .map(|group| group.0)
        .collect();
    let groups = ids.iter().map(ToString::to_string).collect();
    Ok(Mapped::Ask(
        Request::DeleteGroups(groups),
        Plan::DeleteGroups(ids),
    ))
}

/// Maps the outcome of DeleteGroups.
pub fn answer_delete(
    head: &Head,
    ids: Vec<StrBytes>,
    outcome: Vec<Result<(), ErrorKind>>,
) -> Result<Answer, MapError> {
    let results = ids.into_iter().zip(outcome).map(|(id, deleted)| {
        DeletableGroupResult::default()
            .with_group_id(id.into())
            .with_error_code(deleted.err().map_or(wire_code::NONE, code))
    });
    let response = DeleteGroupsResponse::default().with_results(results.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps OffsetDelete.
pub fn map_delete_offsets(head: &Head, request: OffsetDeleteRequest) -> Result<Mapped, MapError> {
    let mut grouped = Grouped::default();
    let mut partitions = Vec::new();
    for topic in request.topics {
        let asked = by_name(&topic.name);
        grouped.topic(topic.name.0, Uuid::nil());
        for partition in topic.partitions {
            let index = partition.partition_index;
            grouped.partition(index, asked.as_ref().err().copied());
            if let Ok(topic) = &asked {
                partitions.push((topic.clone(), index));
            }
        }
    }
    if partitions.is_empty() {
        let answer = answer_delete_offsets(head, grouped, Ok(Vec::new()))?;
        return Ok(Mapped::Answered(answer));
    }
    let delete = DeleteOffsets {
        group: request.group_id.to_string(),
        partitions,
    };
    let request = Request::DeleteOffsets(delete);
    Ok(Mapped::Ask(request, Plan::DeleteOffsets(grouped)))
}

/// Maps the outcome of OffsetDelete.
pub fn answer_delete_offsets(
    head: &Head,
    grouped: Grouped,
    outcome: Result<Vec<Result<(), ErrorKind>>, ErrorKind>,
) -> Result<Answer, MapError> {
    let response = match outcome {
        Err(kind) => OffsetDeleteResponse::default().with_error_code(code(kind)),
        Ok(deleted) => {
            let partition = |index, outcome: Result<Result<(), ErrorKind>, i16>| {
                let error_code = match outcome {
                    Ok(Ok(())) => wire_code::NONE,
                    Ok(Err(kind)) => code(kind),
                    Err(code) => code,
                };
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(error_code)
            };
            let topic = |name: StrBytes, _: Uuid, partitions| {
                OffsetDeleteResponseTopic::default()
                    .with_name(name.into())
                    .with_partitions(partitions)
            };
            OffsetDeleteResponse::default().with_topics(grouped.regroup(deleted, partition, topic))
        }
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
