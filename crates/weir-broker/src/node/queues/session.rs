//! A session of a connection on this node.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_model::fields::ShortString;

use crate::{
    api::queues::{ConsumerTag, REPLY_QUEUE},
    queue::{ConsumerKey, SessionKey},
};

/// The owner of exclusive queues, consumers and deliveries.
#[derive(Debug)]
pub struct QueueSession {
    pub(crate) key: SessionKey,
    /// The virtual host.
    pub(crate) vhost: String,
    /// Bytes of records delivered under its ticket that its door has passed on.
    sent_bytes: AtomicU64,
}

impl QueueSession {
    /// For tests of doors.
    #[doc(hidden)]
    pub fn detached(vhost: &str) -> std::sync::Arc<Self> {
        let key = SessionKey {
            node: weir_model::NodeId(0),
            boot: 0,
            number: 0,
        };
        std::sync::Arc::new(Self {
            key,
            vhost: vhost.to_owned(),
            sent_bytes: AtomicU64::new(0),
        })
    }

    /// Its door has passed on so many more bytes of delivered records: as many may follow.
    pub fn note_sent(&self, record_bytes: usize) {
        self.sent_bytes.fetch_add(record_bytes as u64, Relaxed);
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

/// The consumer whose address that is.
pub(crate) fn addressed(routing_key: &str) -> Option<ConsumerKey> {
    let numbers = routing_key.strip_prefix(REPLY_QUEUE)?.strip_prefix('.')?;
    let mut numbers = numbers.split('.');
    let mut next = || u64::from_str_radix(numbers.next()?, 16).ok();
    let (node, boot, number, tag) = (next()?, next()?, next()?, next()?);
    let session = SessionKey {
        node: weir_model::NodeId(node),
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
