//! What was declared a moment ago through one node is there for who publishes through another.

use weir_broker::api::queues::{
    Bind, DeclareExchange, Destination, Message, Publish, QueueOutcome, QueueRequest, Refused,
    Verdict,
};
use weir_model::{NodeId, fields::FieldTable};

use crate::{
    admin_cluster::three,
    nodes::Cluster,
    queues::{Client, body, message, short},
};

const FOUNDER: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn exchange(client: &Client, name: &str) -> DeclareExchange {
    DeclareExchange {
        session: client.session(),
        name: short(name),
        kind: short("topic"),
        is_passive: false,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: FieldTable::default(),
    }
}

fn bind(client: &Client, source: &str, name: &str) -> Bind {
    Bind {
        session: client.session(),
        source: short(source),
        destination: Destination::Queue(short(name)),
        routing_key: short("#"),
        arguments: FieldTable::default(),
    }
}

/// A message that is to come back where no queue takes it.
fn mandatory(source: &str, body: &'static str) -> Message {
    Message {
        exchange: short(source),
        is_mandatory: true,
        ..message("k", body)
    }
}

fn publish(client: &Client, messages: Vec<Message>) -> QueueRequest {
    QueueRequest::Publish(Publish {
        session: client.session(),
        messages,
        is_atomic: false,
    })
}

/// The answers of requests that were submitted together, in their order.
fn answers(cluster: &mut Cluster, client: &mut Client, tickets: &[u64]) -> Vec<QueueOutcome> {
    let mut heard = std::collections::BTreeMap::new();
    for _ in 0..100 {
        cluster.round();
        heard.extend(client.hear_all());
        if tickets.iter().all(|ticket| heard.contains_key(ticket)) {
            return heard.into_values().collect();
        }
    }
    panic!("no answers");
}

/// Makes an exchange that leads to a queue, of which the other node hears nothing yet.
fn make_unheard(cluster: &mut Cluster, here: &mut Client, name: &str, queue: &str) {
    cluster.cut_off(OTHER);
    let declare = QueueRequest::DeclareExchange(exchange(here, name));
    let answer = here.ask(cluster, declare);
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    let answer = here.ask(cluster, QueueRequest::Bind(bind(here, name, queue)));
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    cluster.reach_again(OTHER);
}

/// Three nodes, and a client of one that has not heard that `q` is bound to the new exchange `e`.
fn unheard() -> (Cluster, Client) {
    let mut cluster = three();
    let mut here = Client::open(&mut cluster, FOUNDER);
    let there = Client::open(&mut cluster, OTHER);
    here.declare(&mut cluster, "q");
    cluster.rounds(5);
    make_unheard(&mut cluster, &mut here, "e", "q");
    (cluster, there)
}

#[test]
fn a_publish_finds_an_exchange_that_was_declared_a_moment_ago_through_another_node() {
    let (mut cluster, mut there) = unheard();
    let mut one = mandatory("e", "x");
    one.is_mandatory = false;
    assert_eq!(there.publish(&mut cluster, vec![one]), [Verdict::Stored]);
}

/// Publishes to an exchange that both nodes know, and that a moment ago was bound through another one.
fn publish_to_a_new_binding(is_mandatory: bool) -> Vec<Verdict> {
    let mut cluster = three();
    let mut here = Client::open(&mut cluster, FOUNDER);
    let mut there = Client::open(&mut cluster, OTHER);
    let declare = QueueRequest::DeclareExchange(exchange(&here, "e"));
    here.ask(&mut cluster, declare);
    here.declare(&mut cluster, "q");
    cluster.rounds(5);
    make_unheard(&mut cluster, &mut here, "e", "q");
    let one = Message {
        is_mandatory,
        ..mandatory("e", "x")
    };
    there.publish(&mut cluster, vec![one])
}

#[test]
fn a_publish_finds_a_binding_of_a_moment_ago_through_another_node() {
    assert_eq!(publish_to_a_new_binding(true), [Verdict::Stored]);
    assert_eq!(publish_to_a_new_binding(false), [Verdict::Stored]);
}

#[test]
fn what_a_session_publishes_behind_a_publish_that_waits_stays_behind_it() {
    let (mut cluster, mut there) = unheard();
    let first = publish(&there, vec![mandatory("e", "first")]);
    let second = publish(&there, vec![message("q", "second")]);
    let third = publish(&there, vec![mandatory("none", "third")]);
    let fourth = publish(&there, vec![message("q", "fourth")]);
    let tickets = [first, second, third, fourth].map(|one| there.submit(&cluster, one));
    let told = answers(&mut cluster, &mut there, &tickets);
    let is_absent = |outcome: &QueueOutcome| {
        let QueueOutcome::Published(verdicts) = outcome else {
            return false;
        };
        matches!(verdicts[..], [Verdict::Refused(Refused::NoExchange { .. })])
    };
    let are_absent: Vec<bool> = told.iter().map(is_absent).collect();
    assert_eq!(are_absent, [false, false, true, false], "{told:?}");
    there.consume(&mut cluster, 1, "q", true);
    cluster.rounds(10);
    let bodies: Vec<String> = there
        .messages(&mut cluster)
        .iter()
        .map(|(_, delivered)| body(delivered))
        .collect();
    assert_eq!(bodies, ["first", "second", "fourth"]);
}
