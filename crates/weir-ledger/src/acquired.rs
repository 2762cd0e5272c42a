//! Records that somebody has.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Tries;

/// Who has records: a consumer, or a member of a group. Given by whoever keeps the ledger, and
/// never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u64);

/// On what terms a record is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who holds it.
    pub owner: OwnerId,
    /// Until when, in ms of whatever clock the keeper of the ledger uses; `None`: for as long as
    /// its owner is there.
    pub until_ms: Option<i64>,
}

/// A record that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// On what terms.
    pub lock: Lock,
    /// How often it was delivered, this time included.
    pub tries: Tries,
    /// The level at which it is ready again.
    pub level: u8,
    /// Counts what was acquired in the ledger: tells this time from others.
    pub serial: u64,
}

/// By offset, by owner, and by the time at which a lock ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AcquiredMap {
    by_offset: BTreeMap<u64, Acquired>,
    by_owner: BTreeMap<OwnerId, BTreeSet<u64>>,
    by_end: BTreeSet<(i64, u64)>,
}

impl AcquiredMap {
    pub(crate) fn insert(&mut self, offset: u64, acquired: Acquired) {
        let earlier = self.by_offset.insert(offset, acquired);
        assert!(earlier.is_none(), "a record has one owner");
        let of_owner = self.by_owner.entry(acquired.lock.owner).or_default();
        of_owner.insert(offset);
        let end = acquired.lock.until_ms.map(|until_ms| (until_ms, offset));
        self.by_end.extend(end);
    }

    pub(crate) fn remove(&mut self, offset: u64) -> Option<Acquired> {
        let acquired = self.by_offset.remove(&offset)?;
        let owner = acquired.lock.owner;
        if let Some(of_owner) = self.by_owner.get_mut(&owner) {
            of_owner.remove(&offset);
            if of_owner.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        if let Some(until_ms) = acquired.lock.until_ms {
            self.by_end.remove(&(until_ms, offset));
        }
        Some(acquired)
    }

    pub(crate) fn get(&self, offset: u64) -> Option<&Acquired> {
        self.by_offset.get(&offset)
    }

    /// What the owner has, in order.
    pub(crate) fn of(&self, owner: OwnerId) -> impl Iterator<Item = u64> {
        self.by_owner.get(&owner).into_iter().flatten().copied()
    }

    pub(crate) fn count_of(&self, owner: OwnerId) -> usize {
        self.by_owner.get(&owner).map_or(0, BTreeSet::len)
    }

    /// What is held until `now_ms` or less, the longest overdue first.
    pub(crate) fn ended(&self, now_ms: i64) -> impl Iterator<Item = u64> {
        let ended = self.by_end.range(..=(now_ms, u64::MAX));
        ended.map(|(_, offset)| *offset)
    }

    /// When the next lock ends.
    pub(crate) fn next_end_ms(&self) -> Option<i64> {
        self.by_end.first().map(|(until_ms, _)| *until_ms)
    }

    /// Takes all that are lower than `offset` out; says how many there were.
    pub(crate) fn remove_below(&mut self, offset: u64) -> u64 {
        let below: Vec<u64> = self.by_offset.range(..offset).map(|(at, _)| *at).collect();
        for at in &below {
            self.remove(*at);
        }
        below.len() as u64
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.by_offset.first_key_value().map(|(offset, _)| *offset)
    }

    pub(crate) fn count(&self) -> u64 {
        self.by_offset.len() as u64
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Acquired)> {
        self.by_offset.iter().map(|(offset, each)| (*offset, each))
    }
}
