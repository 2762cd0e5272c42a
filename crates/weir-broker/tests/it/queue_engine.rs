//! Queues whose leaders, nodes and messages come to their end.

use bytes::Bytes;
use weir_broker::api::queues::{
    DeclareExchange, DeclareQueue, Delivered, Message, QueueOutcome, QueueRequest, Settlement,
    Verdict,
};
use weir_model::{
    NodeId,
    fields::{BasicProperties, FieldTable, FieldValue, ShortString},
    message::StoredMessage,
};

use crate::{
    nodes::Cluster,
    queues::{Client, body, message, short},
};

const FOUNDER: NodeId = NodeId(1);
/// Rounds that take a second.
const SECOND_ROUNDS: u32 = 50;

fn text(value: &str) -> FieldValue {
    FieldValue::LongString(Bytes::copy_from_slice(value.as_bytes()))
}

fn number(value: i64) -> FieldValue {
    FieldValue::Int64(value)
}

fn table(fields: &[(&str, FieldValue)]) -> FieldTable {
    let fields = fields.iter();
    FieldTable(
        fields
            .map(|(name, value)| (short(name), value.clone()))
            .collect(),
    )
}

fn nodes(count: usize) -> Cluster {
    let mut cluster = Cluster::found(1);
    (1..count).for_each(|_| cluster.join());
    cluster.rounds(5 * SECOND_ROUNDS);
    cluster
}

fn declare(client: &mut Client, cluster: &mut Cluster, name: &str, fields: &[(&str, FieldValue)]) {
    let declare = DeclareQueue {
        session: client.session(),
        name: short(name),
        is_passive: false,
        is_durable: true,
        is_exclusive: false,
        is_auto_delete: false,
        arguments: table(fields),
    };
    let answer = client.ask(cluster, QueueRequest::DeclareQueue(declare));
    assert!(matches!(answer, QueueOutcome::Declared(_)), "{answer:?}");
}

/// A queue whose dead letters go to the queue `dead`.
fn declare_both(client: &mut Client, cluster: &mut Cluster, fields: &[(&str, FieldValue)]) {
    declare(client, cluster, "dead", &[]);
    let own = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("dead")),
    ];
    declare(client, cluster, "q", &[&own[..], fields].concat());
}

fn publish(client: &mut Client, cluster: &mut Cluster, messages: Vec<Message>) {
    let verdicts = client.publish(cluster, messages);
    assert!(
        verdicts.iter().all(|it| *it == Verdict::Stored),
        "{verdicts:?}"
    );
}

/// Bodies, and why each died for the last time.
fn deaths(messages: &[Delivered]) -> Vec<(String, String)> {
    let told = messages.iter().map(|delivered| {
        let (record, time_ms) = (&delivered.record, delivered.timestamp_ms);
        let stored = StoredMessage::read(record, time_ms, &ShortString::default()).unwrap();
        let headers = stored.properties().unwrap().headers.unwrap();
        let Some(FieldValue::LongString(reason)) = headers.get("x-last-death-reason") else {
            panic!("{headers:?}");
        };
        let reason = String::from_utf8(reason.to_vec()).unwrap();
        (body(delivered), reason)
    });
    told.collect()
}

fn all(client: &mut Client, cluster: &mut Cluster) -> Vec<Delivered> {
    let messages = client.messages(cluster);
    messages
        .into_iter()
        .map(|(_, delivered)| delivered)
        .collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    let wanted = wanted.iter();
    wanted
        .map(|(body, reason)| ((*body).to_owned(), (*reason).to_owned()))
        .collect()
}

#[test]
fn rejected_messages_lie_in_the_dead_letter_queue_once_and_tell_why() {
    let mut cluster = nodes(2);
    let mut client = Client::open(&mut cluster, NodeId(2));
    declare_both(&mut client, &mut cluster, &[]);
    publish(
        &mut client,
        &mut cluster,
        vec![message("q", "one"), message("q", "two")],
    );
    client.consume(&mut cluster, 1, "q", false);
    let held = all(&mut client, &mut cluster);
    client.settle(&mut cluster, &held[0], Settlement::Reject);
    client.settle(&mut cluster, &held[1], Settlement::Reject);
    cluster.rounds(SECOND_ROUNDS);
    client.consume(&mut cluster, 2, "dead", false);
    let dead = all(&mut client, &mut cluster);
    assert_eq!(
        deaths(&dead),
        pairs(&[("one", "rejected"), ("two", "rejected")])
    );
}

