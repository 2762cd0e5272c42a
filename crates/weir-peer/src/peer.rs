//! What the transport keeps of one peer.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};
use weir_model::NodeId;
use weir_tls::slots::Slots;

use crate::{calls::Calls, hello::Class, link::Link, liveness::Liveness};

/// One peer, known by its id; its address may be unknown yet.
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    /// Where it listens. A change ends its outgoing connections.
    pub(crate) address: watch::Sender<Option<String>>,
    /// Rises when the peer is lost: its connections are then worth nothing, even where the
    /// system has not noticed.
    pub(crate) losses: watch::Sender<u64>,
    /// The peer has connected: there is no point in waiting to do the same.
    pub(crate) has_greeted: Notify,
    pub(crate) link: Link,
    pub(crate) calls: Calls,
    pub(crate) liveness: Liveness,
    incoming_fast: Slots,
    incoming_bulk: Slots,
    is_served: AtomicBool,
}

impl Peer {
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            address: watch::Sender::new(None),
            losses: watch::Sender::new(0),
            has_greeted: Notify::new(),
            link: Link::default(),
            calls: Calls::default(),
            liveness: Liveness::default(),
            incoming_fast: Slots::new(1),
            incoming_bulk: Slots::new(1),
            is_served: AtomicBool::new(false),
        }
    }

    /// Place for one connection from the peer of each class: a later one is the one it uses.
    pub(crate) fn incoming(&self, class: Class) -> &Slots {
        match class {
            Class::Fast => &self.incoming_fast,
            Class::Bulk => &self.incoming_bulk,
        }
    }

    /// Whether its tasks have yet to be started: `true` once.
    pub(crate) fn is_to_be_served(&self) -> bool {
        !self.is_served.swap(true, Ordering::AcqRel)
    }
}
