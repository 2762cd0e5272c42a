//! A sorted map whose copies share what did not change.

use std::{cmp::Ordering, sync::Arc};

/// Most entries of one chunk. A change copies one chunk and the list of chunks, not the map.
const MAX_CHUNK_COUNT: usize = 128;
/// Entries that a full chunk gets room for: most chunks lie there unchanged, and what they have room
/// for lies there with them.
const GROWTH_COUNT: usize = 8;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// A sorted map; copying it costs one reference count.
#[derive(Clone, Debug)]
pub(crate) struct Chunked<K, V> {
    /// Ascending, none empty.
    chunks: Arc<Vec<Chunk<K, V>>>,
    count: usize,
}

impl<K, V> Default for Chunked<K, V> {
    fn default() -> Self {
        Self {
            chunks: Arc::default(),
            count: 0,
        }
    }
}

impl<K: Ord + Clone, V: Clone> Chunked<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.find(|k| k.cmp(key))
    }

    /// The value whose key is where `order` says: for keys that would have to be made first.
    pub(crate) fn find(&self, order: impl Fn(&K) -> Ordering) -> Option<&V> {
        let after = self.chunks.partition_point(|chunk| {
            let first = chunk.first();
            first.is_some_and(|(key, _)| order(key).is_le())
        });
        let chunk = self.chunks.get(after.saturating_sub(1))?;
        let at = chunk.binary_search_by(|(key, _)| order(key)).ok()?;
        chunk.get(at).map(|(_, value)| value)
    }

    /// The key itself that is equal to this one.
    pub(crate) fn find_key(&self, key: &K) -> Option<&K> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let at = chunk.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        chunk.get(at).map(|(key, _)| key)
    }

    /// The value to change; copies the chunk where a copy of the map shares it.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let chunk_at = self.chunk_of(key);
        let at = self.chunks.get(chunk_at)?;
        let at = at.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        let chunk = Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[chunk_at]);
        chunk.get_mut(at).map(|(_, value)| value)
    }

    /// Entries from `key` on, ascending.
    pub(crate) fn range_from<'a>(
        &'a self,
        key: &K,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let chunk_at = self.chunk_of(key);
        let first = self.chunks.get(chunk_at);
        let at = first.map_or(0, |chunk| chunk.partition_point(|(k, _)| k < key));
        let first = first
            .into_iter()
            .flat_map(move |chunk| chunk.iter().skip(at));
        let later = self.chunks.iter().skip(chunk_at + 1);
        let later = later.flat_map(|chunk| chunk.iter());
        first.chain(later).map(|(key, value)| (key, value))
    }

    /// Entries from the first on that is not `before`, ascending.
    pub(crate) fn iter_from(&self, before: impl Fn(&K) -> bool) -> impl Iterator<Item = (&K, &V)> {
        let chunk_at = self.chunks.partition_point(|chunk| {
            let last = chunk.last();
            last.is_some_and(|(key, _)| before(key))
        });
        let later = self.chunks[chunk_at..].iter();
        let later = later.flat_map(|chunk| chunk.iter());
        later
            .skip_while(move |(key, _)| before(key))
            .map(|(key, value)| (key, value))
    }

    /// The entry with so many before it.
    pub(crate) fn nth(&self, mut at: usize) -> Option<(&K, &V)> {
        for chunk in self.chunks.iter() {
            match chunk.get(at) {
                Some((key, value)) => return Some((key, value)),
                None => at -= chunk.len(),
            }
        }
        None
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.iter())
            .map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let mut chunk_at = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::default());
        }
        let found = chunks[chunk_at].binary_search_by(|(k, _)| k.cmp(&key));
        let mut at = match found {
            Ok(at) => {
                Arc::make_mut(&mut chunks[chunk_at])[at].1 = value;
                return;
            }
            Err(at) => at,
        };
        if chunks[chunk_at].len() == MAX_CHUNK_COUNT {
            // Keys that come ascending leave full chunks behind.
            let is_end = at == MAX_CHUNK_COUNT && chunk_at + 1 == chunks.len();
            let cut_at = if is_end { at } else { MAX_CHUNK_COUNT / 2 };
            let chunk = Arc::make_mut(&mut chunks[chunk_at]);
            let upper = chunk.split_off(cut_at);
            chunk.shrink_to_fit();
            chunks.insert(chunk_at + 1, Arc::new(upper));
            if at >= cut_at {
                (chunk_at, at) = (chunk_at + 1, at - cut_at);
            }
        }
        let chunk = Arc::make_mut(&mut chunks[chunk_at]);
        if chunk.len() == chunk.capacity() {
            chunk.reserve_exact(GROWTH_COUNT);
        }
        chunk.insert(at, (key, value));
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let chunk_at = self.chunk_of(key);
        let chunk = self.chunks.get(chunk_at)?;
        let at = chunk.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[chunk_at]);
        let (_, value) = chunk.remove(at);
        if chunk.is_empty() {
            chunks.remove(chunk_at);
        }
        self.count -= 1;
        Some(value)
    }

    /// The last chunk that begins at or before `key`, or the first.
    fn chunk_of(&self, key: &K) -> usize {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.first().is_some_and(|(k, _)| k <= key));
        after.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_sorted_map() {
        let mut map = Chunked::default();
        let mut model = BTreeMap::new();
        let mut seed = 1_u64;
        for step in 0..20_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (seed >> 33) % 1_500;
            if (seed >> 20) % 5 < 3 {
                map.insert(key, step);
                model.insert(key, step);
            } else {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            assert_eq!((map.len(), map.get(&key)), (model.len(), model.get(&key)));
            if step % 100 == 0 {
                assert!(map.range_from(&key).eq(model.range(key..)));
                let at = usize::try_from(key).unwrap();
                assert_eq!(map.nth(at), model.iter().nth(at));
            }
        }
        assert!(map.values().eq(model.values()));
        assert!(
            map.chunks
                .iter()
                .all(|c| !c.is_empty() && c.len() <= MAX_CHUNK_COUNT)
        );
        for key in 0..1_500 {
            map.remove(&key);
        }
        assert!(map.len() == 0 && map.chunks.is_empty());
    }

    #[test]
    fn a_change_copies_one_chunk_and_leaves_the_copy_alone() {
        let mut map = Chunked::default();
        for key in 0..10_000_u32 {
            map.insert(key, key);
        }
        let before = map.clone();
        map.insert(77, 0);
        let shared = map.chunks.iter().zip(before.chunks.iter());
        assert_eq!(shared.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
        assert_eq!((before.get(&77), map.get(&77)), (Some(&77), Some(&0)));
    }
}
