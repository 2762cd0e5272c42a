//! Bytes of answers that all connections of a node hold together. Readers who do not read hold
//! what the node gave them; the more is held, the less each next Fetch is given. Once all is held, whoever
//! holds something waits until it has left, and whoever holds nothing is given a small share that keeps it going.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use weir_broker::api::{AnswerRoom, Request};

/// Bytes of answers beyond which connections are given the least, one at a time. Not counted is what is in
/// the kernel's socket buffers.
pub const MAX_NODE_ANSWER_BYTES: usize = 256 << 20;
/// Least that a Fetch is given, in bytes; its first batch may be larger.
pub const MIN_GRANT_BYTES: usize = 64 << 10;

/// What all connections hold.
#[derive(Debug)]
pub struct AnswerBudget {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
}

impl Default for AnswerBudget {
    fn default() -> Self {
        Self::new(MAX_NODE_ANSWER_BYTES)
    }
}

/// One connection's part. Dropped, it is given back.
#[derive(Debug)]
pub struct Share {
    budget: Arc<AnswerBudget>,
    held_bytes: usize,
}

impl AnswerBudget {
    /// Of so many bytes.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            held_bytes: AtomicUsize::new(0),
        }
    }

    /// How much of `wanted_bytes` is given, whatever others hold.
    fn given(&self, wanted_bytes: usize) -> usize {
        let left_bytes = self.limit_bytes.saturating_sub(self.held_bytes());
        wanted_bytes.min(left_bytes.max(MIN_GRANT_BYTES))
    }

    /// Bytes held by all.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

impl Share {
    /// A connection that holds nothing.
    pub fn new(budget: Arc<AnswerBudget>) -> Self {
        Self {
            budget,
            held_bytes: 0,
        }
    }

    /// Whether the connection is given anything before it holds less.
    pub fn is_given_any(&self) -> bool {
        let budget = &*self.budget;
        let left_bytes = budget.limit_bytes.saturating_sub(budget.held_bytes());
        left_bytes >= MIN_GRANT_BYTES || self.held_bytes == 0
    }

    /// How many of `wanted_bytes` an answer is given.
    pub fn given(&self, wanted_bytes: usize) -> usize {
        self.budget.given(wanted_bytes)
    }

