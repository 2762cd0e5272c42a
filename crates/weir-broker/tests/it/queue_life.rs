//! How queues begin and end: declarations, sessions, last consumers, expiry, policies.

use bytes::Bytes;
use weir_broker::api::queues::{
    Bind, ConsumerTag, DeclareExchange, DeclareQueue, Destination, Message, QueueOutcome,
    QueueRequest, Refused, Tiding, Verdict,
};
use weir_model::{
    NodeId,
    fields::{FieldTable, FieldValue},
};

use crate::{
    admin_cluster::three,
    nodes::Cluster,
    queues::{Client, message, short},
};

const FOUNDER: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn queue(client: &Client, name: &str) -> DeclareQueue {
    DeclareQueue {
        session: client.session(),
        name: short(name),
        is_passive: false,
        is_durable: true,
        is_exclusive: false,
        is_auto_delete: false,
        arguments: FieldTable::default(),
    }
}

fn passive(client: &Client, name: &str) -> QueueRequest {
    QueueRequest::DeclareQueue(DeclareQueue {
        is_passive: true,
        ..queue(client, name)
    })
}

fn exists(client: &mut Client, cluster: &mut Cluster, name: &str) -> bool {
    let request = passive(client, name);
    match client.ask(cluster, request) {
        QueueOutcome::Declared(_) => true,
        QueueOutcome::Refused(Refused::NoQueue { .. }) => false,
        other => panic!("{other:?}"),
    }
}

fn two() -> Cluster {
    let mut cluster = Cluster::found(2);
    cluster.join();
    cluster
}

/// Looks on until it is so, for a minute at most.
fn eventually(cluster: &mut Cluster, mut is_so: impl FnMut(&mut Cluster) -> bool) {
    for _ in 0..300 {
        if is_so(cluster) {
            return;
        }
        cluster.rounds(10);
    }
    panic!("it does not come to that");
}

#[test]
fn what_is_declared_through_one_node_routes_through_the_other() {
    let mut cluster = two();
    let mut here = Client::open(&mut cluster, FOUNDER);
    let mut there = Client::open(&mut cluster, OTHER);
    here.declare(&mut cluster, "q");
    let exchange = DeclareExchange {
        session: there.session(),
        name: short("e"),
        kind: short("topic"),
        is_passive: false,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: FieldTable::default(),
    };
    let answer = there.ask(&mut cluster, QueueRequest::DeclareExchange(exchange));
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    let bind = Bind {
        session: there.session(),
        source: short("e"),
        destination: Destination::Queue(short("q")),
        routing_key: short("a.*"),
        arguments: FieldTable::default(),
    };
    let answer = there.ask(&mut cluster, QueueRequest::Bind(bind));
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    cluster.rounds(5);
    for client in [&mut here, &mut there] {
        let mut to = message("a.b", "x");
        to.exchange = short("e");
        let mut beside = message("b", "x");
        beside.exchange = short("e");
        let verdicts = client.publish(&mut cluster, vec![to, beside]);
        assert_eq!(verdicts, [Verdict::Stored, Verdict::Unroutable]);
    }
    let request = passive(&there, "q");
    let QueueOutcome::Declared(declared) = there.ask(&mut cluster, request) else {
        panic!("no queue");
    };
    assert_eq!((declared.message_count, declared.consumer_count), (2, 0));
}

#[test]
fn a_queue_without_a_name_gets_one_and_names_of_the_brokers_are_not_given() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, FOUNDER);
    let request = QueueRequest::DeclareQueue(queue(&client, ""));
    let QueueOutcome::Declared(declared) = client.ask(&mut cluster, request) else {
        panic!("no queue");
    };
    assert!(declared.name.as_str().starts_with("amq.gen-"));
    assert!(exists(&mut client, &mut cluster, declared.name.as_str()));
    let request = QueueRequest::DeclareQueue(queue(&client, "amq.mine"));
    let answer = client.ask(&mut cluster, request);
    assert!(
        matches!(answer, QueueOutcome::Refused(Refused::Access(_))),
        "{answer:?}"
    );
}

#[test]
fn an_exclusive_queue_goes_with_its_session_whichever_node_it_is_on() {
    for at in [FOUNDER, OTHER] {
        let mut cluster = two();
        let mut owner = Client::open(&mut cluster, at);
        let mut other = Client::open(&mut cluster, FOUNDER);
        let own = DeclareQueue {
            is_exclusive: true,
            ..queue(&owner, "own")
        };
        let answer = owner.ask(&mut cluster, QueueRequest::DeclareQueue(own));
        assert!(matches!(answer, QueueOutcome::Declared(_)), "{answer:?}");
        cluster.rounds(5);
        let request = passive(&other, "own");
        let answer = other.ask(&mut cluster, request);
        assert!(
            matches!(answer, QueueOutcome::Refused(Refused::Locked { .. })),
            "{answer:?}"
        );
        let end = QueueRequest::End {
            session: owner.session(),
        };
        assert!(matches!(owner.ask(&mut cluster, end), QueueOutcome::Done));
        cluster.rounds(5);
        assert!(!exists(&mut other, &mut cluster, "own"));
    }
}

