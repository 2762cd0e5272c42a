//! Publishes that wait until this node has applied what was decided before them: they found no
//! exchange or no queue, and what another node was told of may make it there. What their session
//! publishes meanwhile waits behind them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_model::GroupId;

use super::order::Turn;
use crate::{Node, api::queues::Publish, mailbox::Reply};

/// A publish that is not routed yet.
pub(super) struct Unrouted {
    pub(super) publish: Publish,
    pub(super) turn: Turn,
    pub(super) reply: Reply,
}

/// A session's publishes that wait. Bounded by its requests in flight.
///
/// A mutex: taken once a publish, by the session's requests and whoever lets them go on.
#[derive(Default)]
pub(super) struct Held(Mutex<Option<VecDeque<Unrouted>>>);

impl Held {
    /// Gives the publish back where none waits before it.
    pub(super) fn pass(&self, unrouted: Unrouted) -> Option<Unrouted> {
        match &mut *self.lock() {
            Some(waiting) => {
                waiting.push_back(unrouted);
                None
            }
            None => Some(unrouted),
        }
    }

    /// From now on publishes wait.
    pub(super) fn hold(&self) {
        self.lock().get_or_insert_default();
    }

    /// The next one that waited; once there is none, publishes pass again.
    pub(super) fn next(&self) -> Option<Unrouted> {
        let mut state = self.lock();
        let next = state.as_mut().and_then(VecDeque::pop_front);
        if next.is_none() {
            *state = None;
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Unrouted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    pub(super) fn publish(self: &Arc<Self>, publish: Publish, reply: Reply) {
        let session = Arc::clone(&publish.session);
        let unrouted = Unrouted {
            turn: session.order.begin(),
            publish,
            reply,
        };
        if let Some(unrouted) = session.held.pass(unrouted) {
            self.publish_in_turn(unrouted);
        }
    }

    /// Nothing of the session is before it. Whether it is routed now.
    fn publish_in_turn(self: &Arc<Self>, unrouted: Unrouted) -> bool {
        let Publish {
            session, messages, ..
        } = &unrouted.publish;
        let routed = self.routes(session, messages);
        if routed.is_certain() || self.leads(GroupId::METADATA) {
            self.publish_routed(unrouted, routed);
            return true;
        }
        session.held.hold();
        let node = Arc::clone(self);
        self.when_current(Box::new(move |current| {
            let session = Arc::clone(&unrouted.publish.session);
            let mut routed = node.routes(&session, &unrouted.publish.messages);
            if let Err(reason) = current {
                routed.doubt(&unrouted.publish.messages, reason);
            }
            node.publish_routed(unrouted, routed);
            let mut held = std::iter::from_fn(|| session.held.next());
            held.all(|unrouted| node.publish_in_turn(unrouted));
        }));
        false
    }
}
