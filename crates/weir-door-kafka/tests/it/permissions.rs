//! What each request wants to be allowed, by Kafka's table: without it the refusal that Kafka gives, with
//! it and nothing else success.

use weir_access::{
    Access,
    acl::{Acl, Effect, Operation, PatternType, ResourceType},
};
use weir_broker::access::AccessView;
use weir_door::Session;
use weir_door_kafka::{
    KafkaSession,
    codec::versions::{Api, SERVED},
};

use crate::{
    logins::{log_in, with_users},
    outcomes::outcome,
    samples::{all_versions, frame},
    wire::{NOW, decoded, sent, session_with},
};

const TOPIC: ResourceType = ResourceType::Topic;
const GROUP: ResourceType = ResourceType::Group;
const CLUSTER: ResourceType = ResourceType::Cluster;
const TRANSACTION: ResourceType = ResourceType::TransactionalId;

type Needs = Vec<(Operation, ResourceType)>;

/// What Kafka wants for the sample of a request. Whatever is missing is answered with the resource's
/// code, or left out.
// Table: one line per request.
fn needs(api: Api, version: i16) -> Needs {
    use Operation::{
        Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs,
        IdempotentWrite, Read, Write,
    };
    match api {
        Api::ApiVersions | Api::SaslHandshake | Api::SaslAuthenticate => vec![],
        // Told to everybody who has logged in.
        Api::DescribeCluster => vec![],
        // Left out, not refused.
        Api::ListGroups | Api::ListTransactions => vec![],
        Api::Produce => vec![(Write, TOPIC)],
        Api::Fetch | Api::DescribeProducers => vec![(Read, TOPIC)],
        Api::ListOffsets | Api::OffsetForLeaderEpoch => vec![(Describe, TOPIC)],
        Api::Metadata | Api::DescribeTopicPartitions => vec![(Describe, TOPIC)],
        Api::OffsetCommit | Api::ShareFetch | Api::ShareAcknowledge => {
            vec![(Read, GROUP), (Read, TOPIC)]
        }
        Api::OffsetFetch | Api::DescribeShareGroupOffsets => {
            vec![(Describe, GROUP), (Describe, TOPIC)]
        }
        Api::AlterShareGroupOffsets => vec![(Read, GROUP), (Read, TOPIC)],
        Api::DeleteShareGroupOffsets => vec![(Delete, GROUP), (Read, TOPIC)],
        Api::FindCoordinator | Api::DescribeGroups => vec![(Describe, GROUP)],
        Api::ConsumerGroupDescribe | Api::ShareGroupDescribe => {
            vec![(Describe, GROUP), (Describe, TOPIC)]
        }
        Api::JoinGroup | Api::Heartbeat | Api::LeaveGroup | Api::SyncGroup => vec![(Read, GROUP)],
        Api::ConsumerGroupHeartbeat | Api::ShareGroupHeartbeat => {
            vec![(Read, GROUP), (Describe, TOPIC)]
        }
        Api::DeleteGroups => vec![(Delete, GROUP)],
        Api::OffsetDelete => vec![(Delete, GROUP), (Read, TOPIC)],
        Api::CreateTopics => vec![(Create, TOPIC)],
        Api::DeleteTopics | Api::DeleteRecords => vec![(Delete, TOPIC)],
        Api::CreatePartitions => vec![(Alter, TOPIC)],
        // The sample has no transactional id.
        Api::InitProducerId => vec![(IdempotentWrite, CLUSTER)],
        Api::EndTxn => vec![(Write, TRANSACTION)],
        Api::AddPartitionsToTxn if version < 4 => vec![(Write, TRANSACTION), (Write, TOPIC)],
        Api::AddPartitionsToTxn => {
            vec![
                (ClusterAction, CLUSTER),
                (Write, TRANSACTION),
                (Write, TOPIC),
            ]
        }
        Api::AddOffsetsToTxn => vec![(Write, TRANSACTION), (Read, GROUP)],
        Api::TxnOffsetCommit => vec![(Write, TRANSACTION), (Read, GROUP), (Read, TOPIC)],
        Api::WriteTxnMarkers => vec![(ClusterAction, CLUSTER)],
        Api::DescribeTransactions => vec![(Describe, TRANSACTION)],
        Api::DescribeConfigs => vec![(DescribeConfigs, TOPIC), (DescribeConfigs, CLUSTER)],
        Api::AlterConfigs | Api::IncrementalAlterConfigs => {
            vec![(AlterConfigs, TOPIC)]
        }
        Api::ListConfigResources | Api::DescribeClientQuotas => {
            vec![(DescribeConfigs, CLUSTER)]
        }
        Api::AlterClientQuotas => vec![(AlterConfigs, CLUSTER)],
        Api::DescribeQuorum
        | Api::DescribeLogDirs
        | Api::ListPartitionReassignments
        | Api::DescribeAcls
        | Api::DescribeUserScramCredentials => vec![(Describe, CLUSTER)],
        Api::CreateAcls
        | Api::DeleteAcls
        | Api::AlterUserScramCredentials
        | Api::ElectLeaders
        | Api::AlterPartitionReassignments
        | Api::UnregisterBroker
        | Api::UpdateFeatures
        | Api::AlterReplicaLogDirs => vec![(Alter, CLUSTER)],
    }
}

