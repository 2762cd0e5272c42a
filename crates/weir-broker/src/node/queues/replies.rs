//! Direct replies: from a publisher to a consumer, past every queue.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{ErrorKind, fields::ShortString, message::MessageForm};

use super::{
    QueueSession,
    consume::refuse,
    deliver::{self, Handed},
    publish::Publishing,
    session::addressed,
    told::{Consumer, NO_PARTITION},
    topology::answer,
    wire::{self, Call},
};
use crate::{
    Node,
    api::queues::{
        Consume, DeclareQueue, DeclaredQueue, Delivered, DeliveryId, Message, QueueOutcome,
        REPLY_QUEUE, Refused,
    },
    mailbox::Reply,
    queue::{Attach, ConsumerKey},
};

/// Whether a queue's name means replies.
pub(super) fn is_reply_address(name: &ShortString) -> bool {
    name.as_str() == REPLY_QUEUE || addressed(name.as_str()).is_some()
}

/// The consumer of replies that a message is for.
pub(super) fn reply_address(message: &Message) -> Option<ConsumerKey> {
    match message.exchange.is_empty() {
        true => addressed(message.routing_key.as_str()),
        false => None,
    }
}

impl Node {
    /// Tells whether a consumer of replies is there.
    pub(super) fn declare_reply_address(self: &Arc<Self>, declare: DeclareQueue, reply: Reply) {
        let Some(consumer) = addressed(declare.name.as_str()) else {
            return answer(reply, QueueOutcome::Declared(replies(declare.name)));
        };
        self.reply_consumer(consumer, move |is_there| {
            let (name, vhost) = (declare.name, declare.session.vhost.clone());
            answer(
                reply,
                match is_there {
                    true => QueueOutcome::Declared(replies(name)),
                    false => QueueOutcome::Refused(Refused::NoQueue { name, vhost }),
                },
            );
        });
    }

    /// Begins to consume replies.
    pub(super) fn consume_replies(session: &Arc<QueueSession>, consume: &Consume, reply: Reply) {
        if !consume.no_ack {
            let text = format!("reply consumer cannot acknowledge: '{REPLY_QUEUE}'");
            return refuse(reply, Refused::Precondition(text));
        }
        let attach = Attach {
            consumer: ConsumerKey {
                session: session.key,
                tag: consume.consumer,
            },
            no_ack: true,
            is_exclusive: false,
            priority: 0,
            prefetch_count: 0,
        };
        let consumer = Consumer {
            queue: None,
            partitions: Vec::new(),
            attach,
            tells_failures: false,
        };
        session.told.add(consume.consumer, consumer);
        session.told.begin(consume.consumer, reply);
    }

    /// Sends a message to a consumer of replies.
    pub(super) fn send_reply(
        self: &Arc<Self>,
        publishing: &Arc<Publishing>,
        message: u32,
        form: &MessageForm,
        to: ConsumerKey,
    ) {
        if !self.topology.load().nodes().contains_key(&to.session.node) {
            return publishing.lost(message, 1);
        }
        let body = &publishing.message(message).body;
        let mut record = Vec::new();
        form.write(body, 0, 0, &mut record);
        let delivered = Delivered {
            id: DeliveryId::of(NO_PARTITION, 0, 0),
            is_redelivered: false,
            failed_count: 0,
            record: record.into(),
            timestamp_ms: self.clock.now().0,
        };
        let publishing = Arc::clone(publishing);
        let done = move |handed: Result<Handed, ErrorKind>| match handed {
            Ok(Handed { ended }) if ended.is_empty() => publishing.stored(message, 1),
            Ok(_) => publishing.lost(message, 1),
            // It may have arrived: not confirmed, and not sent again.
            Err(_) => {}
        };
        let delivery = (to.session, to.tag, delivered);
        self.deliver(to.session.node, vec![delivery], Box::new(done));
    }

    /// Asks whether a consumer of replies is there.
    fn reply_consumer(
        self: &Arc<Self>,
        consumer: ConsumerKey,
        then: impl FnOnce(bool) + Send + 'static,
    ) {
        let to = consumer.session.node;
        if to == self.id() {
            return then(self.reply_consumer_here(consumer).ended.is_empty());
        }
        let answered = move |answer: Result<Bytes, _>| {
            let sessions = deliver::read(to, answer);
            then(sessions.is_ok_and(|sessions| sessions.ended.is_empty()));
        };
        let request = Call::ReplyConsumer(consumer).encode();
        self.peers.call(to, request, Box::new(answered));
    }

    pub(super) fn reply_consumer_here(&self, consumer: ConsumerKey) -> wire::Sessions {
        let session = self.sessions.get(consumer.session);
        let is_there = session.is_some_and(|session| session.told.is_for_replies(consumer.tag));
        let mut sessions = wire::Sessions::default();
        if !is_there {
            sessions.ended.push(consumer.session);
        }
        sessions
    }
}

fn replies(name: ShortString) -> DeclaredQueue {
    DeclaredQueue {
        name,
        message_count: 0,
        consumer_count: 1,
    }
}
