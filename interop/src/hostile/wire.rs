//! Bytes in network order, as both protocols write them.

/// Bytes being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire(Vec<u8>);

impl Wire {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(super) fn i8(self, value: i8) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i16(self, value: i16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i32(self, value: i32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i64(self, value: i64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// Kafka's string: its length in two bytes.
    pub(super) fn string(self, text: &str) -> Self {
        let length = i16::try_from(text.len()).expect("rows have short strings");
        self.i16(length).raw(text.as_bytes())
    }

    /// Kafka's bytes: their length in four.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let length = i32::try_from(bytes.len()).expect("rows have less than 2 GiB");
        self.i32(length).raw(bytes)
    }

    /// Kafka's signed varint, zigzag.
    pub(super) fn varint(mut self, value: i32) -> Self {
        let mut left = ((value << 1) ^ (value >> 31)).cast_unsigned();
        loop {
            let byte = u8::try_from(left & 0x7f).expect("seven bits");
            left >>= 7;
            if left == 0 {
                self.0.push(byte);
                return self;
            }
            self.0.push(byte | 0x80);
        }
    }

    /// AMQP's short string: its length in one byte.
    pub(super) fn short(self, text: &str) -> Self {
        let length = u8::try_from(text.len()).expect("rows have short strings");
        self.u8(length).raw(text.as_bytes())
    }

    /// AMQP's long string: its length in four bytes.
    pub(super) fn long(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("rows have less than 4 GiB");
        self.u32(length).raw(bytes)
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}

/// A big-endian number at a place of an answer, if the answer is that long.
pub(super) fn number_at(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let found = bytes.get(at..at + width)?;
    Some(
        found
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_zigzag() {
        let encoded = |value| Wire::new().varint(value).end();
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(-1), [1]);
        assert_eq!(encoded(1), [2]);
        assert_eq!(encoded(64), [0x80, 0x01]);
        assert_eq!(encoded(i32::MIN), [0xff, 0xff, 0xff, 0xff, 0x0f]);
    }

    #[test]
    fn a_number_beyond_the_end_is_none() {
        assert_eq!(number_at(&[1, 2, 3], 1, 2), Some(0x0203));
        assert_eq!(number_at(&[1, 2, 3], 2, 2), None);
    }
}
