//! Which consumers of this node's sessions take from which queue, so that they hear when it is
//! gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Node,
    api::queues::ConsumerTag,
    queue::{ConsumerKey, SessionKey},
    routing::record::QueueId,
};

/// Parts of the index, each with a lock of its own.
const PARTS_COUNT: usize = 16;

type Part = BTreeMap<QueueId, BTreeSet<ConsumerKey>>;

/// The index, by queue. Taken once per consumer that begins or ends, never per message.
#[derive(Default)]
pub(crate) struct Watchers {
    parts: [Mutex<Part>; PARTS_COUNT],
}

impl Watchers {
    pub(super) fn add(&self, queue: QueueId, consumer: ConsumerKey) {
        self.part(queue).entry(queue).or_default().insert(consumer);
    }

    pub(super) fn remove(&self, queue: QueueId, consumer: ConsumerKey) {
        let mut part = self.part(queue);
        if let Some(consumers) = part.get_mut(&queue) {
            consumers.remove(&consumer);
            if consumers.is_empty() {
                part.remove(&queue);
            }
        }
    }

    fn take(&self, queue: QueueId) -> BTreeSet<ConsumerKey> {
        self.part(queue).remove(&queue).unwrap_or_default()
    }

    /// Who takes from it.
    pub(super) fn of(&self, queue: QueueId) -> BTreeSet<ConsumerKey> {
        self.part(queue).get(&queue).cloned().unwrap_or_default()
    }

    /// All queues that somebody takes from.
    pub(super) fn queues(&self) -> Vec<QueueId> {
        let parts = (0..PARTS_COUNT).map(|at| self.lock(at));
        parts
            .flat_map(|part| part.keys().copied().collect::<Vec<_>>())
            .collect()
    }

    fn part(&self, queue: QueueId) -> MutexGuard<'_, Part> {
        self.lock(usize::try_from(queue.0 % PARTS_COUNT as u64).expect("few parts"))
    }

    fn lock(&self, at: usize) -> MutexGuard<'_, Part> {
        self.parts[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// These queues are no more: tells their consumers.
    pub(crate) fn queues_gone(self: &Arc<Self>, queues: &[QueueId]) {
        for queue in queues {
            for ConsumerKey { session, tag } in self.watchers.take(*queue) {
                self.cancel_consumer(session, tag);
            }
        }
    }

    /// The metadata is another one: looks which queues are gone.
    pub(crate) fn metadata_replaced(self: &Arc<Self>) {
        let topology = self.topology.load_full();
        let mut queues = self.watchers.queues();
        queues.retain(|queue| topology.routing().queue_by_id(*queue).is_none());
        self.queues_gone(&queues);
    }

    fn cancel_consumer(&self, session: SessionKey, tag: ConsumerTag) {
        if let Some(session) = self.sessions.get(session) {
            session.told.cancel(tag);
        }
    }
}
