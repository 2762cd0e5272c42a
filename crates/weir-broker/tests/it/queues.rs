//! Queues as sessions see them, on the node that leads and on one that does not.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use weir_broker::{
    Mailbox, Node, Reply, Ticket,
    api::{
        Backend, CreateTopics, NewTopic, Outcome, Request,
        queues::{
            Consume, ConsumerTag, DeclareQueue, Delivered, Message, OpenSession, Publish,
            QueueOutcome, QueueRequest, QueueSession, REPLY_QUEUE, Settlement, Tiding, Verdict,
        },
    },
};
use weir_model::{
    NodeId,
    fields::{BasicProperties, FieldTable, ShortString},
    message::StoredMessage,
};

use crate::nodes::Cluster;

pub(crate) const FOUNDER: NodeId = NodeId(1);
pub(crate) const OTHER: NodeId = NodeId(2);

/// A connection to one of the nodes.
pub(crate) struct Client {
    at: NodeId,
    mailbox: Arc<Mailbox>,
    next_ticket: u64,
    session: Option<Arc<QueueSession>>,
    pub(crate) told: VecDeque<Tiding>,
}

pub(crate) fn short(text: &str) -> ShortString {
    ShortString::new(text).unwrap()
}

pub(crate) fn message(key: &str, body: &'static str) -> Message {
    Message {
        exchange: short(""),
        routing_key: short(key),
        is_mandatory: false,
        properties: BasicProperties::default(),
        body: Bytes::from_static(body.as_bytes()),
    }
}

pub(crate) fn body(delivered: &Delivered) -> String {
    let message =
        StoredMessage::read(&delivered.record, delivered.timestamp_ms, &short("t")).unwrap();
    String::from_utf8(message.body.to_vec()).unwrap()
}

impl Client {
    pub(crate) fn open(cluster: &mut Cluster, at: NodeId) -> Self {
        Self::open_as(cluster, at, OpenSession::by_user("/", "guest", "test"))
    }

    pub(crate) fn open_as(cluster: &mut Cluster, at: NodeId, open: OpenSession) -> Self {
        let mut client = Self {
            at,
            mailbox: Mailbox::new(Box::new(|| {})),
            next_ticket: 1,
            session: None,
            told: VecDeque::new(),
        };
        match client.ask(cluster, QueueRequest::Open(open)) {
            QueueOutcome::Opened(session) => client.session = Some(session),
            other => panic!("{other:?}"),
        }
        client
    }

    /// The node that it is connected to.
    pub(crate) fn node(&self) -> NodeId {
        self.at
    }

    pub(crate) fn session(&self) -> Arc<QueueSession> {
        Arc::clone(self.session.as_ref().unwrap())
    }

