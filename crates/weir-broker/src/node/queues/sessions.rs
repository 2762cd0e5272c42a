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
use crate::{api::queues::ConsumerTag, queue::SessionKey};

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
    /// Topic's serial number, session and tag of each consumer.
    ///
    /// A mutex: taken when a consumer begins or ends, and when a queue is deleted.
    consumers: Mutex<BTreeSet<(u64, u64, ConsumerTag)>>,
}

impl Sessions {
    /// None yet. `boot` tells this run of the node from the others.
    pub(crate) fn new(node: NodeId, boot: u64) -> Self {
        Self {
            node,
            boot,
            next_number: AtomicU64::new(1),
            parts: Default::default(),
            consumers: Mutex::default(),
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

    /// A consumer of a queue: the serial number of its topic.
    pub(super) fn add_consumer(&self, serial: u64, session: SessionKey, tag: ConsumerTag) {
        lock(&self.consumers).insert((serial, session.number, tag));
    }

    pub(super) fn remove_consumer(&self, serial: u64, session: SessionKey, tag: ConsumerTag) {
        lock(&self.consumers).remove(&(serial, session.number, tag));
    }

    /// Consumers of a queue that is no more.
    pub(super) fn take_consumers(&self, serial: u64) -> Vec<(Arc<QueueSession>, ConsumerTag)> {
        let taken: Vec<_> = {
            let mut consumers = lock(&self.consumers);
            let range = (serial, 0, ConsumerTag(0))..=(serial, u64::MAX, ConsumerTag(u64::MAX));
            let taken: Vec<_> = consumers.range(range).copied().collect();
            for consumer in &taken {
                consumers.remove(consumer);
            }
            taken
        };
        let sessions = taken.into_iter().filter_map(|(_, number, tag)| {
            let session = self.part(number).get(&number)?.upgrade()?;
            Some((session, tag))
        });
        sessions.collect()
    }

    /// Serial numbers of the topics that have consumers here.
    pub(super) fn consumed(&self) -> Vec<u64> {
        let consumers = lock(&self.consumers);
        let mut serials: Vec<u64> = consumers.iter().map(|(serial, ..)| *serial).collect();
        serials.dedup();
        serials
    }

    fn part(&self, number: u64) -> MutexGuard<'_, Part> {
        let at = usize::try_from(number % PARTS_COUNT as u64).expect("few parts");
        lock(&self.parts[at])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
