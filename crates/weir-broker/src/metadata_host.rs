//! Group 0 on this node: the metadata's state machine, and its view for readers.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use weir_raft::{Applied, ApplyError, Command};

use crate::{
    Node,
    access::{AccessOutcome, AccessView},
    encoding::DecodeError,
    forward::{Decided, Place},
    metadata::{MetadataCommand, MetadataOutcome, MetadataState, Topology},
    outcome::AppliedOutcome,
    routing::{RoutingOutcome, record::QueueId},
};

/// Most who wait for a command to be applied here; more are told that it is not.
const MAX_WAITERS_COUNT: usize = 10_000;

/// Called once, without blocking, with whether the command is applied here.
type Waiter = Box<dyn FnOnce(bool) + Send>;

/// What everybody on this node sees of group 0.
#[derive(Default)]
pub(crate) struct MetadataView {
    topology: ArcSwap<Topology>,
    access: AccessView,
    /// Counts the states of it that were shown.
    revision: AtomicU64,
    /// A mutex: taken once per command of group 0.
    progress: Mutex<Progress>,
    /// Whose it is.
    node: OnceLock<Weak<Node>>,
}

#[derive(Default)]
struct Progress {
    /// The last command that was applied here.
    last: Place,
    waiting: BTreeMap<WaiterKey, Waiter>,
    next_serial: u64,
}

/// Finds one who waits.
pub(crate) type WaiterKey = (Place, u64);

impl MetadataView {
    pub(crate) fn load(&self) -> Guard<Arc<Topology>> {
        self.topology.load()
    }

    pub(crate) fn access(&self) -> &AccessView {
        &self.access
    }

    /// The node hears from now on which queues are gone.
    pub(crate) fn set_node(&self, node: &Arc<Node>) {
        self.node.get_or_init(|| Arc::downgrade(node));
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.node.get()?.upgrade()
    }

