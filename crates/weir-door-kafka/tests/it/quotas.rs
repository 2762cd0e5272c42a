//! Quotas by Kafka's requests: what is checked here, what is asked of the node, and what is told.

use std::sync::Arc;

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        AlterClientQuotasRequest, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
        ResponseKind, alter_client_quotas_request::EntryData,
        describe_client_quotas_request::ComponentData,
    },
    protocol::Encodable,
};
use weir_broker::{
    access::AccessView,
    api::{Outcome, Request, access::ChangeAccess},
    quota::{Named, QuotaChanges, QuotaEntity, QuotaKey, QuotaTable, QuotaValue},
};
use weir_door::{Clock, Millis, Session};
use weir_door_kafka::{KafkaSession, codec::versions};

use crate::{
    access_samples::{component, quota},
    samples::framed,
    wire::{NOW, asked, decoded, sent, session, session_with},
};

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// It stands still.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        NOW
    }

    fn monotonic_ns(&self) -> u64 {
        0
    }
}

fn named(name: &str) -> Named {
    Named::of(Some(name))
}

/// Each binds what is published to this many bytes a second.
pub(crate) fn with_quotas(key: QuotaKey, quotas: &[(QuotaEntity, f64)]) -> AccessView {
    let mut table = QuotaTable::default();
    for (entity, rate) in quotas {
        let changes = QuotaChanges::from([(key, QuotaValue::new(*rate))]);
        table.alter(entity.clone(), &changes).unwrap();
    }
    let view = AccessView::open();
    let clock: Arc<dyn Clock> = Arc::new(Still);
    view.quotas().replace(&table, &clock);
    view
}

fn told(
    session: &mut KafkaSession,
    (key, version): (i16, i16),
    request: &impl Encodable,
) -> ResponseKind {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    let line = versions::by_key(key).unwrap();
    session.receive(NOW, framed(line, version, 1, &body));
    if let Some((ticket, Request::ChangeAccess(changes))) = session.poll_request() {
        let done = changes.iter().map(|_| Ok(Vec::new()));
        session.complete(NOW, ticket, Outcome::AccessChanged(done.collect()));
    }
    decoded(line, version, sent(session)).1
}

