//! Messages that are looked at, or moved to another queue.

use std::sync::Arc;

use serde_json::{Map, Value};
use weir_model::{
    fields::{BasicProperties, Reader, ShortString},
    message::StoredMessage,
};

use super::{
    json,
    serve::{Done, ask},
    words::{MessageRow, QueueAdminAnswer},
};
use crate::{
    Node,
    api::queues::{
        Delivered, DeliveryId, Message, Publish, QueueOutcome, QueueRequest, QueueSession, Refused,
        Settlement, Verdict,
    },
};

/// Most messages that are looked at, or moved, by one request.
const MAX_MESSAGES_COUNT: u32 = 100;
/// How much of a body is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 16 << 10;

/// Messages that a session takes from a queue one after the other.
struct Taking {
    session: Arc<QueueSession>,
    queue: ShortString,
    left_count: u32,
}

impl Taking {
    /// Calls `then` with the next one.
    fn next(self, node: &Arc<Node>, then: impl FnOnce(Self, QueueOutcome) + Send + 'static) {
        let get = QueueRequest::Get {
            session: Arc::clone(&self.session),
            name: self.queue.clone(),
            no_ack: false,
        };
        ask(node, get, move |outcome| then(self, outcome));
    }

    /// Gives messages back or lets them go; then `then`.
    fn settle(
        &self,
        node: &Arc<Node>,
        deliveries: Vec<(DeliveryId, Settlement)>,
        then: impl FnOnce() + Send + 'static,
    ) {
        if deliveries.is_empty() {
            return then();
        }
        let settle = QueueRequest::Settle {
            session: Arc::clone(&self.session),
            deliveries,
        };
        let session = Arc::clone(&self.session);
        ask(node, settle, move |_| {
            drop(session);
            then();
        });
    }
}

/// Shows messages that are ready, and gives them back.
pub(super) fn peek(
    node: &Arc<Node>,
    opened: Result<Arc<QueueSession>, Refused>,
    queue: ShortString,
    count: u32,
    done: Done,
) {
    match opened {
        Ok(session) => {
            let taking = Taking {
                session,
                queue,
                left_count: count.min(MAX_MESSAGES_COUNT),
            };
            look(node, taking, Vec::new(), done);
        }
        Err(refused) => done(QueueAdminAnswer::refused(refused)),
    }
}

fn look(node: &Arc<Node>, mut taking: Taking, mut seen: Vec<Delivered>, done: Done) {
    if taking.left_count == 0 {
        return give_back(node, &taking, &seen, done);
    }
    taking.left_count -= 1;
    let again = Arc::clone(node);
    taking.next(node, move |taking, outcome| match outcome {
        QueueOutcome::Got(Some((delivered, _))) => {
            seen.push(delivered);
            look(&again, taking, seen, done);
        }
        QueueOutcome::Got(None) => give_back(&again, &taking, &seen, done),
        QueueOutcome::Refused(refused) => {
            let done: Done = Box::new(move |_| done(QueueAdminAnswer::refused(refused)));
            give_back(&again, &taking, &seen, done);
        }
        QueueOutcome::Done
        | QueueOutcome::Declared(_)
        | QueueOutcome::Counted(_)
        | QueueOutcome::Published(_)
        | QueueOutcome::Opened(_)
        | QueueOutcome::Told(_) => done(QueueAdminAnswer::refused("another answer".to_owned())),
    });
}

fn give_back(node: &Arc<Node>, taking: &Taking, seen: &[Delivered], done: Done) {
    let back = seen.iter().map(|seen| (seen.id, Settlement::Requeue));
    let rows = seen.iter().filter_map(|seen| row(seen, &taking.queue));
    let rows = rows.collect();
    taking.settle(node, back.collect(), move || {
        done(QueueAdminAnswer::Messages { rows });
    });
}

fn row(delivered: &Delivered, queue: &ShortString) -> Option<MessageRow> {
    let message = StoredMessage::read(&delivered.record, delivered.timestamp_ms, queue).ok()?;
    let read = BasicProperties::read(Reader::new(message.raw_properties.clone())).ok()?;
    let shown = &message.body[..message.body.len().min(MAX_SHOWN_BYTES)];
    Some(MessageRow {
        exchange: message.exchange.as_str().to_owned(),
        routing_key: message.routing_key.as_str().to_owned(),
        redelivered: delivered.is_redelivered,
        timestamp_ms: delivered.timestamp_ms,
        headers: read.headers.as_ref().map(json::map).unwrap_or_default(),
        properties: properties(&read),
        body: String::from_utf8_lossy(shown).into_owned(),
        body_bytes: message.body.len() as u64,
    })
}

