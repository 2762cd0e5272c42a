//! Where messages go.

use weir_model::fields::{BasicProperties, FieldTable, FieldValue};

use super::world::{World, short, string, table};
use crate::api::queues::{ExchangeKind, Refused};

fn with_headers(headers: FieldTable) -> BasicProperties {
    BasicProperties {
        headers: Some(headers),
        ..BasicProperties::default()
    }
}

#[test]
fn every_queue_is_bound_to_the_default_exchange_by_its_name() {
    let mut world = World::new();
    let queue = world.queue("q");
    assert_eq!(world.route("", "q"), [queue]);
    assert_eq!(world.route("", "other"), []);
}

#[test]
fn direct_goes_by_equal_keys_and_fanout_to_all() {
    let mut world = World::new();
    let (a, b) = (world.queue("a"), world.queue("b"));
    world.bind("amq.direct", "a", "k").unwrap();
    world.bind("amq.direct", "b", "k").unwrap();
    world.bind("amq.direct", "b", "kk").unwrap();
    world.bind("amq.fanout", "a", "x").unwrap();
    world.bind("amq.fanout", "a", "y").unwrap();
    assert_eq!(world.route("amq.direct", "k"), [a, b]);
    assert_eq!(world.route("amq.direct", "kk"), [b]);
    assert_eq!(world.route("amq.direct", ""), []);
    assert_eq!(world.route("amq.fanout", "whatever"), [a]);
    world.unbind("amq.fanout", "a", "x").unwrap();
    assert_eq!(world.route("amq.fanout", ""), [a]);
    world.unbind("amq.fanout", "a", "y").unwrap();
    assert_eq!(world.route("amq.fanout", ""), []);
}

#[test]
fn a_queue_gets_a_message_once_however_many_ways_lead_to_it() {
    let mut world = World::new();
    let queue = world.queue("q");
    world.bind("amq.topic", "q", "a.*").unwrap();
    world.bind("amq.topic", "q", "#").unwrap();
    world.bind("amq.topic", "q", "a.b").unwrap();
    assert_eq!(world.route("amq.topic", "a.b"), [queue]);
    assert_eq!(world.route("amq.topic", "c"), [queue]);
}

#[test]
fn exchanges_lead_to_exchanges_and_circles_end() {
    let mut world = World::new();
    let queue = world.queue("q");
    for name in ["e1", "e2", "e3"] {
        world.exchange(name, ExchangeKind::Fanout).unwrap();
    }
    world.bind_exchange("e1", "e2", "").unwrap();
    world.bind_exchange("e2", "e3", "").unwrap();
    world.bind_exchange("e3", "e1", "").unwrap();
    world.bind_exchange("e1", "e1", "").unwrap();
    world.bind("e3", "q", "").unwrap();
    world.bind("e1", "q", "").unwrap();
    assert_eq!(world.route("e1", "k"), [queue]);
    assert_eq!(world.route("e2", "k"), [queue]);
}

#[test]
fn what_an_exchange_has_nothing_for_goes_to_its_alternate() {
    let mut world = World::new();
    let (a, b) = (world.queue("a"), world.queue("b"));
    world.exchange("rest", ExchangeKind::Fanout).unwrap();
    let alternate = table(&[("alternate-exchange", string("rest"))]);
    let made = world.exchange_as("main", ExchangeKind::Direct, |exchange| {
        exchange.arguments = alternate;
    });
    made.unwrap();
    world.bind("main", "a", "k").unwrap();
    world.bind("rest", "b", "").unwrap();
    assert_eq!(world.route("main", "k"), [a]);
    assert_eq!(world.route("main", "other"), [b]);
    world.delete_exchange("rest", false).unwrap();
    assert_eq!(world.route("main", "other"), []);
}

#[test]
fn copies_go_by_the_keys_in_cc_and_bcc() {
    let mut world = World::new();
    let ids = ["a", "b", "c"].map(|name| world.queue(name));
    let properties = with_headers(table(&[
        ("CC", FieldValue::Array(vec![string("b"), string("a")])),
        ("BCC", FieldValue::Array(vec![string("c")])),
    ]));
    let routed = world.route_with("", "a", &properties).unwrap();
    assert_eq!(routed.queues, ids);
}

#[test]
fn internal_and_missing_exchanges_take_nothing_of_clients() {
    let mut world = World::new();
    let queue = world.queue("q");
    let made = world.exchange_as("inner", ExchangeKind::Fanout, |exchange| {
        exchange.is_internal = true;
    });
    made.unwrap();
    world.bind("inner", "q", "").unwrap();
    world.bind_exchange("amq.fanout", "inner", "").unwrap();
    let none = BasicProperties::default();
    assert!(matches!(
        world.route_with("inner", "", &none),
        Err(Refused::Access(_))
    ));
    assert!(matches!(
        world.route_with("none", "", &none),
        Err(Refused::NoExchange { .. })
    ));
    assert_eq!(world.route("amq.fanout", ""), [queue]);
}

