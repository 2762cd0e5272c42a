//! How commands and checkpoints become bytes: little-endian numbers, `u32` lengths and counts.
//!
//! A length or a count is a claim: it is checked against the bytes that are left before
//! anything is read, and it never sizes an allocation. Bytes that are left over are an error.

use bytes::Bytes;

/// Why bytes are not what they should be. Positions count from the start of the decoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("at byte {at}: {needed} bytes needed, {left} left")]
    Truncated {
        /// Where the value begins.
        at: usize,
        /// What it takes at least, in bytes.
        needed: usize,
        /// What is left, in bytes.
        left: usize,
    },
    /// The value ended before the bytes did.
    #[error("at byte {at}: {left} bytes left over")]
    Trailing {
        /// Where the value ended.
        at: usize,
        /// What is left, in bytes.
        left: usize,
    },
    /// A tag or version that this build does not know. Skipping it would let replicas differ.
    #[error("at byte {at}: unknown {what} {found}")]
    Unknown {
        /// Where the tag stands.
        at: usize,
        /// What the tag selects.
        what: &'static str,
        /// The tag.
        found: u64,
    },
    /// A text is not UTF-8.
    #[error("at byte {at}: text is not UTF-8")]
    Text {
        /// Where the text begins.
        at: usize,
    },
    /// A value breaks its own rule.
    #[error("before byte {at}: {what} is out of range")]
    Value {
        /// Where the value ended.
        at: usize,
        /// Which value.
        what: &'static str,
    },
}

/// Appends values.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

macro_rules! put_number {
    ($($name:ident $type:ty),*) => {$(
        #[doc = concat!("Appends a `", stringify!($type), "`.")]
        pub fn $name(&mut self, value: $type) {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    )*};
}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    put_number!(u8 u8, u16 u16, u32 u32, u64 u64, u128 u128, i16 i16, i32 i32, i64 i64);

    /// Appends the number of items that follow.
    ///
    /// # Panics
    /// Over 2^32 - 1, which no limit of this crate reaches.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("limits keep counts and lengths below 2^32"));
    }

    /// Appends a length and the bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// Appends a length and the text.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Appends 0, or 1 and the text.
    pub fn optional_text(&mut self, value: Option<&str>) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            self.text(value);
        }
    }

    /// What was written.
    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

/// Takes values off the front.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! take_number {
    ($($name:ident $type:ty),*) => {$(
        #[doc = concat!("Takes a `", stringify!($type), "`.")]
        pub fn $name(&mut self) -> Result<$type, DecodeError> {
            let taken = self.take(size_of::<$type>())?;
            let array = taken.try_into().expect("as many bytes were taken as the number has");
            Ok(<$type>::from_le_bytes(array))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    take_number!(u8 u8, u16 u16, u32 u32, u64 u64, u128 u128, i16 i16, i32 i32, i64 i64);

    /// Takes a count of items, each of which has at least `item_min_bytes` bytes (1 or more).
    pub fn count(&mut self, item_min_bytes: usize) -> Result<usize, DecodeError> {
        let at = self.at;
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let needed = count.saturating_mul(item_min_bytes.max(1));
        let left = self.left();
        if needed > left {
            return Err(DecodeError::Truncated { at, needed, left });
        }
        Ok(count)
    }

    /// Takes a length and as many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count(1)?;
        self.take(length)
    }

    /// Takes a length and as much text.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Text { at })
    }

    /// Takes what [`Writer::optional_text`] wrote.
    pub fn optional_text(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let at = self.at;
        match self.u8()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            found => Err(DecodeError::Unknown {
                at,
                what: "presence of a text",
                found: found.into(),
            }),
        }
    }

    /// `u8`, 0 or 1.
    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(self.unknown_tag("flag", found)),
        }
    }

    /// Takes a format version and refuses all but `known`.
    pub fn version(&mut self, what: &'static str, known: u8) -> Result<(), DecodeError> {
        let at = self.at;
        let found = self.u8()?;
        if found == known {
            Ok(())
        } else {
            Err(DecodeError::Unknown {
                at,
                what,
                found: found.into(),
            })
        }
    }

    /// The error for a value that was just taken and breaks its own rule.
    pub fn invalid(&self, what: &'static str) -> DecodeError {
        DecodeError::Value { at: self.at, what }
    }

    /// The error for a tag of one byte that was just taken and that nothing stands for.
    pub fn unknown_tag(&self, what: &'static str, found: u8) -> DecodeError {
        DecodeError::Unknown {
            at: self.at.saturating_sub(1),
            what,
            found: found.into(),
        }
    }

    /// Ends the reading: all bytes must have been taken.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { at: self.at, left }),
        }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, needed: usize) -> Result<&'a [u8], DecodeError> {
        let left = self.left();
        if needed > left {
            return Err(DecodeError::Truncated {
                at: self.at,
                needed,
                left,
            });
        }
        let taken = &self.bytes[self.at..self.at + needed];
        self.at += needed;
        Ok(taken)
    }
}

/// FNV-1a over encoded state: equal on replicas that are equal. Not a checksum against damage.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What every decoder of this crate is tested with.
#[cfg(test)]
pub(crate) mod trial {
    use super::DecodeError;

    /// Checks that no proper prefix of `bytes` decodes, that one byte more does not, and that
    /// four bytes of 0xff in any place (an oversized count among them) do not panic.
    pub(crate) fn damage<V>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<V, DecodeError>) {
        assert!(decode(bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(matches!(
            decode(&longer),
            Err(DecodeError::Trailing { left: 1, .. })
        ));
        for at in 0..bytes.len().saturating_sub(3) {
            let mut damaged = bytes.to_vec();
            damaged[at..at + 4].fill(0xff);
            let _ = decode(&damaged);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<(u8, i64, String, Option<String>), DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = (
            reader.u8()?,
            reader.i64()?,
            reader.text()?.to_owned(),
            reader.optional_text()?.map(str::to_owned),
        );
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn values_come_back_and_damage_is_an_error() {
        let mut writer = Writer::new();
        writer.u8(7);
        writer.i64(-5);
        writer.text("hélas");
        writer.optional_text(Some("x"));
        let bytes = writer.finish();
        assert_eq!(
            decode(&bytes),
            Ok((7, -5, "hélas".to_owned(), Some("x".to_owned())))
        );
        trial::damage(&bytes, decode);
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused_where_it_stands() {
        let mut writer = Writer::new();
        writer.u8(0);
        writer.u32(3);
        writer.u64(0);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        reader.u8().unwrap();
        assert_eq!(
            reader.count(4),
            Err(DecodeError::Truncated {
                at: 1,
                needed: 12,
                left: 8
            })
        );
        let mut reader = Reader::new(&[0xff; 4]);
        assert!(matches!(
            reader.count(usize::MAX),
            Err(DecodeError::Truncated { .. })
        ));
    }

    #[test]
    fn text_that_is_not_utf8_and_odd_presence_bytes_are_refused() {
        let mut reader = Reader::new(&[1, 0, 0, 0, 0xff]);
        assert_eq!(reader.text(), Err(DecodeError::Text { at: 0 }));
        let mut reader = Reader::new(&[2]);
        assert!(matches!(
            reader.optional_text(),
            Err(DecodeError::Unknown { found: 2, .. })
        ));
    }

    #[test]
    fn another_version_is_refused_by_number() {
        assert_eq!(
            Reader::new(&[9]).version("table version", 1),
            Err(DecodeError::Unknown {
                at: 0,
                what: "table version",
                found: 9
            })
        );
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
