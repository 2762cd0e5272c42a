//! Records that are ready one by one: they were acquired before, or are ready at another level
//! than the rest.

use std::{collections::BTreeMap, ops::Range};

use roaring::RoaringTreemap;

use crate::ledger::Tries;

const ONCE: Tries = Tries {
    delivery_count: 1,
    failed_count: 0,
};
const FAILED_ONCE: Tries = Tries {
    delivery_count: 1,
    failed_count: 1,
};

/// Offsets, each with how often it was delivered. Some bits each where they lie dense; more only
/// for those that were delivered twice or more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Returned {
    offsets: RoaringTreemap,
    /// Of those, the ones that were never delivered.
    untouched: RoaringTreemap,
    /// The ones that were delivered once, and failed.
    failed_once: RoaringTreemap,
    /// The ones that were delivered in any other way than once without failing.
    tries: BTreeMap<u64, Tries>,
    count: u64,
}

impl Returned {
    pub(crate) fn insert(&mut self, offset: u64, tries: Tries) {
        let is_new = self.offsets.insert(offset);
        assert!(is_new, "a record is returned by whoever had it");
        self.count += 1;
        if tries == Tries::default() {
            self.untouched.insert(offset);
        } else if tries == FAILED_ONCE {
            self.failed_once.insert(offset);
        } else if tries != ONCE {
            self.tries.insert(offset, tries);
        }
    }

    /// Takes the lowest one out.
    pub(crate) fn pop_first(&mut self) -> Option<(u64, Tries)> {
        let first = self.offsets.min()?;
        let tries = self.remove(first)?;
        Some((first, tries))
    }

    pub(crate) fn remove(&mut self, offset: u64) -> Option<Tries> {
        if !self.offsets.remove(offset) {
            return None;
        }
        self.count -= 1;
        let tries = self.tries_of(offset);
        self.untouched.remove(offset);
        self.failed_once.remove(offset);
        self.tries.remove(&offset);
        Some(tries)
    }

    fn tries_of(&self, offset: u64) -> Tries {
        if self.untouched.contains(offset) {
            return Tries::default();
        }
        if self.failed_once.contains(offset) {
            return FAILED_ONCE;
        }
        self.tries.get(&offset).copied().unwrap_or(ONCE)
    }

    /// How often it was delivered, where it is here.
    pub(crate) fn get(&self, offset: u64) -> Option<Tries> {
        let is_here = self.offsets.contains(offset);
        is_here.then(|| self.tries_of(offset))
    }

    /// Takes all that are lower than `offset` out; says how many there were.
    pub(crate) fn remove_below(&mut self, offset: u64) -> u64 {
        self.tries = self.tries.split_off(&offset);
        self.untouched.remove_range(..offset);
        self.failed_once.remove_range(..offset);
        let removed_count = self.offsets.remove_range(..offset);
        self.count -= removed_count;
        removed_count
    }

    /// Takes all of the range out.
    pub(crate) fn remove_range(&mut self, range: Range<u64>) {
        self.tries.retain(|offset, _| !range.contains(offset));
        self.untouched.remove_range(range.clone());
        self.failed_once.remove_range(range.clone());
        self.count -= self.offsets.remove_range(range);
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.offsets.min()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.offsets.iter()
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All offsets, those that were never delivered, those that failed once.
    pub(crate) fn bitmaps(&self) -> [&RoaringTreemap; 3] {
        [&self.offsets, &self.untouched, &self.failed_once]
    }

    pub(crate) fn tries(&self) -> &BTreeMap<u64, Tries> {
        &self.tries
    }

    /// `None` where something belongs to no offset or is said twice.
    pub(crate) fn from_parts(
        [offsets, untouched, failed_once]: [RoaringTreemap; 3],
        tries: BTreeMap<u64, Tries>,
    ) -> Option<Self> {
        let is_sound = |(offset, each): (&u64, &Tries)| {
            let is_plain = [ONCE, FAILED_ONCE, Tries::default()].contains(each);
            let is_twice = untouched.contains(*offset) || failed_once.contains(*offset);
            offsets.contains(*offset) && !is_plain && !is_twice
        };
        let is_sound = tries.iter().all(is_sound)
            && untouched.is_subset(&offsets)
            && failed_once.is_subset(&offsets)
            && untouched.is_disjoint(&failed_once);
        is_sound.then(|| Self {
            count: offsets.len(),
            offsets,
            untouched,
            failed_once,
            tries,
        })
    }
}