#[test]
fn a_queue_that_goes_with_its_last_consumer_is_gone_when_its_cancellation_is_answered() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, OTHER);
    let auto = DeclareQueue {
        is_auto_delete: true,
        ..queue(&client, "auto")
    };
    client.ask(&mut cluster, QueueRequest::DeclareQueue(auto));
    cluster.rounds(100);
    assert!(
        exists(&mut client, &mut cluster, "auto"),
        "nobody has consumed yet"
    );
    client.consume(&mut cluster, 1, "auto", false);
    client.consume(&mut cluster, 2, "auto", false);
    for (tag, is_there) in [(1, true), (2, false)] {
        let cancel = QueueRequest::Cancel {
            session: client.session(),
            consumer: ConsumerTag(tag),
            held: weir_broker::api::queues::Held::Stays,
        };
        assert!(matches!(
            client.ask(&mut cluster, cancel),
            QueueOutcome::Done
        ));
        assert_eq!(exists(&mut client, &mut cluster, "auto"), is_there);
    }
}

#[test]
fn a_queue_that_goes_with_its_last_consumer_goes_with_that_ones_session() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, OTHER);
    let mut other = Client::open(&mut cluster, FOUNDER);
    let auto = DeclareQueue {
        is_auto_delete: true,
        ..queue(&client, "auto")
    };
    client.ask(&mut cluster, QueueRequest::DeclareQueue(auto));
    client.consume(&mut cluster, 1, "auto", false);
    drop(client);
    eventually(&mut cluster, |cluster| !exists(&mut other, cluster, "auto"));
}

#[test]
fn consumers_hear_that_their_queue_is_deleted() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, OTHER);
    let mut other = Client::open(&mut cluster, FOUNDER);
    client.declare(&mut cluster, "q");
    client.consume(&mut cluster, 5, "q", false);
    let delete = QueueRequest::DeleteQueue {
        session: other.session(),
        name: short("q"),
        if_unused: true,
        if_empty: false,
    };
    let answer = other.ask(&mut cluster, delete);
    assert!(
        matches!(answer, QueueOutcome::Refused(Refused::InUse { .. })),
        "{answer:?}"
    );
    let delete = QueueRequest::DeleteQueue {
        session: other.session(),
        name: short("q"),
        if_unused: false,
        if_empty: true,
    };
    let answer = other.ask(&mut cluster, delete);
    assert!(matches!(answer, QueueOutcome::Counted(0)), "{answer:?}");
    cluster.rounds(5);
    client.hear(0);
    let told = client.told.pop_front();
    assert!(
        matches!(told, Some(Tiding::Cancelled(ConsumerTag(5)))),
        "{told:?}"
    );
}

#[test]
fn a_queue_expires_that_nobody_uses_and_not_before() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, FOUNDER);
    let declare = |client: &Client| DeclareQueue {
        arguments: FieldTable(vec![(short("x-expires"), FieldValue::Int32(2_000))]),
        ..queue(client, "brief")
    };
    let request = QueueRequest::DeclareQueue(declare(&client));
    client.ask(&mut cluster, request);
    // Twenty milliseconds a round.
    for _ in 0..4 {
        cluster.rounds(70);
        assert!(
            exists(&mut client, &mut cluster, "brief"),
            "each look uses it"
        );
    }
    client.consume(&mut cluster, 1, "brief", false);
    cluster.rounds(200);
    let cancel = QueueRequest::Cancel {
        session: client.session(),
        consumer: ConsumerTag(1),
        held: weir_broker::api::queues::Held::Stays,
    };
    client.ask(&mut cluster, cancel);
    cluster.rounds(70);
    assert!(exists(&mut client, &mut cluster, "brief"));
    cluster.rounds(250);
    assert!(!exists(&mut client, &mut cluster, "brief"));
}

#[test]
fn what_a_queue_cannot_have_is_refused_when_it_is_declared() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, FOUNDER);
    let text = |text: &'static str| FieldValue::LongString(Bytes::from_static(text.as_bytes()));
    for (name, value) in [
        ("x-expires", FieldValue::Int32(0)),
        ("x-message-ttl", text("soon")),
        ("x-queue-type", text("quantum")),
        ("x-max-age", text("1D")),
        ("x-max-priority", FieldValue::Int32(256)),
    ] {
        let declare = DeclareQueue {
            arguments: FieldTable(vec![(short(name), value)]),
            ..queue(&client, "q")
        };
        let answer = client.ask(&mut cluster, QueueRequest::DeclareQueue(declare));
        assert!(
            matches!(
                answer,
                QueueOutcome::Refused(Refused::Argument { .. } | Refused::Precondition(_))
            ),
            "{name}: {answer:?}"
        );
    }
    assert!(!exists(&mut client, &mut cluster, "q"));
}

