//! Bodies that are stored once for many queues: whoever reads sees whole messages.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use weir_broker::{
    Mailbox, Reply, Ticket,
    api::{
        Backend, Fetch, FetchPartition, Outcome, ReadFrom, Request, TopicRef,
        queues::{
            Bind, DeclareExchange, DeclareQueue, Delivered, Destination, Message, QueueOutcome,
            QueueRequest, Settlement, Verdict,
        },
    },
};
use weir_model::{
    NodeId, TopicName,
    batch::{BatchHeader, HEADER_BYTES, verify_crc},
    fields::{FieldTable, FieldValue},
    message::StoredMessage,
    record::Records,
};

use crate::{
    nodes::{Cluster, status_of},
    queues::{Client, message, short},
};

const FOUNDER: NodeId = NodeId(1);
/// Longest time that reads of the disk are waited for.
const MAX_DISK_WAIT_MS: u32 = 10_000;
const QUEUES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const BODY_BYTES: usize = 64 << 10;
/// Rounds that take a second.
const SECOND_ROUNDS: u32 = 50;
/// Looks within which the disk has answered.
const MAX_LOOKS_COUNT: u32 = 5_000;
/// Seconds after which bodies are gone that nobody refers to.
const GRACE_SECONDS: u32 = 40;

fn body_of(number: u8) -> Bytes {
    vec![number; BODY_BYTES].into()
}

fn fan_out(number: u8) -> Message {
    Message {
        exchange: short("all"),
        body: body_of(number),
        ..message("", "")
    }
}

fn nodes(count: usize) -> Cluster {
    let mut cluster = Cluster::found(1);
    (1..count).for_each(|_| cluster.join());
    cluster.until("all vote", |cluster| {
        let mut nodes = cluster.nodes.values();
        nodes.all(|node| {
            let groups = status_of(node).groups;
            groups.iter().all(|group| group.voters.len() == count)
        })
    });
    cluster
}

fn done(client: &mut Client, cluster: &mut Cluster, request: QueueRequest) {
    let answer = client.ask(cluster, request);
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
}

fn declare(client: &mut Client, cluster: &mut Cluster, name: &str, arguments: FieldTable) {
    let queue = DeclareQueue {
        session: client.session(),
        name: short(name),
        is_passive: false,
        is_durable: true,
        is_exclusive: false,
        is_auto_delete: false,
        arguments,
    };
    let answer = client.ask(cluster, QueueRequest::DeclareQueue(queue));
    assert!(matches!(answer, QueueOutcome::Declared(_)), "{answer:?}");
}

fn bind_of(client: &Client, queue: &str) -> Bind {
    Bind {
        session: client.session(),
        source: short("all"),
        destination: Destination::Queue(short(queue)),
        routing_key: short(""),
        arguments: FieldTable::default(),
    }
}

fn bind(client: &mut Client, cluster: &mut Cluster, queue: &str) {
    let bind = bind_of(client, queue);
    done(client, cluster, QueueRequest::Bind(bind));
}

fn purge(client: &mut Client, cluster: &mut Cluster, queue: &str, count: u64) {
    let purge = QueueRequest::Purge {
        session: client.session(),
        name: short(queue),
    };
    match client.ask(cluster, purge) {
        QueueOutcome::Counted(found) => assert_eq!(found, count),
        other => panic!("{other:?}"),
    }
}

/// Queues that all get what is published to the exchange.
fn declare_all(client: &mut Client, cluster: &mut Cluster) {
    let exchange = DeclareExchange {
        session: client.session(),
        name: short("all"),
        kind: short("fanout"),
        is_passive: false,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: FieldTable::default(),
    };
    done(client, cluster, QueueRequest::DeclareExchange(exchange));
    for queue in QUEUES {
        declare(client, cluster, queue, FieldTable::default());
        bind(client, cluster, queue);
    }
}

fn publish(client: &mut Client, cluster: &mut Cluster, messages: Vec<Message>) {
    let verdicts = client.publish(cluster, messages);
    let is_stored = |verdict: &Verdict| *verdict == Verdict::Stored;
    assert!(verdicts.iter().all(is_stored), "{verdicts:?}");
}

