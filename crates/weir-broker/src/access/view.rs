//! What doors see: one value, replaced as a whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_access::{Access, Caller, Decision, DecisionCache, Need};

/// Users and rules as this node knows them. A copy costs a reference count and sees what comes later.
#[derive(Clone, Debug)]
pub struct AccessView {
    current: Arc<ArcSwap<Access>>,
}

impl Default for AccessView {
    fn default() -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(Access::unknown())),
        }
    }
}

impl AccessView {
    /// Of a cluster that has never had a user, and never will: for tests of doors.
    #[doc(hidden)]
    pub fn open() -> Self {
        Self {
            current: Arc::default(),
        }
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
        self.current.store(Arc::new(access));
    }

    /// Shows what is new, where anything is. `None`: this node does not know.
    pub(crate) fn show(&self, access: Option<&Access>) {
        let access = access.cloned().unwrap_or_else(Access::unknown);
        if self.generation() != access.generation() {
            self.current.store(Arc::new(access));
        }
    }
}
