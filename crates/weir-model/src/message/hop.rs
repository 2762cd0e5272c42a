//! By what a dead letter is known when it comes twice. Nobody but the broker writes or reads it.
//!
//! The header `weir-hop`: `u8` 1, `u64` the partition that it comes from, `u64` its serial there, `u64`
//! the least serial that may come from there again. Big-endian.

use bytes::{Buf, BufMut, BytesMut};

use crate::{PartitionId, record::Record};

/// The header's name.
pub(super) const HOP: &str = "weir-hop";
const VERSION: u8 = 1;

/// A dead letter's way from one queue to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where it comes from.
    pub source: PartitionId,
    /// Which of that one's dead letters it is.
    pub serial: u64,
    /// None with a lower serial comes from there any more.
    pub floor: u64,
}

impl Hop {
    /// What stands on a record; `None` where it is no dead letter.
    pub fn of(record: &Record<'_>) -> Option<Self> {
        let mut headers = record.headers();
        let (_, value) = headers.find(|(name, _)| *name == HOP.as_bytes())?;
        Self::read(value?)
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let hop = Self {
            source: PartitionId(bytes.try_get_u64().ok()?),
            serial: bytes.try_get_u64().ok()?,
            floor: bytes.try_get_u64().ok()?,
        };
        bytes.is_empty().then_some(hop)
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_u64(self.source.0);
        out.put_u64(self.serial);
        out.put_u64(self.floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_comes_back_and_what_is_cut_or_goes_on_is_none() {
        let hop = Hop {
            source: PartitionId(1 << 40),
            serial: 7,
            floor: 5,
        };
        let mut bytes = BytesMut::new();
        hop.write(&mut bytes);
        assert_eq!(Hop::read(&bytes), Some(hop));
        for length in 0..bytes.len() {
            assert_eq!(Hop::read(&bytes[..length]), None, "{length} bytes");
        }
        bytes.put_u8(0);
        assert_eq!(Hop::read(&bytes), None);
        bytes[0] = VERSION + 1;
        assert_eq!(Hop::read(&bytes[..25]), None);
    }
}
