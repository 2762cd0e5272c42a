//! The sessions of this node.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use weir_model::NodeId;

use super::QueueSession;
use crate::queue::SessionKey;

/// Parts of the registry, each with a lock of its own: deliveries to different sessions seldom meet
/// there.
const PARTS_COUNT: usize = 16;

type Part = BTreeMap<u64, Weak<QueueSession>>;

/// The sessions of this run of the node.
pub(crate) struct Sessions {
    node: NodeId,
    boot: u64,
    next_number: AtomicU64,
    parts: [Mutex<Part>; PARTS_COUNT],
}

impl Sessions {
    /// None yet. `boot` tells this run of the node from the others.
    pub(crate) fn new(node: NodeId, boot: u64) -> Self {
        Self {
            node,
            boot,
            next_number: AtomicU64::new(1),
            parts: Default::default(),
        }
    }

    /// What tells this run of the node from the others.
    pub(crate) fn boot(&self) -> u64 {
        self.boot
    }

    /// A key that no other session has.
    pub(super) fn next_key(&self) -> SessionKey {
        SessionKey {
            node: self.node,
            boot: self.boot,
            number: self.next_number.fetch_add(1, Relaxed),
        }
    }

    pub(super) fn insert(&self, session: &Arc<QueueSession>) {
        let number = session.key.number;
        self.part(number).insert(number, Arc::downgrade(session));
    }

    pub(super) fn remove(&self, key: SessionKey) {
        self.part(key.number).remove(&key.number);
    }

    /// The session, where it goes on.
    pub(crate) fn get(&self, key: SessionKey) -> Option<Arc<QueueSession>> {
        if (key.node, key.boot) != (self.node, self.boot) {
            return None;
        }
        self.part(key.number).get(&key.number)?.upgrade()
    }

    fn part(&self, number: u64) -> MutexGuard<'_, Part> {
        let at = usize::try_from(number % PARTS_COUNT as u64).expect("few parts");
        self.parts[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
