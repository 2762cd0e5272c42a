//! What may be declared, and what goes with what.

use weir_model::{
    NodeId,
    fields::{FieldTable, FieldValue},
};

use super::world::{World, session, string, table};
use crate::{
    api::queues::{Destination, ExchangeKind, Refused},
    metadata::{MetadataCommand, MetadataOutcome},
    queue::SessionKey,
    routing::{RoutingCommand, RoutingOutcome, record::QueueType},
};

fn inequivalent(decided: Result<RoutingOutcome, Refused>) -> String {
    match decided {
        Err(refused @ Refused::Inequivalent { .. }) => refused.to_string(),
        other => panic!("another outcome: {other:?}"),
    }
}

#[test]
fn an_exchange_that_is_declared_again_must_be_the_same() {
    let mut world = World::new();
    world.exchange("e", ExchangeKind::Direct).unwrap();
    world.exchange("e", ExchangeKind::Direct).unwrap();
    world.exchange("amq.topic", ExchangeKind::Topic).unwrap();
    let text = inequivalent(world.exchange("e", ExchangeKind::Fanout));
    assert_eq!(
        text,
        "inequivalent arg 'type' for exchange 'e' in vhost '/': received 'fanout' but current is 'direct'"
    );
    let transient = world.exchange_as("e", ExchangeKind::Direct, |e| e.is_durable = false);
    assert!(inequivalent(transient).contains("'durable'"));
    let alternate = world.exchange_as("e", ExchangeKind::Direct, |e| {
        e.arguments = table(&[("alternate-exchange", string("x"))]);
    });
    assert!(inequivalent(alternate).contains("received the value 'x' of type 'longstr'"));
    let unknown = world.exchange_as("e", ExchangeKind::Direct, |e| {
        e.arguments = table(&[("whatever", string("x"))]);
    });
    unknown.unwrap();
}

#[test]
fn a_queue_that_is_declared_again_must_be_the_same_where_it_matters() {
    let mut world = World::new();
    let ttl = |value| table(&[("x-message-ttl", value), ("whatever", string("a"))]);
    let declared = world.queue_as("q", |q| q.arguments = ttl(FieldValue::Int32(1000)));
    declared.unwrap();
    let wide = world.queue_as("q", |q| q.arguments = ttl(FieldValue::Int64(1000)));
    wide.unwrap();
    let other = world.queue_as("q", |q| q.arguments = ttl(FieldValue::Int32(2000)));
    assert_eq!(
        inequivalent(other),
        "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received '2000' but current is '1000'"
    );
    assert_eq!(
        inequivalent(world.queue_as("q", |_| {})),
        "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '1000' of type 'signedint'"
    );
    let auto = world.queue_as("q", |q| {
        q.arguments = ttl(FieldValue::Int32(1000));
        q.is_auto_delete = true;
    });
    assert!(inequivalent(auto).contains("received 'true' but current is 'false'"));
    let quorum = world.queue_as("q", |q| {
        q.arguments = ttl(FieldValue::Int32(1000));
        q.kind = QueueType::Quorum;
    });
    assert!(inequivalent(quorum).contains("'x-queue-type'"));
}

#[test]
fn an_exclusive_queue_is_its_sessions_alone_and_goes_with_it() {
    let mut world = World::new();
    let mine = world.queue_as("q", |q| q.is_exclusive = true);
    mine.unwrap();
    world.queue("shared");
    let locked = |decided| matches!(decided, Err(Refused::Locked { .. }));
    assert!(locked(world.queue_as("q", |q| {
        q.is_exclusive = true;
        q.session = session(2);
    })));
    assert!(locked(world.queue_as("q", |_| {})));
    assert!(locked(world.queue_as("shared", |q| q.is_exclusive = true)));
    assert!(locked(world.delete_queue("q", session(2))));
    let queue = Destination::Queue(super::world::short("q"));
    let mut bind = World::bind_command("amq.direct", queue, "", FieldTable::default());
    bind.session = session(2);
    assert!(locked(world.apply(RoutingCommand::Bind(bind))));
    world.apply(RoutingCommand::EndSession(session(2))).unwrap();
    assert_eq!(world.route("", "q").len(), 1);
    world.apply(RoutingCommand::EndSession(session(1))).unwrap();
    assert_eq!(world.route("", "q"), []);
    assert_eq!(world.route("", "shared").len(), 1);
    assert!(!world.has_topic("q"));
}

