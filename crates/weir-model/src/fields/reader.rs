//! Fields out of a payload, with positions for errors.

use bytes::{Buf, Bytes};

use super::{
    error::{DecodeError, Fault},
    table::{FieldTable, ShortString},
};

/// Reads one payload from its beginning to its end. Strings and tables are slices of it.
pub struct Reader {
    rest: Bytes,
    at: usize,
    /// Bits of the octet that is being taken apart, and how many of them are left.
    bits: (u8, u8),
}

impl Reader {
    /// Reads from the first byte on.
    pub fn new(payload: Bytes) -> Self {
        Self::within(payload, 0)
    }

    /// For what lies inside of a payload, from that position on.
    pub fn within(part: Bytes, at: usize) -> Self {
        Self {
            rest: part,
            at,
            bits: (0, 0),
        }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Position from the payload's beginning, in bytes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The error for something wrong at this position.
    pub fn error(&self, field: &'static str, fault: Fault) -> DecodeError {
        DecodeError {
            at: self.at,
            field,
            fault,
        }
    }

    fn need(&mut self, field: &'static str, needed: usize) -> Result<(), DecodeError> {
        self.bits = (0, 0);
        let had = self.rest.len();
        if had < needed {
            return Err(self.error(field, Fault::Short { needed, had }));
        }
        self.at += needed;
        Ok(())
    }

    /// Takes a `u8`.
    pub fn octet(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.need(field, 1)?;
        Ok(self.rest.get_u8())
    }

    /// Takes a `u16`.
    pub fn short(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.need(field, 2)?;
        Ok(self.rest.get_u16())
    }

    /// Takes a `u32`.
    pub fn long(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.need(field, 4)?;
        Ok(self.rest.get_u32())
    }

    /// Takes a `u64`.
    pub fn longlong(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.need(field, 8)?;
        Ok(self.rest.get_u64())
    }

    /// Bits that follow each other share an octet, the first one in its lowest bit.
    pub fn bit(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        if self.bits.1 == 0 {
            self.bits = (self.octet(field)?, 8);
        }
        let is_set = self.bits.0 & 1 == 1;
        self.bits = (self.bits.0 >> 1, self.bits.1 - 1);
        Ok(is_set)
    }

    /// Takes so many bytes.
    pub fn bytes(&mut self, field: &'static str, count: usize) -> Result<Bytes, DecodeError> {
        self.need(field, count)?;
        Ok(self.rest.split_to(count))
    }

    /// Takes a text with a `u8` length in front.
    pub fn shortstr(&mut self, field: &'static str) -> Result<ShortString, DecodeError> {
        let count = usize::from(self.octet(field)?);
        let at = self.at;
        let bytes = self.bytes(field, count)?;
        ShortString::from_wire(bytes).ok_or(DecodeError {
            at,
            field,
            fault: Fault::NotText,
        })
    }

    /// Takes bytes with a `u32` length in front.
    pub fn longstr(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        let count = self.length(field)?;
        self.bytes(field, count)
    }

    /// Takes a table with its length in front.
    pub fn table(&mut self, field: &'static str) -> Result<FieldTable, DecodeError> {
        FieldTable::read(self, field, 0)
    }

    /// A part with its length in front.
    pub fn part(&mut self, field: &'static str) -> Result<Self, DecodeError> {
        let count = self.length(field)?;
        let at = self.at;
        Ok(Self::within(self.bytes(field, count)?, at))
    }

    fn length(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let count = self.long(field)?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Whether nothing is left.
    pub fn finish(self, field: &'static str) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.error(field, Fault::Left(left))),
        }
    }
}
