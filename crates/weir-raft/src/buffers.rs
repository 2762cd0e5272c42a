//! Memory of large entries, used again.
//!
//! An entry's bytes stay in memory for a while, in Raft's window and in the tail. To an allocator
//! that is memory freed long after it was made, often by another thread: it goes back to the
//! system and comes anew, and each page of it is cleared on the way.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Smaller buffers are left to the allocator, in bytes.
pub const MIN_POOLED_BYTES: usize = 64 << 10;
/// Larger buffers are left to the allocator, in bytes.
pub const MAX_POOLED_BYTES: usize = 8 << 20;
/// Most memory of a pool that waits for its next use, in bytes: as much as tails let go of at
/// once when a flush of half their usual budget is done.
pub(crate) const MAX_IDLE_BYTES: usize = 128 << 20;
/// From one call of [`BufferPool::free_unused`] to the next, in ms: longer than from one flush to the
/// next where memory is worth keeping. Memory waits this long for its next use, or up to twice.
pub const FREE_UNUSED_INTERVAL_MS: u64 = 2_000;
/// A buffer has at most one such part more room than it is asked for, so that little memory is
/// held by few bytes.
const SURPLUS_PART: usize = 4;

/// Gives buffers, and takes them back when their last reader is gone.
///
/// A mutex: locked for a look through a short list, per entry of at least [`MIN_POOLED_BYTES`].
#[derive(Debug, Default)]
pub struct BufferPool {
    idle: Mutex<Idle>,
}

/// The last returned is at the back: it may still be in the processor's cache.
#[derive(Debug, Default)]
struct Idle {
    memories: VecDeque<Memory>,
    bytes: usize,
    /// Counts calls of [`BufferPool::free_unused`].
    round: u64,
}

/// Memory that waits for its next use.
#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    /// The round in which it came back.
    since: u64,
}