#[test]
fn a_queue_makes_its_topic_or_takes_the_one_that_is_there() {
    let mut world = World::new();
    let topic = world.topic("known");
    world
        .state
        .apply(&super::world::AT, MetadataCommand::CreateTopic(topic));
    let over = world.queue("known");
    world.queue("own");
    assert!(world.has_topic("own"));
    world.delete_queue("own", session(1)).unwrap();
    world.delete_queue("known", session(1)).unwrap();
    assert!(world.has_topic("known") && !world.has_topic("own"));
    assert_eq!(world.queue("known"), over);
}

#[test]
fn a_queue_goes_with_its_topic() {
    let mut world = World::new();
    world.queue("q");
    world.bind("amq.fanout", "q", "").unwrap();
    let topology = world.state.topology();
    let name = weir_model::TopicName::new("q").unwrap();
    let id = topology.by_name(&name).unwrap().id;
    let outcome = world
        .state
        .apply(&super::world::AT, MetadataCommand::DeleteTopic { id });
    assert!(matches!(outcome, MetadataOutcome::TopicDeleted(_)));
    assert_eq!(world.route("amq.fanout", ""), []);
    assert_eq!(world.route("", "q"), []);
}

#[test]
fn names_of_queues_may_look_alike_to_kafkas_metrics() {
    let mut world = World::new();
    world.queue("a.b");
    world.queue("a_b");
    world.delete_queue("a.b", session(1)).unwrap();
    assert_eq!(world.route("", "a_b").len(), 1);
    world.delete_queue("a_b", session(1)).unwrap();
    world.queue("a.b");
}

#[test]
fn deleting_what_is_not_there_is_done_already() {
    let mut world = World::new();
    world.delete_queue("q", session(1)).unwrap();
    world.delete_exchange("e", true).unwrap();
    world.unbind("e", "q", "k").unwrap();
    world.unbind("amq.direct", "q", "k").unwrap();
    world.queue("q");
    world.unbind("amq.direct", "q", "k").unwrap();
    assert!(matches!(
        world.bind("e", "q", ""),
        Err(Refused::NoExchange { .. })
    ));
    assert!(matches!(
        world.bind("amq.direct", "r", ""),
        Err(Refused::NoQueue { .. })
    ));
}

#[test]
fn a_command_that_means_an_earlier_one_of_that_name_leaves_the_later_alone() {
    let mut world = World::new();
    let first = world.queue("q");
    world.delete_queue("q", session(1)).unwrap();
    let second = world.queue("q");
    assert_ne!(first, second);
    let late = RoutingCommand::DeleteQueue {
        vhost: "/".to_owned(),
        name: super::world::short("q"),
        id: first,
        session: Some(session(1)),
    };
    world.apply(late).unwrap();
    assert_eq!(world.route("", "q"), [second]);
}

#[test]
fn bindings_go_with_what_they_lead_from_and_to_and_auto_delete_exchanges_with_their_last_one() {
    let mut world = World::new();
    world.queue("q");
    for name in ["a", "b", "c"] {
        let made = world.exchange_as(name, ExchangeKind::Fanout, |e| e.is_auto_delete = true);
        made.unwrap();
    }
    world.bind_exchange("a", "b", "").unwrap();
    world.bind_exchange("b", "c", "").unwrap();
    world.bind("c", "q", "").unwrap();
    assert!(matches!(
        world.delete_exchange("c", true),
        Err(Refused::InUse { .. })
    ));
    world.delete_queue("q", session(1)).unwrap();
    for name in ["a", "b", "c"] {
        assert!(!world.has_exchange(name), "{name}");
    }
    let routing = world.state.topology();
    let vhost = routing.routing().vhost("/").unwrap().id;
    assert_eq!(routing.routing().exchanges_of(vhost).count(), 7);
}

#[test]
fn unbinding_the_last_binding_deletes_an_auto_delete_exchange() {
    let mut world = World::new();
    world.queue("q");
    let made = world.exchange_as("e", ExchangeKind::Topic, |e| e.is_auto_delete = true);
    made.unwrap();
    world.bind("e", "q", "a.*").unwrap();
    world.bind("e", "q", "b.*").unwrap();
    world.unbind("e", "q", "a.*").unwrap();
    assert!(world.has_exchange("e"));
    world.unbind("e", "q", "b.*").unwrap();
    assert!(!world.has_exchange("e"));
}