    pub(crate) fn submit(&mut self, cluster: &Cluster, request: QueueRequest) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let node: &Arc<Node> = &cluster.nodes[&self.at];
        let reply = Reply::new(Arc::clone(&self.mailbox), Ticket(ticket));
        node.submit(Request::Queue(request), reply);
        ticket
    }

    /// What has arrived under a ticket.
    pub(crate) fn hear(&mut self, ticket: u64) -> Option<QueueOutcome> {
        let mut arrived = Vec::new();
        self.mailbox.take(&mut arrived);
        let mut answer = None;
        for (of, outcome) in arrived {
            match outcome {
                Outcome::Queue(QueueOutcome::Told(tidings)) => self.told.extend(tidings),
                Outcome::Queue(outcome) if of == Ticket(ticket) => answer = Some(outcome),
                other => panic!("{other:?}"),
            }
        }
        answer
    }

    /// What has arrived under any ticket but the session's own.
    pub(crate) fn hear_all(&mut self) -> Vec<(u64, QueueOutcome)> {
        let mut arrived = Vec::new();
        self.mailbox.take(&mut arrived);
        let mut answers = Vec::new();
        for (Ticket(of), outcome) in arrived {
            match outcome {
                Outcome::Queue(QueueOutcome::Told(tidings)) => self.told.extend(tidings),
                Outcome::Queue(outcome) => answers.push((of, outcome)),
                other => panic!("{other:?}"),
            }
        }
        answers
    }

    /// Messages that were told already.
    pub(crate) fn told_messages(&mut self) -> Vec<Delivered> {
        let told = self.told.drain(..).map(|tiding| match tiding {
            Tiding::Delivered(_, delivered) => delivered,
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    pub(crate) fn ask(&mut self, cluster: &mut Cluster, request: QueueRequest) -> QueueOutcome {
        let ticket = self.submit(cluster, request);
        for _ in 0..100 {
            cluster.round();
            if let Some(answer) = self.hear(ticket) {
                return answer;
            }
        }
        panic!("no answer");
    }

    /// Asks for a durable queue.
    pub(crate) fn declaration(&self, name: &str) -> QueueRequest {
        QueueRequest::DeclareQueue(DeclareQueue {
            session: self.session(),
            name: short(name),
            is_passive: false,
            is_durable: true,
            is_exclusive: false,
            is_auto_delete: false,
            arguments: FieldTable::default(),
        })
    }

    pub(crate) fn declare(&mut self, cluster: &mut Cluster, name: &str) {
        let declare = self.declaration(name);
        let answer = self.ask(cluster, declare);
        assert!(matches!(answer, QueueOutcome::Declared(_)), "{answer:?}");
    }

    pub(crate) fn publish(
        &mut self,
        cluster: &mut Cluster,
        messages: Vec<Message>,
    ) -> Vec<Verdict> {
        let publish = Publish {
            session: self.session(),
            messages,
            is_atomic: false,
        };
        match self.ask(cluster, QueueRequest::Publish(publish)) {
            QueueOutcome::Published(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn consume(&mut self, cluster: &mut Cluster, tag: u64, name: &str, no_ack: bool) {
        let consume = Consume {
            session: self.session(),
            consumer: ConsumerTag(tag),
            name: short(name),
            no_ack,
            is_exclusive: false,
            prefetch_count: 10,
            arguments: FieldTable::default(),
        };
        let answer = self.ask(cluster, QueueRequest::Consume(consume));
        assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    }

    pub(crate) fn messages(&mut self, cluster: &mut Cluster) -> Vec<(ConsumerTag, Delivered)> {
        cluster.rounds(2);
        self.hear(0);
        let told = self.told.drain(..).map(|tiding| match tiding {
            Tiding::Delivered(tag, delivered) => (tag, delivered),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    pub(crate) fn settle(
        &mut self,
        cluster: &mut Cluster,
        delivered: &Delivered,
        settlement: Settlement,
    ) {
        let settle = QueueRequest::Settle {
            session: self.session(),
            deliveries: vec![(delivered.id, settlement)],
        };
        let answer = self.ask(cluster, settle);
        assert!(matches!(answer, QueueOutcome::Done));
    }

    pub(crate) fn get(&mut self, cluster: &mut Cluster, no_ack: bool) -> Option<(Delivered, u64)> {
        let get = QueueRequest::Get {
            session: self.session(),
            name: short("t"),
            no_ack,
        };
        match self.ask(cluster, get) {
            QueueOutcome::Got(got) => got,
            other => panic!("{other:?}"),
        }
    }
}

/// Two nodes with the topic `t` of one partition.
pub(crate) fn cluster() -> Cluster {
    let mut cluster = Cluster::found(1);
    cluster.join();
    let topic = NewTopic {
        name: "t".to_owned(),
        partition_count: Some(1),
        replication_factor: None,
        configs: Vec::new(),
        assignments: None,
    };
    let mailbox = Mailbox::new(Box::new(|| {}));
    let create = Request::CreateTopics(CreateTopics {
        topics: vec![topic],
        validate_only: false,
    });
    let node = &cluster.nodes[&FOUNDER];
    node.submit(create, Reply::new(Arc::clone(&mailbox), Ticket(0)));
    let mut answers = Vec::new();
    cluster.until("the topic is there", |_| {
        mailbox.take(&mut answers);
        !answers.is_empty()
    });
    let mut client = Client::open(&mut cluster, FOUNDER);
    client.declare(&mut cluster, "t");
    for id in [FOUNDER, OTHER] {
        let mut client = Client::open(&mut cluster, id);
        while client.publish(&mut cluster, vec![message("t", "")]) != [Verdict::Stored] {}
    }
    let mut client = Client::open(&mut cluster, OTHER);
    let purge = QueueRequest::Purge {
        session: client.session(),
        name: short("t"),
    };
    let purged = client.ask(&mut cluster, purge);
    assert!(matches!(purged, QueueOutcome::Counted(2)), "{purged:?}");
    cluster
}

/// On the node that leads, and on one that does not.
fn everywhere(check: impl Fn(&mut Cluster, NodeId)) {
    for at in [FOUNDER, OTHER] {
        check(&mut cluster(), at);
    }
}

#[test]
fn what_is_published_is_delivered_in_order_and_gone_once_it_is_settled() {
    everywhere(|cluster, at| {
        let mut client = Client::open(cluster, at);
        let messages = vec![message("t", "one"), message("t", "two"), message("no", "x")];
        let verdicts = client.publish(cluster, messages);
        assert_eq!(
            verdicts,
            [Verdict::Stored, Verdict::Stored, Verdict::Unroutable]
        );
        client.consume(cluster, 7, "t", false);
        client.publish(cluster, vec![message("t", "three")]);
        let messages = client.messages(cluster);
        let bodies: Vec<String> = messages.iter().map(|(_, it)| body(it)).collect();
        assert_eq!(bodies, ["one", "two", "three"]);
        assert!(
            messages
                .iter()
                .all(|(tag, it)| *tag == ConsumerTag(7) && !it.is_redelivered)
        );
        client.settle(cluster, &messages[0].1, Settlement::Ack);
        client.settle(cluster, &messages[1].1, Settlement::Requeue);
        let again = client.messages(cluster);
        assert_eq!((again.len(), body(&again[0].1)), (1, "two".to_owned()));
        assert!(again[0].1.is_redelivered);
    });
}

#[test]
fn what_a_session_holds_is_ready_again_when_it_ends() {
    everywhere(|cluster, at| {
        let mut first = Client::open(cluster, at);
        first.publish(cluster, vec![message("t", "one"), message("t", "two")]);
        first.consume(cluster, 1, "t", false);
        assert_eq!(first.messages(cluster).len(), 2);
        let mut second = Client::open(cluster, at);
        assert_eq!(second.get(cluster, false), None);
        drop(first);
        cluster.rounds(3);
        let (got, left_count) = second.get(cluster, false).unwrap();
        assert_eq!((body(&got), left_count), ("one".to_owned(), 1));
        assert!(got.is_redelivered);
        second.settle(cluster, &got, Settlement::Ack);
        let (got, left_count) = second.get(cluster, true).unwrap();
        assert_eq!((body(&got), left_count), ("two".to_owned(), 0));
        drop(second);
        cluster.rounds(3);
        let mut third = Client::open(cluster, at);
        assert_eq!(third.get(cluster, false), None);
    });
}

#[test]
fn a_consumer_that_does_not_settle_gets_each_message_once() {
    everywhere(|cluster, at| {
        let mut client = Client::open(cluster, at);
        client.consume(cluster, 1, "t", true);
        let many = (0..50).map(|_| message("t", "many"));
        client.publish(cluster, many.collect());
        cluster.rounds(3);
        assert_eq!(client.messages(cluster).len(), 50);
        drop(client);
        cluster.rounds(3);
        let mut other = Client::open(cluster, at);
        assert_eq!(other.get(cluster, false), None);
    });
}

#[test]
fn a_consumer_that_is_cancelled_gets_nothing_more_and_keeps_what_it_holds() {
    everywhere(|cluster, at| {
        let mut client = Client::open(cluster, at);
        client.consume(cluster, 1, "t", false);
        client.publish(cluster, vec![message("t", "one")]);
        let held = client.messages(cluster);
        let cancel = QueueRequest::Cancel {
            session: client.session(),
            consumer: ConsumerTag(1),
            held: weir_broker::api::queues::Held::Stays,
        };
        assert!(matches!(client.ask(cluster, cancel), QueueOutcome::Done));
        client.publish(cluster, vec![message("t", "two")]);
        assert_eq!(client.messages(cluster).len(), 0);
        client.settle(cluster, &held[0].1, Settlement::Ack);
        let (got, _) = client.get(cluster, true).unwrap();
        assert_eq!(body(&got), "two");
    });
}

#[test]
fn what_a_consumer_was_told_without_settling_is_nobody_elses_when_it_is_cancelled() {
    let mut cluster = cluster();
    let mut publisher = Client::open(&mut cluster, FOUNDER);
    let mut other = Client::open(&mut cluster, FOUNDER);
    let mut client = Client::open(&mut cluster, OTHER);
    // Wherever the message is when the cancellation is asked for.
    for step in 0..24 {
        client.consume(&mut cluster, step, "t", true);
        let publish = QueueRequest::Publish(Publish {
            session: publisher.session(),
            messages: vec![message("t", "one")],
            is_atomic: false,
        });
        publisher.submit(&cluster, publish);
        for _ in 0..step {
            cluster.step();
        }
        let cancel = QueueRequest::Cancel {
            session: client.session(),
            consumer: ConsumerTag(step),
            held: weir_broker::api::queues::Held::Returns,
        };
        assert!(matches!(
            client.ask(&mut cluster, cancel),
            QueueOutcome::Done
        ));
        let told_count = client.messages(&mut cluster).len();
        let got = other.get(&mut cluster, true);
        let all_count = told_count + usize::from(got.is_some());
        assert_eq!(all_count, 1, "cancelled after {step} steps");
    }
}

#[test]
fn a_purge_comes_after_what_was_published_before_it() {
    everywhere(|cluster, at| {
        let mut client = Client::open(cluster, at);
        let publish = QueueRequest::Publish(Publish {
            session: client.session(),
            messages: vec![message("t", "one"), message("t", "two")],
            is_atomic: true,
        });
        client.submit(cluster, publish);
        let purge = QueueRequest::Purge {
            session: client.session(),
            name: short("t"),
        };
        let ticket = client.submit(cluster, purge);
        cluster.rounds(3);
        let mut arrived = Vec::new();
        client.mailbox.take(&mut arrived);
        let last = arrived.pop().unwrap();
        assert_eq!(last.0, Ticket(ticket));
        assert!(matches!(last.1, Outcome::Queue(QueueOutcome::Counted(2))));
    });
}

#[test]
fn a_reply_reaches_its_consumer_past_every_queue_while_that_is_there() {
    everywhere(|cluster, at| {
        let mut asker = Client::open(cluster, FOUNDER);
        let mut answerer = Client::open(cluster, at);
        asker.consume(cluster, 3, REPLY_QUEUE, true);
        let address = asker.session().reply_address(ConsumerTag(3));
        let reply = message(address.as_str(), "reply");
        assert_eq!(
            answerer.publish(cluster, vec![reply.clone()]),
            [Verdict::Stored]
        );
        let got = asker.messages(cluster);
        assert_eq!((got.len(), body(&got[0].1)), (1, "reply".to_owned()));
        drop(asker);
        cluster.rounds(2);
        assert_eq!(
            answerer.publish(cluster, vec![reply]),
            [Verdict::Unroutable]
        );
    });
}

#[test]
fn no_more_is_told_than_a_client_takes() {
    everywhere(|cluster, at| {
        let mut client = Client::open(cluster, at);
        client.consume(cluster, 1, "t", true);
        let big = Message {
            body: Bytes::from(vec![b'x'; 1 << 20]),
            ..message("t", "")
        };
        for _ in 0..8 {
            client.publish(cluster, vec![big.clone()]);
        }
        cluster.rounds(26);
        let told = client.messages(cluster);
        assert!((2..=4).contains(&told.len()), "{} messages", told.len());
        let mut told_count = told.len();
        let mut sent = told;
        while told_count < 8 {
            for (_, delivered) in &sent {
                client.session().note_sent(delivered.record.len());
            }
            cluster.rounds(26);
            sent = client.messages(cluster);
            assert!(!sent.is_empty());
            told_count += sent.len();
        }
        assert_eq!(told_count, 8);
    });
}
