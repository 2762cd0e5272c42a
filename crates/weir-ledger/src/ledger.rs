//! The states of all offsets of one log.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::{
    acquired::{Acquired, AcquiredMap, Lock, OwnerId},
    returned::Returned,
};

/// States of the records of one log, from where it begins to where it ends.
///
/// From [`fresh_from`](Self::fresh_from) on all records but the withheld ones are ready for the
/// first time, at level 0. Every other record is ready in a lane, or held, or nobody's: settled, or
/// not ready yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    pub(crate) fresh_from: u64,
    pub(crate) end: u64,
    /// Records from `fresh_from` on that are not fresh. The one at `fresh_from` is none of them.
    pub(crate) withheld: RoaringTreemap,
    pub(crate) withheld_count: u64,
    /// By level; none is empty.
    pub(crate) lanes: BTreeMap<u8, Returned>,
    pub(crate) acquired: AcquiredMap,
    pub(crate) next_serial: u64,
}

/// How often a record was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Deliveries.
    pub delivery_count: u32,
    /// Those that failed.
    pub failed_count: u32,
}

/// A record that was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is in the log.
    pub offset: u64,
    /// Rises with every delivery of the ledger.
    pub serial: u64,
    /// How often it was delivered, this time included: more than 1 is a redelivery.
    pub tries: Tries,
}

/// How a record becomes ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Somebody tried and failed, or was lost with it.
    Failed,
    /// It was given back.
    Returned,
    /// It does not count as delivered: nobody has seen the record.
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

/// A ready record that was taken out.
struct Taken {
    offset: u64,
    level: u8,
    tries: Tries,
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

    /// From where on no record was ever acquired, but for those that were withheld.
    pub fn fresh_from(&self) -> u64 {
        self.fresh_from
    }

    /// Where the log ends.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The lowest record that is ready or held: what is below it serves replay alone, apart from
    /// what the ledger's keeper [admits](Self::admit) later.
    pub fn floor(&self) -> u64 {
        let firsts = self.lanes.values().map(Returned::first);
        let firsts = firsts.chain([self.acquired.first()]).flatten();
        firsts.min().unwrap_or(u64::MAX).min(self.fresh_from)
    }

    /// How many records are in which state.
    pub fn counts(&self) -> Counts {
        let in_lanes: u64 = self.lanes.values().map(Returned::count).sum();
        Counts {
            ready: self.end - self.fresh_from - self.withheld_count + in_lanes,
            acquired: self.acquired.count(),
        }
    }

    /// The record that would be acquired next.
    pub fn first_ready(&self) -> Option<u64> {
        match self.lanes.last_key_value() {
            Some((level, lane)) if *level > 0 => lane.first(),
            Some((_, lane)) => lane.first().into_iter().chain(self.first_fresh()).min(),
            None => self.first_fresh(),
        }
    }

    /// The first ready records, with their levels, in the order in which they would be acquired; no
    /// more than `limit` of each level.
    pub fn ready(&self, limit: usize) -> impl Iterator<Item = (u8, u64)> {
        let higher = self.lanes.iter().rev().filter(|(level, _)| **level > 0);
        let higher = higher
            .flat_map(move |(level, lane)| lane.iter().take(limit).map(|offset| (*level, offset)));
        let lane = self.lanes.get(&0).into_iter().flat_map(Returned::iter);
        let is_fresh = |offset: &u64| !self.withheld.contains(*offset);
        let fresh = (self.fresh_from..self.end).filter(is_fresh);
        let mut base: Vec<u64> = lane.take(limit).chain(fresh.take(limit)).collect();
        base.sort_unstable();
        base.truncate(limit);
        higher.chain(base.into_iter().map(|offset| (0, offset)))
    }

    fn first_fresh(&self) -> Option<u64> {
        (self.fresh_from < self.end).then_some(self.fresh_from)
    }

    /// On what terms the record is held; `None` where nobody holds it.
    pub fn held(&self, offset: u64) -> Option<&Acquired> {
        self.acquired.get(offset)
    }

    /// What the owner holds, by offset.
    pub fn held_by(&self, owner: OwnerId) -> impl Iterator<Item = (u64, &Acquired)> {
        let offsets = self.acquired.of(owner);
        offsets.filter_map(|offset| Some((offset, self.acquired.get(offset)?)))
    }

