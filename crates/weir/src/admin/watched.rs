//! The parts of a node that the admin port looks at, as they come up.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
use weir_broker::{GroupLag, Observer, access::AccessView};
use weir_door::DoorCounters;
use weir_tls::ServerTls;

/// How long a look may take that asks the groups' own threads.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// What is watched.
pub(crate) struct Watched {
    /// Doors by name.
    pub(super) doors: Vec<(&'static str, Arc<DoorCounters>)>,
    /// Of the ports that speak TLS.
    pub(super) tls: Option<Arc<ServerTls>>,
    observer: OnceLock<Observer>,
    access: OnceLock<AccessView>,
    allows_anonymous: bool,
    is_serving: AtomicBool,
}

impl Watched {
    /// A node that does not run yet.
    pub(crate) fn new(
        doors: Vec<(&'static str, Arc<DoorCounters>)>,
        tls: Option<Arc<ServerTls>>,
        allows_anonymous: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            doors,
            tls,
            observer: OnceLock::new(),
            access: OnceLock::new(),
            allows_anonymous,
            is_serving: AtomicBool::new(false),
        })
    }

    /// The node runs.
    pub(crate) fn runs(&self, observer: Observer, access: AccessView) {
        // There is one node in a process: only the first is ever set.
        let _ = self.observer.set(observer);
        let _ = self.access.set(access);
    }

    /// Whether other machines are told more than that the node lives: there has been a user, or they
    /// may come in without.
    pub(super) fn is_shown_elsewhere(&self) -> bool {
        let has_users = |access: &AccessView| access.is_known() && !access.is_open();
        self.allows_anonymous || self.access.get().is_some_and(has_users)
    }

    /// Whether clients are served.
    pub(crate) fn serves(&self, is_serving: bool) {
        self.is_serving.store(is_serving, Ordering::Relaxed);
    }

    pub(super) fn observer(&self) -> Option<&Observer> {
        self.observer.get()
    }

    /// Why it is not ready; `None`: it is.
    pub(super) fn unready(&self) -> Option<&'static str> {
        match self.observer() {
            None => Some("the node is starting"),
            Some(observer) if !observer.is_ready() => {
                Some("not every group has a leader that this node knows of")
            }
            Some(_) if !self.is_serving.load(Ordering::Relaxed) => {
                Some("the node is starting or stopping")
            }
            Some(_) => None,
        }
    }

    /// How far groups are behind; `None`: the answer did not come in time.
    pub(super) async fn lags(&self, max_count: usize) -> Option<Vec<GroupLag>> {
        let observer = self.observer()?;
        let (tell, told) = oneshot::channel();
        // Nobody waits any more where it took too long.
        observer.lags(max_count, move |lags| drop(tell.send(lags)));
        let told = tokio::time::timeout(LOOK_LIMIT, told).await;
        told.ok().and_then(Result::ok)
    }
}
