//! All fetch sessions of a node, and which of them is a connection's own.
//!
//! A session belongs to the connection that opened it, and ends with it. Kafka finds a session by
//! its id from any connection; clients never need that, since they open a new one when they
//! connect again, and a number that anybody can guess should not let one client read or close
//! what is another's. So each request takes a lock that only its own connection takes; the one
//! over all sessions is for opening, growing and closing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use weir_broker::api::{FetchPartition, Fetched};
use weir_door::Millis;

use super::fetch_session::{FetchSession, Key, Misfit};

/// Most sessions of a node (Kafka's `max.incremental.fetch.session.cache.slots`). Further clients
/// are served without one, unless an idle one makes room.
pub const MAX_SESSIONS_COUNT: usize = 1_000;
/// Most partitions in all sessions of a node, about 150 bytes each.
pub const MAX_CACHED_PARTITIONS_COUNT: usize = 500_000;
/// A session that was not used for this long makes room for a new one, in ms (Kafka's
/// `min.incremental.fetch.session.eviction.ms`).
pub const MIN_EVICTION_MS: u64 = 120_000;

/// All sessions of a node.
#[derive(Debug, Default)]
pub struct FetchCache {
    /// A mutex: taken when a session is opened, changes its size or is closed.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<i32, Entry>,
    last_id: i32,
    partitions_count: usize,
}

#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    partitions_count: usize,
}

#[derive(Debug)]
struct Shared {
    used_ms: AtomicI64,
    /// `None` once it made room for another. A mutex: its connection's, and whoever looks for
    /// room.
    session: Mutex<Option<FetchSession>>,
}

/// One connection's place in the cache.
#[derive(Debug)]
pub struct Fetches {
    cache: Arc<FetchCache>,
    /// A mutex that only this connection takes.
    own: Mutex<Option<(i32, Arc<Shared>)>>,
}

/// Why an incremental request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The session is not this connection's, or made room for another.
    NotFound,
    /// The request does not fit the session.
    Misfit(Misfit),
}

impl Fetches {
    /// A connection's place without a session.
    pub fn new(cache: Arc<FetchCache>) -> Self {
        Self {
            cache,
            own: Mutex::default(),
        }
    }

    /// Opens a session of these partitions in the place of the one before. `None`: there is no
    /// room; the client is served without one.
    pub fn open(&self, by_id: bool, partitions: &[FetchPartition], now: Millis) -> Option<i32> {
        self.close();
        let session = FetchSession::new(by_id, partitions)?;
        let opened = self.cache.insert(session, now)?;
        let id = opened.0;
        *lock(&self.own) = Some(opened);
        Some(id)
    }

    /// Ends the session, if there is one.
    pub fn close(&self) {
        if let Some((id, _)) = lock(&self.own).take() {
            self.cache.remove(id);
        }
    }

    /// Takes in an incremental request; gives all partitions that it asks for. None are left:
    /// the session is over.
    pub fn update(
        &self,
        id: i32,
        epoch: i32,
        by_id: bool,
        forgotten: &[Key],
        changed: &[FetchPartition],
        now: Millis,
    ) -> Result<Vec<FetchPartition>, Refused> {
        let own = lock(&self.own).clone();
        let (_, shared) = own.filter(|own| own.0 == id).ok_or(Refused::NotFound)?;
        shared.used_ms.store(now.0, Ordering::Relaxed);
        let (before_count, result) = {
            let mut slot = lock(&shared.session);
            let session = slot.as_mut().ok_or(Refused::NotFound)?;
            let before_count = session.count();
            let result = session.update(epoch, by_id, forgotten, changed);
            (before_count, result.map(|()| session.wanted()))
        };
        match result {
            Ok(wanted) if wanted.is_empty() => {
                self.close();
                Ok(wanted)
            }
            Ok(wanted) if wanted.len() != before_count && !self.cache.resize(id, wanted.len()) => {
                self.close();
                Err(Refused::NotFound)
            }
            Ok(wanted) => Ok(wanted),
            // Half of it is taken in: the client begins anew.
            Err(Misfit::TooMany) => {
                self.close();
                Err(Refused::NotFound)
            }
            Err(misfit @ (Misfit::Epoch | Misfit::TopicIds)) => Err(Refused::Misfit(misfit)),
        }
    }

    /// Which of the answers session `id` must hear of; all where it is over.
    pub fn tell(&self, id: i32, keys: &[Key], answers: &[Fetched]) -> Vec<bool> {
        let own = lock(&self.own).clone();
        let Some((_, shared)) = own.filter(|own| own.0 == id) else {
            return vec![true; answers.len()];
        };
        let mut slot = lock(&shared.session);
        let tell = |(key, fetched)| match slot.as_mut() {
            Some(session) => session.tell(key, fetched),
            None => true,
        };
        keys.iter().zip(answers).map(tell).collect()
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        self.close();
    }
}

impl FetchCache {
    fn insert(&self, session: FetchSession, now: Millis) -> Option<(i32, Arc<Shared>)> {
        let partitions_count = session.count();
        let mut state = lock(&self.state);
        while !state.has_room(1, partitions_count) {
            state.evict(now)?;
        }
        let id = state.free_id();
        let shared = Arc::new(Shared {
            used_ms: AtomicI64::new(now.0),
            session: Mutex::new(Some(session)),
        });
        state.partitions_count += partitions_count;
        state.sessions.insert(
            id,
            Entry {
                shared: Arc::clone(&shared),
                partitions_count,
            },
        );
        Some((id, shared))
    }