fn bytes_of(delivered: &Delivered) -> Bytes {
    let queue = short("q");
    let message = StoredMessage::read(&delivered.record, delivered.timestamp_ms, &queue);
    message.unwrap().body
}

/// Takes all messages of all queues; gives their bodies by queue.
/// Takes so many messages of each queue, and what comes within a few rounds more. The disk is read by
/// threads of its own: they are waited for.
fn take_all(
    client: &mut Client,
    cluster: &mut Cluster,
    first_tag: u64,
    each_count: usize,
) -> Vec<Vec<Bytes>> {
    let mut bodies: BTreeMap<u64, Vec<Bytes>> = BTreeMap::new();
    for (tag, queue) in (first_tag..).zip(QUEUES) {
        client.consume(cluster, tag, queue, false);
        bodies.entry(tag).or_default();
    }
    let (mut more_rounds, mut waited_ms) = (20, 0);
    while more_rounds > 0 && waited_ms < MAX_DISK_WAIT_MS {
        for (tag, delivered) in client.messages(cluster) {
            bodies.entry(tag.0).or_default().push(bytes_of(&delivered));
            client.settle(cluster, &delivered, Settlement::Ack);
        }
        if bodies.values().all(|of| of.len() >= each_count) {
            more_rounds -= 1;
        } else {
            std::thread::sleep(Duration::from_millis(1));
            waited_ms += 1;
        }
    }
    bodies.into_values().collect()
}

fn wanted(numbers: &[u8]) -> Vec<Vec<Bytes>> {
    let bodies: Vec<Bytes> = numbers.iter().map(|number| body_of(*number)).collect();
    QUEUES.iter().map(|_| bodies.clone()).collect()
}

/// Values of the queue's records as a client of Kafka reads them from a node.
fn fetch(cluster: &mut Cluster, node: NodeId, queue: &str, max_bytes: usize) -> Vec<Bytes> {
    let mut values = Vec::new();
    let mut offset = 0;
    loop {
        let partition = FetchPartition {
            topic: TopicRef::Name(TopicName::new(queue).unwrap()),
            index: 0,
            offset,
            max_bytes,
            leader_epoch: -1,
            last_epoch: -1,
        };
        let fetch = Request::Fetch(Fetch {
            min_bytes: 0,
            max_bytes,
            max_wait_ms: 0,
            room: None,
            from: ReadFrom::Any {
                rack: format!("rack-{}", node.0),
            },
            committed_only: true,
            partitions: vec![partition],
        });
        let mailbox = Mailbox::new(Box::new(|| {}));
        let reply = Reply::new(mailbox.clone(), Ticket(0));
        cluster.nodes[&node].submit(fetch, reply);
        let mut answers = Vec::new();
        cluster.until("an answer", |_| {
            mailbox.take(&mut answers);
            !answers.is_empty()
        });
        let Outcome::Fetch(mut fetched) = answers.remove(0).1 else {
            panic!("another answer");
        };
        let fetched = fetched.remove(0).batches.unwrap();
        let mut rest: Bytes = fetched.chunks.concat().into();
        if rest.is_empty() {
            return values;
        }
        while !rest.is_empty() {
            let header = BatchHeader::parse(&rest).unwrap();
            let batch = rest.split_to(header.size_bytes);
            verify_crc(&batch).unwrap();
            assert_eq!(header.attributes, 0);
            assert_eq!(header.base_offset, offset);
            for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
                let record = record.unwrap();
                assert_eq!(record.attributes, 0);
                values.push(batch.slice_ref(record.value.unwrap()));
            }
            offset += i64::try_from(header.offset_count()).unwrap();
        }
    }
}

