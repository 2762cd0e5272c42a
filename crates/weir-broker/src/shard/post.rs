//! Whose letters are under way, or wait: a round of each at a time, and a pause behind one that came to nothing.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;

/// The leader's own; `K` tells who has letters.
pub(super) struct Post<K> {
    under_way: BTreeSet<K>,
    paused: BTreeMap<K, Millis>,
}

impl<K> Default for Post<K> {
    fn default() -> Self {
        Self {
            under_way: BTreeSet::new(),
            paused: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Post<K> {
    /// When letters are to be sent again, by the clock that never jumps.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.paused.values().min().copied()
    }

    /// Nothing is under way, and nothing waits.
    pub(super) fn is_free(&self, key: &K) -> bool {
        !self.under_way.contains(key) && !self.paused.contains_key(key)
    }

    pub(super) fn begin(&mut self, key: &K) {
        self.under_way.insert(key.clone());
    }

    /// A round is over.
    pub(super) fn end(&mut self, key: &K) {
        self.under_way.remove(key);
    }

    pub(super) fn pause(&mut self, key: &K, until: Millis) {
        self.paused.insert(key.clone(), until);
    }

    /// Those whose pauses are over.
    pub(super) fn end_pauses(&mut self, now: Millis) -> Vec<K> {
        let over = self.paused.extract_if(.., |_, until| *until <= now);
        over.map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_is_under_way_and_a_pause_ends_in_its_time() {
        let mut post = Post::default();
        assert!(post.is_free(&1));
        post.begin(&1);
        assert!(!post.is_free(&1) && post.is_free(&2));
        post.end(&1);
        post.pause(&1, Millis(70));
        assert_eq!(
            (post.is_free(&1), post.next_deadline()),
            (false, Some(Millis(70)))
        );
        assert!(post.end_pauses(Millis(69)).is_empty());
        assert_eq!(post.end_pauses(Millis(70)), [1]);
        assert!(post.is_free(&1));
    }
}