fn properties(read: &BasicProperties) -> Map<String, Value> {
    let texts = [
        ("content_type", &read.content_type),
        ("content_encoding", &read.content_encoding),
        ("correlation_id", &read.correlation_id),
        ("reply_to", &read.reply_to),
        ("expiration", &read.expiration),
        ("message_id", &read.message_id),
        ("type", &read.kind),
        ("user_id", &read.user_id),
        ("app_id", &read.app_id),
        ("cluster_id", &read.cluster_id),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| {
        let text = text.as_ref()?;
        Some((name.to_owned(), Value::from(text.as_str())))
    });
    let numbers = [
        ("delivery_mode", read.delivery_mode.map(u64::from)),
        ("priority", read.priority.map(u64::from)),
        ("timestamp", read.timestamp),
    ];
    let numbers = numbers
        .into_iter()
        .filter_map(|(name, number)| Some((name.to_owned(), Value::from(number?))));
    texts.chain(numbers).collect()
}

/// Moves messages that are ready to another queue.
pub(super) fn move_some(
    node: &Arc<Node>,
    opened: Result<Arc<QueueSession>, Refused>,
    (source, destination): (ShortString, ShortString),
    count: u32,
    done: Done,
) {
    let session = match opened {
        Ok(session) => session,
        Err(refused) => return done(QueueAdminAnswer::refused(refused)),
    };
    if let Err(refused) = node.find_queue(&session.vhost, session.key, &destination) {
        return done(QueueAdminAnswer::refused(refused));
    }
    let taking = Taking {
        session,
        queue: source,
        left_count: count.min(MAX_MESSAGES_COUNT),
    };
    let moving = Moving {
        taking,
        destination,
        moved_count: 0,
        done,
    };
    moving.next(node);
}

/// Messages on their way from one queue to another.
struct Moving {
    taking: Taking,
    destination: ShortString,
    moved_count: u64,
    done: Done,
}

impl Moving {
    fn next(self, node: &Arc<Node>) {
        let Self {
            mut taking,
            destination,
            moved_count,
            done,
        } = self;
        if taking.left_count == 0 {
            return done(QueueAdminAnswer::Counted {
                messages: moved_count,
            });
        }
        taking.left_count -= 1;
        let again = Arc::clone(node);
        taking.next(node, move |taking, outcome| match outcome {
            QueueOutcome::Got(Some((delivered, _))) => {
                let moving = Self {
                    taking,
                    destination,
                    moved_count,
                    done,
                };
                moving.store(&again, &delivered);
            }
            QueueOutcome::Refused(refused) if moved_count == 0 => {
                done(QueueAdminAnswer::refused(refused));
            }
            QueueOutcome::Got(None)
            | QueueOutcome::Refused(_)
            | QueueOutcome::Done
            | QueueOutcome::Declared(_)
            | QueueOutcome::Counted(_)
            | QueueOutcome::Published(_)
            | QueueOutcome::Opened(_)
            | QueueOutcome::Told(_) => done(QueueAdminAnswer::Counted {
                messages: moved_count,
            }),
        });
    }

    /// Stored over there first, settled here afterwards: never lost in between.
    fn store(self, node: &Arc<Node>, delivered: &Delivered) {
        let id = delivered.id;
        let message = StoredMessage::read(
            &delivered.record,
            delivered.timestamp_ms,
            &self.taking.queue,
        );
        let message = message.ok().and_then(|message| {
            let read = BasicProperties::read(Reader::new(message.raw_properties.clone()));
            Some(Message {
                exchange: ShortString::default(),
                routing_key: self.destination.clone(),
                is_mandatory: false,
                properties: read.ok()?,
                body: message.body,
            })
        });
        let Some(message) = message else {
            return self.stop(node, id, "a message that is not understood");
        };
        let publish = QueueRequest::Publish(Publish {
            session: Arc::clone(&self.taking.session),
            messages: vec![message],
            is_atomic: false,
        });
        let again = Arc::clone(node);
        ask(node, publish, move |outcome| {
            let is_stored = matches!(&outcome, QueueOutcome::Published(verdicts)
                if *verdicts == [Verdict::Stored]);
            if !is_stored {
                return self.stop(&again, id, "the other queue does not take it");
            }
            let node = Arc::clone(&again);
            let moving = Self {
                moved_count: self.moved_count + 1,
                ..self
            };
            let session = Arc::clone(&moving.taking.session);
            let settle = QueueRequest::Settle {
                session,
                deliveries: vec![(id, Settlement::Ack)],
            };
            ask(&again, settle, move |_| moving.next(&node));
        });
    }

    fn stop(self, node: &Arc<Node>, id: DeliveryId, why: &'static str) {
        let Self { taking, done, .. } = self;
        taking.settle(node, vec![(id, Settlement::Requeue)], move || {
            done(QueueAdminAnswer::refused(why.to_owned()));
        });
    }
}
