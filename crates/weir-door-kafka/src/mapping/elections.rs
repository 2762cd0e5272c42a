//! ElectLeaders 0 to 2, AlterPartitionReassignments 0 and 1, ListPartitionReassignments 0.

use kafka_protocol::{
    messages::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
        ElectLeadersRequest, ElectLeadersResponse, ListPartitionReassignmentsRequest,
        ListPartitionReassignmentsResponse,
        alter_partition_reassignments_response::{
            ReassignablePartitionResponse, ReassignableTopicResponse,
        },
        elect_leaders_response::{PartitionResult, ReplicaElectionResult},
        list_partition_reassignments_response::{
            OngoingPartitionReassignment, OngoingTopicReassignment,
        },
    },
    protocol::StrBytes,
};
use weir_broker::api::{
    Request,
    admin::{ElectLeaders, Manage, Moving, Reassign, Refusal},
};

use super::{
    configs::next,
    plan::{Answer, ManagePlan, MapError, Mapped, Plan, Refused},
};
use crate::{codec::header::Head, wire_code};

/// First version with a kind of election; before it, the preferred replica is meant.
const KINDS_FROM: i16 = 1;

/// Maps a request.
pub fn map_elect(head: &Head, request: ElectLeadersRequest) -> Result<Mapped, MapError> {
    let is_unclean = match request.election_type {
        0 => false,
        1 => true,
        _ => {
            let response =
                ElectLeadersResponse::default().with_error_code(wire_code::INVALID_REQUEST);
            return Ok(Mapped::Answered(Answer::Frame(vec![
                head.frame(&response)?,
            ])));
        }
    };
    let partitions = request.topic_partitions.map(|topics| {
        let named = topics.into_iter().flat_map(|topic| {
            let name = topic.topic.to_string();
            let indexes = topic.partitions.into_iter();
            indexes.map(move |index| (name.clone(), index))
        });
        named.collect()
    });
    let asked = Request::Manage(Manage::ElectLeaders(ElectLeaders {
        partitions,
        is_unclean,
    }));
    Ok(Mapped::Ask(asked, Plan::Manage(ManagePlan::ElectLeaders)))
}

/// Maps the outcome.
pub fn answer_elect(
    head: &Head,
    outcome: Vec<(String, i32, Result<(), Refusal>)>,
) -> Result<Answer, MapError> {
    let mut results: Vec<ReplicaElectionResult> = Vec::new();
    for (name, index, elected) in outcome {
        let name = StrBytes::from_string(name);
        if results.last().is_none_or(|last| last.topic.0 != name) {
            results.push(ReplicaElectionResult::default().with_topic(name.into()));
        }
        let mut result = PartitionResult::default()
            .with_partition_id(index)
            .with_error_message(None);
        if let Err(refused) = elected.map_err(Refused::from) {
            result.error_code = refused.code;
            result.error_message = refused.message;
        }
        if let Some(last) = results.last_mut() {
            last.partition_result.push(result);
        }
    }
    let response = ElectLeadersResponse::default().with_replica_election_results(results);
    let response = if head.version >= KINDS_FROM {
        response.with_error_code(wire_code::NONE)
    } else {
        response
    };
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps a request.
pub fn map_reassign(request: AlterPartitionReassignmentsRequest) -> Result<Mapped, MapError> {
    let mut asked = Vec::new();
    let mut wanted = Vec::new();
    for topic in request.topics {
        let mut indexes = Vec::new();
        for partition in topic.partitions {
            indexes.push(partition.partition_index);
            wanted.push(Reassign {
                topic: topic.name.to_string(),
                index: partition.partition_index,
                replicas: partition
                    .replicas
                    .map(|nodes| nodes.into_iter().map(|node| node.0).collect()),
            });
        }
        asked.push((topic.name.0, indexes));
    }
    let plan = Plan::Manage(ManagePlan::Reassign(asked));
    Ok(Mapped::Ask(Request::Manage(Manage::Reassign(wanted)), plan))
}

/// Maps the outcome.
pub fn answer_reassign(
    head: &Head,
    asked: Vec<(StrBytes, Vec<i32>)>,
    outcome: Vec<Result<(), Refusal>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let responses = asked.into_iter().map(|(name, indexes)| {
        let partitions = indexes.into_iter().map(|index| {
            let mut result = ReassignablePartitionResponse::default()
                .with_partition_index(index)
                .with_error_message(None);
            if let Err(refused) = next(None, &mut outcome) {
                result.error_code = refused.code;
                result.error_message = refused.message;
            }
            result
        });
        ReassignableTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(name.into())
    });
    let response = AlterPartitionReassignmentsResponse::default()
        .with_error_message(None)
        .with_responses(responses.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Maps a request.
pub fn map_list(request: ListPartitionReassignmentsRequest) -> Result<Mapped, MapError> {
    let wanted = request.topics.map(|topics| {
        let named = topics.into_iter().flat_map(|topic| {
            let name = topic.name.to_string();
            let indexes = topic.partition_indexes.into_iter();
            indexes.map(move |index| (name.clone(), index))
        });
        named.collect()
    });
    let plan = Plan::Manage(ManagePlan::ListMoving);
    Ok(Mapped::Ask(
        Request::Manage(Manage::ListMoving(wanted)),
        plan,
    ))
}

/// Maps the outcome.
pub fn answer_list(head: &Head, told: Vec<(String, i32, Moving)>) -> Result<Answer, MapError> {
    let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
    let brokers = |nodes: Vec<i32>| nodes.into_iter().map(BrokerId).collect();
    for (name, index, moving) in told {
        let name = StrBytes::from_string(name);
        if topics.last().is_none_or(|last| last.name.0 != name) {
            topics.push(OngoingTopicReassignment::default().with_name(name.into()));
        }
        let partition = OngoingPartitionReassignment::default()
            .with_partition_index(index)
            .with_replicas(brokers(moving.replicas))
            .with_adding_replicas(brokers(moving.adding))
            .with_removing_replicas(brokers(moving.removing));
        if let Some(last) = topics.last_mut() {
            last.partitions.push(partition);
        }
    }
    let response = ListPartitionReassignmentsResponse::default()
        .with_error_message(None)
        .with_topics(topics);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
