//! A map with a weight limit that drops what was used longest ago.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    limit: usize,
    used: usize,
    clock: u64,
    items: BTreeMap<K, Item<V>>,
    by_age: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Item<V> {
    used_at: u64,
    weight: usize,
    value: V,
}

impl<K: Ord + Copy, V: Clone> Lru<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            clock: 0,
            items: BTreeMap::new(),
            by_age: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        let item = self.items.get_mut(&key)?;
        self.by_age.remove(&item.used_at);
        self.clock += 1;
        item.used_at = self.clock;
        self.by_age.insert(self.clock, key);
        Some(item.value.clone())
    }

    /// Adds a value. What it pushes out is returned, to be dropped outside of a lock.
    pub(crate) fn insert(&mut self, key: K, weight: usize, value: V) -> Vec<V> {
        let mut out: Vec<V> = self.remove(key).into_iter().collect();
        self.clock += 1;
        let used_at = self.clock;
        self.by_age.insert(used_at, key);
        self.used += weight;
        let item = Item {
            used_at,
            weight,
            value,
        };
        self.items.insert(key, item);
        while self.used > self.limit {
            let Some(oldest) = self.by_age.first_key_value().map(|(_, key)| *key) else {
                break;
            };
            out.extend(self.remove(oldest));
        }
        out
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let item = self.items.remove(&key)?;
        self.by_age.remove(&item.used_at);
        self.used -= item.weight;
        Some(item.value)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut lru = Lru::new(3);
        for key in 1..=3 {
            assert!(lru.insert(key, 1, key * 10).is_empty());
        }
        assert_eq!(lru.get(1), Some(10));
        assert_eq!(lru.insert(4, 2, 40), [20, 30]);
        assert_eq!(
            (lru.get(2), lru.get(1), lru.get(4)),
            (None, Some(10), Some(40))
        );
    }

    #[test]
    fn a_value_over_the_limit_is_not_kept() {
        let mut lru = Lru::new(3);
        assert_eq!(lru.insert(1, 4, 10), [10]);
        assert_eq!(lru.len(), 0);
    }
}
