//! Consumers, limits and single messages: the class `basic` but for publishing and settling.

use std::sync::Arc;

use weir_broker::{
    api::queues::{Consume, ConsumerTag, Delivered, Held, QueueRequest, REPLY_QUEUE, Settlement},
    quota::QuotaKey,
};
use weir_model::fields::{FieldTable, ShortString};

use super::{
    asks::{Answer, Then},
    channel::{Channel, Link, misplaced},
    consumers::Consumer,
    delivery::{Outgoing, write},
    outbox::word,
    settle::Delivery,
};
use crate::{
    codec::{Method, MethodId, method},
    wire_code::{Failure, ReplyCode},
};

impl Channel {
    pub(super) fn on_basic(&mut self, link: &mut Link, method: Method) -> Result<(), Failure> {
        let id = method.id();
        match method {
            Method::BasicQos(qos) => self.qos(link, &qos),
            Method::BasicConsume(consume) => self.consume(link, id, consume),
            Method::BasicCancel(cancel) => self.cancel(link, id, cancel),
            Method::BasicGet(get) => {
                let name = self.queue_named(&get.queue)?;
                let request = QueueRequest::Get {
                    session: link.session()?,
                    name: name.clone(),
                    no_ack: get.no_ack,
                };
                let (queue, no_ack) = (name, get.no_ack);
                self.ask(link, id, request, Answer::Got { queue, no_ack });
                Ok(())
            }
            Method::BasicAck(ack) => {
                let which = (ack.delivery_tag, ack.multiple);
                self.settle(link, which, Settlement::Ack)
            }
            Method::BasicNack(nack) => {
                let settlement = match nack.requeue {
                    true => Settlement::Requeue,
                    false => Settlement::Reject,
                };
                self.settle(link, (nack.delivery_tag, nack.multiple), settlement)
            }
            Method::BasicReject(reject) => {
                let settlement = match reject.requeue {
                    true => Settlement::RequeueFailed,
                    false => Settlement::Reject,
                };
                self.settle(link, (reject.delivery_tag, false), settlement)
            }
            Method::BasicRecover(recover) => {
                let requeue = recover.requeue;
                self.recover(link, &Method::BasicRecover(recover), requeue, true)
            }
            Method::BasicRecoverAsync(recover) => {
                let requeue = recover.requeue;
                self.recover(link, &Method::BasicRecoverAsync(recover), requeue, false)
            }
            method => Err(misplaced(&method)),
        }
    }

