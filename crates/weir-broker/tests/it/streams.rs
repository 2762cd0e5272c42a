//! Streams as sessions read them, on the node that leads and on one that does not.

use bytes::Bytes;
use weir_broker::api::queues::{
    Consume, ConsumerTag, DeclareQueue, Delivered, QueueOutcome, QueueRequest, Refused, Settlement,
    Verdict,
};
use weir_model::{
    NodeId,
    fields::{FieldTable, FieldValue},
    message::StoredMessage,
};

use crate::{
    nodes::{Cluster, status_of},
    queues::{Client, body, message, short},
};

const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];

fn text(text: &'static str) -> FieldValue {
    FieldValue::LongString(Bytes::from_static(text.as_bytes()))
}

fn declare(client: &Client, is_passive: bool) -> QueueRequest {
    let kind = (short("x-queue-type"), text("stream"));
    QueueRequest::DeclareQueue(DeclareQueue {
        session: client.session(),
        name: short("s"),
        is_passive,
        is_durable: true,
        is_exclusive: false,
        is_auto_delete: false,
        arguments: FieldTable(vec![kind]),
    })
}

fn consume(client: &Client, tag: u64, from: FieldValue, prefetch_count: u16) -> QueueRequest {
    QueueRequest::Consume(Consume {
        session: client.session(),
        consumer: ConsumerTag(tag),
        name: short("s"),
        no_ack: false,
        is_exclusive: false,
        prefetch_count,
        arguments: FieldTable(vec![(short("x-stream-offset"), from)]),
    })
}

fn begun(client: &mut Client, cluster: &mut Cluster, request: QueueRequest) {
    let answer = client.ask(cluster, request);
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
}

fn read(client: &mut Client, cluster: &mut Cluster) -> Vec<Delivered> {
    cluster.rounds(30);
    let messages = client.messages(cluster);
    messages
        .into_iter()
        .map(|(_, delivered)| delivered)
        .collect()
}

fn bodies(read: &[Delivered]) -> Vec<String> {
    read.iter().map(body).collect()
}

fn offset(delivered: &Delivered) -> Option<i64> {
    let message = StoredMessage::read(&delivered.record, 0, &short("s")).unwrap();
    let headers = message.properties().unwrap().headers.unwrap();
    headers.get("x-stream-offset")?.as_int()
}

/// A stream with the messages `a` to `e`.
fn with_stream() -> Cluster {
    let mut cluster = Cluster::found(1);
    cluster.join();
    let mut client = Client::open(&mut cluster, NODES[0]);
    let request = declare(&client, false);
    let declared = client.ask(&mut cluster, request);
    assert!(
        matches!(declared, QueueOutcome::Declared(_)),
        "{declared:?}"
    );
    for body in ["a", "b", "c", "d", "e"] {
        let verdicts = client.publish(&mut cluster, vec![message("s", body)]);
        assert_eq!(verdicts, [Verdict::Stored]);
    }
    let mut other = Client::open(&mut cluster, NODES[1]);
    for _ in 0..100 {
        let request = declare(&other, true);
        match other.ask(&mut cluster, request) {
            QueueOutcome::Declared(declared) if declared.message_count == 5 => return cluster,
            _ => cluster.rounds(10),
        }
    }
    panic!("the other node never knows of the stream");
}

#[test]
fn every_consumer_reads_a_stream_from_where_it_wants_and_nothing_goes() {
    let mut cluster = with_stream();
    for at in NODES {
        let mut client = Client::open(&mut cluster, at);
        let request = consume(&client, 1, text("first"), 100);
        begun(&mut client, &mut cluster, request);
        let messages = read(&mut client, &mut cluster);
        assert_eq!(bodies(&messages), ["a", "b", "c", "d", "e"]);
        let offsets: Vec<_> = messages.iter().map(offset).collect();
        assert_eq!(offsets, (0..5).map(Some).collect::<Vec<_>>());
        for delivered in &messages {
            client.settle(&mut cluster, delivered, Settlement::Ack);
        }
        let request = consume(&client, 2, FieldValue::Int32(3), 100);
        begun(&mut client, &mut cluster, request);
        assert_eq!(bodies(&read(&mut client, &mut cluster)), ["d", "e"]);
        let request = consume(&client, 3, text("last"), 100);
        begun(&mut client, &mut cluster, request);
        assert_eq!(bodies(&read(&mut client, &mut cluster)), ["e"]);
    }
}

