//! FindCoordinator, JoinGroup, SyncGroup, Heartbeat and LeaveGroup.
//!
//! Metadata and assignments are copied out of the receive buffer: a group keeps them for long,
//! and a slice would keep the whole buffer.

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse,
        JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
        SyncGroupRequest, SyncGroupResponse, find_coordinator_response::Coordinator,
        join_group_response::JoinGroupResponseMember, leave_group_response::MemberResponse,
    },
    protocol::StrBytes,
};
use weir_broker::api::{
    Broker, Heartbeat, Join, JoinRefused, Joined, JoinedMember, Leave, Request, Sync, Synced,
};
use weir_model::ErrorKind;

use super::plan::{Answer, Client, MapError, Mapped, Plan};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// Key type of a group.
const GROUP_KEY: i8 = 0;
/// Key type of a transactional id.
const TRANSACTION_KEY: i8 = 1;
/// First FindCoordinator that takes several keys.
const KEYS_FROM: i16 = 4;
/// First JoinGroup after which a first join comes back with an id (KIP-394).
const KNOWN_MEMBER_FROM: i16 = 4;
/// First version that can tell a leader not to assign (KIP-814).
const SKIP_FROM: i16 = 9;
/// First JoinGroup answer with the protocol type.
const JOIN_TYPE_FROM: i16 = 7;
/// First SyncGroup answer with the protocol type.
const SYNC_TYPE_FROM: i16 = 5;
/// First LeaveGroup that names several members.
const MEMBERS_FROM: i16 = 3;

fn code(kind: ErrorKind) -> i16 {
    wire_code::of(kind, Surface::Group)
}

fn owned(text: Option<&StrBytes>) -> Option<String> {
    text.map(ToString::to_string)
}