    fn qos(&mut self, link: &mut Link, qos: &method::BasicQos) -> Result<(), Failure> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Failure::new(ReplyCode::NotImplemented, text));
        }
        if qos.global {
            self.limit_count = qos.prefetch_count;
            for (consumer, own) in self.consumers.settling() {
                let request = QueueRequest::Limit {
                    session: link.session()?,
                    consumer,
                    prefetch_count: least(own, self.limit_count),
                };
                self.ask_beside(link, request, 0, Then::Noted(QOS));
            }
        } else {
            self.prefetch_count = qos.prefetch_count;
        }
        self.say(link, method::BasicQosOk {});
        self.release(link);
        Ok(())
    }

    fn consume(
        &mut self,
        link: &mut Link,
        id: MethodId,
        consume: method::BasicConsume,
    ) -> Result<(), Failure> {
        let name = self.queue_named(&consume.queue)?;
        let tag = if consume.consumer_tag.is_empty() {
            word(&format!("amq.ctag-{}.{}", link.number, link.asks.number()))
        } else {
            consume.consumer_tag
        };
        if self.consumers.named(&tag).is_some() {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        let consumer = link.asks.consumer(self.number);
        if name.as_str() == REPLY_QUEUE {
            self.consume_replies(consumer, consume.no_ack)?;
        }
        let prefetch_count = if consume.no_ack {
            0
        } else {
            self.prefetch_count
        };
        let origin = link.origin(&name, &consume.arguments);
        let request = QueueRequest::Consume(Consume {
            session: link.session()?,
            consumer,
            name: name.clone(),
            no_ack: consume.no_ack,
            is_exclusive: consume.exclusive,
            prefetch_count: match consume.no_ack {
                true => 0,
                false => least(prefetch_count, self.limit_count),
            },
            arguments: consume.arguments,
        });
        let answer = Method::from(method::BasicConsumeOk {
            consumer_tag: tag.clone(),
        });
        let answer = (!consume.no_wait).then_some(answer);
        let new = Consumer {
            tag,
            queue: name,
            origin,
            no_ack: consume.no_ack,
            prefetch_count,
            is_told: false,
        };
        self.consumers.add(consumer, new);
        self.ask(link, id, request, Answer::Consuming { consumer, answer });
        Ok(())
    }

    fn consume_replies(&mut self, consumer: ConsumerTag, no_ack: bool) -> Result<(), Failure> {
        let refused = |text| Err(Failure::new(ReplyCode::PreconditionFailed, text));
        if !no_ack {
            return refused("reply consumer cannot acknowledge");
        }
        if self.consumers.replies.is_some() {
            return refused("reply consumer already set");
        }
        self.consumers.replies = Some(consumer);
        Ok(())
    }

    fn cancel(
        &mut self,
        link: &mut Link,
        id: MethodId,
        cancel: method::BasicCancel,
    ) -> Result<(), Failure> {
        let consumer = self.consumers.named(&cancel.consumer_tag);
        let answer = Method::from(method::BasicCancelOk {
            consumer_tag: cancel.consumer_tag,
        });
        let answer = (!cancel.no_wait).then_some(answer);
        match consumer {
            Some(consumer) => {
                let request = QueueRequest::Cancel {
                    session: link.session()?,
                    consumer,
                    held: Held::Stays,
                };
                self.ask(link, id, request, Answer::Cancelled { consumer, answer });
            }
            None => {
                if let Some(answer) = answer {
                    self.say(link, answer);
                }
            }
        }
        Ok(())
    }

    /// The client knows of the consumer: its messages may come.
    pub(super) fn consuming(&mut self, link: &mut Link, consumer: ConsumerTag) {
        self.consumers.tell(consumer);
        self.release(link);
    }

    /// Nothing more comes for the consumer: what is held for it goes back.
    pub(super) fn cancelled(&mut self, link: &mut Link, consumer: ConsumerTag) {
        self.consumers.remove(consumer);
        let held = self.consumers.take_held(consumer).into_iter();
        let held = held.map(|delivered| (delivered.id, Settlement::Requeue));
        link.give_back(held.collect());
    }

    /// The queue of the consumer is gone.
    pub(super) fn lost(&mut self, link: &mut Link, consumer: ConsumerTag) {
        let Some(Consumer { tag, .. }) = self.consumers.remove(consumer) else {
            return;
        };
        self.consumers.take_held(consumer);
        if self.is_deleting {
            self.lost_tags.push(tag);
        } else {
            self.tell_lost(link, tag);
        }
    }

    /// The queue that it deleted is gone, and the client knows.
    pub(super) fn deleted(&mut self, link: &mut Link) {
        self.is_deleting = false;
        for tag in std::mem::take(&mut self.lost_tags) {
            self.tell_lost(link, tag);
        }
    }

    fn tell_lost(&mut self, link: &mut Link, consumer_tag: ShortString) {
        if link.client.consumer_cancel_notify {
            let cancel = method::BasicCancel {
                consumer_tag,
                no_wait: true,
            };
            self.say(link, cancel);
        }
    }

    /// A message for a consumer: sent, or held back for now.
    pub(super) fn deliver(&mut self, link: &mut Link, number: ConsumerTag, delivered: Delivered) {
        let Some(consumer) = self.consumers.get(number) else {
            link.return_delivered(&delivered);
            return;
        };
        let is_full = !consumer.no_ack
            && self.limit_count > 0
            && self.unacked.limited_count() >= usize::from(self.limit_count);
        if is_full || !consumer.is_told {
            // Others of the connection need not wait for this channel.
            if let Some(session) = &link.asks.session {
                session.note_sent(delivered.record.len());
            }
            self.consumers.held.push_back((number, delivered));
        } else {
            self.send(link, number, &delivered, true);
        }
    }

    /// Sends what is held, as far as the channel's limit allows.
    pub(super) fn release(&mut self, link: &mut Link) {
        let mut at = 0;
        while let Some((number, _)) = self.consumers.held.get(at) {
            let Some(consumer) = self.consumers.get(*number) else {
                at += 1;
                continue;
            };
            let is_full = !consumer.no_ack
                && self.limit_count > 0
                && self.unacked.limited_count() >= usize::from(self.limit_count);
            if is_full {
                return;
            }
            if !consumer.is_told {
                at += 1;
                continue;
            }
            if let Some((number, delivered)) = self.consumers.held.remove(at) {
                self.send(link, number, &delivered, false);
            }
        }
    }

    fn send(
        &mut self,
        link: &mut Link,
        number: ConsumerTag,
        delivered: &Delivered,
        is_noted: bool,
    ) {
        let Some(consumer) = self.consumers.get(number) else {
            return;
        };
        let tag = self.unacked.next_tag();
        let consumer_tag = consumer.tag.clone();
        let method = |message: &Outgoing| {
            Method::from(method::BasicDeliver {
                consumer_tag,
                delivery_tag: tag,
                redelivered: delivered.is_redelivered,
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
            })
        };
        let is_written = write(
            &mut link.outbox,
            self.number,
            delivered,
            &consumer.queue,
            method,
        );
        if is_noted {
            link.outbox.note_delivery(delivered.record.len());
        }
        if !is_written {
            // Nobody can read it: not a consumer's to settle.
            link.give_back(vec![(delivered.id, Settlement::Reject)]);
        } else if !consumer.no_ack {
            let delivery = Delivery {
                id: delivered.id,
                is_limited: true,
                since: link.now,
                origin: Arc::clone(&consumer.origin),
            };
            link.note_delivered(&consumer.origin);
            self.unacked.add(tag, delivery);
        }
    }

    /// The answer to `basic.get`.
    pub(super) fn got(
        &mut self,
        link: &mut Link,
        queue: &ShortString,
        no_ack: bool,
        got: Option<(Delivered, u64)>,
    ) {
        let Some((delivered, left_count)) = got else {
            self.say(link, method::BasicGetEmpty::default());
            return;
        };
        let tag = self.unacked.next_tag();
        let method = |message: &Outgoing| {
            Method::from(method::BasicGetOk {
                delivery_tag: tag,
                redelivered: delivered.is_redelivered,
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
                message_count: u32::try_from(left_count).unwrap_or(u32::MAX),
            })
        };
        let is_written = write(&mut link.outbox, self.number, &delivered, queue, method);
        link.count_sent(QuotaKey::ConsumerByteRate, delivered.record.len());
        let id = delivered.id;
        if !is_written {
            link.give_back(vec![(id, Settlement::Reject)]);
            self.say(link, method::BasicGetEmpty::default());
        } else if !no_ack {
            let origin = link.origin(queue, &FieldTable::default());
            link.note_delivered(&origin);
            let delivery = Delivery {
                id,
                is_limited: false,
                since: link.now,
                origin,
            };
            self.unacked.add(tag, delivery);
        }
    }

    /// The queue that a name means: an empty one is the last that was declared.
    pub(super) fn queue_named(&self, name: &ShortString) -> Result<ShortString, Failure> {
        match (name.is_empty(), self.last_queue.is_empty()) {
            (false, _) => Ok(stripped(name)),
            (true, false) => Ok(self.last_queue.clone()),
            (true, true) => Err(Failure::new(
                ReplyCode::NotFound,
                "no previously declared queue",
            )),
        }
    }
}

const QOS: MethodId = MethodId {
    class: 60,
    method: 10,
};

/// The smaller of two limits, where 0 is none.
fn least(one: u16, other: u16) -> u16 {
    match (one, other) {
        (0, limit) | (limit, 0) => limit,
        (one, other) => one.min(other),
    }
}

/// Names have no line ends.
pub(super) fn stripped(name: &ShortString) -> ShortString {
    match name.as_str().contains(['\r', '\n']) {
        false => name.clone(),
        true => word(&name.as_str().replace(['\r', '\n'], "")),
    }
}
