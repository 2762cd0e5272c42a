//! A session of a connection on this node.

use crate::queue::SessionKey;

/// The owner of exclusive queues, consumers and deliveries.
#[derive(Debug)]
pub struct QueueSession {
    pub(crate) key: SessionKey,
    /// The virtual host.
    pub(crate) vhost: String,
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
        })
    }
}