#[test]
fn headers_are_matched_as_bindings_ask() {
    let mut world = World::new();
    let (all, any) = (world.queue("all"), world.queue("any"));
    let ask = |mode: &str| {
        table(&[
            ("x-match", string(mode)),
            ("a", FieldValue::Int32(1)),
            ("b", string("x")),
        ])
    };
    world
        .bind_with("amq.headers", "all", "", ask("all"))
        .unwrap();
    world
        .bind_with("amq.headers", "any", "", ask("any"))
        .unwrap();
    let route = |headers: &[(&str, FieldValue)]| {
        let properties = with_headers(table(headers));
        world
            .route_with("amq.headers", "", &properties)
            .unwrap()
            .queues
    };
    let (a, b) = (("a", FieldValue::Int64(1)), ("b", string("x")));
    assert_eq!(route(&[b.clone(), a.clone()]), [all, any]);
    assert_eq!(route(&[a]), [any]);
    assert_eq!(route(&[("b", string("y"))]), []);
}

#[test]
fn hashing_exchanges_give_a_key_the_same_queue_and_use_all_of_them() {
    let mut world = World::new();
    let ids = ["a", "b", "c"].map(|name| world.queue(name));
    for (name, kind) in [
        ("ring", ExchangeKind::ConsistentHash),
        ("modulus", ExchangeKind::ModulusHash),
    ] {
        world.exchange(name, kind).unwrap();
        for queue in ["a", "b", "c"] {
            world.bind(name, queue, "1").unwrap();
        }
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..100 {
            let key = key.to_string();
            let routed = world.route(name, &key);
            assert_eq!(routed, world.route(name, &key));
            assert_eq!(routed.len(), 1);
            seen.extend(routed);
        }
        assert!(seen.into_iter().eq(ids), "{name}");
    }
    assert!(matches!(
        world.bind("ring", "a", "many"),
        Err(Refused::Precondition(_))
    ));
}

#[test]
fn a_consistent_hash_goes_by_the_header_or_property_that_the_exchange_names() {
    let mut world = World::new();
    for queue in ["a", "b", "c", "d"] {
        world.queue(queue);
    }
    for (name, argument) in [
        ("by-header", ("hash-header", string("h"))),
        ("by-id", ("hash-property", string("message_id"))),
    ] {
        let made = world.exchange_as(name, ExchangeKind::ConsistentHash, |exchange| {
            exchange.arguments = table(&[argument]);
        });
        made.unwrap();
        for queue in ["a", "b", "c", "d"] {
            world.bind(name, queue, "10").unwrap();
        }
    }
    let properties = BasicProperties {
        message_id: Some(short("m")),
        ..with_headers(table(&[("h", FieldValue::Int8(3))]))
    };
    for name in ["by-header", "by-id"] {
        let first = world.route_with(name, "0", &properties).unwrap();
        assert_eq!(first.queues.len(), 1);
        for key in 1..50 {
            let other = world.route_with(name, &key.to_string(), &properties);
            assert_eq!(other.unwrap(), first);
        }
    }
}

#[test]
fn chance_chooses_among_all_or_among_local_queues() {
    let mut world = World::new();
    let ids = ["a", "b", "c"].map(|name| world.queue(name));
    for (name, kind) in [
        ("any", ExchangeKind::Random),
        ("here", ExchangeKind::LocalRandom),
    ] {
        world.exchange(name, kind).unwrap();
        for queue in ["a", "b", "c"] {
            world.bind(name, queue, queue).unwrap();
        }
    }
    for (chance, id) in (0..).zip(ids) {
        world.chance.set(chance);
        assert_eq!(world.route("any", ""), [id]);
        assert_eq!(world.route("here", ""), []);
        world.local = Some(ids[1]);
        assert_eq!(world.route("here", ""), [ids[1]]);
        world.local = None;
    }
}

#[test]
fn messages_wait_as_their_header_says_at_delaying_exchanges_alone() {
    let mut world = World::new();
    world.queue("q");
    let made = world.exchange_as("later", ExchangeKind::Direct, |exchange| {
        exchange.is_delayed = true;
    });
    made.unwrap();
    world.bind("later", "q", "q").unwrap();
    let wait = |exchange: &str, delay: FieldValue| {
        let properties = with_headers(table(&[("x-delay", delay)]));
        world
            .route_with(exchange, "q", &properties)
            .unwrap()
            .delay_ms
    };
    assert_eq!(wait("later", FieldValue::Int32(1500)), 1500);
    assert_eq!(wait("later", FieldValue::Int32(-5)), 0);
    assert_eq!(wait("later", string("1500")), 0);
    assert_eq!(wait("", FieldValue::Int32(1500)), 0);
}
