//! Users and rules by Kafka's requests: what is checked here, and what is told.

use std::sync::Arc;

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        AlterUserScramCredentialsRequest, CreateAclsRequest, DeleteAclsRequest,
        DescribeAclsRequest, DescribeAclsResponse, DescribeUserScramCredentialsRequest,
        ResponseKind, alter_user_scram_credentials_request::ScramCredentialUpsertion,
        create_acls_request::AclCreation, describe_user_scram_credentials_request::UserName,
    },
    protocol::{Encodable, StrBytes},
};
use weir_access::{
    Access, AccessError,
    acl::{Acl, Effect, Operation, PatternType, ResourceType},
};
use weir_broker::{
    access::{AccessRefused, AccessView},
    api::{Outcome, Request, access::ChangeAccess},
};
use weir_door::Session;
use weir_door_kafka::{
    KafkaSession,
    codec::versions::{self, Api, SERVED},
};

use crate::{
    access_samples::{creation, deletion, filter, upsertion},
    logins::{log_in, with_users},
    samples::{framed, text},
    wire::{NOW, asked, decoded, sent, session_with},
};

fn key(api: Api) -> i16 {
    SERVED.iter().find(|line| line.api == api).unwrap().key
}

/// An administrator's session with these rules besides.
fn session(acls: Vec<Acl>) -> KafkaSession {
    let mut access: Access = with_users();
    access.add_acls(acls).unwrap();
    let view = AccessView::open();
    view.replace(access);
    let mut session = session_with(view);
    assert_eq!(log_in(&mut session, NOW, "root").error_code, 0);
    session
}

fn ask(session: &mut KafkaSession, api: Api, version: i16, request: &impl Encodable) {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    let line = versions::by_key(key(api)).unwrap();
    session.receive(NOW, framed(line, version, 1, &body));
}

fn told(session: &mut KafkaSession, api: Api, version: i16) -> ResponseKind {
    let line = versions::by_key(key(api)).unwrap();
    decoded(line, version, sent(session)).1
}

fn changes(session: &mut KafkaSession) -> (weir_broker::Ticket, Vec<ChangeAccess>) {
    match asked(session) {
        (ticket, Request::ChangeAccess(changes)) => (ticket, changes),
        other => panic!("{other:?}"),
    }
}

fn acl(pattern: PatternType, name: &str, principal: &str) -> Acl {
    Acl {
        resource: ResourceType::Topic,
        pattern,
        name: name.into(),
        principal: principal.into(),
        host: "*".into(),
        operation: Operation::Read,
        effect: Effect::Allow,
    }
}

fn wrong_rules() -> Vec<(AclCreation, &'static str)> {
    vec![
        (
            creation().with_resource_type(0),
            "Invalid resourceType UNKNOWN",
        ),
        (creation().with_resource_type(1), "Invalid resourceType ANY"),
        (
            creation().with_resource_type(99),
            "Invalid resourceType UNKNOWN",
        ),
        (
            creation().with_resource_pattern_type(1),
            "Invalid patternType ANY",
        ),
        (
            creation().with_resource_pattern_type(2),
            "Invalid patternType MATCH",
        ),
        (
            creation().with_resource_pattern_type(100),
            "Invalid patternType UNKNOWN",
        ),
        (creation().with_operation(1), "Invalid operation ANY"),
        (
            creation().with_permission_type(1),
            "Invalid permissionType ANY",
        ),
        (
            creation().with_resource_name(text("")),
            "Invalid empty resource name",
        ),
        (
            creation().with_resource_type(4),
            "The only valid name for the CLUSTER resource is kafka-cluster",
        ),
        (
            creation().with_principal(text("alice")),
            "Could not parse principal from `alice` (no colon is present separating the principal \
             type from the principal name)",
        ),
        (
            creation().with_principal(text("Group:alice")),
            "Invalid principal type `Group`: principals are users, as in User:alice.",
        ),
        (
            creation().with_host(text("")),
            "Names of resources, principals and hosts have 1 to 255 bytes.",
        ),
    ]
}

#[test]
fn a_rule_that_is_none_is_refused_by_itself_and_in_kafkas_words() {
    let cases = wrong_rules();
    let mut creations: Vec<AclCreation> = cases.iter().map(|(wrong, _)| wrong.clone()).collect();
    creations.insert(0, creation());
    let request = CreateAclsRequest::default().with_creations(creations);
    let mut session = session(vec![]);
    ask(&mut session, Api::CreateAcls, 3, &request);
    let (ticket, changes) = changes(&mut session);
    let [ChangeAccess::AddAcls(acls)] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(acls[..], [acl(PatternType::Literal, "topic", "alice")]);
    session.complete(NOW, ticket, Outcome::AccessChanged(vec![Ok(vec![])]));
    let ResponseKind::CreateAcls(response) = told(&mut session, Api::CreateAcls, 3) else {
        panic!("not CreateAcls");
    };
    let mut results = response.results.into_iter();
    assert_eq!(results.next().unwrap().error_code, 0);
    for ((_, words), result) in cases.into_iter().zip(results) {
        assert_eq!(result.error_message.as_deref(), Some(words));
        assert_eq!(result.error_code, 42, "{words}");
    }
}

