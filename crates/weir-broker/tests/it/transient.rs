//! Transient queues: in their node's memory, without a log, as long as the node's run.

use bytes::Bytes;
use weir_broker::api::queues::{
    DeclareQueue, Delivered, Message, QueueOutcome, QueueRequest, Refused, Tiding, Verdict,
};
use weir_model::{
    GroupId, NodeId,
    fields::{BasicProperties, FieldTable},
    message::StoredMessage,
};

use crate::{
    nodes::{Cluster, TRANSIENT_BUDGET_BYTES},
    queues::{Client, body, message, short},
};

const FOUNDER: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const SECOND_ROUNDS: u32 = 50;
const LARGE_BYTES: usize = 4_000;

fn transient(client: &Client, name: &str) -> DeclareQueue {
    DeclareQueue {
        session: client.session(),
        name: short(name),
        is_passive: false,
        is_durable: false,
        is_exclusive: false,
        is_auto_delete: false,
        arguments: FieldTable::default(),
    }
}

fn declare(client: &mut Client, cluster: &mut Cluster, name: &str) {
    let request = QueueRequest::DeclareQueue(transient(client, name));
    let answer = client.ask(cluster, request);
    assert!(matches!(answer, QueueOutcome::Declared(_)), "{answer:?}");
}

fn exists(client: &mut Client, cluster: &mut Cluster, name: &str) -> bool {
    let request = QueueRequest::DeclareQueue(DeclareQueue {
        is_passive: true,
        ..transient(client, name)
    });
    match client.ask(cluster, request) {
        QueueOutcome::Declared(_) => true,
        QueueOutcome::Refused(Refused::NoQueue { .. }) => false,
        other => panic!("{other:?}"),
    }
}

/// A message that begins with its number.
fn large(number: u32) -> Message {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(LARGE_BYTES, 7);
    Message {
        exchange: short(""),
        routing_key: short("q"),
        is_mandatory: false,
        properties: BasicProperties::default(),
        body: Bytes::from(body),
    }
}

fn number(delivered: &Delivered) -> u32 {
    let record = &delivered.record;
    let stored = StoredMessage::read(record, delivered.timestamp_ms, &short("t")).unwrap();
    assert_eq!(stored.body.len(), LARGE_BYTES);
    u32::from_be_bytes(stored.body[..4].try_into().unwrap())
}

fn publish(client: &mut Client, cluster: &mut Cluster, messages: Vec<Message>) {
    let count = messages.len();
    let verdicts = client.publish(cluster, messages);
    assert_eq!(verdicts, vec![Verdict::Stored; count]);
}

fn bodies(client: &mut Client, cluster: &mut Cluster) -> Vec<String> {
    let messages = client.messages(cluster);
    messages.iter().map(|(_, it)| body(it)).collect()
}

#[test]
fn a_transient_queues_messages_are_confirmed_and_delivered_and_none_is_in_the_log() {
    let mut cluster = Cluster::found(2);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare(&mut client, &mut cluster, "q");
    client.consume(&mut cluster, 1, "q", true);
    publish(&mut client, &mut cluster, vec![message("q", "first")]);
    assert_eq!(bodies(&mut client, &mut cluster), ["first"]);
    cluster.rounds(SECOND_ROUNDS);
    let written_bytes = |cluster: &Cluster| cluster.observer(FOUNDER).wal().written_bytes;
    let before = written_bytes(&cluster);
    for _ in 0..20 {
        publish(&mut client, &mut cluster, vec![message("q", "more"); 10]);
        assert_eq!(bodies(&mut client, &mut cluster), vec!["more"; 10]);
    }
    assert_eq!(written_bytes(&cluster), before);
    client.declare(&mut cluster, "durable");
    publish(&mut client, &mut cluster, vec![message("durable", "x")]);
    assert!(written_bytes(&cluster) > before);
}

#[test]
fn what_is_past_the_budget_lies_in_segments_and_comes_in_order() {
    let mut cluster = Cluster::found(2);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare(&mut client, &mut cluster, "q");
    let sent_bytes = 12 * TRANSIENT_BUDGET_BYTES;
    let count = u32::try_from(sent_bytes / LARGE_BYTES as u64).unwrap();
    let count = count.next_multiple_of(10);
    for first in (0..count).step_by(10) {
        let messages = (first..first + 10).map(large).collect();
        publish(&mut client, &mut cluster, messages);
        let figures = cluster.observer(FOUNDER).figures();
        assert!(figures.transient_bytes <= 2 * TRANSIENT_BUDGET_BYTES);
    }
    assert!(cluster.partition_bytes(0) > sent_bytes / 2);
    client.consume(&mut cluster, 1, "q", true);
    let mut numbers = Vec::new();
    // What is read from segments comes by threads.
    for _ in 0..100_000 {
        if numbers.len() >= count as usize {
            break;
        }
        for (_, delivered) in client.messages(&mut cluster) {
            client.session().note_sent(delivered.record.len());
            numbers.push(number(&delivered));
        }
        std::thread::yield_now();
    }
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    cluster.rounds(3 * SECOND_ROUNDS);
    assert_eq!(cluster.partition_bytes(0), 0, "nobody needs them any more");
}