fn text(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

/// Maps FindCoordinator 0 to 6.
pub fn map_find(head: &Head, request: FindCoordinatorRequest) -> Result<Mapped, MapError> {
    let keys = if head.version >= KEYS_FROM {
        request.coordinator_keys
    } else {
        vec![request.key]
    };
    // A transactional id is coordinated where a group of that name would be.
    if !matches!(request.key_type, GROUP_KEY | TRANSACTION_KEY) {
        let refused = |key| (key, Err(wire_code::INVALID_REQUEST));
        let found = keys.into_iter().map(refused).collect();
        return Ok(Mapped::Answered(found_answer(head, found)?));
    }
    let groups = keys.iter().map(ToString::to_string).collect();
    let plan = Plan::Coordinators {
        keys,
        is_transactional: request.key_type == TRANSACTION_KEY,
    };
    Ok(Mapped::Ask(Request::FindCoordinator(groups), plan))
}

/// Maps the outcome of FindCoordinator.
pub fn answer_find(
    head: &Head,
    keys: Vec<StrBytes>,
    outcome: Vec<Result<Broker, ErrorKind>>,
) -> Result<Answer, MapError> {
    // No client expects it here: it would ask the same node again.
    if outcome.contains(&Err(ErrorKind::NotCoordinator)) {
        return Ok(Answer::Elsewhere);
    }
    let mut outcome = outcome.into_iter();
    let found = keys.into_iter().map(|key| match outcome.next() {
        Some(broker) => (key, broker.map_err(code)),
        None => (key, Err(wire_code::UNKNOWN_SERVER_ERROR)),
    });
    found_answer(head, found.collect())
}

fn found_answer(
    head: &Head,
    found: Vec<(StrBytes, Result<Broker, i16>)>,
) -> Result<Answer, MapError> {
    let coordinators = found.into_iter().map(|(key, broker)| {
        let coordinator = Coordinator::default().with_key(key);
        match broker {
            Ok(broker) => coordinator
                .with_node_id(broker.node.into())
                .with_host(text(broker.host))
                .with_port(broker.port.into()),
            Err(code) => coordinator
                .with_node_id((-1).into())
                .with_port(-1)
                .with_error_code(code),
        }
    });
    let mut coordinators = coordinators.collect::<Vec<_>>();
    let response = if head.version >= KEYS_FROM {
        FindCoordinatorResponse::default().with_coordinators(coordinators)
    } else {
        let only = coordinators.pop().unwrap_or_default();
        FindCoordinatorResponse::default()
            .with_error_code(only.error_code)
            .with_node_id(only.node_id)
            .with_host(only.host)
            .with_port(only.port)
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps JoinGroup 0 to 9.
pub fn map_join(
    head: &Head,
    request: JoinGroupRequest,
    client: &Client,
) -> Result<Mapped, MapError> {
    let session_timeout_ms = u64::try_from(request.session_timeout_ms).unwrap_or(0);
    let rebalance_timeout_ms = if head.version >= 1 {
        u64::try_from(request.rebalance_timeout_ms).unwrap_or(0)
    } else {
        session_timeout_ms
    };
    let protocols = request.protocols.into_iter();
    let protocols = protocols.map(|protocol| {
        let metadata = Bytes::copy_from_slice(&protocol.metadata);
        (protocol.name.to_string(), metadata)
    });
    let request = Join {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        instance: owned(request.group_instance_id.as_ref()),
        client_id: client.id.to_string(),
        client_host: client.host.clone(),
        session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
        require_known_member: head.version >= KNOWN_MEMBER_FROM,
        can_skip_assignment: head.version >= SKIP_FROM,
    };
    Ok(Mapped::Ask(Request::JoinGroup(request), Plan::Join))
}

/// Maps the outcome of JoinGroup.
pub fn answer_join(head: &Head, outcome: Result<Joined, JoinRefused>) -> Result<Answer, MapError> {
    let response = match outcome {
        Ok(joined) => {
            let mut response = JoinGroupResponse::default()
                .with_generation_id(joined.generation)
                .with_protocol_name(Some(text(joined.protocol)))
                .with_leader(text(joined.leader))
                .with_member_id(text(joined.member))
                .with_members(
                    joined
                        .members
                        .into_iter()
                        .map(|each| member(head, each))
                        .collect(),
                );
            if head.version >= JOIN_TYPE_FROM {
                response.protocol_type = Some(text(joined.protocol_type));
            }
            if head.version >= SKIP_FROM {
                response.skip_assignment = joined.skip_assignment;
            }
            response
        }
        Err(refused) => JoinGroupResponse::default()
            .with_error_code(code(refused.error))
            .with_generation_id(-1)
            .with_protocol_name((head.version < JOIN_TYPE_FROM).then(StrBytes::default))
            .with_member_id(text(refused.member)),
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn member(head: &Head, member: JoinedMember) -> JoinGroupResponseMember {
    let response = JoinGroupResponseMember::default()
        .with_member_id(text(member.member))
        .with_metadata(member.metadata);
    if head.version >= 5 {
        response.with_group_instance_id(member.instance.map(text))
    } else {
        response
    }
}

/// Maps SyncGroup 0 to 5.
pub fn map_sync(request: SyncGroupRequest) -> Result<Mapped, MapError> {
    let assignments = request.assignments.into_iter();
    let assignments = assignments.map(|each| {
        let assignment = Bytes::copy_from_slice(&each.assignment);
        (each.member_id.to_string(), assignment)
    });
    let request = Sync {
        group: request.group_id.to_string(),
        generation: request.generation_id,
        member: request.member_id.to_string(),
        instance: owned(request.group_instance_id.as_ref()),
        protocol_type: owned(request.protocol_type.as_ref()),
        protocol: owned(request.protocol_name.as_ref()),
        assignments: assignments.collect(),
    };
    Ok(Mapped::Ask(Request::SyncGroup(request), Plan::Sync))
}

/// Maps the outcome of SyncGroup.
pub fn answer_sync(head: &Head, outcome: Result<Synced, ErrorKind>) -> Result<Answer, MapError> {
    let mut response = SyncGroupResponse::default();
    match outcome {
        Ok(synced) => {
            response.assignment = synced.assignment;
            if head.version >= SYNC_TYPE_FROM {
                response.protocol_type = Some(text(synced.protocol_type));
                response.protocol_name = Some(text(synced.protocol));
            }
        }
        Err(kind) => response.error_code = code(kind),
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps Heartbeat 0 to 4.
pub fn map_heartbeat(request: &HeartbeatRequest) -> Result<Mapped, MapError> {
    let request = Heartbeat {
        group: request.group_id.to_string(),
        generation: request.generation_id,
        member: request.member_id.to_string(),
        instance: owned(request.group_instance_id.as_ref()),
    };
    Ok(Mapped::Ask(Request::Heartbeat(request), Plan::Heartbeat))
}

/// Maps the outcome of Heartbeat. While the coordinator loads, Kafka says that all is well:
/// clients do not expect its code here.
pub fn answer_heartbeat(head: &Head, outcome: Result<(), ErrorKind>) -> Result<Answer, MapError> {
    let error_code = match outcome {
        Ok(()) | Err(ErrorKind::CoordinatorLoading) => wire_code::NONE,
        Err(kind) => code(kind),
    };
    let response = HeartbeatResponse::default().with_error_code(error_code);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps LeaveGroup 0 to 5.
pub fn map_leave(head: &Head, request: LeaveGroupRequest) -> Result<Mapped, MapError> {
    let members: Vec<_> = if head.version >= MEMBERS_FROM {
        let members = request.members.into_iter();
        members
            .map(|member| (member.member_id, member.group_instance_id))
            .collect()
    } else {
        vec![(request.member_id, None)]
    };
    let leaving = members.iter();
    let request = Leave {
        group: request.group_id.to_string(),
        members: leaving
            .map(|(member, instance)| (member.to_string(), owned(instance.as_ref())))
            .collect(),
    };
    Ok(Mapped::Ask(
        Request::LeaveGroup(request),
        Plan::Leave(members),
    ))
}

/// Maps the outcome of LeaveGroup.
pub fn answer_leave(
    head: &Head,
    members: Vec<(StrBytes, Option<StrBytes>)>,
    outcome: Result<Vec<Result<(), ErrorKind>>, ErrorKind>,
) -> Result<Answer, MapError> {
    let mut response = LeaveGroupResponse::default();
    match outcome {
        Err(kind) => response.error_code = code(kind),
        Ok(left) => {
            let mut left = left.into_iter();
            let answers = members.into_iter().map(|(member, instance)| {
                let error_code = match left.next() {
                    Some(Ok(())) => wire_code::NONE,
                    Some(Err(kind)) => code(kind),
                    None => wire_code::UNKNOWN_SERVER_ERROR,
                };
                MemberResponse::default()
                    .with_member_id(member)
                    .with_group_instance_id(instance)
                    .with_error_code(error_code)
            });
            let answers: Vec<_> = answers.collect();
            if head.version >= MEMBERS_FROM {
                response.members = answers;
            } else if let Some(only) = answers.first() {
                response.error_code = only.error_code;
            }
        }
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