#[test]
fn what_is_not_taken_in_time_expires_and_is_never_delivered() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare_both(&mut client, &mut cluster, &[("x-message-ttl", number(400))]);
    let mut short_lived = message("q", "short");
    short_lived.properties = BasicProperties {
        expiration: Some(short("100")),
        ..BasicProperties::default()
    };
    publish(
        &mut client,
        &mut cluster,
        vec![short_lived, message("q", "long")],
    );
    client.consume(&mut cluster, 2, "dead", false);
    cluster.rounds(SECOND_ROUNDS / 4);
    let dead = all(&mut client, &mut cluster);
    assert_eq!(deaths(&dead), pairs(&[("short", "expired")]));
    cluster.rounds(SECOND_ROUNDS / 2);
    client.consume(&mut cluster, 1, "q", false);
    let dead = all(&mut client, &mut cluster);
    assert_eq!(deaths(&dead), pairs(&[("long", "expired")]));
}

#[test]
fn what_was_stored_while_the_clock_was_ahead_expires_in_its_time_and_keeps_nobody_waiting() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare_both(&mut client, &mut cluster, &[("x-message-ttl", number(400))]);
    cluster.set_clocks_ahead(3_600_000);
    let early = ["one", "two"].map(|body| message("q", body));
    publish(&mut client, &mut cluster, early.to_vec());
    cluster.rounds(1);
    cluster.set_clocks_ahead(0);
    publish(&mut client, &mut cluster, vec![message("q", "later")]);
    client.consume(&mut cluster, 2, "dead", false);
    cluster.rounds(SECOND_ROUNDS / 4);
    assert!(all(&mut client, &mut cluster).is_empty());
    cluster.rounds(2 * SECOND_ROUNDS);
    let dead = all(&mut client, &mut cluster);
    assert_eq!(
        deaths(&dead),
        pairs(&[("one", "expired"), ("two", "expired"), ("later", "expired")])
    );
}

#[test]
fn what_is_too_much_goes_to_the_dead_letter_queue_the_oldest_first() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare_both(&mut client, &mut cluster, &[("x-max-length", number(1))]);
    let bodies = ["one", "two", "three"].map(|body| message("q", body));
    publish(&mut client, &mut cluster, bodies.to_vec());
    client.consume(&mut cluster, 2, "dead", false);
    cluster.rounds(SECOND_ROUNDS);
    let dead = all(&mut client, &mut cluster);
    assert_eq!(
        deaths(&dead),
        pairs(&[("one", "maxlen"), ("two", "maxlen")])
    );
}

#[test]
fn a_queue_that_refuses_says_so_of_each_message_that_is_too_much() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    let fields = [
        ("x-max-length", number(2)),
        ("x-overflow", text("reject-publish")),
    ];
    declare(&mut client, &mut cluster, "q", &fields);
    let bodies = ["one", "two", "three"].map(|body| message("q", body));
    let verdicts = client.publish(&mut cluster, bodies.to_vec());
    let wanted = [Verdict::Stored, Verdict::Stored, Verdict::Rejected];
    assert_eq!(verdicts, wanted);
}

#[test]
fn a_message_that_fails_too_often_is_parked_where_people_find_it() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    let fields = [
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", number(1)),
    ];
    declare(&mut client, &mut cluster, "q", &fields);
    client.consume(&mut cluster, 1, "q", false);
    publish(&mut client, &mut cluster, vec![message("q", "poison")]);
    for _ in 0..2 {
        let held = all(&mut client, &mut cluster);
        assert_eq!(held.len(), 1);
        client.settle(&mut cluster, &held[0], Settlement::RequeueFailed);
    }
    cluster.rounds(SECOND_ROUNDS);
    assert_eq!(all(&mut client, &mut cluster).len(), 0);
    client.consume(&mut cluster, 2, "q.parked", false);
    let parked = all(&mut client, &mut cluster);
    assert_eq!(deaths(&parked), pairs(&[("poison", "delivery_limit")]));
}

