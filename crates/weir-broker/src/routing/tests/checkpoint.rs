//! The state as bytes.

use weir_model::fields::FieldValue;

use super::world::{World, session, string, table};
use crate::{
    api::queues::{Destination, ExchangeKind},
    encoding::trial,
    metadata::{MetadataCommand, MetadataState},
    routing::{RoutingCommand, record::QueueType},
};

fn filled() -> World {
    let mut world = World::new();
    let create = RoutingCommand::CreateVhost {
        name: "v".to_owned(),
        description: "d".to_owned(),
        default_queue_type: Some(QueueType::Quorum),
    };
    world.apply(create).unwrap();
    world.queue("q");
    let own = world.queue_as("own", |q| {
        q.is_exclusive = true;
        q.is_durable = false;
        q.session = session(3);
        q.arguments = table(&[("x-expires", FieldValue::Int32(9))]);
    });
    own.unwrap();
    for (name, kind) in [
        ("h", ExchangeKind::Headers),
        ("c", ExchangeKind::ConsistentHash),
    ] {
        let made = world.exchange_as(name, kind, |e| e.is_durable = false);
        made.unwrap();
    }
    let asked = table(&[("x-match", string("any")), ("a", string("1"))]);
    world.bind_with("h", "q", "", asked).unwrap();
    world.bind("c", "q", "5").unwrap();
    let own = Destination::Queue(super::world::short("own"));
    let mut bind = World::bind_command("amq.topic", own, "a.#", table(&[]));
    bind.session = session(3);
    world.apply(RoutingCommand::Bind(bind)).unwrap();
    world.bind_exchange("amq.topic", "h", "b.*").unwrap();
    let start = RoutingCommand::NodeStarted {
        node: weir_model::NodeId(1),
        boot: 7,
    };
    world.apply(start).unwrap();
    world
}

#[test]
fn the_state_comes_back_and_damage_is_an_error() {
    let mut world = filled();
    let bytes = world.state.encode();
    let back = MetadataState::decode(&bytes).unwrap();
    assert_eq!(back.encode(), bytes);
    trial::damage(&bytes, MetadataState::decode);
    let routed = world.route("amq.topic", "a.b");
    world.state = back;
    assert_eq!((world.route("amq.topic", "a.b"), routed.len()), (routed, 1));
    assert_eq!(world.route("c", "key").len(), 1);
    world.queue("another");
    world.apply(RoutingCommand::EndSession(session(3))).unwrap();
    assert_eq!(world.route("amq.topic", "a.b"), []);
}

#[test]
fn commands_come_back_and_damage_is_an_error() {
    let mut world = World::new();
    let bind = World::bind_command(
        "e",
        Destination::Queue(super::world::short("q")),
        "k",
        table(&[("a", string("1"))]),
    );
    let declare = crate::routing::command::DeclareQueueCommand {
        vhost: "/".to_owned(),
        name: super::world::short("q"),
        kind: QueueType::Stream,
        is_durable: true,
        is_auto_delete: false,
        is_exclusive: false,
        session: session(1),
        arguments: table(&[("x-max-age", string("1D"))]),
        topic: world.topic("q"),
    };
    for command in [
        RoutingCommand::Bind(bind.clone()),
        RoutingCommand::Unbind(bind),
        RoutingCommand::DeclareQueue(Box::new(declare)),
        RoutingCommand::EndSession(session(9)),
    ] {
        let bytes = MetadataCommand::Routing(command).encode();
        trial::damage(&bytes, MetadataCommand::decode);
    }
}
