//! A ledger as bytes, for checkpoints; all numbers little-endian.
//!
//! `u8` version; `u64` fresh from; `u64` end; `u64` length and a roaring treemap in its portable
//! format: returned records; `u64` count and for each `u64` offset, `u32` deliveries: returned
//! records that were not delivered once; `u64` count and for each `u64` offset, `u64` owner, `u8`
//! whether its lock ends and `i64` when, in ms, `u32` deliveries: acquired records.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::{
    acquired::{Acquired, AcquiredMap, Lock, OwnerId},
    ledger::Ledger,
    returned::Returned,
};

const VERSION: u8 = 1;

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

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        self.array().map(u64::from_le_bytes)
    }

    fn unsound(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Unsound { at: self.at, what }
    }

    fn returned(&mut self) -> Result<Returned, SnapshotError> {
        let count = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        let offsets = RoaringTreemap::deserialize_from(self.take(count)?)
            .map_err(|_| self.unsound("offsets that are no treemap"))?;
        let mut counts = BTreeMap::new();
        for _ in 0..self.u64()? {
            counts.insert(self.u64()?, self.u32()?);
        }
        let unsound = self.unsound("deliveries of a record that was not returned");
        Returned::from_parts(offsets, counts).ok_or(unsound)
    }

    fn acquired(&mut self) -> Result<AcquiredMap, SnapshotError> {
        let mut map = AcquiredMap::default();
        for _ in 0..self.u64()? {
            let offset = self.u64()?;
            let owner = OwnerId(self.u64()?);
            let ends = self.u8()? != 0;
            let until_ms = self.u64()?.cast_signed();
            let delivery_count = self.u32()?;
            if map.get(offset).is_some() || delivery_count == 0 {
                return Err(self.unsound("a record that is held twice or was never delivered"));
            }
            let until_ms = ends.then_some(until_ms);
            let acquired = Acquired {
                lock: Lock { owner, until_ms },
                delivery_count,
            };
            map.insert(offset, acquired);
        }
        Ok(map)
    }
}

impl Ledger {
    /// The ledger as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let put = |out: &mut Vec<u8>, value: u64| out.extend(value.to_le_bytes());
        put(&mut out, self.fresh_from);
        put(&mut out, self.end);
        let offsets = self.returned.offsets();
        put(&mut out, offsets.serialized_size() as u64);
        offsets
            .serialize_into(&mut out)
            .expect("a vector takes all bytes");
        put(&mut out, self.returned.counts().len() as u64);
        for (offset, count) in self.returned.counts() {
            put(&mut out, *offset);
            out.extend(count.to_le_bytes());
        }
        put(&mut out, self.acquired.count());
        for (offset, acquired) in self.acquired.iter() {
            put(&mut out, offset);
            put(&mut out, acquired.lock.owner.0);
            out.push(u8::from(acquired.lock.until_ms.is_some()));
            put(
                &mut out,
                acquired.lock.until_ms.unwrap_or(0).cast_unsigned(),
            );
            out.extend(acquired.delivery_count.to_le_bytes());
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
        let (fresh_from, end) = (reader.u64()?, reader.u64()?);
        let returned = reader.returned()?;
        let acquired = reader.acquired()?;
        let is_below = |last: Option<u64>| last.is_none_or(|last| last < fresh_from);
        let is_ordered =
            fresh_from <= end && is_below(returned.last()) && is_below(acquired.last());
        let is_both = acquired.iter().any(|(offset, _)| returned.contains(offset));
        if !is_ordered || is_both || reader.at != bytes.len() {
            return Err(reader.unsound("records in two states, or bytes that are left"));
        }
        Ok(Self {
            fresh_from,
            end,
            returned,
            acquired,
        })
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
        ledger.acquire(lock(1, None), 50);
        ledger.acquire(lock(2, Some(-7)), 50);
        ledger.release_all(OwnerId(1), Release::Tried);
        ledger.acquire(lock(3, None), 5);
        ledger.release_all(OwnerId(3), Release::Tried);
        ledger
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
        huge[17..25].fill(0xff);
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
                    assert!(ledger.purge() == counts.ready, "byte {at}, bit {bit}");
                    ledger.end_locks(i64::MAX, usize::MAX);
                    ledger.trim(u64::MAX);
                    assert_eq!(ledger.counts(), crate::Counts::default());
                }
            }
        }
    }
}
