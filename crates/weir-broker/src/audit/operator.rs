//! What people ask for, at whichever port.

use std::sync::Arc;

use serde::Serialize;

use super::{event::AuditEvent, requester::Requester};
use crate::Node;

/// Called once with the answer.
type Done<A> = Box<dyn FnOnce(A) + Send>;

impl Node {
    /// Has what becomes of a request written down, unless it only lists something. `refusal`: why nothing was done.
    pub(crate) fn noted<A: 'static>(
        self: &Arc<Self>,
        by: &Requester,
        request: &impl Serialize,
        refusal: fn(&A) -> Option<&str>,
        done: Done<A>,
    ) -> Done<A> {
        let (node, event) = (Arc::clone(self), AuditEvent::requested(by, request));
        if event.action == "status" || event.action.starts_with("list_") {
            return done;
        }
        Box::new(move |answer| {
            node.access().note(match refusal(&answer) {
                Some(reason) => event.failed(reason),
                None => event,
            });
            done(answer);
        })
    }
}
