//! Field tables in RabbitMQ's dialect (`rabbit_binary_parser.erl`), which differs from the
//! specification's: `s` is a 16 bit integer, and `L` the same signed 64 bit integer as `l`.
//!
//! A table: `u32` length in bytes, then for each field a short string and a value. A value: `u8`
//! type tag, then what the tag says. Tags and order are kept, so that headers come back as sent.

use std::fmt;

use bytes::Bytes;

use super::{
    error::{DecodeError, Fault},
    reader::Reader,
    writer::Writer,
};

/// How deep tables and arrays may lie in each other.
pub const MAX_TABLE_DEPTH: usize = 32;
/// Longest short string, in bytes.
const MAX_SHORT_BYTES: usize = 255;

/// At most 255 bytes of UTF-8; most often a slice of what was received.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortString(Bytes);

impl ShortString {
    /// `None` where the text is too long.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= MAX_SHORT_BYTES).then(|| Self(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// `None` where it is not UTF-8 or too long.
    pub fn from_wire(bytes: Bytes) -> Option<Self> {
        let is_text = bytes.len() <= MAX_SHORT_BYTES && std::str::from_utf8(&bytes).is_ok();
        is_text.then_some(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it was made")
    }

    /// The text's bytes: equal and ordered as the text is.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for ShortString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ShortString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A number with a decimal point: `value` divided by ten to the power of `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Digits behind the point.
    pub scale: u8,
    /// All digits.
    pub value: u32,
}

/// A value with its type tag. Floating point numbers are kept as bits: they are carried, not
/// calculated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// `t`
    Boolean(bool),
    /// `b`
    Int8(i8),
    /// `B`
    UInt8(u8),
    /// `s`
    Int16(i16),
    /// `u`
    UInt16(u16),
    /// `I`
    Int32(i32),
    /// `i`
    UInt32(u32),
    /// `l`
    Int64(i64),
    /// `L`: the same as `l`, not an unsigned number.
    Int64Upper(i64),
    /// `f`, the bits of a 32 bit number.
    Float32(u32),
    /// `d`, the bits of a 64 bit number.
    Float64(u64),
    /// `D`
    Decimal(Decimal),
    /// `S`: text as a rule, any bytes in truth.
    LongString(Bytes),
    /// `x`
    Bytes(Bytes),
    /// `A`
    Array(Vec<FieldValue>),
    /// `T`, seconds since 1970. RabbitMQ does not look whether that is sensible.
    Timestamp(u64),
    /// `F`
    Table(FieldTable),
    /// `V`
    Void,
}

/// Names and values in the order in which they came; a name may come twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldTable(pub Vec<(ShortString, FieldValue)>);