#[test]
fn a_message_with_a_delay_comes_after_it() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare(&mut client, &mut cluster, "q", &[]);
    let declare = DeclareExchange {
        session: client.session(),
        name: short("later"),
        kind: short("x-delayed-message"),
        is_passive: false,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: table(&[("x-delayed-type", text("fanout"))]),
    };
    let answer = client.ask(&mut cluster, QueueRequest::DeclareExchange(declare));
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    let bind = weir_broker::api::queues::Bind {
        session: client.session(),
        source: short("later"),
        destination: weir_broker::api::queues::Destination::Queue(short("q")),
        routing_key: short(""),
        arguments: FieldTable::default(),
    };
    let answer = client.ask(&mut cluster, QueueRequest::Bind(bind));
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    client.consume(&mut cluster, 1, "q", false);
    let delayed = |body, delay_ms| {
        let mut delayed = message("", body);
        delayed.exchange = short("later");
        delayed.properties.headers = Some(table(&[("x-delay", number(delay_ms))]));
        delayed
    };
    publish(
        &mut client,
        &mut cluster,
        vec![delayed("second", 600), delayed("first", 300)],
    );
    cluster.rounds(SECOND_ROUNDS / 5);
    assert_eq!(all(&mut client, &mut cluster).len(), 0);
    let mut bodies = Vec::new();
    for _ in 0..2 {
        cluster.rounds(SECOND_ROUNDS / 4);
        bodies.extend(all(&mut client, &mut cluster).iter().map(body));
    }
    assert_eq!(bodies, ["first", "second"]);
}

#[test]
fn consumers_and_what_they_hold_outlive_the_leader() {
    let mut cluster = nodes(3);
    let mut clients: Vec<Client> = (1..=3)
        .map(|id| Client::open(&mut cluster, NodeId(id)))
        .collect();
    declare(&mut clients[0], &mut cluster, "q", &[]);
    for (tag, client) in (1..).zip(&mut clients) {
        client.consume(&mut cluster, tag, "q", false);
    }
    let bodies = ["a", "b", "c"].map(|body| message("q", body));
    publish(&mut clients[1], &mut cluster, bodies.to_vec());
    let held: Vec<Vec<Delivered>> = clients
        .iter_mut()
        .map(|client| all(client, &mut cluster))
        .collect();
    assert!(held.iter().all(|of_one| of_one.len() == 1));
    let leader = |cluster: &Cluster| {
        let group = weir_model::GroupId(1);
        cluster.nodes[&FOUNDER]
            .leader_of(group)
            .map(|(leader, _)| leader)
    };
    let before = leader(&cluster).unwrap();
    cluster.nodes[&before].hand_over();
    cluster.until("another leads", |cluster| {
        leader(cluster).is_some_and(|now| now != before)
    });
    cluster.rounds(2 * SECOND_ROUNDS);
    for client in &mut clients {
        assert_eq!(all(client, &mut cluster).len(), 0, "nothing comes twice");
    }
    publish(&mut clients[2], &mut cluster, vec![message("q", "d")]);
    cluster.rounds(2);
    let mut count = 0;
    for (client, held) in clients.iter_mut().zip(&held) {
        count += all(client, &mut cluster).len();
        client.settle(&mut cluster, &held[0], Settlement::Ack);
    }
    assert_eq!(count, 1);
    drop(clients);
    cluster.rounds(SECOND_ROUNDS);
    let mut last = Client::open(&mut cluster, FOUNDER);
    last.consume(&mut cluster, 9, "q", false);
    let left = all(&mut last, &mut cluster);
    assert_eq!(left.iter().map(body).collect::<Vec<_>>(), ["d"]);
    assert!(left[0].is_redelivered);
}

#[test]
fn what_a_lost_nodes_sessions_hold_is_ready_again_after_a_while() {
    let mut cluster = nodes(3);
    let lost = NodeId(3);
    let mut there = Client::open(&mut cluster, lost);
    let mut here = Client::open(&mut cluster, FOUNDER);
    declare(&mut here, &mut cluster, "q", &[]);
    there.consume(&mut cluster, 1, "q", false);
    publish(&mut here, &mut cluster, vec![message("q", "one")]);
    assert_eq!(all(&mut there, &mut cluster).len(), 1);
    here.consume(&mut cluster, 1, "q", false);
    cluster.set_up(lost, false);
    cluster.rounds(SECOND_ROUNDS);
    assert_eq!(all(&mut here, &mut cluster).len(), 0, "too early");
    cluster.rounds(8 * SECOND_ROUNDS);
    let again = all(&mut here, &mut cluster);
    assert_eq!(again.iter().map(body).collect::<Vec<_>>(), ["one"]);
    assert!(again[0].is_redelivered && again[0].failed_count == 0);
}