fn with(arguments: &[(&str, i32)], client: &Client, name: &str) -> QueueRequest {
    let fields = arguments.iter();
    let fields = fields.map(|(name, value)| (short(name), FieldValue::Int32(*value)));
    QueueRequest::DeclareQueue(DeclareQueue {
        arguments: FieldTable(fields.collect()),
        ..queue(client, name)
    })
}

#[test]
fn a_queue_of_several_partitions_is_one_to_its_clients() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, OTHER);
    let request = with(&[("x-weir-partitions", 3)], &client, "wide");
    client.ask(&mut cluster, request);
    let messages = (0..12).map(|_| message("wide", "x"));
    let verdicts = client.publish(&mut cluster, messages.collect());
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Stored));
    let request = passive(&client, "wide");
    let QueueOutcome::Declared(declared) = client.ask(&mut cluster, request) else {
        panic!("no queue");
    };
    assert_eq!(declared.message_count, 12);
    client.consume(&mut cluster, 1, "wide", true);
    cluster.rounds(5);
    assert_eq!(client.messages(&mut cluster).len(), 12);
}

#[test]
fn a_message_id_that_comes_again_within_the_window_is_stored_once() {
    let mut cluster = two();
    let mut client = Client::open(&mut cluster, OTHER);
    let request = with(&[("x-weir-dedup-ms", 60_000)], &client, "once");
    client.ask(&mut cluster, request);
    let named = |id: &str| {
        let mut message = message("once", "x");
        message.properties.message_id = Some(short(id));
        message
    };
    for _ in 0..2 {
        let verdicts = client.publish(&mut cluster, vec![named("a"), named("b")]);
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Stored));
    }
    let request = passive(&client, "once");
    let QueueOutcome::Declared(declared) = client.ask(&mut cluster, request) else {
        panic!("no queue");
    };
    assert_eq!(declared.message_count, 2);
}

#[test]
fn what_one_node_has_declared_is_known_to_the_other_at_once() {
    let mut cluster = two();
    let mut here = Client::open(&mut cluster, FOUNDER);
    let mut there = Client::open(&mut cluster, OTHER);
    for number in 0..20 {
        let name = format!("q{number}");
        here.declare(&mut cluster, &name);
        assert!(exists(&mut there, &mut cluster, &name), "{name}");
        let delete = QueueRequest::DeleteQueue {
            session: there.session(),
            name: short(&name),
            if_unused: false,
            if_empty: false,
        };
        there.ask(&mut cluster, delete);
        assert!(!exists(&mut here, &mut cluster, &name), "{name}");
    }
}

#[test]
fn a_check_of_messages_finds_what_another_node_has_declared_and_stores_nothing() {
    let mut cluster = two();
    let mut here = Client::open(&mut cluster, FOUNDER);
    let mut there = Client::open(&mut cluster, OTHER);
    here.declare(&mut cluster, "t");
    let check = |client: &mut Client, cluster: &mut Cluster, exchange: &str| {
        let to = Message {
            exchange: short(exchange),
            ..message("t", "body")
        };
        let check = QueueRequest::CheckPublish {
            session: client.session(),
            messages: vec![message("t", "body"), to],
        };
        client.ask(cluster, check)
    };
    for number in 0..20 {
        let name = format!("x{number}");
        let answer = check(&mut there, &mut cluster, &name);
        let is_unknown = matches!(answer, QueueOutcome::Refused(Refused::NoExchange { .. }));
        assert!(is_unknown, "{answer:?}");
        let declare = DeclareExchange {
            session: here.session(),
            name: short(&name),
            kind: short("fanout"),
            is_passive: false,
            is_durable: true,
            is_auto_delete: false,
            is_internal: false,
            arguments: FieldTable::default(),
        };
        let answer = here.ask(&mut cluster, QueueRequest::DeclareExchange(declare));
        assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
        let answer = check(&mut there, &mut cluster, &name);
        assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    }
    assert!(there.get(&mut cluster, true).is_none());
}

#[test]
fn exclusive_queues_of_a_node_that_is_lost_go_and_their_names_are_free() {
    let mut cluster = three();
    let lost = NodeId(3);
    let mut owner = Client::open(&mut cluster, lost);
    let mut other = Client::open(&mut cluster, FOUNDER);
    let own = DeclareQueue {
        is_exclusive: true,
        ..queue(&owner, "own")
    };
    let answer = owner.ask(&mut cluster, QueueRequest::DeclareQueue(own));
    assert!(matches!(answer, QueueOutcome::Declared(_)), "{answer:?}");
    cluster.set_up(lost, false);
    // Two seconds: it may come back.
    cluster.rounds(100);
    let request = passive(&other, "own");
    let answer = other.ask(&mut cluster, request);
    assert!(
        matches!(answer, QueueOutcome::Refused(Refused::Locked { .. })),
        "{answer:?}"
    );
    cluster.rounds(300);
    let mine = DeclareQueue {
        is_exclusive: true,
        ..queue(&other, "own")
    };
    let answer = other.ask(&mut cluster, QueueRequest::DeclareQueue(mine));
    assert!(matches!(answer, QueueOutcome::Declared(_)), "{answer:?}");
}
