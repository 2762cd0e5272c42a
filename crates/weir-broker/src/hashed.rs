//! Values by hash, whose copies share what did not change: what finding one costs hardly grows with
//! how many there are. A trie over the hash's bits, as in Bagwell's hash array mapped tries.

use std::{
    hash::{DefaultHasher, Hasher},
    sync::Arc,
};

/// So many bits of a hash tell the slots of one branch apart.
const LEVEL_BITS: u32 = 5;
/// Slots that a branch may have.
const MAX_SLOT_COUNT: u64 = 1 << LEVEL_BITS;

/// Values that know what they are found by; copying all of them costs one reference count. There is
/// no order to go through them by.
#[derive(Clone, Debug)]
pub(crate) struct Hashed<V> {
    root: Branch<V>,
}

type Slots<V> = Arc<[Slot<V>]>;

#[derive(Clone, Debug)]
struct Branch<V> {
    /// Which slots there are: a bit for each.
    present: u32,
    /// Those, ascending.
    slots: Slots<V>,
}

#[derive(Clone, Debug)]
enum Slot<V> {
    /// A branch's fields, which are smaller here than the branch itself is.
    Branch {
        present: u32,
        slots: Slots<V>,
    },
    One {
        hash: u64,
        value: V,
    },
    /// At least two.
    Equal {
        hash: u64,
        values: Arc<Vec<V>>,
    },
}

impl<V> Default for Hashed<V> {
    fn default() -> Self {
        Self {
            root: Branch {
                present: 0,
                slots: Arc::default(),
            },
        }
    }
}

/// A hash for which nobody finds many texts that are alike.
pub(crate) fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    hasher.finish()
}

impl<V: Clone> Hashed<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.root.present == 0
    }

    /// The value with that hash that `is_it`.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&V) -> bool) -> Option<&V> {
        let (mut present, mut slots) = (self.root.present, &self.root.slots);
        for depth in 0.. {
            match slots.get(place(present, hash, depth)?)? {
                Slot::Branch {
                    present: below,
                    slots: its,
                } => (present, slots) = (*below, its),
                Slot::One { hash: known, value } => {
                    return (*known == hash && is_it(value)).then_some(value);
                }
                Slot::Equal {
                    hash: known,
                    values,
                } => {
                    let mut values = values.iter();
                    return match *known == hash {
                        true => values.find(|value| is_it(value)),
                        false => None,
                    };
                }
            }
        }
        None
    }

    /// The value to change; copies what a copy of the map shares on the way to it.
    pub(crate) fn find_mut(&mut self, hash: u64, is_it: impl Fn(&V) -> bool) -> Option<&mut V> {
        self.find(hash, &is_it)?;
        let Branch { present, slots } = &mut self.root;
        let (mut present, mut slots) = (*present, slots);
        for depth in 0.. {
            let at = place(present, hash, depth)?;
            match Arc::make_mut(slots).get_mut(at)? {
                Slot::Branch {
                    present: below,
                    slots: its,
                } => (present, slots) = (*below, its),
                Slot::One { value, .. } => return Some(value),
                Slot::Equal { values, .. } => {
                    let mut values = Arc::make_mut(values).iter_mut();
                    return values.find(|value| is_it(value));
                }
            }
        }
        None
    }

    /// Adds a value that is not there.
    pub(crate) fn insert(&mut self, hash: u64, value: V) {
        let Branch { present, slots } = &mut self.root;
        put(present, slots, 0, (hash, value));
    }

    /// Takes the value away.
    pub(crate) fn remove(&mut self, hash: u64, is_it: impl Fn(&V) -> bool) {
        if self.find(hash, &is_it).is_some() {
            let Branch { present, slots } = &mut self.root;
            take(present, slots, 0, (hash, &is_it));
        }
    }
}

/// The slot's bit of a hash, `depth` branches below the root.
fn bit(hash: u64, depth: u32) -> u32 {
    1 << ((hash >> (depth * LEVEL_BITS)) % MAX_SLOT_COUNT)
}

/// Where the slot stands among those that are present, if it is.
fn place(present: u32, hash: u64, depth: u32) -> Option<usize> {
    let bit = bit(hash, depth);
    (present & bit != 0).then(|| before(present, bit))
}

/// How many slots stand before that one.
fn before(present: u32, bit: u32) -> usize {
    usize::try_from((present & (bit - 1)).count_ones()).expect("a branch has few slots")
}

