//! A ledger as bytes, for checkpoints; all numbers little-endian.
//!
//! `u8` version; `u64` fresh from; `u64` end; `u64` next serial; withheld offsets as a treemap: `u64`
//! length and a roaring treemap in its portable format; `u16` count and for each lane, ascending,
//! `u8` level, three treemaps (all offsets, those never delivered, those that failed once) and
//! `u64` count and for each other one that was not delivered once `u64` offset, `u32` deliveries,
//! `u32` failures; `u64` count and for each acquired record `u64` offset, `u64` owner, `u8` whether its
//! lock ends and `i64` when, in ms, `u32` deliveries, `u32` failures, `u8` level, `u64` serial.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::{
    acquired::{Acquired, AcquiredMap, Lock, OwnerId},
    ledger::{Ledger, Tries},
    returned::Returned,
};

const VERSION: u8 = 3;

/// Why bytes are no ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes end too early.
    #[error("at byte {at}: it ends too early")]
    Short {
        /// Where the field begins.
        at: usize,
    },
    /// Another version.
    #[error("version {0} is not known")]
    UnknownVersion(u8),
    /// What it says cannot be.
    #[error("at byte {at}: {what}")]
    Unsound {
        /// Where that ends.
        at: usize,
        /// What cannot be.
        what: &'static str,
    },
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], SnapshotError> {
        let short = SnapshotError::Short { at: self.at };
        let end = self.at.checked_add(count).ok_or(short)?;
        let taken = self.bytes.get(self.at..end).ok_or(short)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| self.unsound("a field of another length"))
    }

    fn u8(&mut self) -> Result<u8, SnapshotError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, SnapshotError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        self.array().map(u64::from_le_bytes)
    }

    fn unsound(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Unsound { at: self.at, what }
    }

    fn treemap(&mut self) -> Result<RoaringTreemap, SnapshotError> {
        let count = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        RoaringTreemap::deserialize_from(self.take(count)?)
            .map_err(|_| self.unsound("offsets that are no treemap"))
    }

    fn tries(&mut self) -> Result<Tries, SnapshotError> {
        Ok(Tries {
            delivery_count: self.u32()?,
            failed_count: self.u32()?,
        })
    }

    fn lane(&mut self) -> Result<Returned, SnapshotError> {
        let bitmaps = [self.treemap()?, self.treemap()?, self.treemap()?];
        let mut tries = BTreeMap::new();
        for _ in 0..self.u64()? {
            tries.insert(self.u64()?, self.tries()?);
        }
        let unsound = self.unsound("deliveries of a record that was not returned");
        let lane = Returned::from_parts(bitmaps, tries).ok_or(unsound)?;
        if lane.is_empty() {
            return Err(self.unsound("an empty lane"));
        }
        Ok(lane)
    }

    fn lanes(&mut self) -> Result<BTreeMap<u8, Returned>, SnapshotError> {
        let mut lanes = BTreeMap::new();
        for _ in 0..self.u16()? {
            let level = self.u8()?;
            let is_next = lanes.last_key_value().is_none_or(|(last, _)| *last < level);
            if !is_next {
                return Err(self.unsound("lanes that do not ascend"));
            }
            lanes.insert(level, self.lane()?);
        }
        Ok(lanes)
    }

    fn acquired(&mut self, next_serial: u64) -> Result<AcquiredMap, SnapshotError> {
        let mut map = AcquiredMap::default();
        for _ in 0..self.u64()? {
            let offset = self.u64()?;
            let owner = OwnerId(self.u64()?);
            let ends = self.u8()? != 0;
            let until_ms = self.u64()?.cast_signed();
            let tries = self.tries()?;
            let level = self.u8()?;
            let serial = self.u64()?;
            if map.get(offset).is_some() || tries.delivery_count == 0 || serial >= next_serial {
                return Err(self.unsound("a record that is held twice or was never delivered"));
            }
            let until_ms = ends.then_some(until_ms);
            let acquired = Acquired {
                lock: Lock { owner, until_ms },
                tries,
                level,
                serial,
            };
            map.insert(offset, acquired);
        }
        Ok(map)
    }
}

