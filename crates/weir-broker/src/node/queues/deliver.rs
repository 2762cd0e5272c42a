//! Messages from the nodes that lead queues to the nodes where sessions are.

use std::sync::Arc;

use weir_model::{ErrorKind, NodeId};

use crate::{
    Node,
    api::queues::{ConsumerTag, Delivered},
    queue::SessionKey,
};

/// What became of deliveries that were handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    /// Sessions that the node does not know (any more): what they hold is to be ready again.
    pub(crate) ended: Vec<SessionKey>,
}

/// Hears once what became of deliveries: `Err` where the node may not have got them; they are
/// handed over again then. Called late while a session has much that its client has not taken.
pub(crate) type HandedOver = Box<dyn FnOnce(Result<Handed, ErrorKind>) + Send>;

impl Node {
    /// Hands deliveries over to sessions of the node `to`, which may be this one. One call for a
    /// session is under way at a time for each partition, so calls that overtake each other mix up
    /// nothing. What a consumer has seen by its serial already is dropped over there.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        to: NodeId,
        deliveries: Vec<(SessionKey, ConsumerTag, Delivered)>,
        done: HandedOver,
    ) {
        tracing::debug!(%to, count = deliveries.len(), "no sessions here yet");
        done(Err(ErrorKind::NotLeader));
    }
}