#[test]
fn every_node_serves_a_transient_queue_of_one_of_them() {
    let mut cluster = Cluster::found(2);
    cluster.join();
    cluster.rounds(SECOND_ROUNDS);
    let mut here = Client::open(&mut cluster, FOUNDER);
    let mut there = Client::open(&mut cluster, OTHER);
    declare(&mut there, &mut cluster, "q");
    cluster.rounds(10);
    let home = GroupId::transient(OTHER).unwrap();
    for node in cluster.nodes.values() {
        assert_eq!(node.leader_of(home).map(|(leader, _)| leader), Some(OTHER));
    }
    publish(&mut here, &mut cluster, vec![message("q", "a")]);
    publish(&mut there, &mut cluster, vec![message("q", "b")]);
    here.consume(&mut cluster, 1, "q", false);
    cluster.rounds(5);
    assert_eq!(bodies(&mut here, &mut cluster), ["a", "b"]);
    drop(here);
    there.consume(&mut cluster, 1, "q", false);
    cluster.rounds(SECOND_ROUNDS);
    assert_eq!(bodies(&mut there, &mut cluster), ["a", "b"]);
}

#[test]
fn a_restart_ends_the_nodes_transient_queues_and_their_files_and_no_others() {
    let mut cluster = Cluster::found(2);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare(&mut client, &mut cluster, "q");
    client.declare(&mut cluster, "durable");
    publish(&mut client, &mut cluster, vec![message("durable", "kept")]);
    for first in (0..200).step_by(10) {
        let messages = (first..first + 10).map(large).collect();
        publish(&mut client, &mut cluster, messages);
    }
    assert!(cluster.partition_dirs(0) > 0);
    drop(client);
    cluster.restart(FOUNDER);
    assert_eq!(cluster.partition_dirs(0), 0);
    let mut client = Client::open(&mut cluster, FOUNDER);
    assert!(!exists(&mut client, &mut cluster, "q"));
    client.consume(&mut cluster, 1, "durable", true);
    assert_eq!(bodies(&mut client, &mut cluster), ["kept"]);
    declare(&mut client, &mut cluster, "q");
    publish(&mut client, &mut cluster, vec![message("q", "anew")]);
    client.consume(&mut cluster, 2, "q", true);
    assert_eq!(bodies(&mut client, &mut cluster), ["anew"]);
}

#[test]
fn a_transient_queue_goes_with_a_lost_node_and_its_name_is_free() {
    let mut cluster = Cluster::found(2);
    cluster.join();
    cluster.join();
    cluster.rounds(5 * SECOND_ROUNDS);
    let lost = NodeId(3);
    let mut there = Client::open(&mut cluster, lost);
    let mut here = Client::open(&mut cluster, FOUNDER);
    declare(&mut there, &mut cluster, "q");
    cluster.rounds(10);
    here.consume(&mut cluster, 1, "q", false);
    publish(&mut here, &mut cluster, vec![message("q", "held")]);
    assert_eq!(bodies(&mut here, &mut cluster), ["held"]);
    cluster.set_up(lost, false);
    let request = QueueRequest::DeclareQueue(transient(&here, "q"));
    let ticket = here.submit(&cluster, request);
    let mut declared = None;
    for _ in 0..20 * SECOND_ROUNDS {
        cluster.round();
        declared = declared.or_else(|| here.hear(ticket));
    }
    assert!(
        matches!(declared, Some(QueueOutcome::Declared(_))),
        "{declared:?}"
    );
    let told: Vec<Tiding> = here.told.drain(..).collect();
    assert!(matches!(told[..], [Tiding::Cancelled(_)]), "{told:?}");
    here.consume(&mut cluster, 2, "q", true);
    publish(&mut here, &mut cluster, vec![message("q", "anew")]);
    assert_eq!(bodies(&mut here, &mut cluster), ["anew"]);
    // Nothing waits for the lost node.
    drop(here);
    cluster.rounds(SECOND_ROUNDS);
}