#[test]
fn each_queue_gets_whole_messages_and_the_disk_has_each_body_once() {
    let mut cluster = nodes(3);
    for at in [FOUNDER, NodeId(2)] {
        let mut client = Client::open(&mut cluster, at);
        declare_all(&mut client, &mut cluster);
        let numbers = [1, 2, 3];
        publish(&mut client, &mut cluster, numbers.map(fan_out).to_vec());
        cluster.checkpoint();
        cluster.rounds(SECOND_ROUNDS);
        let bytes = cluster.partition_bytes(0);
        let once = 3 * BODY_BYTES as u64;
        assert!((once..2 * once).contains(&bytes), "{bytes} bytes");
        assert_eq!(take_all(&mut client, &mut cluster, 1, 3), wanted(&numbers));
        cluster.rounds(GRACE_SECONDS * SECOND_ROUNDS);
        cluster.checkpoint();
        cluster.rounds(SECOND_ROUNDS);
        let left = cluster.partition_bytes(0);
        assert!(left < BODY_BYTES as u64, "{left} bytes are left");
    }
}

#[test]
fn messages_keep_their_order_whether_their_bodies_are_shared_or_not() {
    let mut cluster = nodes(3);
    let mut client = Client::open(&mut cluster, NodeId(2));
    declare_all(&mut client, &mut cluster);
    let mut numbers = Vec::new();
    for number in 0..8 {
        let small = Message {
            body: vec![number; 10].into(),
            ..fan_out(0)
        };
        numbers.extend([fan_out(number), small]);
    }
    let bodies: Vec<Bytes> = numbers.iter().map(|message| message.body.clone()).collect();
    publish(&mut client, &mut cluster, numbers);
    for queue in take_all(&mut client, &mut cluster, 1, bodies.len()) {
        assert!(queue == bodies, "another order");
    }
}

#[test]
fn clients_of_kafka_read_whole_messages_from_leaders_and_followers_however_little_they_take() {
    let mut cluster = nodes(3);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare_all(&mut client, &mut cluster);
    let numbers = [1, 2, 3, 4, 5];
    for number in numbers {
        publish(&mut client, &mut cluster, vec![fan_out(number)]);
    }
    cluster.rounds(SECOND_ROUNDS);
    for checkpoints in 0..2 {
        for node in [FOUNDER, NodeId(2)] {
            for max_bytes in [1, 3 * BODY_BYTES, 1 << 20] {
                let values = fetch(&mut cluster, node, "c", max_bytes);
                let bodies = numbers.map(body_of);
                assert!(values == bodies, "{checkpoints} {node} {max_bytes}");
            }
        }
        cluster.checkpoint();
        cluster.rounds(SECOND_ROUNDS);
    }
}

#[test]
fn bodies_are_there_after_a_restart_with_and_without_a_checkpoint() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare_all(&mut client, &mut cluster);
    publish(&mut client, &mut cluster, vec![fan_out(1)]);
    cluster.checkpoint();
    publish(&mut client, &mut cluster, vec![fan_out(2)]);
    drop(client);
    cluster.restart(FOUNDER);
    // Referred to as before: what nobody refers to would be gone after this.
    cluster.rounds(GRACE_SECONDS * SECOND_ROUNDS);
    assert!(fetch(&mut cluster, FOUNDER, "b", 1) == [body_of(1), body_of(2)]);
    let mut client = Client::open(&mut cluster, FOUNDER);
    publish(&mut client, &mut cluster, vec![fan_out(3)]);
    assert_eq!(
        take_all(&mut client, &mut cluster, 1, 3),
        wanted(&[1, 2, 3])
    );
}

#[test]
fn bodies_are_there_when_another_node_leads() {
    let mut cluster = nodes(3);
    let leader = |node: &NodeId, cluster: &Cluster| {
        let mut groups = status_of(&cluster.nodes[node]).groups.into_iter();
        let shard = groups.find(|group| group.id == 1).unwrap();
        NodeId(shard.leader.unwrap())
    };
    let lost = leader(&FOUNDER, &cluster);
    let ids: Vec<NodeId> = cluster.nodes.keys().copied().collect();
    let at = ids.into_iter().find(|id| *id != lost).unwrap();
    let mut client = Client::open(&mut cluster, at);
    declare_all(&mut client, &mut cluster);
    let numbers = [1, 2];
    publish(&mut client, &mut cluster, numbers.map(fan_out).to_vec());
    cluster.set_up(lost, false);
    cluster.rounds(10 * SECOND_ROUNDS);
    assert_ne!(leader(&at, &cluster), lost);
    publish(&mut client, &mut cluster, vec![fan_out(3)]);
    assert_eq!(
        take_all(&mut client, &mut cluster, 1, 3),
        wanted(&[1, 2, 3])
    );
}

