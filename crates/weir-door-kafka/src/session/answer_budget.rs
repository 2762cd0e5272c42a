//! Bytes of answers that all connections of a node hold together. Readers who do not read hold
//! what the node gave them; the more is held, the less each next Fetch is given. Once all is held, whoever
//! holds something waits until it has left, and whoever holds nothing is given a small share that keeps it going.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use weir_broker::api::Request;

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

    /// How many of `wanted_bytes` the next Fetch is given; `None`: nothing before the connection holds less.
    pub fn grant(&self, wanted_bytes: usize) -> Option<usize> {
        let budget = &*self.budget;
        let left_bytes = budget.limit_bytes.saturating_sub(budget.held_bytes());
        let is_going = left_bytes >= MIN_GRANT_BYTES || self.held_bytes == 0;
        is_going.then(|| wanted_bytes.min(left_bytes.max(MIN_GRANT_BYTES)))
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

/// Least and most bytes of a request that is answered with records.
pub fn limits_of(request: &mut Request) -> Option<(&mut usize, &mut usize)> {
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
        assert_eq!(other.grant(50 << 20), Some(50 << 20));
        one.set(MAX_NODE_ANSWER_BYTES - (1 << 20));
        assert_eq!(other.grant(50 << 20), Some(1 << 20));
        assert_eq!(other.grant(5), Some(5));
        one.set(MAX_NODE_ANSWER_BYTES + 1);
        assert_eq!(other.grant(50 << 20), Some(MIN_GRANT_BYTES));
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
        assert_eq!(full.grant(1), None);
        assert_eq!(other.grant(1 << 20), Some(MIN_GRANT_BYTES));
        other.set(1);
        assert_eq!(other.grant(1), None);
        full.set(MAX_NODE_ANSWER_BYTES - MIN_GRANT_BYTES - 1);
        assert_eq!(other.grant(1 << 20), Some(MIN_GRANT_BYTES));
    }
}