#[test]
fn what_is_published_later_comes_to_whoever_waits_at_the_end() {
    let mut cluster = with_stream();
    let mut waiting: Vec<Client> = Vec::new();
    for at in NODES {
        let mut client = Client::open(&mut cluster, at);
        let request = consume(&client, 1, text("next"), 100);
        begun(&mut client, &mut cluster, request);
        assert_eq!(read(&mut client, &mut cluster).len(), 0);
        waiting.push(client);
    }
    let mut client = Client::open(&mut cluster, NODES[1]);
    client.publish(&mut cluster, vec![message("s", "later")]);
    for client in &mut waiting {
        assert_eq!(bodies(&read(client, &mut cluster)), ["later"]);
    }
}

#[test]
fn a_client_holds_no_more_of_a_stream_than_its_limit() {
    let mut cluster = with_stream();
    for at in NODES {
        let mut client = Client::open(&mut cluster, at);
        let request = consume(&client, 1, text("first"), 2);
        begun(&mut client, &mut cluster, request);
        let first = read(&mut client, &mut cluster);
        assert_eq!(bodies(&first), ["a", "b"]);
        client.settle(&mut cluster, &first[0], Settlement::Ack);
        assert_eq!(bodies(&read(&mut client, &mut cluster)), ["c"]);
        let limit = QueueRequest::Limit {
            session: client.session(),
            consumer: ConsumerTag(1),
            prefetch_count: 4,
        };
        begun(&mut client, &mut cluster, limit);
        assert_eq!(bodies(&read(&mut client, &mut cluster)), ["d", "e"]);
    }
}

#[test]
fn a_node_without_a_copy_reads_that_of_the_leader() {
    let mut cluster = Cluster::found(1);
    (0..3).for_each(|_| cluster.join());
    let copies = |cluster: &Cluster| {
        let has_copy = |id: &&NodeId| {
            let status = status_of(&cluster.nodes[*id]);
            let mut shards = status.groups.into_iter().filter(|group| group.id == 1);
            shards.any(|group| group.voters.len() == 3 && group.voters.contains(&id.0))
        };
        let ids: Vec<NodeId> = cluster.nodes.keys().filter(has_copy).copied().collect();
        ids
    };
    cluster.until("three copies", |cluster| copies(cluster).len() == 3);
    let with_copy = copies(&cluster);
    let ids: Vec<NodeId> = cluster.nodes.keys().copied().collect();
    let without = ids.into_iter().find(|id| !with_copy.contains(id)).unwrap();
    let mut client = Client::open(&mut cluster, without);
    let request = declare(&client, false);
    let declared = client.ask(&mut cluster, request);
    assert!(
        matches!(declared, QueueOutcome::Declared(_)),
        "{declared:?}"
    );
    client.publish(&mut cluster, vec![message("s", "a"), message("s", "b")]);
    let request = consume(&client, 1, text("first"), 10);
    begun(&mut client, &mut cluster, request);
    assert_eq!(bodies(&read(&mut client, &mut cluster)), ["a", "b"]);
    client.publish(&mut cluster, vec![message("s", "c")]);
    assert_eq!(bodies(&read(&mut client, &mut cluster)), ["c"]);
}

#[test]
fn a_consumer_that_is_cancelled_reads_no_more() {
    let mut cluster = with_stream();
    for at in NODES {
        let mut client = Client::open(&mut cluster, at);
        let request = consume(&client, 1, text("next"), 10);
        begun(&mut client, &mut cluster, request);
        let cancel = QueueRequest::Cancel {
            session: client.session(),
            consumer: ConsumerTag(1),
            held: weir_broker::api::queues::Held::Stays,
        };
        begun(&mut client, &mut cluster, cancel);
        client.publish(&mut cluster, vec![message("s", "unread")]);
        assert_eq!(read(&mut client, &mut cluster).len(), 0);
    }
}

#[test]
fn what_streams_do_not_do_is_refused() {
    let mut cluster = with_stream();
    let mut client = Client::open(&mut cluster, NODES[0]);
    let session = || client.session();
    let mut without_settling = consume(&client, 1, text("first"), 10);
    if let QueueRequest::Consume(consume) = &mut without_settling {
        consume.no_ack = true;
    }
    let requests = [
        (without_settling, "autoack"),
        (consume(&client, 2, text("first"), 0), "prefetch"),
        (
            consume(&client, 3, text("yesterday"), 10),
            "x-stream-offset",
        ),
        (
            QueueRequest::Get {
                session: session(),
                name: short("s"),
                no_ack: false,
            },
            "basic.get",
        ),
        (
            QueueRequest::Purge {
                session: session(),
                name: short("s"),
            },
            "queue.purge",
        ),
    ];
    for (request, word) in requests {
        match client.ask(&mut cluster, request) {
            QueueOutcome::Refused(
                refused @ (Refused::NotImplemented(_)
                | Refused::Precondition(_)
                | Refused::Argument { .. }),
            ) => assert!(refused.to_string().contains(word), "{refused}"),
            other => panic!("{other:?}"),
        }
    }
}