fn put(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

fn put_tries(out: &mut Vec<u8>, tries: Tries) {
    out.extend(tries.delivery_count.to_le_bytes());
    out.extend(tries.failed_count.to_le_bytes());
}

fn put_treemap(out: &mut Vec<u8>, offsets: &RoaringTreemap) {
    put(out, offsets.serialized_size() as u64);
    let written = offsets.serialize_into(out);
    written.expect("a vector takes all bytes");
}

impl Ledger {
    /// The ledger as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put(&mut out, self.fresh_from);
        put(&mut out, self.end);
        put(&mut out, self.next_serial);
        put_treemap(&mut out, &self.withheld);
        let count = u16::try_from(self.lanes.len()).expect("there are 256 levels");
        out.extend(count.to_le_bytes());
        for (level, lane) in &self.lanes {
            out.push(*level);
            for bitmap in lane.bitmaps() {
                put_treemap(&mut out, bitmap);
            }
            put(&mut out, lane.tries().len() as u64);
            for (offset, tries) in lane.tries() {
                put(&mut out, *offset);
                put_tries(&mut out, *tries);
            }
        }
        put(&mut out, self.acquired.count());
        for (offset, acquired) in self.acquired.iter() {
            put(&mut out, offset);
            put(&mut out, acquired.lock.owner.0);
            let until_ms = acquired.lock.until_ms;
            out.push(u8::from(until_ms.is_some()));
            put(&mut out, until_ms.unwrap_or(0).cast_unsigned());
            put_tries(&mut out, acquired.tries);
            out.push(acquired.level);
            put(&mut out, acquired.serial);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = Reader { bytes, at: 0 };
        match reader.u8()? {
            VERSION => {}
            other => return Err(SnapshotError::UnknownVersion(other)),
        }
        let (fresh_from, end, next_serial) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let withheld = reader.treemap()?;
        let lanes = reader.lanes()?;
        let acquired = reader.acquired(next_serial)?;
        let ledger = Self {
            fresh_from,
            end,
            withheld_count: withheld.len(),
            withheld,
            lanes,
            acquired,
            next_serial,
        };
        if !ledger.is_sound() || reader.at != bytes.len() {
            return Err(reader.unsound("records in two states, or bytes that are left"));
        }
        Ok(ledger)
    }

    /// Whether every record is in one state.
    fn is_sound(&self) -> bool {
        let is_single = |offset: u64| {
            let in_lanes = self
                .lanes
                .values()
                .filter(|lane| lane.get(offset).is_some());
            let states = in_lanes.count() + usize::from(self.acquired.get(offset).is_some());
            let is_fresh = offset >= self.fresh_from && !self.withheld.contains(offset);
            states == 1 && !is_fresh && offset < self.end
        };
        let bounds = [self.withheld.min(), self.withheld.max()];
        let mut bounds = bounds.into_iter().flatten();
        let mut in_lanes = self.lanes.values().flat_map(Returned::iter);
        self.fresh_from <= self.end
            && bounds.all(|at| at > self.fresh_from && at < self.end)
            && in_lanes.all(is_single)
            && self.acquired.iter().all(|(offset, _)| is_single(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Release;

    fn lively() -> Ledger {
        let mut ledger = Ledger::new(3);
        ledger.extend(100_000);
        let lock = |owner, until_ms| Lock {
            owner: OwnerId(owner),
            until_ms,
        };
        for offset in [4, 50, 70_000, 70_001, 70_005] {
            ledger.withhold(offset);
        }
        ledger.admit(70_001, 7);
        for at in 0..60_u64 {
            let owner = 1 + at % 3;
            let until_ms = (owner == 2).then_some(-7);
            ledger.acquire(lock(owner, until_ms)).unwrap();
        }
        for (owner, how) in [(1, Release::Failed), (3, Release::Returned)] {
            let held: Vec<u64> = ledger.held_by(OwnerId(owner)).map(|(at, _)| at).collect();
            for offset in held {
                ledger.release(offset, OwnerId(owner), how).unwrap();
            }
        }
        for _ in 0..5 {
            let again = ledger.acquire(lock(4, None)).unwrap();
            ledger
                .release(again.offset, OwnerId(4), Release::Failed)
                .unwrap();
        }
        ledger
    }

    #[test]
    fn a_snapshot_keeps_every_level() {
        let mut ledger = Ledger::new(0);
        ledger.extend(300);
        for level in 0..=u8::MAX {
            let offset = u64::from(level);
            ledger.withhold(offset);
            ledger.admit(offset, level);
        }
        let lock = Lock {
            owner: OwnerId(1),
            until_ms: None,
        };
        ledger.acquire_at(0, lock).unwrap();
        ledger.release(0, OwnerId(1), Release::Returned).unwrap();
        assert_eq!(ledger.lanes.len(), 256);
        assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
    }

    #[test]
    fn a_snapshot_that_is_cut_anywhere_or_goes_on_is_refused() {
        let whole = lively().encode();
        assert_eq!(Ledger::decode(&whole), Ok(lively()));
        for length in 0..whole.len() {
            assert!(Ledger::decode(&whole[..length]).is_err(), "{length} bytes");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(Ledger::decode(&longer).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused_and_costs_no_memory() {
        let mut other = lively().encode();
        other[0] = 9;
        assert_eq!(
            Ledger::decode(&other),
            Err(SnapshotError::UnknownVersion(9))
        );
        let mut huge = lively().encode();
        huge[25..33].fill(0xff);
        assert!(matches!(
            Ledger::decode(&huge),
            Err(SnapshotError::Short { .. })
        ));
        // Ends before it begins.
        let mut ends = lively().encode();
        ends[9..17].fill(0);
        assert!(matches!(
            Ledger::decode(&ends),
            Err(SnapshotError::Unsound { .. })
        ));
    }

    #[test]
    fn damaged_bytes_are_refused_or_a_ledger_that_keeps_its_rules() {
        let whole = lively().encode();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(mut ledger) = Ledger::decode(&damaged) {
                    let counts = ledger.counts();
                    let taken = ledger.drop_first().is_some();
                    let left = counts.ready - u64::from(taken);
                    assert!(ledger.purge() == left, "byte {at}, bit {bit}");
                    ledger.trim(u64::MAX);
                    assert_eq!(ledger.counts(), crate::Counts::default());
                }
            }
        }
    }
}
