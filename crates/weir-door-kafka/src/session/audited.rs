//! What of a connection's doings goes to the audit topic: refusals, and what it changes.

use std::net::SocketAddr;

use weir_access::Principal;
use weir_broker::{
    access::AccessView,
    api::Outcome,
    audit::{AuditEvent, Change},
};

/// Who is noted, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noter<'a> {
    pub(super) access: &'a AccessView,
    pub(super) principal: &'a Principal,
    pub(super) peer: SocketAddr,
}

impl Noter<'_> {
    /// It was not allowed to do these things.
    pub(super) fn refused(&self, needs: &[String]) {
        let peer = self.peer.to_string();
        for need in needs {
            let event = AuditEvent::new(self.principal, &peer, "access", need);
            self.access.note(event.failed("refused"));
        }
    }

    /// What became of a change.
    pub(super) fn changed(&self, change: &Change, outcome: &Outcome) {
        let peer = self.peer.to_string();
        self.access
            .note(change.event(self.principal, &peer, outcome));
    }
}