    /// Whether there is room for session `id` at its new size.
    fn resize(&self, id: i32, count: usize) -> bool {
        let mut state = lock(&self.state);
        let Some(entry) = state.sessions.get_mut(&id) else {
            return false;
        };
        let before_count = std::mem::replace(&mut entry.partitions_count, count);
        state.partitions_count = state.partitions_count - before_count + count;
        state.partitions_count <= MAX_CACHED_PARTITIONS_COUNT || count < before_count
    }

    fn remove(&self, id: i32) {
        lock(&self.state).remove(id);
    }

    /// Number of sessions.
    pub fn count(&self) -> usize {
        lock(&self.state).sessions.len()
    }
}

impl State {
    fn has_room(&self, sessions_count: usize, partitions_count: usize) -> bool {
        self.sessions.len() + sessions_count <= MAX_SESSIONS_COUNT
            && self.partitions_count + partitions_count <= MAX_CACHED_PARTITIONS_COUNT
    }

    /// Takes the session away that was idle longest; `None` where all are in use.
    fn evict(&mut self, now: Millis) -> Option<()> {
        let used = |entry: &Entry| entry.shared.used_ms.load(Ordering::Relaxed);
        let oldest = self.sessions.iter().min_by_key(|(_, entry)| used(entry));
        let (id, idle_ms) = oldest.map(|(id, entry)| (*id, now.0 - used(entry)))?;
        if idle_ms < MIN_EVICTION_MS.cast_signed() {
            return None;
        }
        self.remove(id);
        Some(())
    }

    fn remove(&mut self, id: i32) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.partitions_count -= entry.partitions_count;
            *lock(&entry.shared.session) = None;
        }
    }

    fn free_id(&mut self) -> i32 {
        loop {
            // 0 stands for no session.
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.sessions.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use weir_broker::api::TopicRef;
    use weir_model::TopicName;

    use super::*;

    fn partitions(count: i32) -> Vec<FetchPartition> {
        let topic = TopicRef::Name(TopicName::new("t").unwrap());
        let partition = |index| FetchPartition {
            topic: topic.clone(),
            index,
            offset: 0,
            max_bytes: 1,
            leader_epoch: -1,
            last_epoch: -1,
        };
        (0..count).map(partition).collect()
    }

    fn at(ms: u64) -> Millis {
        Millis(i64::try_from(ms).unwrap())
    }

    #[test]
    fn a_session_is_known_on_its_own_connection_alone() {
        let cache = Arc::<FetchCache>::default();
        let (one, other) = (Fetches::new(cache.clone()), Fetches::new(cache.clone()));
        let id = one.open(false, &partitions(2), at(0)).unwrap();
        let refused = other.update(id, 1, false, &[], &[], at(0));
        assert_eq!(refused.unwrap_err(), Refused::NotFound);
        assert_eq!(one.update(id, 1, false, &[], &[], at(0)).unwrap().len(), 2);
        let again = one.open(false, &partitions(1), at(0)).unwrap();
        assert_ne!(id, again);
        assert_eq!(cache.count(), 1);
        drop(one);
        assert_eq!((cache.count(), lock(&cache.state).partitions_count), (0, 0));
    }

    #[test]
    fn a_session_without_partitions_is_over() {
        let cache = Arc::<FetchCache>::default();
        let own = Fetches::new(cache.clone());
        let id = own.open(false, &partitions(1), at(0)).unwrap();
        let key = (partitions(1)[0].topic.clone(), 0);
        let left = own.update(id, 1, false, &[key], &[], at(0)).unwrap();
        assert!(left.is_empty());
        assert_eq!(cache.count(), 0);
    }

    #[test]
    fn an_idle_session_makes_room_and_one_in_use_does_not() {
        let cache = Arc::<FetchCache>::default();
        let open = |now| {
            let fetches = Fetches::new(cache.clone());
            let id = fetches.open(false, &partitions(1), at(now));
            (fetches, id)
        };
        let mut all: Vec<_> = (0..MAX_SESSIONS_COUNT).map(|_| open(0)).collect();
        assert!(all.iter().all(|(_, id)| id.is_some()));
        assert_eq!(open(MIN_EVICTION_MS - 1).1, None);
        let (first, id) = all.remove(0);
        let id = id.unwrap();
        first.update(id, 1, false, &[], &[], at(5)).unwrap();
        assert!(open(MIN_EVICTION_MS).1.is_some());
        // All but the first are as old; the first is not the one that went.
        assert!(first.update(id, 2, false, &[], &[], at(6)).is_ok());
        let gone = all.iter().filter(|(fetches, id)| {
            let refused = fetches.update(id.unwrap(), 1, false, &[], &[], at(6));
            refused.err() == Some(Refused::NotFound)
        });
        assert_eq!(gone.count(), 1);
    }

    #[test]
    fn partitions_of_all_sessions_have_a_limit() {
        let cache = Arc::<FetchCache>::default();
        let most = partitions(20_000);
        let open = |partitions: &[FetchPartition]| {
            let fetches = Fetches::new(cache.clone());
            let id = fetches.open(false, partitions, at(0));
            (fetches, id)
        };
        let count = MAX_CACHED_PARTITIONS_COUNT / most.len();
        let full: Vec<_> = (0..count).map(|_| open(&most)).collect();
        assert!(full.iter().all(|(_, id)| id.is_some()));
        assert_eq!(open(&most[..1]).1, None);
        drop(full);
        assert!(open(&most[..1]).1.is_some());
    }
}
