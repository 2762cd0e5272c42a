//! Which permissions each request wants, by RabbitMQ's rules.

use weir_access::Permission::{Configure, Read, Write};
use weir_model::fields::{FieldTable, FieldValue};

use super::{QueueSession, replies::is_reply_address};
use crate::{
    Node,
    access::What,
    api::queues::{
        Bind, DeclareExchange, DeclareQueue, Destination, ExchangeKind, Message, QueueRequest,
        Refused,
    },
    metadata::Topology,
};

/// Arguments that name an exchange to which messages go on.
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

type Checked = Result<(), Refused>;

impl Node {
    /// Whether the session may ask for that, as things are now. Messages to publish are looked at where
    /// they are routed.
    pub(super) fn check_permitted(&self, request: &QueueRequest) -> Checked {
        match request {
            QueueRequest::DeclareExchange(declare) => permit_exchange(declare),
            QueueRequest::DeleteExchange { session, name, .. } => {
                session.permit(Configure, What::Exchange, name.as_str())
            }
            QueueRequest::Bind(bind) | QueueRequest::Unbind(bind) => self.permit_binding(bind),
            QueueRequest::DeclareQueue(declare) => permit_queue(declare),
            QueueRequest::DeleteQueue { session, name, .. } => {
                session.permit(Configure, What::Queue, name.as_str())
            }
            QueueRequest::Purge { session, name } | QueueRequest::Get { session, name, .. } => {
                session.permit(Read, What::Queue, name.as_str())
            }
            QueueRequest::Consume(consume) if is_reply_address(&consume.name) => Ok(()),
            QueueRequest::Consume(consume) => {
                consume
                    .session
                    .permit(Read, What::Queue, consume.name.as_str())
            }
            QueueRequest::Open(_)
            | QueueRequest::Publish(_)
            | QueueRequest::CheckPublish { .. }
            | QueueRequest::Cancel { .. }
            | QueueRequest::Limit { .. }
            | QueueRequest::End { .. }
            | QueueRequest::Settle { .. } => Ok(()),
        }
    }

    fn permit_binding(&self, bind: &Bind) -> Checked {
        let session = &bind.session;
        let (what, name) = match &bind.destination {
            Destination::Queue(name) => (What::Queue, name),
            Destination::Exchange(name) => (What::Exchange, name),
        };
        session.permit(Write, what, name.as_str())?;
        session.permit(Read, What::Exchange, bind.source.as_str())?;
        if is_topic(&self.topology.load(), session, bind.source.as_str()) {
            let of = (&*session.vhost, bind.source.as_str());
            session.guard.key(Read, of, bind.routing_key.as_str())?;
        }
        Ok(())
    }
}

/// Whether the session may publish a message.
pub(super) fn permit_message(
    topology: &Topology,
    session: &QueueSession,
    message: &Message,
) -> Checked {
    if session.guard.is_free() {
        return Ok(());
    }
    let exchange = message.exchange.as_str();
    session.permit(Write, What::Exchange, exchange)?;
    if is_topic(topology, session, exchange) {
        let of = (&*session.vhost, exchange);
        session.guard.key(Write, of, message.routing_key.as_str())?;
    }
    Ok(())
}

fn permit_exchange(declare: &DeclareExchange) -> Checked {
    if declare.is_passive {
        return Ok(());
    }
    let (session, name) = (&declare.session, declare.name.as_str());
    session.permit(Configure, What::Exchange, name)?;
    match text(&declare.arguments, ALTERNATE_EXCHANGE) {
        Some(alternate) => {
            session.permit(Read, What::Exchange, name)?;
            session.permit(Write, What::Exchange, alternate)
        }
        None => Ok(()),
    }
}

fn permit_queue(declare: &DeclareQueue) -> Checked {
    if declare.is_passive || is_reply_address(&declare.name) {
        return Ok(());
    }
    let (session, name) = (&declare.session, declare.name.as_str());
    // A name that the node makes up begins so.
    let name = if name.is_empty() { "amq.gen-" } else { name };
    session.permit(Configure, What::Queue, name)?;
    match text(&declare.arguments, DEAD_LETTER_EXCHANGE) {
        Some(dead_letters) => {
            session.permit(Read, What::Queue, name)?;
            session.permit(Write, What::Exchange, dead_letters)
        }
        None => Ok(()),
    }
}

fn text<'a>(arguments: &'a FieldTable, name: &str) -> Option<&'a str> {
    match arguments.get(name)? {
        FieldValue::LongString(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

fn is_topic(topology: &Topology, session: &QueueSession, exchange: &str) -> bool {
    let routing = topology.routing();
    let known = routing.vhost(&session.vhost).and_then(|vhost| {
        let name = weir_model::fields::ShortString::new(exchange)?;
        routing.exchange(vhost.id, &name)
    });
    known.is_some_and(|known| known.record.kind == ExchangeKind::Topic)
}
