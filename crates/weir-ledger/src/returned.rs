//! Records that were acquired and are ready again.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

/// Offsets, each with how often it was delivered. One bit each where they lie dense; more only for
/// those that were delivered twice or more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Returned {
    offsets: RoaringTreemap,
    /// Of those whose count is not 1.
    counts: BTreeMap<u64, u32>,
}

impl Returned {
    pub(crate) fn insert(&mut self, offset: u64, delivery_count: u32) {
        let is_new = self.offsets.insert(offset);
        assert!(is_new, "a record is returned by whoever had it");
        if delivery_count != 1 {
            self.counts.insert(offset, delivery_count);
        }
    }

    /// Takes the lowest one out, with its count.
    pub(crate) fn pop_first(&mut self) -> Option<(u64, u32)> {
        let first = self.offsets.min()?;
        let count = self.remove(first)?;
        Some((first, count))
    }

    /// Takes it out, with its count.
    pub(crate) fn remove(&mut self, offset: u64) -> Option<u32> {
        let is_here = self.offsets.remove(offset);
        is_here.then(|| self.counts.remove(&offset).unwrap_or(1))
    }

    /// Takes all that are lower than `offset` out; says how many there were.
    pub(crate) fn remove_below(&mut self, offset: u64) -> u64 {
        self.counts = self.counts.split_off(&offset);
        self.offsets.remove_range(..offset)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.offsets.min()
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.offsets.max()
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.offsets.contains(offset)
    }

    pub(crate) fn count(&self) -> u64 {
        self.offsets.len()
    }

    pub(crate) fn offsets(&self) -> &RoaringTreemap {
        &self.offsets
    }

    pub(crate) fn counts(&self) -> &BTreeMap<u64, u32> {
        &self.counts
    }

    /// `None` where a count belongs to no offset, or is one that is not written down.
    pub(crate) fn from_parts(offsets: RoaringTreemap, counts: BTreeMap<u64, u32>) -> Option<Self> {
        let is_sound = |(offset, count): (&u64, &u32)| offsets.contains(*offset) && *count != 1;
        counts
            .iter()
            .all(is_sound)
            .then_some(Self { offsets, counts })
    }
}
