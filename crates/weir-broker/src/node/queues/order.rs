//! What a session asks for after it has published or settled finds that done.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Called once, without blocking.
type Then = Box<dyn FnOnce() + Send>;

/// The turns of one session. Bounded by its requests in flight.
///
/// A mutex: taken by one session's requests and whoever answers them.
#[derive(Default)]
pub(super) struct Order {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Begun and not over.
    open: BTreeSet<u64>,
    /// Each waits for all turns before that number. Ascending.
    waiting: VecDeque<(u64, Then)>,
}

/// A turn; over when it is dropped.
pub(super) struct Turn {
    order: Arc<Order>,
    number: u64,
}

impl Order {
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.insert(number);
        Turn {
            order: Arc::clone(self),
            number,
        }
    }

    /// Calls `then` once all turns that have begun are over; at once where they are.
    pub(super) fn after(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.open.is_empty() {
            drop(state);
            return then();
        }
        let number = state.next;
        state.waiting.push_back((number, Box::new(then)));
    }

    fn end(&self, number: u64) {
        let mut due = Vec::new();
        {
            let mut state = self.lock();
            state.open.remove(&number);
            let first_open = state.open.first().copied().unwrap_or(u64::MAX);
            while let Some((_, then)) = state
                .waiting
                .pop_front_if(|(until, _)| *until <= first_open)
            {
                due.push(then);
            }
        }
        due.into_iter().for_each(|then| then());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.order.end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    fn after(order: &Order, called: &Arc<AtomicU32>) {
        let called = Arc::clone(called);
        order.after(move || {
            called.fetch_add(1, Relaxed);
        });
    }

    #[test]
    fn what_comes_after_turns_waits_for_all_of_them_and_for_no_later_one() {
        let (order, called) = (Arc::new(Order::default()), Arc::default());
        after(&order, &called);
        assert_eq!(called.load(Relaxed), 1);
        let (first, second) = (order.begin(), order.begin());
        after(&order, &called);
        let third = order.begin();
        after(&order, &called);
        drop(second);
        assert_eq!(called.load(Relaxed), 1);
        drop(first);
        assert_eq!(called.load(Relaxed), 2);
        drop(third);
        assert_eq!(called.load(Relaxed), 3);
    }
}
