//! A disk without room: publishers wait, everybody else goes on.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use weir_broker::api::queues::{
    Delivered, Message, Publish, QueueOutcome, QueueRequest, Settlement, Tiding, Verdict,
};

use crate::{
    nodes::Cluster,
    queues::{Client, FOUNDER, OTHER, cluster, message},
};

/// Most messages of a hundred kilobytes that fit into a log and its spares.
const MAX_FITTING_COUNT: usize = 100;

fn large(number: usize) -> Message {
    let mut body = vec![b'x'; 100 << 10];
    body[..4].copy_from_slice(format!("{number:04}").as_bytes());
    Message {
        body: Bytes::from(body),
        ..message("t", "")
    }
}

fn number(delivered: &Delivered) -> usize {
    crate::queues::body(delivered)[..4].parse().unwrap()
}

fn submit(cluster: &Cluster, client: &mut Client, message: Message) -> u64 {
    let publish = Publish {
        session: client.session(),
        messages: vec![message],
        is_atomic: false,
    };
    client.submit(cluster, QueueRequest::Publish(publish))
}

/// What the client was told of alarms, and the messages that it was told.
fn told(cluster: &mut Cluster, client: &mut Client) -> (Vec<Option<&'static str>>, Vec<Delivered>) {
    cluster.rounds(30);
    client.hear(0);
    let (mut alarms, mut messages) = (Vec::new(), Vec::new());
    for tiding in client.told.drain(..) {
        match tiding {
            Tiding::Blocked(alarm) => alarms.push(alarm),
            Tiding::Delivered(_, delivered) => {
                messages.push(delivered);
            }
            other => panic!("{other:?}"),
        }
    }
    let bytes = messages.iter().map(|it| it.record.len()).sum();
    client.session().note_sent(bytes);
    (alarms, messages)
}

#[test]
fn publishers_wait_for_room_and_lose_nothing_while_consumers_settle() {
    let mut cluster = cluster();
    let mut publisher = Client::open(&mut cluster, FOUNDER);
    let mut consumer = Client::open(&mut cluster, OTHER);
    cluster.is_full[0].store(true, Relaxed);
    let mut published_count = 0;
    let waiting = loop {
        assert!(published_count < MAX_FITTING_COUNT, "it is never full");
        let ticket = submit(&cluster, &mut publisher, large(published_count));
        published_count += 1;
        cluster.rounds(50);
        match publisher.hear(ticket) {
            Some(QueueOutcome::Published(verdicts)) => assert_eq!(verdicts, [Verdict::Stored]),
            Some(other) => panic!("{other:?}"),
            None => break ticket,
        }
    };
    assert_eq!(told(&mut cluster, &mut publisher).0, [Some("low on disk")]);
    assert_eq!(told(&mut cluster, &mut consumer).0, [Some("low on disk")]);
    let mut newcomer = Client::open(&mut cluster, OTHER);
    assert_eq!(told(&mut cluster, &mut newcomer).0, [Some("low on disk")]);
    newcomer.declare(&mut cluster, "another");

    consumer.consume(&mut cluster, 1, "t", false);
    let mut numbers = Vec::new();
    while numbers.len() < published_count - 1 {
        let (alarms, messages) = told(&mut cluster, &mut consumer);
        assert!(alarms.is_empty() && !messages.is_empty());
        for delivered in messages {
            numbers.push(number(&delivered));
            consumer.settle(&mut cluster, &delivered, Settlement::Ack);
        }
    }
    assert!(publisher.hear(waiting).is_none(), "there is no room yet");
    let more = submit(&cluster, &mut publisher, large(published_count));

    cluster.is_full[0].store(false, Relaxed);
    cluster.rounds(150);
    let answers = publisher.hear_all();
    let tickets: Vec<u64> = answers.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(tickets, [waiting, more]);
    for (_, answer) in answers {
        let is_stored = |verdicts: &[Verdict]| verdicts == [Verdict::Stored];
        assert!(matches!(&answer, QueueOutcome::Published(verdicts) if is_stored(verdicts)));
    }
    assert_eq!(told(&mut cluster, &mut publisher).0, [None]);
    let (alarms, messages) = told(&mut cluster, &mut consumer);
    assert_eq!(alarms, [None]);
    numbers.extend(messages.iter().map(number));
    assert_eq!(numbers, (0..=published_count).collect::<Vec<_>>());
}