fn described(components: Vec<ComponentData>, is_strict: bool) -> DescribeClientQuotasResponse {
    let quotas = [
        (QuotaEntity::User(named("tim")), 1.0),
        (QuotaEntity::User(Named::Default), 2.0),
        (QuotaEntity::UserClient(named("tim"), named("app")), 3.0),
        (QuotaEntity::UserClient(Named::Default, Named::Default), 4.0),
        (QuotaEntity::Client(named("app")), 5.0),
    ];
    let mut session = session_with(with_quotas(QuotaKey::ProducerByteRate, &quotas));
    let request = DescribeClientQuotasRequest::default()
        .with_components(components)
        .with_strict(is_strict);
    match told(&mut session, (48, 1), &request) {
        ResponseKind::DescribeClientQuotas(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_filter_finds_what_it_finds_in_kafka() {
    let found = |components: &[(&'static str, i8, Option<&'static str>)], is_strict| {
        let components = components.iter();
        let components = components.map(|(kind, how, name)| component(kind, *how, *name));
        let response = described(components.collect(), is_strict);
        assert_eq!(response.error_code, 0);
        let entries = response.entries.unwrap().into_iter();
        let mut rates: Vec<_> = entries.map(|entry| entry.values[0].value).collect();
        rates.sort_by(f64::total_cmp);
        rates
    };
    assert_eq!(found(&[], false), [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(found(&[], true), [0.0; 0]);
    let tim = ("user", EXACT, Some("tim"));
    assert_eq!(found(&[tim], true), [1.0]);
    assert_eq!(found(&[tim], false), [1.0, 3.0]);
    assert_eq!(found(&[("user", DEFAULT, None)], true), [2.0]);
    assert_eq!(found(&[("user", ANY, None)], true), [1.0, 2.0]);
    let clients = ("client-id", ANY, None);
    assert_eq!(found(&[clients], false), [3.0, 4.0, 5.0]);
    assert_eq!(found(&[tim, clients], true), [3.0]);
    let entry = described(vec![component("client-id", EXACT, Some("app"))], true);
    let entry = &entry.entries.unwrap()[0];
    assert_eq!(&*entry.entity[0].entity_type, "client-id");
    assert_eq!(entry.entity[0].entity_name.as_deref(), Some("app"));
    assert_eq!(&*entry.values[0].key, "producer_byte_rate");
}

#[test]
fn a_filter_that_means_nothing_is_refused_in_kafkas_words() {
    for (components, code, words) in [
        (
            vec![component("", ANY, None)],
            42,
            "Invalid empty entity type.",
        ),
        (
            vec![component("cat", ANY, None)],
            35,
            "Unsupported entity type cat",
        ),
        (vec![component("user", EXACT, None)], 42, "MATCH_TYPE_EXACT"),
        (
            vec![component("user", DEFAULT, Some("a"))],
            42,
            "MATCH_TYPE_DEFAULT",
        ),
        (
            vec![component("user", ANY, Some("a"))],
            42,
            "MATCH_TYPE_SPECIFIED",
        ),
        (vec![component("user", 3, None)], 42, "Unknown match type 3"),
        (vec![component("user", ANY, None); 2], 42, "more than once"),
    ] {
        let response = described(components, false);
        assert_eq!(response.error_code, code, "{words}");
        assert!(response.error_message.unwrap().contains(words), "{words}");
        assert!(response.entries.is_none());
    }
}

fn altered(entries: Vec<EntryData>, validate_only: bool) -> (Vec<i16>, bool) {
    let request = AlterClientQuotasRequest::default()
        .with_entries(entries)
        .with_validate_only(validate_only);
    let mut session = session();
    let mut body = BytesMut::new();
    request.encode(&mut body, 1).unwrap();
    let line = versions::by_key(49).unwrap();
    session.receive(NOW, framed(line, 1, 1, &body));
    let is_asked = session.poll_request().map(|(ticket, request)| {
        let Request::ChangeAccess(changes) = request else {
            panic!("{request:?}");
        };
        let done = changes.iter().map(|_| Ok(Vec::new()));
        session.complete(NOW, ticket, Outcome::AccessChanged(done.collect()));
    });
    let ResponseKind::AlterClientQuotas(response) = decoded(line, 1, sent(&mut session)).1 else {
        panic!("not AlterClientQuotas");
    };
    let codes = response.entries.iter().map(|entry| entry.error_code);
    (codes.collect(), is_asked.is_some())
}

#[test]
fn each_entity_is_changed_or_refused_by_itself_and_only_checked_where_that_is_asked() {
    let key = "consumer_byte_rate";
    let entries = || {
        let mut twice = quota(Some("eve"), key, Some(1.0));
        twice.ops.push(twice.ops[0].clone());
        vec![
            quota(Some("tim"), key, Some(1.0)),
            quota(Some("tim"), "cats", Some(1.0)),
            quota(Some(""), key, None),
            quota(None, key, Some(-1.0)),
            twice,
            quota(None, key, None),
        ]
    };
    let codes = vec![0, 42, 42, 42, 42, 0];
    assert_eq!(altered(entries(), false), (codes.clone(), true));
    assert_eq!(altered(entries(), true), (codes, false));
    let many = |count| altered(vec![quota(None, key, None); count], false);
    assert_eq!(many(1_000), (vec![0; 1_000], true));
    assert_eq!(many(1_001), (vec![42; 1_001], false));
}

#[test]
fn the_node_is_asked_for_what_the_client_wants() {
    let request = AlterClientQuotasRequest::default().with_entries(vec![quota(
        None,
        "producer_byte_rate",
        Some(7.0),
    )]);
    let mut session = session();
    let mut body = BytesMut::new();
    request.encode(&mut body, 0).unwrap();
    session.receive(NOW, framed(versions::by_key(49).unwrap(), 0, 1, &body));
    let (_, Request::ChangeAccess(changes)) = asked(&mut session) else {
        panic!("not asked");
    };
    let ChangeAccess::AlterQuota { entity, changes } = &changes[0] else {
        panic!("{changes:?}");
    };
    assert_eq!(*entity, QuotaEntity::User(Named::Default));
    let expected = QuotaChanges::from([(QuotaKey::ProducerByteRate, QuotaValue::new(7.0))]);
    assert_eq!(*changes, expected);
}
