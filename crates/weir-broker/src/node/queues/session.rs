//! A session of a connection on this node.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use weir_access::{Permission, token::Grants};
use weir_model::{NodeId, fields::ShortString};

use super::{held::Held, lines::Lines, order::Order, stream::Streams, told::Told};
use crate::{
    Node,
    access::{AccessView, ChannelSeat, Guard, Seat, What},
    api::queues::{ConsumerTag, OpenSession, REPLY_QUEUE, Refused},
    mailbox::Sink,
    queue::{ConsumerKey, SessionKey},
};

/// The owner of exclusive queues, consumers and deliveries.
pub struct QueueSession {
    pub(crate) key: SessionKey,
    /// The virtual host.
    pub(crate) vhost: String,
    /// What people call the connection.
    name: String,
    node: Weak<Node>,
    pub(super) guard: Guard,
    pub(super) told: Told,
    pub(super) lines: Arc<Lines>,
    pub(super) order: Arc<Order>,
    pub(super) held: Held,
    pub(super) streams: Streams,
    /// `None`: the cluster's own, which counts for nobody.
    seat: Option<Seat>,
    next_request: AtomicU64,
    /// What became of a declaration of an exclusive queue is not known: it may own one that this
    /// node has not seen.
    pub(super) may_own_more: AtomicBool,
}

impl fmt::Debug for QueueSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSession")
            .field("key", &self.key)
            .field("vhost", &self.vhost)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl QueueSession {
    /// Whether it may do that with an exchange or a queue of its virtual host, as things are now.
    pub(super) fn permit(
        &self,
        permission: Permission,
        what: What,
        name: &str,
    ) -> Result<(), Refused> {
        self.guard.named(permission, what, (&self.vhost, name))
    }

    pub(super) fn new(
        node: &Arc<Node>,
        key: SessionKey,
        open: OpenSession,
        (sink, seat): (Sink, Option<Seat>),
    ) -> Arc<Self> {
        let guard = Guard::new(node.access().clone(), open.principal, open.grants);
        let node = Arc::downgrade(node);
        Arc::new(Self {
            guard,
            key,
            vhost: open.vhost,
            name: open.name,
            lines: Lines::new(key, node.clone()),
            node,
            told: Told::new(Some(sink)),
            order: Arc::default(),
            held: Held::default(),
            streams: Streams::default(),
            seat,
            next_request: AtomicU64::new(1),
            may_own_more: AtomicBool::new(false),
        })
    }

    /// For tests of doors.
    #[doc(hidden)]
    pub fn detached(vhost: &str) -> Arc<Self> {
        let key = SessionKey {
            node: NodeId(0),
            boot: 0,
            number: 0,
        };
        Arc::new(Self {
            key,
            vhost: vhost.to_owned(),
            name: String::new(),
            node: Weak::new(),
            guard: Guard::new(AccessView::open(), None, None),
            told: Told::new(None),
            lines: Lines::new(key, Weak::new()),
            order: Arc::default(),
            held: Held::default(),
            streams: Streams::default(),
            seat: None,
            next_request: AtomicU64::new(1),
            may_own_more: AtomicBool::new(false),
        })
    }

    /// It was not allowed to do something.
    pub(super) fn note_refused(&self, refused: &Refused) {
        let peer = peer_of(&self.name);
        self.guard.note_refused(peer, &self.vhost, refused);
    }

    /// Goes by another token of the same name: this is what it allows. Consumers that may not be any more end;
    /// refused where it may not be in its virtual host.
    pub fn regrant(&self, grants: Grants) -> Result<(), Refused> {
        self.guard.regrant(grants);
        if let Some(node) = self.node.upgrade() {
            node.review_consumers(|session| session == self.key);
        }
        self.guard.enter(&self.vhost).inspect_err(|refused| {
            self.note_refused(refused);
        })
    }

    /// A place for one more channel, as long as its user may have one. `None`: it counts for nobody.
    pub fn open_channel(&self) -> Result<Option<ChannelSeat>, Refused> {
        let place = self.seat.as_ref().map(Seat::open_channel).transpose();
        place.map_err(|refused| {
            let refused = Refused::Limit(refused.to_string());
            self.note_refused(&refused);
            refused
        })
    }

    /// A number that the session never uses twice.
    pub(super) fn next_request(&self) -> u64 {
        self.next_request.fetch_add(1, Relaxed)
    }

    /// Its door has passed on so many more bytes of delivered records, or dropped them: as many may
    /// follow.
    pub fn note_sent(&self, record_bytes: usize) {
        self.told.note_sent(record_bytes);
    }

    /// How long a client may have a delivery of the queue without settling it, in ms, as its argument
    /// and policies say at the moment.
    pub fn consumer_timeout_ms(&self, queue: &ShortString) -> Option<u64> {
        let node = self.node.upgrade()?;
        let topology = node.topology.load();
        let routing = topology.routing();
        let queue = routing.queue(routing.vhost(&self.vhost)?.id, queue)?;
        routing.consumer_timeout_ms(queue)
    }

    /// Where answers to this consumer are published, see [`REPLY_QUEUE`].
    pub fn reply_address(&self, consumer: ConsumerTag) -> ShortString {
        let ConsumerKey { session, tag } = ConsumerKey {
            session: self.key,
            tag: consumer,
        };
        let (node, tag) = (session.node.0, tag.0);
        let text = format!(
            "{REPLY_QUEUE}.{node:x}.{:x}.{:x}.{tag:x}",
            session.boot, session.number
        );
        ShortString::new(&text).expect("four numbers of 16 digits and a prefix are short")
    }
}

impl Drop for QueueSession {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            node.session_dropped(self);
        }
    }
}

/// The client's end of a connection that people call so.
pub(super) fn peer_of(name: &str) -> &str {
    name.split_once(" -> ").map_or(name, |(peer, _)| peer)
}

/// The consumer whose address that is.
pub(crate) fn addressed(routing_key: &str) -> Option<ConsumerKey> {
    let numbers = routing_key.strip_prefix(REPLY_QUEUE)?.strip_prefix('.')?;
    let mut numbers = numbers.split('.');
    let mut next = || u64::from_str_radix(numbers.next()?, 16).ok();
    let (node, boot, number, tag) = (next()?, next()?, next()?, next()?);
    let session = SessionKey {
        node: NodeId(node),
        boot,
        number,
    };
    let key = ConsumerKey {
        session,
        tag: ConsumerTag(tag),
    };
    numbers.next().is_none().then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_address_names_its_consumer_and_nothing_else_does() {
        let session = QueueSession::detached("/");
        let address = session.reply_address(ConsumerTag(u64::MAX));
        let named = addressed(address.as_str()).unwrap();
        assert_eq!(
            (named.session, named.tag),
            (session.key, ConsumerTag(u64::MAX))
        );
        for other in [
            "",
            REPLY_QUEUE,
            "amq.rabbitmq.reply-to.1.2.3",
            "amq.rabbitmq.reply-to.1.2.3.4.5",
            "q.1.2.3.4",
        ] {
            assert_eq!(addressed(other), None, "{other}");
        }
    }
}