#[test]
fn a_queue_that_is_deleted_or_keeps_one_message_keeps_no_more_than_it_refers_to() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare_all(&mut client, &mut cluster);
    publish(&mut client, &mut cluster, vec![fan_out(0)]);
    for queue in &QUEUES[2..] {
        let delete = QueueRequest::DeleteQueue {
            session: client.session(),
            name: short(queue),
            if_unused: false,
            if_empty: false,
        };
        let answer = client.ask(&mut cluster, delete);
        assert!(matches!(answer, QueueOutcome::Counted(1)), "{answer:?}");
    }
    cluster.rounds(GRACE_SECONDS * SECOND_ROUNDS);
    let held = fetch(&mut cluster, FOUNDER, "a", 1);
    assert!(held == [body_of(0)], "it is referred to");
    for queue in &QUEUES[..2] {
        purge(&mut client, &mut cluster, queue, 1);
    }
    cluster.rounds(GRACE_SECONDS * SECOND_ROUNDS);
    cluster.checkpoint();
    cluster.rounds(SECOND_ROUNDS);
    let left = cluster.partition_bytes(0);
    assert!(left < BODY_BYTES as u64, "{left} bytes are left");
}

#[test]
fn dead_letters_and_messages_that_are_asked_for_have_their_bodies() {
    let mut cluster = nodes(3);
    let mut client = Client::open(&mut cluster, NodeId(2));
    declare_all(&mut client, &mut cluster);
    let text = |value: &'static str| FieldValue::LongString(Bytes::from_static(value.as_bytes()));
    declare(&mut client, &mut cluster, "t", FieldTable::default());
    let letters = FieldTable(vec![
        (short("x-dead-letter-exchange"), text("")),
        (short("x-dead-letter-routing-key"), text("t")),
        (short("x-max-length-bytes"), FieldValue::Int64(100_000)),
    ]);
    declare(&mut client, &mut cluster, "short", letters);
    bind(&mut client, &mut cluster, "short");
    // Its length is that of bodies: one of them is too many.
    publish(&mut client, &mut cluster, vec![fan_out(1), fan_out(2)]);
    cluster.rounds(SECOND_ROUNDS);
    let (dead, _) = client.get(&mut cluster, true).unwrap();
    assert!(bytes_of(&dead) == body_of(1));
    assert_eq!(client.get(&mut cluster, true), None);
}

#[test]
fn what_one_queue_keeps_back_keeps_back_little_of_what_came_after() {
    let mut cluster = nodes(1);
    let mut client = Client::open(&mut cluster, FOUNDER);
    declare_all(&mut client, &mut cluster);
    publish(&mut client, &mut cluster, vec![fan_out(1)]);
    let unbind = QueueRequest::Unbind(bind_of(&client, "a"));
    done(&mut client, &mut cluster, unbind);
    let body_bytes = 1 << 20;
    for number in 0..80 {
        let large = Message {
            body: vec![number; body_bytes].into(),
            ..fan_out(0)
        };
        publish(&mut client, &mut cluster, vec![large]);
    }
    cluster.checkpoint();
    cluster.rounds(SECOND_ROUNDS);
    assert!(cluster.partition_bytes(0) > 80 << 20);
    for queue in &QUEUES[1..] {
        purge(&mut client, &mut cluster, queue, 81);
    }
    cluster.rounds(3 * GRACE_SECONDS * SECOND_ROUNDS);
    let left = cluster.partition_bytes(0);
    assert!(left < 40 << 20, "{left} bytes are left");
    client.consume(&mut cluster, 1, "a", false);
    // The disk has it, which is read by a thread of its own.
    let mut held = Vec::new();
    for _ in 0..MAX_LOOKS_COUNT {
        if held.is_empty() {
            held = client.messages(&mut cluster);
        }
    }
    assert_eq!(held.len(), 1);
    assert!(bytes_of(&held[0].1) == body_of(1));
    cluster.restart(FOUNDER);
    assert!(fetch(&mut cluster, FOUNDER, "a", 1) == [body_of(1)]);
}