impl FieldValue {
    fn read(reader: &mut Reader, field: &'static str, depth: usize) -> Result<Self, DecodeError> {
        let at = reader.at();
        let value = match reader.octet(field)? {
            b't' => Self::Boolean(reader.octet(field)? != 0),
            b'b' => Self::Int8(reader.octet(field)?.cast_signed()),
            b'B' => Self::UInt8(reader.octet(field)?),
            b's' => Self::Int16(reader.short(field)?.cast_signed()),
            b'u' => Self::UInt16(reader.short(field)?),
            b'I' => Self::Int32(reader.long(field)?.cast_signed()),
            b'i' => Self::UInt32(reader.long(field)?),
            b'l' => Self::Int64(reader.longlong(field)?.cast_signed()),
            b'L' => Self::Int64Upper(reader.longlong(field)?.cast_signed()),
            b'f' => Self::Float32(reader.long(field)?),
            b'd' => Self::Float64(reader.longlong(field)?),
            b'D' => Self::Decimal(Decimal {
                scale: reader.octet(field)?,
                value: reader.long(field)?,
            }),
            b'S' => Self::LongString(reader.longstr(field)?),
            b'x' => Self::Bytes(reader.longstr(field)?),
            b'A' => Self::Array(read_array(reader, field, depth)?),
            b'T' => Self::Timestamp(reader.longlong(field)?),
            b'F' => Self::Table(FieldTable::read(reader, field, depth + 1)?),
            b'V' => Self::Void,
            tag => {
                let fault = Fault::UnknownTag(tag);
                return Err(DecodeError { at, field, fault });
            }
        };
        Ok(value)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.octet(self.tag());
        match self {
            Self::Boolean(value) => writer.octet(u8::from(*value)),
            Self::Int8(value) => writer.octet(value.cast_unsigned()),
            Self::UInt8(value) => writer.octet(*value),
            Self::Int16(value) => writer.short(value.cast_unsigned()),
            Self::UInt16(value) => writer.short(*value),
            Self::Int32(value) => writer.long(value.cast_unsigned()),
            Self::UInt32(value) | Self::Float32(value) => writer.long(*value),
            Self::Int64(value) | Self::Int64Upper(value) => writer.longlong(value.cast_unsigned()),
            Self::Float64(value) | Self::Timestamp(value) => writer.longlong(*value),
            Self::Decimal(value) => {
                writer.octet(value.scale);
                writer.long(value.value);
            }
            Self::LongString(bytes) | Self::Bytes(bytes) => writer.longstr(bytes),
            Self::Array(values) => {
                writer.part(|writer| values.iter().for_each(|value| value.write(writer)));
            }
            Self::Table(table) => table.write(writer),
            Self::Void => {}
        }
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Boolean(_) => b't',
            Self::Int8(_) => b'b',
            Self::UInt8(_) => b'B',
            Self::Int16(_) => b's',
            Self::UInt16(_) => b'u',
            Self::Int32(_) => b'I',
            Self::UInt32(_) => b'i',
            Self::Int64(_) => b'l',
            Self::Int64Upper(_) => b'L',
            Self::Float32(_) => b'f',
            Self::Float64(_) => b'd',
            Self::Decimal(_) => b'D',
            Self::LongString(_) => b'S',
            Self::Bytes(_) => b'x',
            Self::Array(_) => b'A',
            Self::Timestamp(_) => b'T',
            Self::Table(_) => b'F',
            Self::Void => b'V',
        }
    }

    /// The number, of whichever width: RabbitMQ compares arguments by value.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int8(value) => Some(i64::from(*value)),
            Self::UInt8(value) => Some(i64::from(*value)),
            Self::Int16(value) => Some(i64::from(*value)),
            Self::UInt16(value) => Some(i64::from(*value)),
            Self::Int32(value) => Some(i64::from(*value)),
            Self::UInt32(value) => Some(i64::from(*value)),
            Self::Int64(value) | Self::Int64Upper(value) => Some(*value),
            Self::Boolean(_)
            | Self::Float32(_)
            | Self::Float64(_)
            | Self::Decimal(_)
            | Self::LongString(_)
            | Self::Bytes(_)
            | Self::Array(_)
            | Self::Timestamp(_)
            | Self::Table(_)
            | Self::Void => None,
        }
    }
}

fn read_array(
    reader: &mut Reader,
    field: &'static str,
    depth: usize,
) -> Result<Vec<FieldValue>, DecodeError> {
    let mut part = nested(reader, field, depth + 1)?;
    let mut values = Vec::new();
    while !part.is_empty() {
        values.push(FieldValue::read(&mut part, field, depth + 1)?);
    }
    Ok(values)
}

fn nested(reader: &mut Reader, field: &'static str, depth: usize) -> Result<Reader, DecodeError> {
    if depth > MAX_TABLE_DEPTH {
        return Err(reader.error(field, Fault::TooDeep(MAX_TABLE_DEPTH)));
    }
    reader.part(field)
}

impl FieldTable {
    /// Takes a table that lies in `depth` others.
    pub fn read(
        reader: &mut Reader,
        field: &'static str,
        depth: usize,
    ) -> Result<Self, DecodeError> {
        let mut part = nested(reader, field, depth)?;
        let mut fields = Vec::new();
        while !part.is_empty() {
            let name = part.shortstr(field)?;
            fields.push((name, FieldValue::read(&mut part, field, depth)?));
        }
        Ok(Self(fields))
    }

