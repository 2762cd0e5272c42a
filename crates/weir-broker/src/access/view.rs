//! What doors see: one value, replaced as a whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_access::{Access, Caller, Decision, DecisionCache, Need, Principal};
use weir_model::NodeId;

use super::{
    presence::{Ear, EnterRefused, Presence, Seat, VhostPlace},
    tally::Tally,
};
use crate::{
    audit::{AuditEvent, AuditLog},
    quota::QuotaView,
};

/// Users and rules as this node knows them. A copy costs a reference count and sees what comes later.
#[derive(Clone, Debug)]
pub struct AccessView {
    current: Arc<ArcSwap<Access>>,
    presence: Arc<Presence>,
    audit: Arc<AuditLog>,
    quotas: QuotaView,
}

impl Default for AccessView {
    fn default() -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(Access::unknown())),
            presence: Arc::default(),
            audit: Arc::default(),
            quotas: QuotaView::default(),
        }
    }
}

impl AccessView {
    /// Of a cluster that has never had a user, and never will: for tests of doors.
    #[doc(hidden)]
    pub fn open() -> Self {
        Self {
            current: Arc::default(),
            presence: Arc::default(),
            audit: Arc::default(),
            quotas: QuotaView::default(),
        }
    }

    /// How much of something they may have.
    pub fn quotas(&self) -> &QuotaView {
        &self.quotas
    }

    /// As they are now, for as long as the caller keeps them.
    pub fn load(&self) -> Arc<Access> {
        self.current.load_full()
    }

    /// There has never been a user: everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.current.load().is_open()
    }

    /// Whether this node has heard of the cluster's users and rules, or that there are none.
    pub fn is_known(&self) -> bool {
        self.current.load().is_known()
    }

    /// Counts the changes.
    pub fn generation(&self) -> u64 {
        self.current.load().generation()
    }

    /// Whether somebody may do that, now. Takes no lock, and allocates nothing where `cache`
    /// remembers.
    pub fn check(&self, cache: &mut DecisionCache, caller: Caller<'_>, need: Need<'_>) -> Decision {
        cache.check(&self.current.load(), caller, need)
    }

    /// Shows something else from now on: for tests of doors.
    #[doc(hidden)]
    pub fn replace(&self, access: Access) {
        let access = Arc::new(access);
        self.current.store(Arc::clone(&access));
        self.presence.review(&access);
    }

    /// A place for a connection of somebody, in this virtual host where it is in one. `ear` hears that the
    /// user is gone.
    pub fn enter(
        &self,
        who: &Principal,
        vhost: Option<VhostPlace<'_>>,
        ear: Ear,
    ) -> Result<Seat, EnterRefused> {
        self.presence.enter(&self.current, who, vhost, ear)
    }

    /// Has it written to the audit topic, from the first user on.
    pub fn note(&self, event: AuditEvent) {
        if !self.is_open() {
            self.audit.note(event);
        }
    }

    /// What is not written there yet.
    pub(crate) fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// How many of the limited ones this node has. `is_limited`: whether a virtual host is.
    pub(crate) fn tally(&self, is_limited: impl Fn(&str) -> bool) -> Tally {
        self.presence.tally(&self.current.load(), is_limited)
    }

    /// How many another node has; `None`: it is gone.
    pub(crate) fn heard(&self, from: NodeId, tally: Option<Tally>) {
        self.presence.heard(from, tally);
    }

    #[cfg(test)]
    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Shows what is new, where anything is. `None`: this node does not know.
    pub(crate) fn show(&self, access: Option<&Access>) {
        let access = access.cloned().unwrap_or_else(Access::unknown);
        if self.generation() != access.generation() {
            let access = Arc::new(access);
            self.current.store(Arc::clone(&access));
            self.presence.review(&access);
        }
    }
}