    /// Changes whenever the topology does, no earlier than that.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub(crate) fn load_full(&self) -> Arc<Topology> {
        self.topology.load_full()
    }

    /// Calls `waiter` once the command at `place` is applied here: at once where it is, or where
    /// too many wait. A key where it waits.
    pub(crate) fn when_applied(&self, place: Place, waiter: Waiter) -> Option<WaiterKey> {
        let mut progress = self.lock();
        let is_applied = progress.last >= place;
        if is_applied || progress.waiting.len() >= MAX_WAITERS_COUNT {
            drop(progress);
            waiter(is_applied);
            return None;
        }
        let key = (place, progress.next_serial);
        progress.next_serial += 1;
        progress.waiting.insert(key, waiter);
        Some(key)
    }

    /// Tells the one who still waits that it is not applied here yet.
    pub(crate) fn give_up(&self, key: WaiterKey) {
        let waiter = self.lock().waiting.remove(&key);
        if let Some(waiter) = waiter {
            waiter(false);
        }
    }

    /// The next command of `index` has its place.
    fn advance(&self, index: u64) -> Place {
        let mut progress = self.lock();
        progress.last = progress.last.next(index);
        progress.last
    }

    /// Calls those who waited for anything up to `place`.
    fn wake(&self, place: Place) {
        let due = {
            let mut progress = self.lock();
            let later = progress.waiting.split_off(&(place, u64::MAX));
            std::mem::replace(&mut progress.waiting, later)
        };
        due.into_values().for_each(|waiter| waiter(true));
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies metadata commands and shows the result to everybody on this node.
pub(crate) struct MetadataHost {
    state: MetadataState,
    view: Arc<MetadataView>,
}

impl MetadataHost {
    /// From a checkpoint's body, or from nothing.
    pub(crate) fn open(body: Option<&[u8]>, view: Arc<MetadataView>) -> Result<Self, DecodeError> {
        let state = match body {
            Some(body) => MetadataState::decode(body)?,
            None => MetadataState::new(),
        };
        let host = Self { state, view };
        host.show();
        Ok(host)
    }

    fn show(&self) {
        self.view.topology.store(self.state.topology());
        let known = self.state.known();
        let is_known = !known.cluster_id().is_empty();
        self.view.access.show(is_known.then(|| known.access()));
        self.view.access.quotas().show(known.quotas());
        self.view.revision.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn apply(
        &mut self,
        at: &Applied,
        command: &[u8],
    ) -> Result<AppliedOutcome, ApplyError> {
        let command = MetadataCommand::decode(command).map_err(|error| ApplyError {
            group: at.group,
            index: at.index,
            reason: error.to_string(),
        })?;
        let outcome = self.state.apply(at, command);
        let has_changed = match &outcome {
            MetadataOutcome::ClusterNamed(_)
            | MetadataOutcome::NodeRegistered(_)
            | MetadataOutcome::NodeAdmitted(_)
            | MetadataOutcome::NodeStateSet(_)
            | MetadataOutcome::NodeRemoved(_)
            | MetadataOutcome::TopicCreated(_)
            | MetadataOutcome::TopicDeleted(_)
            | MetadataOutcome::ConfigsAltered
            | MetadataOutcome::PartitionsCreated
            | MetadataOutcome::GroupPlaced
            | MetadataOutcome::Routing(
                RoutingOutcome::Done
                | RoutingOutcome::QueueDeclared(_)
                | RoutingOutcome::Removed { .. },
            )
            | MetadataOutcome::Access(AccessOutcome::Done | AccessOutcome::AclsDeleted { .. }) => {
                true
            }
            MetadataOutcome::ProducerIds { .. }
            | MetadataOutcome::Routing(RoutingOutcome::Refused(_))
            | MetadataOutcome::Access(AccessOutcome::Refused(_))
            | MetadataOutcome::Refused(_) => false,
        };
        if has_changed {
            self.show();
        }
        if let (Some(node), Some(gone)) = (self.view.node(), gone(&outcome)) {
            node.queues_gone(&gone);
        }
        let place = self.view.advance(at.index);
        self.view.wake(place);
        Ok(AppliedOutcome::Metadata(Decided { place, outcome }))
    }

    pub(crate) fn restore(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        self.state = MetadataState::decode(body)?;
        self.show();
        if let Some(node) = self.view.node() {
            node.metadata_replaced();
        }
        Ok(())
    }

    pub(crate) fn retire(&mut self) {
        self.state = MetadataState::new();
        self.show();
    }

    pub(crate) fn encode(&self) -> Bytes {
        self.state.encode()
    }
}

/// Queues that a command has removed.
fn gone(outcome: &MetadataOutcome) -> Option<Cow<'_, [QueueId]>> {
    match outcome {
        MetadataOutcome::Routing(RoutingOutcome::Removed { queues, .. }) => {
            Some(Cow::Borrowed(queues))
        }
        MetadataOutcome::TopicDeleted(topic) => Some(Cow::Owned(vec![QueueId(topic.serial)])),
        MetadataOutcome::ClusterNamed(_)
        | MetadataOutcome::NodeRegistered(_)
        | MetadataOutcome::NodeAdmitted(_)
        | MetadataOutcome::NodeStateSet(_)
        | MetadataOutcome::NodeRemoved(_)
        | MetadataOutcome::TopicCreated(_)
        | MetadataOutcome::ConfigsAltered
        | MetadataOutcome::PartitionsCreated
        | MetadataOutcome::GroupPlaced
        | MetadataOutcome::Routing(
            RoutingOutcome::Done | RoutingOutcome::QueueDeclared(_) | RoutingOutcome::Refused(_),
        )
        | MetadataOutcome::Access(_)
        | MetadataOutcome::ProducerIds { .. }
        | MetadataOutcome::Refused(_) => None,
    }
}

/// The command as it is proposed.
pub(crate) fn command(command: &MetadataCommand) -> Command {
    Command {
        head: command.encode(),
        payload: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts who was told that their command is applied, and who that it is not.
    #[derive(Default)]
    struct Woken([AtomicUsize; 2]);

    impl Woken {
        fn waiter(self: &Arc<Self>) -> Waiter {
            let woken = Arc::clone(self);
            Box::new(move |is_applied| {
                woken.0[usize::from(is_applied)].fetch_add(1, Ordering::Relaxed);
            })
        }

        fn counts(&self) -> [usize; 2] {
            [&self.0[0], &self.0[1]].map(|count| count.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_waiter_is_called_once_its_command_is_applied_and_not_by_an_earlier_one_of_its_entry() {
        let view = MetadataView::default();
        let woken = Arc::new(Woken::default());
        let first = Place::default().next(7);
        let second = first.next(7);
        assert!(view.when_applied(second, woken.waiter()).is_some());
        view.wake(view.advance(7));
        assert_eq!(woken.counts(), [0, 0]);
        view.wake(view.advance(7));
        assert_eq!(woken.counts(), [0, 1]);
        assert!(view.when_applied(first, woken.waiter()).is_none());
        assert_eq!(woken.counts(), [0, 2]);
    }

    #[test]
    fn who_gives_up_or_finds_too_many_waiting_is_told_once_that_it_is_not_applied() {
        let view = MetadataView::default();
        let woken = Arc::new(Woken::default());
        let first = Place::default().next(7);
        let given_up = view.when_applied(first, woken.waiter()).unwrap();
        view.give_up(given_up);
        view.give_up(given_up);
        assert_eq!(woken.counts(), [1, 0]);
        for _ in 0..MAX_WAITERS_COUNT {
            assert!(view.when_applied(first, woken.waiter()).is_some());
        }
        assert!(view.when_applied(first, woken.waiter()).is_none());
        assert_eq!(woken.counts(), [2, 0]);
    }
}