    /// The connection holds `bytes` now.
    pub fn set(&mut self, bytes: usize) {
        // Others may add meanwhile: sums are exact, what is granted from them need not be.
        if bytes > self.held_bytes {
            let more = bytes - self.held_bytes;
            self.budget.held_bytes.fetch_add(more, Ordering::Relaxed);
        } else if bytes < self.held_bytes {
            let less = self.held_bytes - bytes;
            self.budget.held_bytes.fetch_sub(less, Ordering::Relaxed);
        }
        self.held_bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What the node takes for a connection's answers to Fetches, from when it gathers records until the
/// connection has them.
#[derive(Debug)]
pub struct Gathering {
    budget: Arc<AnswerBudget>,
    handed_bytes: AtomicUsize,
}

impl Gathering {
    /// Nothing is taken.
    pub fn new(budget: Arc<AnswerBudget>) -> Self {
        Self {
            budget,
            handed_bytes: AtomicUsize::new(0),
        }
    }

    /// The connection counts what it was handed itself from now on.
    pub fn settle(&self) {
        let bytes = self.handed_bytes.swap(0, Ordering::Relaxed);
        self.give_back(bytes);
    }
}

impl AnswerRoom for Gathering {
    fn take(&self, wanted_bytes: usize) -> usize {
        // Others may take meanwhile: sums are exact, what is given from them need not be.
        let bytes = self.budget.given(wanted_bytes);
        self.budget.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        bytes
    }

    fn give_back(&self, bytes: usize) {
        self.budget.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn hand_over(&self, bytes: usize) {
        self.handed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Most bytes that a request which is answered with records can be given.
pub fn wanted_bytes(request: &Request) -> Option<usize> {
    match request {
        Request::Fetch(fetch) => {
            let partitions = fetch.partitions.iter();
            let of_all = partitions.fold(0, |sum: usize, it| sum.saturating_add(it.max_bytes));
            Some(fetch.max_bytes.min(of_all))
        }
        Request::Share(share) => {
            let fetch = share.fetch.as_ref().filter(|fetch| fetch.max_bytes > 0)?;
            Some(fetch.max_bytes)
        }
        _ => None,
    }
}

/// Bounds a request that is answered with records. How many bytes the connection counts for it before it has
/// the answer: none for a Fetch, which may wait long, since the node takes what it gathers.
pub fn bound(
    request: &mut Request,
    granted_bytes: usize,
    share: &Share,
    gathering: &Arc<Gathering>,
) -> Option<usize> {
    let gathers = matches!(request, Request::Fetch(_));
    let (min_bytes, max_bytes) = limits_of(request)?;
    *max_bytes = match gathers {
        true => granted_bytes,
        false => share.given(granted_bytes),
    };
    *min_bytes = (*min_bytes).min(*max_bytes);
    let counted_bytes = if gathers { 0 } else { *max_bytes };
    if let Request::Fetch(fetch) = request {
        fetch.room = Some(Arc::clone(gathering) as Arc<dyn AnswerRoom>);
    }
    Some(counted_bytes)
}

/// Least and most bytes of a request that is answered with records.
fn limits_of(request: &mut Request) -> Option<(&mut usize, &mut usize)> {
    match request {
        Request::Fetch(fetch) => Some((&mut fetch.min_bytes, &mut fetch.max_bytes)),
        Request::Share(share) => {
            let fetch = share.fetch.as_mut().filter(|fetch| fetch.max_bytes > 0)?;
            Some((&mut fetch.min_bytes, &mut fetch.max_bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_held_the_less_is_given_down_to_the_least() {
        let budget = Arc::<AnswerBudget>::default();
        let mut one = Share::new(budget.clone());
        let other = Share::new(budget.clone());
        assert_eq!(other.given(50 << 20), 50 << 20);
        one.set(MAX_NODE_ANSWER_BYTES - (1 << 20));
        assert_eq!(other.given(50 << 20), 1 << 20);
        assert_eq!(other.given(5), 5);
        one.set(MAX_NODE_ANSWER_BYTES + 1);
        assert_eq!(other.given(50 << 20), MIN_GRANT_BYTES);
        one.set(7);
        assert_eq!(budget.held_bytes(), 7);
        drop(one);
        assert_eq!(budget.held_bytes(), 0);
    }

    #[test]
    fn once_all_is_held_who_holds_something_is_given_nothing() {
        let budget = Arc::<AnswerBudget>::default();
        let (mut full, mut other) = (Share::new(budget.clone()), Share::new(budget));
        full.set(MAX_NODE_ANSWER_BYTES - MIN_GRANT_BYTES + 1);
        assert!(!full.is_given_any() && other.is_given_any());
        other.set(1);
        assert!(!other.is_given_any());
        full.set(MAX_NODE_ANSWER_BYTES - MIN_GRANT_BYTES - 1);
        assert!(other.is_given_any());
    }

    #[test]
    fn what_the_node_gathers_is_held_until_the_connection_has_it_or_it_is_not_needed() {
        let budget = Arc::new(AnswerBudget::new(1 << 20));
        let one = Gathering::new(Arc::clone(&budget));
        let looks = [one.take(900 << 10), one.take(900 << 10)];
        assert_eq!(looks, [900 << 10, 124 << 10]);
        one.hand_over(looks[0]);
        one.give_back(looks[1]);
        assert_eq!(budget.held_bytes(), 900 << 10);
        one.settle();
        one.settle();
        assert_eq!(budget.held_bytes(), 0);
        let taken_bytes = one.take(1);
        one.hand_over(taken_bytes);
        drop(one);
        assert_eq!(budget.held_bytes(), 0);
    }
}
