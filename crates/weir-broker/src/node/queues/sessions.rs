//! The sessions of this node.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Sessions by number.
#[derive(Default)]
struct Part {
    going_on: BTreeMap<u64, Weak<QueueSession>>,
    /// Those whose end is not known everywhere yet.
    ending: BTreeSet<u64>,
}

/// The sessions of this run of the node.
pub(crate) struct Sessions {
    node: NodeId,
    boot: u64,
    next_number: AtomicU64,
    parts: [Mutex<Part>; PARTS_COUNT],
    /// Why publishing is to pause. A mutex: taken for each new session, and by a look some times a
    /// second; who tells sessions holds it, so that what they heard last is so.
    alarm: Mutex<Option<&'static str>>,
}

impl Sessions {
    /// None yet. `boot` tells this run of the node from the others.
    pub(crate) fn new(node: NodeId, boot: u64) -> Self {
        Self {
            node,
            boot,
            next_number: AtomicU64::new(1),
            parts: Default::default(),
            alarm: Mutex::default(),
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
        let session = Arc::downgrade(session);
        self.part(number).going_on.insert(number, session);
    }

    /// Tells all sessions, where it is another than before, why publishing is to pause; `None`: it
    /// may go on.
    pub(super) fn set_alarm(&self, alarm: Option<&'static str>) {
        let mut current = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == alarm {
            return;
        }
        *current = alarm;
        match alarm {
            Some(why) => tracing::warn!(why, "publishers wait"),
            None => tracing::info!("publishers go on"),
        }
        for number in 0..PARTS_COUNT as u64 {
            let sessions: Vec<_> = self.part(number).going_on.values().cloned().collect();
            for session in sessions.iter().filter_map(Weak::upgrade) {
                session.told.block(alarm);
            }
        }
    }

    /// Tells a session that has just begun.
    pub(super) fn tell_alarm(&self, session: &QueueSession) {
        let current = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        if current.is_some() {
            session.told.block(*current);
        }
    }

    /// The session ends: it is not found any more.
    pub(super) fn begin_end(&self, key: SessionKey) {
        let mut part = self.part(key.number);
        part.going_on.remove(&key.number);
        part.ending.insert(key.number);
    }

    /// Nothing of the session is under way any more.
    pub(super) fn has_ended(&self, key: SessionKey) {
        self.part(key.number).ending.remove(&key.number);
    }

    /// Whether something of a session that ends is still under way.
    pub(super) fn is_ending(&self, key: SessionKey) -> bool {
        let is_own = (key.node, key.boot) == (self.node, self.boot);
        let part = self.part(key.number);
        // One of which the last reference has just gone is about to end.
        let is_dropped = |session: &Weak<_>| session.strong_count() == 0;
        let is_about_to = part.going_on.get(&key.number).is_some_and(is_dropped);
        is_own && (is_about_to || part.ending.contains(&key.number))
    }

    /// The session, where it goes on.
    pub(crate) fn get(&self, key: SessionKey) -> Option<Arc<QueueSession>> {
        if (key.node, key.boot) != (self.node, self.boot) {
            return None;
        }
        self.part(key.number).going_on.get(&key.number)?.upgrade()
    }

    fn part(&self, number: u64) -> MutexGuard<'_, Part> {
        let at = usize::try_from(number % PARTS_COUNT as u64).expect("few parts");
        self.parts[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
