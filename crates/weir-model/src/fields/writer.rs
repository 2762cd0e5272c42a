//! Fields into a payload.

use bytes::{BufMut, BytesMut};

use super::table::{FieldTable, ShortString};

/// Appends fields. What is too long for its length field cannot be made: strings and tables are
/// checked where they are.
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    /// Bits that wait for their octet, and how many there are.
    bits: (u8, u8),
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self { out, bits: (0, 0) }
    }

    /// Appends a `u8`.
    pub fn octet(&mut self, value: u8) {
        self.flush();
        self.out.put_u8(value);
    }

    /// Appends a `u16`.
    pub fn short(&mut self, value: u16) {
        self.flush();
        self.out.put_u16(value);
    }

    /// Appends a `u32`.
    pub fn long(&mut self, value: u32) {
        self.flush();
        self.out.put_u32(value);
    }

    /// Appends a `u64`.
    pub fn longlong(&mut self, value: u64) {
        self.flush();
        self.out.put_u64(value);
    }

    /// Appends a bit; bits that follow each other share an octet.
    pub fn bit(&mut self, is_set: bool) {
        if self.bits.1 == 8 {
            self.flush();
        }
        self.bits.0 |= u8::from(is_set) << self.bits.1;
        self.bits.1 += 1;
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.flush();
        self.out.put_slice(bytes);
    }

    /// Appends a text with a `u8` length in front.
    pub fn shortstr(&mut self, text: &ShortString) {
        let bytes = text.as_str().as_bytes();
        self.octet(u8::try_from(bytes.len()).expect("a short string has 255 bytes at most"));
        self.bytes(bytes);
    }

    /// Appends bytes with a `u32` length in front.
    pub fn longstr(&mut self, bytes: &[u8]) {
        self.part(|writer| writer.bytes(bytes));
    }

    /// Appends a table with its length in front.
    pub fn table(&mut self, table: &FieldTable) {
        table.write(self);
    }

    /// Writes a part with its length in front.
    pub fn part(&mut self, write: impl FnOnce(&mut Self)) {
        self.long(0);
        let from = self.out.len();
        write(self);
        self.flush();
        let size = self.out.len() - from;
        let size = u32::try_from(size).expect("frames are far below 4 GiB");
        self.out[from - 4..from].copy_from_slice(&size.to_be_bytes());
    }

    /// Appends bits that wait for their octet.
    pub fn finish(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        if self.bits.1 > 0 {
            self.out.put_u8(self.bits.0);
            self.bits = (0, 0);
        }
    }
}
