//! A bounded set of connections: one too many closes the oldest, so that idle ones never keep
//! out who has something to say.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// The set. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slots {
    max_count: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    held: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place in the set; given back when dropped.
pub struct Slot {
    id: u64,
    slots: Slots,
    evicted: oneshot::Receiver<()>,
}

impl Slots {
    /// At most so many places.
    pub fn new(max_count: usize) -> Self {
        Self {
            max_count,
            state: Arc::default(),
        }
    }

    /// Takes a place, if need be from the oldest.
    pub fn take(&self) -> Slot {
        let (keep, evicted) = oneshot::channel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let id = state.next;
        state.next += 1;
        state.held.insert(id, keep);
        if state.held.len() > self.max_count {
            state.held.pop_first();
        }
        Slot {
            id,
            slots: self.clone(),
            evicted,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.state.lock().unwrap().held.len()
    }
}

impl Slot {
    /// Waits until the place went to someone else.
    pub async fn evicted(&mut self) {
        // Nothing is ever sent: the sender's drop is the news.
        let _ = (&mut self.evicted).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self
            .slots
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.held.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_too_many_takes_the_oldest_ones_place() {
        let slots = Slots::new(2);
        let mut first = slots.take();
        let second = slots.take();
        assert!(first.evicted.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        let _third = slots.take();
        first.evicted().await;
        assert_eq!(slots.len(), 2);
        drop((first, second));
        assert_eq!(slots.len(), 1);
    }
}