    /// The serial of the next delivery.
    pub fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// How many records the owner holds.
    pub fn count_of(&self, owner: OwnerId) -> usize {
        self.acquired.count_of(owner)
    }

    /// When the next lock ends, by the clock that locks were given by.
    pub fn next_end_ms(&self) -> Option<i64> {
        self.acquired.next_end_ms()
    }

    /// The log has grown; an end that is known already changes nothing.
    pub fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// That record is not ready; `false` where it was not fresh.
    pub fn withhold(&mut self, offset: u64) -> bool {
        if !self.is_fresh(offset) {
            return false;
        }
        self.withheld.insert(offset);
        self.withheld_count += 1;
        self.pass_withheld();
        true
    }

    pub(crate) fn is_fresh(&self, offset: u64) -> bool {
        let is_in_range = (self.fresh_from..self.end).contains(&offset);
        is_in_range && !self.withheld.contains(offset)
    }

    /// Records at the front that are not fresh are behind.
    pub(crate) fn pass_withheld(&mut self) {
        while self.withheld_count > 0 && self.withheld.remove(self.fresh_from) {
            self.withheld_count -= 1;
            self.fresh_from += 1;
        }
    }

    /// A record that was [withheld](Self::withhold), and is in no other state, is ready for the
    /// first time. `false`: it is ready or held already, or there is none.
    pub fn admit(&mut self, offset: u64, level: u8) -> bool {
        let is_in_lane = |lane: &Returned| lane.get(offset).is_some();
        let is_known = self.is_fresh(offset)
            || self.acquired.get(offset).is_some()
            || self.lanes.values().any(is_in_lane);
        if is_known || offset >= self.end {
            return false;
        }
        if level == 0 && self.withheld.remove(offset) {
            self.withheld_count -= 1;
        } else {
            self.put(offset, level, Tries::default());
        }
        true
    }

    fn put(&mut self, offset: u64, level: u8, tries: Tries) {
        self.lanes.entry(level).or_default().insert(offset, tries);
    }

    /// Takes the first ready record: of the highest level, the lowest of it.
    pub fn acquire(&mut self, lock: Lock) -> Option<Delivery> {
        let taken = self.take_first()?;
        Some(self.hold(&taken, lock))
    }

    /// Takes that record, if it is ready.
    pub fn acquire_at(&mut self, offset: u64, lock: Lock) -> Option<Delivery> {
        let taken = self.take(offset)?;
        Some(self.hold(&taken, lock))
    }

    fn hold(&mut self, taken: &Taken, lock: Lock) -> Delivery {
        let tries = Tries {
            delivery_count: taken.tries.delivery_count.saturating_add(1),
            ..taken.tries
        };
        let serial = self.next_serial;
        self.next_serial += 1;
        let acquired = Acquired {
            lock,
            tries,
            level: taken.level,
            serial,
        };
        self.acquired.insert(taken.offset, acquired);
        Delivery {
            offset: taken.offset,
            serial,
            tries,
        }
    }

    fn take_first(&mut self) -> Option<Taken> {
        let first = self.first_ready()?;
        let level = self.lanes.last_key_value().map_or(0, |(level, _)| *level);
        if level == 0 && Some(first) == self.first_fresh() {
            self.fresh_from += 1;
            self.pass_withheld();
            return Some(Taken {
                offset: first,
                level: 0,
                tries: Tries::default(),
            });
        }
        let (offset, tries) = self.lanes.get_mut(&level)?.pop_first()?;
        self.drop_lane_if_empty(level);
        Some(Taken {
            offset,
            level,
            tries,
        })
    }

    fn drop_lane_if_empty(&mut self, level: u8) {
        if self.lanes.get(&level).is_some_and(Returned::is_empty) {
            self.lanes.remove(&level);
        }
    }

