//! Names that this node does not know (yet): it asks again once it has applied all that was decided
//! before, so that what was declared through another node is there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_model::{GroupId, fields::ShortString};

use super::{QueueSession, consume::refuse, replies::is_reply_address};
use crate::{
    Node,
    api::queues::{Message, QueueRequest, REPLY_QUEUE, Refused},
    mailbox::Reply,
    routing::{Routing, RoutingCommand},
};

/// Called once, without blocking.
pub(super) type Then = Box<dyn FnOnce(Result<(), &Refused>) + Send>;

/// Looks for what was decided elsewhere: one at a time, however many ask. Those who wait are bounded
/// by the requests in flight.
///
/// A mutex: taken only where something was not found.
#[derive(Default)]
pub(crate) struct Looks(Mutex<Looking>);

#[derive(Default)]
struct Looking {
    is_under_way: bool,
    /// They came after the look began that is under way, and what they need may have, too.
    waiting: Vec<Then>,
}

impl Looks {
    /// Whether nobody looks: the caller is to.
    fn join(&self, then: Then) -> bool {
        let mut looking = self.lock();
        looking.waiting.push(then);
        !std::mem::replace(&mut looking.is_under_way, true)
    }

    /// Those for whom a look begins; `None`: nobody waits.
    fn begin(&self) -> Option<Vec<Then>> {
        let mut looking = self.lock();
        looking.is_under_way = !looking.waiting.is_empty();
        looking
            .is_under_way
            .then(|| std::mem::take(&mut looking.waiting))
    }

    fn lock(&self) -> MutexGuard<'_, Looking> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something is missing that may have been declared a moment ago.
pub(super) fn is_absence(refused: &Refused) -> bool {
    matches!(refused, Refused::NoExchange { .. } | Refused::NoVhost(_))
}

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
        // It sees for itself what it does not find.
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
        self.when_current(Box::new(move |current| match current {
            Ok(()) => node.take_queue_request(request, reply),
            // Whether it is there is not known here.
            Err(refused) => refuse(reply, refused.clone()),
        }));
    }

    /// Calls `then` once everything is applied here that was decided before now, or with why that
    /// is not known.
    pub(super) fn when_current(self: &Arc<Self>, then: Then) {
        if self.leads(GroupId::METADATA) {
            return then(Ok(()));
        }
        if self.looks.join(then) {
            self.look();
        }
    }

    /// One look for all who wait, and another one for those who come meanwhile.
    fn look(self: &Arc<Self>) {
        let Some(waiting) = self.looks.begin() else {
            return;
        };
        let node = Arc::clone(self);
        self.propose_routing(RoutingCommand::Nothing, move |decided| {
            let current = decided.map(drop);
            for then in waiting {
                then(current.as_ref().copied());
            }
            node.look();
        });
    }
}