#[test]
fn equal_bindings_are_one_and_other_arguments_make_another() {
    let mut world = World::new();
    let queue = world.queue("q");
    let (a, b) = (("a", string("1")), ("b", string("2")));
    let one = table(&[a.clone(), b.clone()]);
    let turned = table(&[b, a]);
    world.bind_with("amq.direct", "q", "k", one).unwrap();
    world.bind_with("amq.direct", "q", "k", turned).unwrap();
    world.bind("amq.direct", "q", "k").unwrap();
    let topology = world.state.topology();
    let target = crate::routing::record::Target::Queue(queue);
    assert_eq!(topology.routing().bindings_to(target).count(), 2);
}

#[test]
fn what_is_transient_goes_when_its_node_starts_again() {
    let mut world = World::new();
    let start = |node, boot| RoutingCommand::NodeStarted {
        node: NodeId(node),
        boot,
    };
    world.apply(start(1, 7)).unwrap();
    world.apply(start(2, 70)).unwrap();
    let transient = world.queue_as("q", |q| q.is_durable = false);
    transient.unwrap();
    world.queue("durable");
    let elsewhere = world.queue_as("r", |q| {
        q.is_exclusive = true;
        q.session = SessionKey {
            node: NodeId(2),
            boot: 70,
            number: 1,
        };
    });
    elsewhere.unwrap();
    let made = world.exchange_as("e", ExchangeKind::Fanout, |e| e.is_durable = false);
    made.unwrap();
    world.apply(start(1, 7)).unwrap();
    assert_eq!(world.route("", "q").len(), 1);
    assert!(
        world
            .apply(start(1, 8))
            .is_ok_and(|outcome| has_more(&outcome))
    );
    assert!(
        !world
            .apply(start(1, 8))
            .is_ok_and(|outcome| has_more(&outcome))
    );
    assert_eq!(world.route("", "q"), []);
    assert_eq!(world.route("", "durable").len(), 1);
    assert_eq!(world.route("", "r").len(), 1);
    assert!(world.has_exchange("e"), "node 2 has gone on all the time");
    while world
        .apply(start(2, 71))
        .is_ok_and(|outcome| has_more(&outcome))
    {}
    assert_eq!(world.route("", "r"), []);
    assert!(!world.has_exchange("e"));
    // A node that is no member any more is not waited for.
    let made = world.exchange_as("f", ExchangeKind::Fanout, |e| e.is_durable = false);
    made.unwrap();
    while world
        .apply(start(1, 9))
        .is_ok_and(|outcome| has_more(&outcome))
    {}
    assert!(world.has_exchange("f"));
    let remove = MetadataCommand::RemoveNode { node: NodeId(2) };
    world.admit(2);
    world.state.apply(&super::world::AT, remove);
    assert!(!world.has_exchange("f"));
}

fn has_more(outcome: &RoutingOutcome) -> bool {
    matches!(outcome, RoutingOutcome::Removed { has_more: true, .. })
}

#[test]
fn a_virtual_host_has_its_own_names_and_goes_with_all_that_is_in_it() {
    let mut world = World::new();
    let create = RoutingCommand::CreateVhost {
        name: "v".to_owned(),
        description: String::new(),
        default_queue_type: None,
    };
    world.apply(create.clone()).unwrap();
    world.apply(create).unwrap();
    world.queue("q");
    let topic = world.topic("inner");
    let declared = world.queue_as("q", |q| {
        q.vhost = "v".to_owned();
        q.topic = topic;
    });
    declared.unwrap();
    assert_eq!(world.route("", "q").len(), 1);
    let delete = || RoutingCommand::DeleteVhost {
        name: "v".to_owned(),
    };
    while world
        .apply(delete())
        .is_ok_and(|outcome| has_more(&outcome))
    {}
    assert!(world.state.topology().routing().vhost("v").is_none());
    assert!(!world.has_topic("inner"));
    assert_eq!(world.route("", "q").len(), 1);
    let missing = world.queue_as("x", |q| q.vhost = "v".to_owned());
    assert_eq!(missing, Err(Refused::NoVhost("v".to_owned())));
}

#[test]
fn many_bindings_are_added_one_by_one_while_readers_look_on() {
    let mut world = World::new();
    world.queue("q");
    for number in 0..10_000 {
        // A reader keeps the last state: every change copies what it touches.
        let seen = world.state.topology();
        world
            .bind("amq.topic", "q", &format!("a.{number}.*.b"))
            .unwrap();
        drop(seen);
    }
    assert_eq!(world.route("amq.topic", "a.9999.x.b").len(), 1);
    assert_eq!(world.route("amq.topic", "a.10000.x.b"), []);
    world.delete_queue("q", session(1)).unwrap();
    assert_eq!(world.route("amq.topic", "a.9999.x.b"), []);
}
