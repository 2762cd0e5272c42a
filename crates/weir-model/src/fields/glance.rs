//! Properties looked at where they lie: checked, and the few that brokers act on taken out, without
//! an allocation.

use super::table::MAX_TABLE_DEPTH;

/// Flags of the 14 properties.
const KNOWN_FLAGS: u16 = 0xfffc;

/// What brokers act on, borrowed from properties as they are on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance<'a> {
    /// 1: transient; 2: persistent.
    pub delivery_mode: Option<u8>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// Time to live in ms, as text.
    pub expiration: Option<&'a str>,
    /// The message's own name.
    pub message_id: Option<&'a str>,
    /// The headers' fields, without the table's length.
    headers: &'a [u8],
}

impl<'a> Glance<'a> {
    /// Looks at flags and properties. `None` where they are not exactly that, so that
    /// [`BasicProperties`](super::BasicProperties) would refuse them.
    pub fn at(properties: &'a [u8]) -> Option<Self> {
        let mut walk = Walk(properties);
        let flags = u16::from_be_bytes(walk.array()?);
        if flags & !KNOWN_FLAGS != 0 {
            return None;
        }
        let has = |bit: u32| flags & (1 << bit) != 0;
        let mut glance = Self::default();
        for bit in (2..=15).rev().filter(|bit| has(*bit)) {
            match bit {
                13 => glance.headers = walk.table(0)?,
                12 => glance.delivery_mode = Some(walk.octet()?),
                11 => glance.priority = Some(walk.octet()?),
                8 => glance.expiration = Some(walk.short()?),
                7 => glance.message_id = Some(walk.short()?),
                6 => drop(walk.take(8)?),
                _ => drop(walk.short()?),
            }
        }
        walk.0.is_empty().then_some(glance)
    }

    /// The whole number or text number in the header of that name, the first one where there are
    /// several.
    pub fn header_int(&self, name: &str) -> Option<i64> {
        match self.header(name)? {
            (b'b', &[value]) => Some(i64::from(value.cast_signed())),
            (b'B', &[value]) => Some(i64::from(value)),
            (b's', value) => Some(i64::from(i16::from_be_bytes(value.try_into().ok()?))),
            (b'u', value) => Some(i64::from(u16::from_be_bytes(value.try_into().ok()?))),
            (b'I', value) => Some(i64::from(i32::from_be_bytes(value.try_into().ok()?))),
            (b'i', value) => Some(i64::from(u32::from_be_bytes(value.try_into().ok()?))),
            (b'l' | b'L', value) => Some(i64::from_be_bytes(value.try_into().ok()?)),
            (b'S', text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The text or bytes in the header of that name, the first one where there are several.
    pub fn header_bytes(&self, name: &str) -> Option<&'a [u8]> {
        match self.header(name)? {
            (b'S' | b'x', bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Type tag and value of a header.
    fn header(&self, name: &str) -> Option<(u8, &'a [u8])> {
        let mut walk = Walk(self.headers);
        while !walk.0.is_empty() {
            let found = walk.short()?;
            let value = walk.value(0)?;
            if found == name {
                return Some(value);
            }
        }
        None
    }
}

struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn octet(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn short(&mut self) -> Option<&'a str> {
        let count = usize::from(self.octet()?);
        std::str::from_utf8(self.take(count)?).ok()
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let count = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(count).ok()?)
    }

    /// The fields of a table that is sound.
    fn table(&mut self, depth: usize) -> Option<&'a [u8]> {
        let fields = self.nested(depth)?;
        let mut walk = Self(fields);
        while !walk.0.is_empty() {
            walk.short()?;
            walk.value(depth)?;
        }
        Some(fields)
    }

    fn nested(&mut self, depth: usize) -> Option<&'a [u8]> {
        if depth > MAX_TABLE_DEPTH {
            return None;
        }
        self.long()
    }

    /// Type tag and bytes of a value that is sound.
    fn value(&mut self, depth: usize) -> Option<(u8, &'a [u8])> {
        let tag = self.octet()?;
        let value = match tag {
            b'V' => self.take(0)?,
            b't' | b'b' | b'B' => self.take(1)?,
            b's' | b'u' => self.take(2)?,
            b'I' | b'i' | b'f' => self.take(4)?,
            b'D' => self.take(5)?,
            b'l' | b'L' | b'd' | b'T' => self.take(8)?,
            b'S' | b'x' => self.long()?,
            b'A' => {
                let values = self.nested(depth + 1)?;
                let mut walk = Self(values);
                while !walk.0.is_empty() {
                    walk.value(depth + 1)?;
                }
                values
            }
            b'F' => self.table(depth + 1)?,
            _ => return None,
        };
        Some((tag, value))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::fields::{
        BasicProperties, FieldTable, FieldValue, Reader, Writer,
        examples::{full, short},
    };

    fn bytes_of(properties: &BasicProperties) -> Bytes {
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        properties.write(&mut writer);
        writer.finish();
        out.freeze()
    }

    #[test]
    fn what_brokers_act_on_is_found_in_all_properties_and_in_none() {
        let bytes = bytes_of(&full());
        let glance = Glance::at(&bytes).unwrap();
        assert_eq!(glance.delivery_mode, Some(2));
        assert_eq!(glance.priority, Some(9));
        assert_eq!(glance.expiration, Some("60000"));
        assert_eq!(glance.message_id, Some("m"));
        assert_eq!(glance.header_int("n3"), Some(-300));
        assert_eq!(glance.header_int("n7"), Some(i64::MIN));
        assert_eq!(glance.header_int("n0"), None);
        assert_eq!(glance.header_bytes("n13"), Some(&b"\x00\x01"[..]));
        assert_eq!(Glance::at(&[0, 0]), Some(Glance::default()));
    }

    #[test]
    fn a_number_as_text_is_a_number() {
        let text = FieldValue::LongString(Bytes::from_static(b"1500"));
        let properties = BasicProperties {
            headers: Some(FieldTable(vec![(short("x-delay"), text)])),
            ..BasicProperties::default()
        };
        let bytes = bytes_of(&properties);
        assert_eq!(
            Glance::at(&bytes).unwrap().header_int("x-delay"),
            Some(1500)
        );
    }

    #[test]
    fn what_the_reader_refuses_is_refused_here_and_the_other_way_round() {
        let whole = bytes_of(&full());
        for cut in 0..whole.len() {
            assert_eq!(Glance::at(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            for flip in [1, 0x10, 0x80, 0xff] {
                let mut bytes = whole.to_vec();
                bytes[at] ^= flip;
                let bytes = Bytes::from(bytes);
                let read = BasicProperties::read(Reader::new(bytes.clone()));
                assert_eq!(Glance::at(&bytes).is_some(), read.is_ok(), "{at} ^ {flip}");
            }
        }
    }
}
