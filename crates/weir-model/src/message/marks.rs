//! What the broker notes down on a message for the queue that it goes to. Nobody but the broker
//! writes or reads it.
//!
//! The header `weir-marks`: `u8` 1, `u8` flags, then for flag 1 `i64` the time at which it is due, in
//! ms since 1970, and for flag 2 `u64` the partition that it comes from as a dead letter, `u64` its
//! serial there, and `u64` the least serial that may come from there again. Big-endian.

use bytes::{Buf, BufMut, BytesMut};

use crate::{PartitionId, record::Record};

/// The header's name.
pub(super) const MARKS: &str = "weir-marks";
const VERSION: u8 = 1;
const DUE: u8 = 1;
const HOP: u8 = 2;

/// What the broker notes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It is not to be delivered before, in ms since 1970.
    pub due_ms: Option<i64>,
    /// It is a dead letter of another queue.
    pub hop: Option<Hop>,
}

/// A dead letter's way, by which it is known when it comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where it comes from.
    pub source: PartitionId,
    /// Which of that one's dead letters it is.
    pub serial: u64,
    /// None with a lower serial comes from there any more.
    pub floor: u64,
}

impl Marks {
    /// What stands on a record; nothing where that is no form that is known.
    pub fn of(record: &Record<'_>) -> Self {
        let mut headers = record.headers();
        let found = headers.find(|(name, _)| *name == MARKS.as_bytes());
        let value = found.and_then(|(_, value)| value);
        value.and_then(Self::read).unwrap_or_default()
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let flags = bytes.try_get_u8().ok()?;
        if flags & !(DUE | HOP) != 0 {
            return None;
        }
        let mut marks = Self::default();
        if flags & DUE != 0 {
            marks.due_ms = Some(bytes.try_get_i64().ok()?);
        }
        if flags & HOP != 0 {
            marks.hop = Some(Hop {
                source: PartitionId(bytes.try_get_u64().ok()?),
                serial: bytes.try_get_u64().ok()?,
                floor: bytes.try_get_u64().ok()?,
            });
        }
        bytes.is_empty().then_some(marks)
    }

    /// Whether nothing is noted down.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        let due = if self.due_ms.is_some() { DUE } else { 0 };
        let hop = if self.hop.is_some() { HOP } else { 0 };
        out.put_u8(due | hop);
        self.due_ms.iter().for_each(|due_ms| out.put_i64(*due_ms));
        for hop in &self.hop {
            out.put_u64(hop.source.0);
            out.put_u64(hop.serial);
            out.put_u64(hop.floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_what_is_cut_or_goes_on_is_none() {
        let hop = Hop {
            source: PartitionId(1 << 40),
            serial: 7,
            floor: 5,
        };
        for marks in [
            Marks::default(),
            Marks {
                due_ms: Some(-5),
                hop: None,
            },
            Marks {
                due_ms: Some(1 << 50),
                hop: Some(hop),
            },
        ] {
            let mut bytes = BytesMut::new();
            marks.write(&mut bytes);
            assert_eq!(Marks::read(&bytes), Some(marks));
            for length in 0..bytes.len() {
                assert_eq!(Marks::read(&bytes[..length]), None, "{length} bytes");
            }
            bytes.put_u8(0);
            assert_eq!(Marks::read(&bytes), None);
        }
        assert_eq!(Marks::read(&[VERSION, 4]), None);
        assert_eq!(Marks::read(&[VERSION + 1, 0]), None);
    }
}