/// A buffer to be filled, up to the length it was asked for.
#[derive(Debug)]
pub struct PooledBuf {
    memory: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl BufferPool {
    /// An empty buffer with room for `size_bytes`.
    pub fn take(self: &Arc<Self>, size_bytes: usize) -> PooledBuf {
        let found = is_pooled(size_bytes).then(|| self.lock().take(size_bytes));
        let new = || Vec::with_capacity(capacity_for(size_bytes));
        PooledBuf {
            memory: found.flatten().unwrap_or_else(new),
            pool: Arc::clone(self),
        }
    }

    /// Frees what has been of no use since the last call, or longer. To be called every
    /// [`FREE_UNUSED_INTERVAL_MS`]: entries of a size that has gone out of use would keep their memory otherwise, and so
    /// would a node that has nothing to do any more.
    pub fn free_unused(&self) {
        let unused = self.lock().next_round();
        drop(unused);
    }

    /// Memory that waits for its next use, in bytes.
    pub fn idle_bytes(&self) -> usize {
        self.lock().bytes
    }

    fn put(&self, memory: Vec<u8>) {
        if !is_pooled(memory.capacity()) {
            return;
        }
        // What has no room is freed without the lock.
        let surplus = self.lock().put(memory);
        drop(surplus);
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_pooled(size_bytes: usize) -> bool {
    (MIN_POOLED_BYTES..=MAX_POOLED_BYTES).contains(&size_bytes)
}

/// A little more than asked for, so that the next one finds it large enough.
fn capacity_for(size_bytes: usize) -> usize {
    if !is_pooled(size_bytes) {
        return size_bytes;
    }
    size_bytes
        .next_multiple_of(MIN_POOLED_BYTES)
        .min(size_bytes + size_bytes / SURPLUS_PART)
}

impl Idle {
    fn take(&mut self, size_bytes: usize) -> Option<Vec<u8>> {
        let fitting = size_bytes..=size_bytes + size_bytes / SURPLUS_PART;
        let is_fit = |memory: &Memory| fitting.contains(&memory.bytes.capacity());
        let at = self.memories.iter().rposition(is_fit)?;
        let memory = self.memories.remove(at)?.bytes;
        self.bytes -= memory.capacity();
        Some(memory)
    }

    /// Gives what has lain longest where there is too much.
    fn put(&mut self, mut bytes: Vec<u8>) -> Vec<Memory> {
        bytes.clear();
        self.bytes += bytes.capacity();
        let since = self.round;
        self.memories.push_back(Memory { bytes, since });
        let mut surplus = Vec::new();
        while self.bytes > MAX_IDLE_BYTES {
            surplus.extend(self.pop_oldest());
        }
        surplus
    }

    /// Gives what has lain since before the round that ends now.
    fn next_round(&mut self) -> Vec<Memory> {
        let mut unused = Vec::new();
        while self
            .memories
            .front()
            .is_some_and(|memory| memory.since < self.round)
        {
            unused.extend(self.pop_oldest());
        }
        self.round += 1;
        unused
    }

    fn pop_oldest(&mut self) -> Option<Memory> {
        let oldest = self.memories.pop_front()?;
        self.bytes -= oldest.bytes.capacity();
        Some(oldest)
    }
}

impl PooledBuf {
    /// The memory. Longer than asked for it moves, and is not given back.
    pub fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// The bytes, to be shared; the memory goes back with the last reader.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuf {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(pool: &BufferPool) -> (usize, usize) {
        let idle = pool.lock();
        (idle.memories.len(), idle.bytes)
    }

    #[test]
    fn memory_comes_back_with_the_last_reader_and_is_empty_then() {
        let pool = Arc::<BufferPool>::default();
        let mut buf = pool.take(MIN_POOLED_BYTES);
        buf.memory().extend_from_slice(&[7; 100]);
        let whole = buf.freeze();
        let part = whole.slice(10..20);
        drop(whole);
        assert_eq!(idle(&pool).0, 0);
        assert_eq!(part, [7; 10][..]);
        drop(part);
        assert_eq!(idle(&pool), (1, MIN_POOLED_BYTES));
        assert!(pool.take(MIN_POOLED_BYTES).as_ref().is_empty());
    }

    #[test]
    fn no_buffer_has_much_more_room_than_asked_for() {
        let pool = Arc::<BufferPool>::default();
        drop(pool.take(MAX_POOLED_BYTES));
        let small = pool.take(MIN_POOLED_BYTES + 1);
        assert_eq!(idle(&pool).0, 1, "the large one waits on");
        assert!(small.memory.capacity() <= (MIN_POOLED_BYTES + 1) * 5 / 4);
        drop(small);
        let next = pool.take(MIN_POOLED_BYTES + 2);
        assert_eq!(idle(&pool).0, 1, "the small one fits");
        drop(next);
    }

    #[test]
    fn the_longest_idle_memory_makes_room_at_the_limit() {
        let pool = Arc::<BufferPool>::default();
        let count = MAX_IDLE_BYTES / MAX_POOLED_BYTES;
        let all: Vec<_> = (0..count).map(|_| pool.take(MAX_POOLED_BYTES)).collect();
        let small = pool.take(MIN_POOLED_BYTES);
        drop(all);
        assert_eq!(idle(&pool), (count, MAX_IDLE_BYTES));
        drop(small);
        let bytes = MAX_IDLE_BYTES - MAX_POOLED_BYTES + MIN_POOLED_BYTES;
        assert_eq!(idle(&pool), (count, bytes));
    }

    #[test]
    fn what_nobody_uses_for_a_whole_round_is_freed() {
        let pool = Arc::<BufferPool>::default();
        let (unused, used) = (pool.take(MAX_POOLED_BYTES), pool.take(MIN_POOLED_BYTES));
        drop(unused);
        drop(used);
        pool.free_unused();
        assert_eq!(
            idle(&pool).0,
            2,
            "the round in which they came back does not count"
        );
        drop(pool.take(MIN_POOLED_BYTES));
        pool.free_unused();
        assert_eq!(idle(&pool), (1, MIN_POOLED_BYTES));
        pool.free_unused();
        assert_eq!((idle(&pool), pool.idle_bytes()), ((0, 0), 0));
    }

    #[test]
    fn small_and_very_large_buffers_are_not_kept() {
        let pool = Arc::<BufferPool>::default();
        drop(pool.take(MIN_POOLED_BYTES - 1));
        drop(pool.take(MAX_POOLED_BYTES + 1));
        assert_eq!(idle(&pool), (0, 0));
    }
}