fn code(resource: ResourceType) -> i16 {
    match resource {
        ResourceType::Topic => 29,
        ResourceType::Group => 30,
        ResourceType::TransactionalId => 53,
        _ => 31,
    }
}

fn acl(operation: Operation, resource: ResourceType) -> Acl {
    acl_on(operation, resource, "*")
}

/// Allows `tim` that.
pub(crate) fn acl_on(operation: Operation, resource: ResourceType, name: &str) -> Acl {
    Acl {
        resource,
        pattern: PatternType::Literal,
        name: name.into(),
        principal: "tim".into(),
        host: "*".into(),
        operation,
        effect: Effect::Allow,
    }
}

fn acls(needs: &[(Operation, ResourceType)]) -> Vec<Acl> {
    let needs = needs.iter();
    needs
        .map(|(operation, resource)| acl(*operation, *resource))
        .collect()
}

fn access(acls: Vec<Acl>) -> Access {
    let mut access = with_users();
    access.add_acls(acls).unwrap();
    access
}

/// A session of `tim`.
pub(crate) fn logged_in_with(acls: Vec<Acl>) -> KafkaSession {
    let view = AccessView::open();
    view.replace(access(acls));
    let mut session = session_with(view);
    assert_eq!(log_in(&mut session, NOW, "tim").error_code, 0);
    session
}

/// The codes of refusals in the answer, and whether the node was asked.
fn refusals(api: Api, version: i16, needs: &[(Operation, ResourceType)]) -> (Vec<i16>, bool) {
    let line = SERVED.into_iter().find(|line| line.api == api).unwrap();
    let mut session = logged_in_with(acls(needs));
    session.receive(NOW, frame(line, version, 9));
    let mut is_asked = false;
    while let Some((ticket, request)) = session.poll_request() {
        is_asked = true;
        session.complete(NOW, ticket, outcome(&request, None));
    }
    let reason = session.close_reason().map(ToString::to_string);
    assert_eq!(reason, None, "{api:?} {version}");
    let answer = format!("{:?}", decoded(line, version, sent(&mut session)).1);
    let is_there = |code: &i16| {
        let all = [",", " }"].map(|end| format!("error_code: {code}{end}"));
        all.iter().any(|text| answer.contains(text))
    };
    let codes = [29, 30, 31, 53].into_iter().filter(is_there).collect();
    (codes, is_asked)
}

#[test]
fn every_request_wants_exactly_what_it_wants_in_kafka() {
    let mut faults = Vec::new();
    for (line, version) in all_versions() {
        let (api, all) = (line.api, needs(line.api, version));
        if matches!(api, Api::SaslHandshake | Api::SaslAuthenticate) {
            continue;
        }
        let (codes, _) = refusals(api, version, &all);
        if !codes.is_empty() {
            faults.push(format!("{api:?} {version}: {codes:?} with {all:?}"));
        }
        for without in 0..all.len() {
            let mut some = all.clone();
            let missing = some.remove(without);
            let (codes, _) = refusals(api, version, &some);
            // Before these there is no code for it.
            let is_silent = matches!(
                (api, version),
                (Api::DescribeLogDirs, ..3) | (Api::ElectLeaders, ..1)
            );
            if !codes.contains(&code(missing.1)) && !is_silent {
                faults.push(format!("{api:?} {version}: {codes:?} without {missing:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn whoever_may_write_to_a_topic_may_have_a_producer_id() {
    let (codes, is_asked) = refusals(Api::InitProducerId, 5, &[(Operation::Write, TOPIC)]);
    assert!(codes.is_empty() && is_asked, "{codes:?}");
}

#[test]
fn the_node_is_not_asked_what_nobody_may_ask() {
    for api in [
        Api::Produce,
        Api::Fetch,
        Api::JoinGroup,
        Api::DeleteTopics,
        Api::EndTxn,
    ] {
        let line = SERVED.into_iter().find(|line| line.api == api).unwrap();
        assert!(!refusals(api, line.max, &[]).1, "{api:?}");
    }
}

#[test]
fn a_change_of_rules_holds_for_the_next_request_of_an_open_connection() {
    let view = AccessView::open();
    view.replace(access(acls(&[(Operation::Write, TOPIC)])));
    let mut session = session_with(view.clone());
    log_in(&mut session, NOW, "tim");
    let line = SERVED
        .into_iter()
        .find(|line| line.api == Api::Produce)
        .unwrap();
    let mut is_asked = || {
        session.receive(NOW, frame(line, line.max, 9));
        let asked = session.poll_request();
        asked.is_some_and(|(ticket, request)| {
            session.complete(NOW, ticket, outcome(&request, None));
            true
        })
    };
    assert!(is_asked());
    let mut denied = access(acls(&[(Operation::Write, TOPIC)]));
    let denial = Acl {
        effect: Effect::Deny,
        name: "topic".into(),
        ..acl(Operation::Write, TOPIC)
    };
    denied.add_acls(vec![denial]).unwrap();
    view.replace(denied);
    assert!(!is_asked());
}