    /// Appends the table with its length in front.
    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.part(|writer| {
            for (name, value) in &self.0 {
                writer.shortstr(name);
                value.write(writer);
            }
        });
    }

    /// The value of that name, the first one where there are several.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        let mut fields = self.0.iter();
        fields.find_map(|(each, value)| (each.as_str() == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    use crate::fields::examples::{of_all_types, short};

    fn bytes_of(table: &FieldTable) -> Bytes {
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        writer.table(table);
        writer.finish();
        out.freeze()
    }

    fn read(bytes: &Bytes) -> Result<FieldTable, DecodeError> {
        let mut reader = Reader::new(bytes.clone());
        let table = reader.table("headers")?;
        reader.finish("headers")?;
        Ok(table)
    }

    #[test]
    fn every_type_comes_back_with_its_tag() {
        let bytes = bytes_of(&of_all_types());
        let back = read(&bytes).unwrap();
        assert_eq!(back, of_all_types());
        assert_eq!(bytes_of(&back), bytes);
    }

    #[test]
    fn a_table_has_the_bytes_of_the_dialect() {
        let table = FieldTable(vec![
            (short("a"), FieldValue::Int16(-2)),
            (
                short("b"),
                FieldValue::LongString(Bytes::from_static(b"xy")),
            ),
        ]);
        let wanted = b"\x00\x00\x00\x0e\x01as\xff\xfe\x01bS\x00\x00\x00\x02xy";
        assert_eq!(bytes_of(&table), &wanted[..]);
    }

    #[test]
    fn a_table_that_is_cut_anywhere_is_refused() {
        let whole = bytes_of(&of_all_types());
        for length in 0..whole.len() {
            assert!(read(&whole.slice(..length)).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let unknown = Bytes::from_static(b"\x00\x00\x00\x03\x01aZ");
        let error = read(&unknown).unwrap_err();
        assert_eq!((error.at, error.fault), (6, Fault::UnknownTag(b'Z')));
        let no_text = Bytes::from_static(b"\x00\x00\x00\x03\x01\xffV");
        let error = read(&no_text).unwrap_err();
        assert_eq!((error.at, error.fault), (5, Fault::NotText));
    }

    #[test]
    fn tables_and_arrays_lie_in_each_other_up_to_the_limit_and_no_deeper() {
        let nest = |depth: usize, is_array: bool| {
            let mut table = FieldTable::default();
            for _ in 0..depth {
                let value = match is_array {
                    true => FieldValue::Array(vec![FieldValue::Table(table)]),
                    false => FieldValue::Table(table),
                };
                table = FieldTable(vec![(short("t"), value)]);
            }
            bytes_of(&table)
        };
        assert!(read(&nest(MAX_TABLE_DEPTH, false)).is_ok());
        let deeper = read(&nest(MAX_TABLE_DEPTH + 1, false)).unwrap_err();
        assert_eq!(deeper.fault, Fault::TooDeep(MAX_TABLE_DEPTH));
        assert!(read(&nest(MAX_TABLE_DEPTH / 2, true)).is_ok());
        let deeper = read(&nest(MAX_TABLE_DEPTH / 2 + 1, true)).unwrap_err();
        assert_eq!(deeper.fault, Fault::TooDeep(MAX_TABLE_DEPTH));
    }

    #[test]
    fn whole_numbers_of_all_widths_are_compared_by_value() {
        let table = of_all_types();
        let ints: Vec<i64> = table
            .0
            .iter()
            .filter_map(|(_, value)| value.as_int())
            .collect();
        let wanted = [-1, 200, -300, 60_000, -70_000, 4_000_000_000, i64::MIN, -1];
        assert_eq!(ints, wanted);
        assert_eq!(table.get("n2"), Some(&FieldValue::UInt8(200)));
        assert_eq!(table.get("none"), None);
    }
}
