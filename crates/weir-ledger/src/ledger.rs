//! The states of all offsets of one log.

use crate::{
    acquired::{Acquired, AcquiredMap, Lock, OwnerId},
    returned::Returned,
};

/// States of the records of one log, from where it begins to where it ends.
///
/// Offsets below [`fresh_from`](Self::fresh_from) are ready where they were returned, held where
/// they are acquired, and settled otherwise; from there on all are ready for the first time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    pub(crate) fresh_from: u64,
    pub(crate) end: u64,
    pub(crate) returned: Returned,
    pub(crate) acquired: AcquiredMap,
}

/// A record that was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is in the log.
    pub offset: u64,
    /// How often it was delivered, this time included: more than 1 is a redelivery.
    pub delivery_count: u32,
}

/// How a record becomes ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The delivery counts: somebody tried and failed, or was lost with it.
    Tried,
    /// It does not count: nobody looked at the record.
    Untouched,
}

/// How many records there are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready, for the first time or again.
    pub ready: u64,
    /// Held by somebody.
    pub acquired: u64,
}

/// The record is settled, ready, or somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record at {offset} is not held by that owner")]
pub struct NotHeld {
    /// The record.
    pub offset: u64,
}

impl Ledger {
    /// For a log that begins and ends at `start`.
    pub fn new(start: u64) -> Self {
        Self {
            fresh_from: start,
            end: start,
            ..Self::default()
        }
    }

    /// From where on no record was ever acquired.
    pub fn fresh_from(&self) -> u64 {
        self.fresh_from
    }

    /// Where the log ends.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The lowest record that is not settled: what is below it serves replay alone.
    pub fn floor(&self) -> u64 {
        let firsts = [self.returned.first(), self.acquired.first()];
        firsts
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.fresh_from)
    }

    /// How many records are in which state.
    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.end - self.fresh_from + self.returned.count(),
            acquired: self.acquired.count(),
        }
    }

    /// The lowest record that is ready.
    pub fn first_ready(&self) -> Option<u64> {
        let fresh = (self.fresh_from < self.end).then_some(self.fresh_from);
        self.returned.first().or(fresh)
    }

    /// On what terms the record is held; `None` where nobody holds it.
    pub fn held(&self, offset: u64) -> Option<&Acquired> {
        self.acquired.get(offset)
    }

    /// When the next lock ends, by the clock that locks were given by.
    pub fn next_end_ms(&self) -> Option<i64> {
        self.acquired.next_end_ms()
    }

    /// The log has grown; an end that is known already changes nothing.
    pub fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Takes the lowest ready records, `limit` at most.
    pub fn acquire(&mut self, lock: Lock, limit: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < limit
            && let Some((offset, earlier_count)) = self.take_first()
        {
            deliveries.push(self.hold(offset, earlier_count, lock));
        }
        deliveries
    }

    /// Takes that record, if it is ready. One that was never acquired can only be the lowest of
    /// those: what lies between would be forgotten.
    pub fn acquire_at(&mut self, offset: u64, lock: Lock) -> Option<Delivery> {
        let earlier_count = self.take(offset)?;
        Some(self.hold(offset, earlier_count, lock))
    }

    fn hold(&mut self, offset: u64, earlier_count: u32, lock: Lock) -> Delivery {
        let delivery_count = earlier_count.saturating_add(1);
        let acquired = Acquired {
            lock,
            delivery_count,
        };
        self.acquired.insert(offset, acquired);
        Delivery {
            offset,
            delivery_count,
        }
    }

    /// The lowest ready record, and how often it was delivered.
    fn take_first(&mut self) -> Option<(u64, u32)> {
        // What was returned is lower than what was never acquired.
        self.returned.pop_first().or_else(|| {
            let offset = (self.fresh_from < self.end).then_some(self.fresh_from)?;
            self.fresh_from += 1;
            Some((offset, 0))
        })
    }

    fn take(&mut self, offset: u64) -> Option<u32> {
        if offset == self.fresh_from && offset < self.end {
            self.fresh_from += 1;
            return Some(0);
        }
        self.returned.remove(offset)
    }

    /// The record is done with.
    pub fn settle(&mut self, offset: u64, owner: OwnerId) -> Result<Acquired, NotHeld> {
        self.let_go(offset, owner)
    }

    /// The record is ready again, in its old place. Gives how often it was delivered, so that one
    /// that fails for ever can be put away.
    pub fn release(&mut self, offset: u64, owner: OwnerId, how: Release) -> Result<u32, NotHeld> {
        let acquired = self.let_go(offset, owner)?;
        Ok(self.put_back(offset, acquired, how))
    }

    fn put_back(&mut self, offset: u64, acquired: Acquired, how: Release) -> u32 {
        let count = match how {
            Release::Tried => acquired.delivery_count,
            Release::Untouched => acquired.delivery_count - 1,
        };
        self.returned.insert(offset, count);
        count
    }

    fn let_go(&mut self, offset: u64, owner: OwnerId) -> Result<Acquired, NotHeld> {
        let held = self.acquired.get(offset);
        if held.is_none_or(|held| held.lock.owner != owner) {
            return Err(NotHeld { offset });
        }
        self.acquired.remove(offset).ok_or(NotHeld { offset })
    }

    /// The owner keeps the record until another time.
    pub fn renew(&mut self, offset: u64, lock: Lock) -> Result<(), NotHeld> {
        let acquired = self.let_go(offset, lock.owner)?;
        self.acquired.insert(offset, Acquired { lock, ..acquired });
        Ok(())
    }

    /// The owner is gone: all that it has is ready again. Gives those records, in order.
    pub fn release_all(&mut self, owner: OwnerId, how: Release) -> Vec<u64> {
        let offsets = self.acquired.of(owner);
        for offset in &offsets {
            if let Some(acquired) = self.acquired.remove(*offset) {
                self.put_back(*offset, acquired, how);
            }
        }
        offsets
    }

    /// Locks that end at `now_ms` or before have ended: their records are ready again, `limit` at
    /// most. Gives who had them.
    pub fn end_locks(&mut self, now_ms: i64, limit: usize) -> Vec<(u64, Acquired)> {
        let mut ended = Vec::new();
        for offset in self.acquired.ended(now_ms, limit) {
            if let Some(acquired) = self.acquired.remove(offset) {
                self.put_back(offset, acquired, Release::Tried);
                ended.push((offset, acquired));
            }
        }
        ended
    }

    /// The lowest ready record is done with, though nobody had it: it has expired, or there is no
    /// room for it. Gives it, and how often it was delivered.
    pub fn drop_first(&mut self) -> Option<(u64, u32)> {
        self.take_first()
    }

    /// All ready records are done with; says how many there were.
    pub fn purge(&mut self) -> u64 {
        let count = self.counts().ready;
        self.returned.clear();
        self.fresh_from = self.end;
        count
    }

    /// The log begins at `start` now: what was before it is gone, whoever had it. Says how many
    /// records were not settled.
    pub fn trim(&mut self, start: u64) -> u64 {
        let mut lost = self.returned.remove_below(start) + self.acquired.remove_below(start);
        if start > self.fresh_from {
            lost += start.min(self.end) - self.fresh_from;
            self.fresh_from = start;
            self.end = self.end.max(start);
        }
        lost
    }
}

#[cfg(test)]
mod tests;
