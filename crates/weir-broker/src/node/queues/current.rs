//! Names that this node does not know (yet): it asks again once it has applied all that was decided
//! before, so that what was declared through another node is there.

use std::sync::Arc;

use weir_model::{GroupId, fields::ShortString};

use super::{QueueSession, consume::refuse, replies::is_reply_address};
use crate::{
    Node,
    api::queues::{Message, QueueRequest, REPLY_QUEUE},
    mailbox::Reply,
    routing::{Routing, RoutingCommand},
};

/// What a request needs to be there.
enum Needed<'a> {
    Vhost(&'a str),
    Queue(&'a QueueSession, &'a ShortString),
    Exchange(&'a QueueSession, &'a ShortString),
    Exchanges(&'a QueueSession, &'a [Message]),
}

impl Needed<'_> {
    fn is_known(&self, routing: &Routing) -> bool {
        match self {
            Self::Vhost(name) => routing.vhost(name).is_some(),
            Self::Queue(session, name) => routing
                .vhost(&session.vhost)
                .is_some_and(|vhost| routing.queue(vhost.id, name).is_some()),
            Self::Exchange(session, name) => routing
                .vhost(&session.vhost)
                .is_some_and(|vhost| routing.exchange(vhost.id, name).is_some()),
            Self::Exchanges(session, messages) => messages
                .iter()
                .map(|message| &message.exchange)
                .all(|name| name.is_empty() || Self::Exchange(session, name).is_known(routing)),
        }
    }
}

/// What must be there for the request, where that is not decided by group 0 itself.
fn needed(request: &QueueRequest) -> Option<Needed<'_>> {
    Some(match request {
        QueueRequest::Open(open) => Needed::Vhost(&open.vhost),
        QueueRequest::DeclareExchange(declare) if declare.is_passive => {
            Needed::Exchange(&declare.session, &declare.name)
        }
        QueueRequest::DeclareQueue(declare)
            if declare.is_passive && !is_reply_address(&declare.name) =>
        {
            Needed::Queue(&declare.session, &declare.name)
        }
        QueueRequest::Consume(consume) if consume.name.as_str() != REPLY_QUEUE => {
            Needed::Queue(&consume.session, &consume.name)
        }
        QueueRequest::CheckPublish { session, messages } => Needed::Exchanges(session, messages),
        QueueRequest::DeleteQueue { session, name, .. }
        | QueueRequest::Purge { session, name }
        | QueueRequest::Get { session, name, .. } => Needed::Queue(session, name),
        QueueRequest::DeclareExchange(_)
        | QueueRequest::DeclareQueue(_)
        | QueueRequest::Consume(_)
        | QueueRequest::DeleteExchange { .. }
        | QueueRequest::Bind(_)
        | QueueRequest::Unbind(_)
        | QueueRequest::Publish(_)
        | QueueRequest::Cancel { .. }
        | QueueRequest::Limit { .. }
        | QueueRequest::Settle { .. }
        | QueueRequest::End { .. } => return None,
    })
}

impl Node {
    /// Takes a request about exchanges and queues.
    pub(crate) fn queue_request(self: &Arc<Self>, request: QueueRequest, reply: Reply) {
        let is_known = needed(&request).is_none_or(|needed| {
            let topology = self.topology.load();
            needed.is_known(topology.routing())
        });
        // Who leads group 0 has applied whatever anybody was told of.
        if is_known || self.leads(GroupId::METADATA) {
            return self.take_queue_request(request, reply);
        }
        let node = Arc::clone(self);
        self.propose_routing(RoutingCommand::Nothing, move |decided| match decided {
            Ok(_) => node.take_queue_request(request, reply),
            // Whether it is there is not known here.
            Err(refused) => refuse(reply, refused),
        });
    }
}