    fn take(&mut self, offset: u64) -> Option<Taken> {
        let is_first = self.first_fresh() == Some(offset);
        if is_first {
            self.fresh_from += 1;
            self.pass_withheld();
        }
        if is_first || self.withhold(offset) {
            return Some(Taken {
                offset,
                level: 0,
                tries: Tries::default(),
            });
        }
        let mut lanes = self.lanes.iter_mut();
        let (level, tries) =
            lanes.find_map(|(level, lane)| Some((*level, lane.remove(offset)?)))?;
        self.drop_lane_if_empty(level);
        Some(Taken {
            offset,
            level,
            tries,
        })
    }

    /// The record is done with.
    pub fn settle(&mut self, offset: u64, owner: OwnerId) -> Result<Acquired, NotHeld> {
        self.let_go(offset, owner)
    }

    /// The record is ready again, in its old place. Gives how often it was delivered, so that one
    /// that fails for ever can be put away.
    pub fn release(&mut self, offset: u64, owner: OwnerId, how: Release) -> Result<Tries, NotHeld> {
        let acquired = self.let_go(offset, owner)?;
        let tries = acquired.tries.after(how);
        self.put(offset, acquired.level, tries);
        Ok(tries)
    }

    fn let_go(&mut self, offset: u64, owner: OwnerId) -> Result<Acquired, NotHeld> {
        let held = self.acquired.get(offset);
        if held.is_none_or(|held| held.lock.owner != owner) {
            return Err(NotHeld { offset });
        }
        self.acquired.remove(offset).ok_or(NotHeld { offset })
    }

    /// The record is given back in that way, and is another owner's at once.
    pub fn hand_over(
        &mut self,
        offset: u64,
        owner: OwnerId,
        how: Release,
        lock: Lock,
    ) -> Result<Delivery, NotHeld> {
        let acquired = self.let_go(offset, owner)?;
        let taken = Taken {
            offset,
            level: acquired.level,
            tries: acquired.tries.after(how),
        };
        Ok(self.hold(&taken, lock))
    }

    /// The owner keeps the record until another time.
    pub fn renew(&mut self, offset: u64, lock: Lock) -> Result<(), NotHeld> {
        let acquired = self.let_go(offset, lock.owner)?;
        self.acquired.insert(offset, Acquired { lock, ..acquired });
        Ok(())
    }

    /// Records whose locks end at `now_ms` or before, the longest overdue first.
    pub fn ended(&self, now_ms: i64) -> impl Iterator<Item = (u64, &Acquired)> {
        let offsets = self.acquired.ended(now_ms);
        offsets.filter_map(|offset| Some((offset, self.acquired.get(offset)?)))
    }

    /// The first ready record is done with, though nobody had it. Gives it.
    pub fn drop_first(&mut self) -> Option<u64> {
        self.take_first().map(|taken| taken.offset)
    }

    /// That record is done with, if it is ready.
    pub fn drop_at(&mut self, offset: u64) -> bool {
        self.take(offset).is_some()
    }

    /// All ready records are done with; says how many there were.
    pub fn purge(&mut self) -> u64 {
        let count = self.counts().ready;
        self.lanes.clear();
        self.withheld.clear();
        self.withheld_count = 0;
        self.fresh_from = self.end;
        count
    }

    /// The log begins at `start` now: what was before it is gone, whoever had it. Says how many
    /// records were ready or held.
    pub fn trim(&mut self, start: u64) -> u64 {
        let lanes = self.lanes.values_mut();
        let mut lost: u64 = lanes.map(|lane| lane.remove_below(start)).sum();
        self.lanes.retain(|_, lane| !lane.is_empty());
        lost += self.acquired.remove_below(start);
        if start > self.fresh_from {
            let withheld_count = self.withheld.remove_range(..start);
            self.withheld_count -= withheld_count;
            lost += start.min(self.end) - self.fresh_from - withheld_count;
            self.fresh_from = start;
            self.end = self.end.max(start);
            self.pass_withheld();
        }
        lost
    }
}

impl Tries {
    /// Of a record that is given back after a delivery.
    fn after(self, how: Release) -> Self {
        match how {
            Release::Failed => Self {
                failed_count: self.failed_count.saturating_add(1),
                ..self
            },
            Release::Returned => self,
            Release::Untouched => Self {
                delivery_count: self.delivery_count.saturating_sub(1),
                ..self
            },
        }
    }
}

#[cfg(test)]
mod tests;