fn put<V: Clone>(present: &mut u32, slots: &mut Slots<V>, depth: u32, (hash, value): (u64, V)) {
    let Some(at) = place(*present, hash, depth) else {
        let bit = bit(hash, depth);
        let (first, last) = slots.split_at(before(*present, bit));
        let new = std::iter::once(Slot::One { hash, value });
        let all = first.iter().cloned().chain(new);
        *slots = all.chain(last.iter().cloned()).collect();
        *present |= bit;
        return;
    };
    let slot = &mut Arc::make_mut(slots)[at];
    match slot {
        Slot::Branch { present, slots } => put(present, slots, depth + 1, (hash, value)),
        Slot::One {
            hash: known,
            value: other,
        } if *known == hash => {
            let values = Arc::new(vec![other.clone(), value]);
            *slot = Slot::Equal { hash, values };
        }
        Slot::Equal {
            hash: known,
            values,
        } if *known == hash => Arc::make_mut(values).push(value),
        Slot::One { hash: known, .. } | Slot::Equal { hash: known, .. } => {
            let mut present = bit(*known, depth + 1);
            let mut below = Slots::from([slot.clone()]);
            put(&mut present, &mut below, depth + 1, (hash, value));
            *slot = Slot::Branch {
                present,
                slots: below,
            };
        }
    }
}

/// Takes a value away that is there.
fn take<V: Clone>(
    present: &mut u32,
    slots: &mut Slots<V>,
    depth: u32,
    (hash, is_it): (u64, &dyn Fn(&V) -> bool),
) {
    let Some(at) = place(*present, hash, depth) else {
        return;
    };
    let slot = &mut Arc::make_mut(slots)[at];
    let left = match slot {
        Slot::Branch { present, slots } => {
            take(present, slots, depth + 1, (hash, is_it));
            match &slots[..] {
                [Slot::Branch { .. }] => return,
                [only] => only.clone(),
                _ => return,
            }
        }
        Slot::Equal { values, .. } => {
            let values = Arc::make_mut(values);
            values.retain(|value| !is_it(value));
            let [only] = &values[..] else {
                return;
            };
            let value = only.clone();
            Slot::One { hash, value }
        }
        Slot::One { .. } => {
            let (first, last) = slots.split_at(at);
            *slots = first.iter().chain(&last[1..]).cloned().collect();
            *present &= !bit(hash, depth);
            return;
        }
    };
    *slot = left;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Many are alike in their first or last bits, some in all of them.
    fn crowded(key: u64) -> u64 {
        match key % 4 {
            0 => key / 64,
            1 => (key / 8) << 60,
            2 => hash(&key.to_be_bytes()),
            _ => (key / 16).rotate_right(3),
        }
    }

    #[test]
    fn it_is_a_map_whatever_the_hashes_and_leaves_nothing_behind() {
        let mut map: Hashed<(u64, u64)> = Hashed::default();
        let mut model = BTreeMap::new();
        let mut seed = 3_u64;
        for step in 0..30_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (seed >> 33) % 1_500;
            let is_it = |(known, _): &(u64, u64)| *known == key;
            let hash = crowded(key);
            match (seed >> 20) % 5 {
                0..3 => match map.find_mut(hash, is_it) {
                    Some((_, value)) => *value = step,
                    None => map.insert(hash, (key, step)),
                },
                _ => map.remove(hash, is_it),
            }
            match (seed >> 20) % 5 {
                0..3 => drop(model.insert(key, step)),
                _ => drop(model.remove(&key)),
            }
            let found = map.find(hash, is_it).map(|(_, value)| value);
            assert_eq!(found, model.get(&key));
        }
        for key in 0..1_500 {
            let is_it = |(known, _): &(u64, u64)| *known == key;
            let found = map.find(crowded(key), is_it).map(|(_, value)| value);
            assert_eq!(found, model.get(&key));
            map.remove(crowded(key), is_it);
        }
        assert!(map.is_empty() && map.root.slots.is_empty());
    }

    #[test]
    fn a_change_leaves_the_copy_alone() {
        let mut map = Hashed::default();
        for key in 0..1_000_u64 {
            map.insert(crowded(key), key);
        }
        let before = map.clone();
        map.remove(crowded(7), |known| *known == 7);
        *map.find_mut(crowded(8), |known| *known == 8).unwrap() = 2_000;
        map.insert(crowded(1_000), 1_000);
        for key in 0..1_000 {
            assert!(before.find(crowded(key), |known| *known == key).is_some());
        }
        assert!(
            before
                .find(crowded(1_000), |known| *known == 1_000)
                .is_none()
        );
        assert!(map.find(crowded(7), |known| *known == 7).is_none());
    }

    #[test]
    fn slots_are_small() {
        assert_eq!(size_of::<Slot<Arc<u64>>>(), 24);
    }
}