#[test]
fn rules_past_a_limit_are_a_violation_of_policy_and_those_past_a_request_are_not_asked_for() {
    let request = CreateAclsRequest::default().with_creations(vec![creation()]);
    let mut session = session(vec![]);
    ask(&mut session, Api::CreateAcls, 1, &request);
    let (ticket, _) = changes(&mut session);
    let refused = Err(AccessRefused::Refused(AccessError::TooManyRules));
    session.complete(NOW, ticket, Outcome::AccessChanged(vec![refused]));
    let ResponseKind::CreateAcls(response) = told(&mut session, Api::CreateAcls, 1) else {
        panic!("not CreateAcls");
    };
    assert_eq!(response.results[0].error_code, 44);
    let many = CreateAclsRequest::default().with_creations(vec![creation(); 1_001]);
    ask(&mut session, Api::CreateAcls, 1, &many);
    let ResponseKind::CreateAcls(response) = told(&mut session, Api::CreateAcls, 1) else {
        panic!("not CreateAcls");
    };
    let codes = response.results.iter().map(|result| result.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [42; 1_001]);
}

fn describe(session: &mut KafkaSession, request: &DescribeAclsRequest) -> DescribeAclsResponse {
    ask(session, Api::DescribeAcls, 2, request);
    match told(session, Api::DescribeAcls, 2) {
        ResponseKind::DescribeAcls(response) => response,
        other => panic!("{other:?}"),
    }
}

fn all() -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1)
}

#[test]
fn rules_are_told_by_resource_to_whoever_filters_as_in_kafka() {
    let mut session = session(vec![
        acl(PatternType::Literal, "a", "alice"),
        acl(PatternType::Literal, "a", "bob"),
        acl(PatternType::Prefixed, "a", "alice"),
        acl(PatternType::Glob, "a*z", "alice"),
    ]);
    let resources = describe(&mut session, &all()).resources;
    let found: Vec<_> = resources
        .iter()
        .map(|found| (found.pattern_type, &*found.resource_name, found.acls.len()))
        .collect();
    assert_eq!(found, [(3, "a", 2), (4, "a", 1), (100, "a*z", 1)]);
    assert_eq!(&*resources[0].acls[1].principal, "User:bob");
    let count = |session: &mut KafkaSession, request: DescribeAclsRequest| {
        let resources = describe(session, &request).resources;
        resources.iter().map(|each| each.acls.len()).sum::<usize>()
    };
    let named = all().with_resource_name_filter(Some(text("a")));
    let alices = all().with_principal_filter(Some(text("User:alice")));
    assert_eq!(count(&mut session, named.clone()), 3);
    let matching = named.clone().with_pattern_type_filter(2);
    assert_eq!(count(&mut session, matching), 3);
    let literal = named.with_pattern_type_filter(3);
    assert_eq!(count(&mut session, literal), 2);
    assert_eq!(count(&mut session, alices.clone()), 3);
    let others = alices.with_principal_filter(Some(text("Group:alice")));
    assert_eq!(count(&mut session, others), 0);
    for unknown in [
        all().with_resource_type_filter(0),
        all().with_pattern_type_filter(0),
        all().with_operation(99),
        all().with_permission_type(-1),
    ] {
        assert_eq!(describe(&mut session, &unknown).error_code, 42);
    }
}

#[test]
fn each_filter_is_told_of_what_it_has_deleted() {
    let (first, second) = (
        acl(PatternType::Literal, "a", "alice"),
        acl(PatternType::Literal, "b", "bob"),
    );
    let mut session = session(vec![first.clone(), second.clone()]);
    let filters = vec![
        filter().with_principal_filter(Some(text("User:bob"))),
        filter().with_permission_type(0),
        filter().with_principal_filter(Some(text("nobody"))),
        filter(),
    ];
    let request = DeleteAclsRequest::default().with_filters(filters);
    ask(&mut session, Api::DeleteAcls, 3, &request);
    let (ticket, changes) = changes(&mut session);
    let [ChangeAccess::DeleteAcls(filters)] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(filters.len(), 2);
    let gone = Ok(vec![Arc::new(first), Arc::new(second)]);
    session.complete(NOW, ticket, Outcome::AccessChanged(vec![gone]));
    let ResponseKind::DeleteAcls(response) = told(&mut session, Api::DeleteAcls, 3) else {
        panic!("not DeleteAcls");
    };
    let results = response.filter_results.iter();
    let found = results.map(|result| (result.error_code, result.matching_acls.len()));
    assert_eq!(found.collect::<Vec<_>>(), [(0, 1), (42, 0), (0, 0), (0, 2)]);
}

