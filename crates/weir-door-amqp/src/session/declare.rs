//! The classes `exchange` and `queue`.

use weir_broker::api::queues::{
    Bind, DeclareExchange, DeclareQueue, DeclaredQueue, Destination, QueueRequest,
};
use weir_model::fields::ShortString;

use super::{
    asks::Answer,
    basic::stripped,
    channel::{Channel, Link, misplaced},
};
use crate::{
    codec::{Method, method},
    wire_code::Failure,
};

/// The answer to a method, where somebody waits for it.
fn done(no_wait: bool, method: impl Into<Method>) -> Answer {
    Answer::Done((!no_wait).then(|| method.into()))
}

impl Channel {
    // Table: one arm per method.
    pub(super) fn on_exchange(&mut self, link: &mut Link, method: Method) -> Result<(), Failure> {
        let (id, session) = (method.id(), link.session()?);
        let (request, answer) = match method {
            Method::ExchangeDeclare(declare) => {
                let request = QueueRequest::DeclareExchange(DeclareExchange {
                    session,
                    name: stripped(&declare.exchange),
                    kind: declare.kind,
                    is_passive: declare.passive,
                    is_durable: declare.durable,
                    is_auto_delete: declare.auto_delete,
                    is_internal: declare.internal,
                    arguments: declare.arguments,
                });
                let answer = done(declare.no_wait, method::ExchangeDeclareOk {});
                (request, answer)
            }
            Method::ExchangeDelete(delete) => {
                let request = QueueRequest::DeleteExchange {
                    session,
                    name: stripped(&delete.exchange),
                    if_unused: delete.if_unused,
                };
                let answer = done(delete.no_wait, method::ExchangeDeleteOk {});
                (request, answer)
            }
            Method::ExchangeBind(bind) => {
                let request = QueueRequest::Bind(Bind {
                    session,
                    source: stripped(&bind.source),
                    destination: Destination::Exchange(stripped(&bind.destination)),
                    routing_key: bind.routing_key,
                    arguments: bind.arguments,
                });
                (request, done(bind.no_wait, method::ExchangeBindOk {}))
            }
            Method::ExchangeUnbind(unbind) => {
                let request = QueueRequest::Unbind(Bind {
                    session,
                    source: stripped(&unbind.source),
                    destination: Destination::Exchange(stripped(&unbind.destination)),
                    routing_key: unbind.routing_key,
                    arguments: unbind.arguments,
                });
                (request, done(unbind.no_wait, method::ExchangeUnbindOk {}))
            }
            method => return Err(misplaced(&method)),
        };
        self.ask(link, id, request, answer);
        Ok(())
    }

    // Table: one arm per method.
    pub(super) fn on_queue(&mut self, link: &mut Link, method: Method) -> Result<(), Failure> {
        let (id, session) = (method.id(), link.session()?);
        let (request, answer) = match method {
            Method::QueueDeclare(declare) => {
                let name = match declare.passive {
                    true => self.queue_named(&declare.queue)?,
                    false => stripped(&declare.queue),
                };
                let request = QueueRequest::DeclareQueue(DeclareQueue {
                    session,
                    name,
                    is_passive: declare.passive,
                    is_durable: declare.durable,
                    is_exclusive: declare.exclusive,
                    is_auto_delete: declare.auto_delete,
                    arguments: declare.arguments,
                });
                let no_wait = declare.no_wait;
                (request, Answer::Declared { no_wait })
            }
            Method::QueueBind(bind) => {
                let (name, routing_key) = self.bound(&bind.queue, bind.routing_key)?;
                let request = QueueRequest::Bind(Bind {
                    session,
                    source: stripped(&bind.exchange),
                    destination: Destination::Queue(name),
                    routing_key,
                    arguments: bind.arguments,
                });
                (request, done(bind.no_wait, method::QueueBindOk {}))
            }
            Method::QueueUnbind(unbind) => {
                let (name, routing_key) = self.bound(&unbind.queue, unbind.routing_key)?;
                let request = QueueRequest::Unbind(Bind {
                    session,
                    source: stripped(&unbind.exchange),
                    destination: Destination::Queue(name),
                    routing_key,
                    arguments: unbind.arguments,
                });
                (request, done(false, method::QueueUnbindOk {}))
            }
            Method::QueuePurge(purge) => {
                let name = self.queue_named(&purge.queue)?;
                let no_wait = purge.no_wait;
                let request = QueueRequest::Purge { session, name };
                (request, Answer::Purged { no_wait })
            }
            Method::QueueDelete(delete) => {
                let request = QueueRequest::DeleteQueue {
                    session,
                    name: self.queue_named(&delete.queue)?,
                    if_unused: delete.if_unused,
                    if_empty: delete.if_empty,
                };
                let no_wait = delete.no_wait;
                self.is_deleting = true;
                (request, Answer::Deleted { no_wait })
            }
            method => return Err(misplaced(&method)),
        };
        self.ask(link, id, request, answer);
        Ok(())
    }

    /// Queue and routing key of a binding: where both are empty, the key is the queue's name.
    fn bound(
        &self,
        queue: &ShortString,
        routing_key: ShortString,
    ) -> Result<(ShortString, ShortString), Failure> {
        let name = self.queue_named(queue)?;
        let routing_key = match queue.is_empty() && routing_key.is_empty() {
            true => name.clone(),
            false => routing_key,
        };
        Ok((name, routing_key))
    }

    /// The queue is there.
    pub(super) fn declared(&mut self, link: &mut Link, declared: DeclaredQueue, no_wait: bool) {
        self.last_queue = declared.name.clone();
        if !no_wait {
            let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
            let answer = method::QueueDeclareOk {
                queue: declared.name,
                message_count: count(declared.message_count),
                consumer_count: count(declared.consumer_count),
            };
            self.say(link, answer);
        }
    }
}