fn altered(
    session: &mut KafkaSession,
    request: &AlterUserScramCredentialsRequest,
) -> Vec<(String, i16, Option<String>)> {
    let api = Api::AlterUserScramCredentials;
    ask(session, api, 0, request);
    if let Some((ticket, Request::ChangeAccess(changes))) = session.poll_request() {
        let done = changes.iter().map(|_| Ok(vec![]));
        session.complete(NOW, ticket, Outcome::AccessChanged(done.collect()));
    }
    let ResponseKind::AlterUserScramCredentials(response) = told(session, api, 0) else {
        panic!("not AlterUserScramCredentials");
    };
    let results = response.results.into_iter();
    let results = results.map(|result| {
        let words = result.error_message.map(|words| words.to_string());
        (result.user.to_string(), result.error_code, words)
    });
    results.collect()
}

#[test]
fn passwords_are_taken_or_refused_as_by_kafkas_controller() {
    let named = |name: &'static str| upsertion().with_name(text(name));
    let cases: Vec<(ScramCredentialUpsertion, i16, Option<&str>)> = vec![
        (named(""), 93, Some("Username must not be empty")),
        (named("a"), 0, None),
        (
            named("b").with_mechanism(0),
            33,
            Some("Unknown SCRAM mechanism"),
        ),
        (
            named("c").with_iterations(4_095),
            93,
            Some("Too few iterations"),
        ),
        (
            named("d").with_iterations(-1),
            93,
            Some("Too few iterations"),
        ),
        (
            named("e").with_iterations(16_385),
            93,
            Some("Too many iterations"),
        ),
        (named("f").with_iterations(16_384), 0, None),
        (
            named("g").with_salt(b"1234567"[..].into()),
            93,
            Some("The salt or the salted password has not the length that it must have"),
        ),
    ];
    let mut session = session(vec![]);
    let upsertions = cases.iter().map(|(upsertion, ..)| upsertion.clone());
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(upsertions.collect());
    let found = altered(&mut session, &request);
    for ((upsertion, code, words), result) in cases.into_iter().zip(found) {
        let expected = (upsertion.name.to_string(), code, words.map(str::to_owned));
        assert_eq!(result, expected);
    }
}

#[test]
fn a_user_is_altered_once_in_a_request_and_what_is_not_there_is_not_deleted() {
    let mut session = session(vec![]);
    let tims = deletion().with_name(text("tim"));
    let request = AlterUserScramCredentialsRequest::default()
        .with_deletions(vec![tims.clone(), deletion()])
        .with_upsertions(vec![upsertion().with_name(text("tim"))]);
    let twice = "A user credential cannot be altered twice in the same request";
    let missing = "Attempt to delete a user credential that does not exist";
    let found = altered(&mut session, &request);
    let expected = [("bob", 91, missing), ("tim", 92, twice)];
    for (result, (name, code, words)) in found.into_iter().zip(expected) {
        assert_eq!(result, (name.to_owned(), code, Some(words.to_owned())));
    }
    let request = AlterUserScramCredentialsRequest::default().with_deletions(vec![tims]);
    assert_eq!(altered(&mut session, &request)[0].1, 0);
}

#[test]
fn passwords_are_described_by_mechanism_and_rounds() {
    let mut session = session(vec![]);
    let mut described = |names: &[&'static str]| {
        let users = names
            .iter()
            .map(|name| UserName::default().with_name(StrBytes::from_static_str(name)));
        let request =
            DescribeUserScramCredentialsRequest::default().with_users(Some(users.collect()));
        let api = Api::DescribeUserScramCredentials;
        ask(&mut session, api, 0, &request);
        let ResponseKind::DescribeUserScramCredentials(response) = told(&mut session, api, 0)
        else {
            panic!("not DescribeUserScramCredentials");
        };
        let results = response.results.into_iter().map(|user| {
            let infos = user.credential_infos.iter();
            let infos = infos.map(|info| (info.mechanism, info.iterations));
            (
                user.user.to_string(),
                user.error_code,
                infos.collect::<Vec<_>>(),
            )
        });
        results.collect::<Vec<_>>()
    };
    let both = vec![(1, 4_096), (2, 4_096)];
    let of = |name: &str| (name.to_owned(), 0, both.clone());
    assert_eq!(described(&[]), [of("root"), of("tim")]);
    assert_eq!(
        described(&["tim", "bob", "root", "root"]),
        [
            ("bob".to_owned(), 91, vec![]),
            ("root".to_owned(), 92, vec![]),
            of("tim")
        ]
    );
}
