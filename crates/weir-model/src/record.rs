//! The records inside a batch, once decompressed: a walker without allocation, and the way to
//! write a record again.
//!
//! A record: length varint, attributes i8, timestamp delta varlong, offset delta varint, key and
//! value each with a varint length (-1: null), header count varint, headers. Varints are zigzag.
//!
//! Source: Kafka's `DefaultRecord`.

use crate::reference::IS_REFERENCE;

/// Longest varint, in bytes.
const MAX_VARINT_BYTES: usize = 10;

/// Why bytes are not records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a record.
    #[error("record {at} ends early")]
    Truncated {
        /// Place of the record in its batch.
        at: u32,
    },
    /// A length or number is out of its range, or the record's length does not fit its fields.
    #[error("record {at} has a field out of range")]
    Range {
        /// Place of the record in its batch.
        at: u32,
    },
    /// Bytes follow the last record.
    #[error("{0} bytes follow the last record")]
    Trailing(usize),
    /// The record's offset is not the one after that of the record before it.
    #[error("record {at} has offset delta {delta}")]
    Delta {
        /// Place of the record in its batch.
        at: u32,
        /// Its offset delta.
        delta: u32,
    },
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The whole record, its length included.
    pub raw: &'a [u8],
    /// Attribute bits; Kafka uses none, we one: [`crate::reference`].
    pub attributes: i8,
    /// Time less the batch's base timestamp, in ms.
    pub timestamp_delta_ms: i64,
    /// Offset less the batch's base offset.
    pub offset_delta: u32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` on a keyed record deletes the key in a compacted log.
    pub value: Option<&'a [u8]>,
    /// Key, value and headers as they stand in the record.
    content: &'a [u8],
}

/// A header: its name, as bytes that should be UTF-8, and its value.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

impl<'a> Record<'a> {
    /// The headers in the record's order; a name may stand several times.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> {
        let (rest, at) = (self.content, self.offset_delta);
        let mut reader = Reader { rest, at };
        let skipped = reader.nullable().and_then(|_| reader.nullable());
        let count = skipped.and_then(|_| reader.length()).ok().flatten();
        // Walked once already: what does not fit was refused there.
        (0..count.unwrap_or(0)).map_while(move |_| {
            let length = reader.length().ok()??;
            let name = reader.take(length).ok()?;
            Some((name, reader.nullable().ok()?))
        })
    }

    /// Appends the record to `out` with another timestamp delta.
    pub fn write(&self, timestamp_delta_ms: i64, out: &mut Vec<u8>) {
        let mut head = Vec::with_capacity(1 + 2 * MAX_VARINT_BYTES);
        head.extend_from_slice(&self.attributes.to_be_bytes());
        write_varint(timestamp_delta_ms, &mut head);
        write_varint(i64::from(self.offset_delta), &mut head);
        let length = head.len() + self.content.len();
        write_varint(i64::try_from(length).expect("a length fits in i64"), out);
        out.extend_from_slice(&head);
        out.extend_from_slice(self.content);
    }
}

impl Record<'_> {
    /// Appends the record to `out` with another value, and says that this is its own.
    pub(crate) fn write_with_value(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut before = Vec::with_capacity(5 * MAX_VARINT_BYTES);
        before.extend_from_slice(&(self.attributes & !IS_REFERENCE).to_be_bytes());
        write_varint(self.timestamp_delta_ms, &mut before);
        write_varint(i64::from(self.offset_delta), &mut before);
        let length = |length: usize| i64::try_from(length).expect("a length fits in i64");
        write_varint(self.key.map_or(-1, |key| length(key.len())), &mut before);
        before.extend_from_slice(self.key.unwrap_or_default());
        write_varint(length(value.len()), &mut before);
        let rest = self.after_value();
        let total = before.len() + value.len() + rest.len();
        out.reserve(MAX_VARINT_BYTES + total);
        write_varint(length(total), out);
        out.extend_from_slice(&before);
        out.extend_from_slice(value);
        out.extend_from_slice(rest);
    }

    /// The headers as they stand in the record, their count included.
    fn after_value(&self) -> &[u8] {
        let (rest, at) = (self.content, self.offset_delta);
        let mut reader = Reader { rest, at };
        let skipped = reader.nullable().and_then(|_| reader.nullable());
        skipped.expect("walked once already");
        reader.rest
    }
}

/// The records of one batch in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    at: u32,
    count: u32,
}

impl<'a> Records<'a> {
    /// Walks the `count` records of a batch in its decompressed `body`.
    pub fn new(body: &'a [u8], count: u32) -> Self {
        Self {
            rest: body,
            at: 0,
            count,
        }
    }

    fn step(&mut self) -> Result<Record<'a>, RecordError> {
        let at = self.at;
        let whole = self.rest;
        let mut reader = Reader { rest: whole, at };
        let length = reader.length()?.ok_or(RecordError::Range { at })?;
        let body = reader.take(length)?;
        let raw = &whole[..whole.len() - reader.rest.len()];
        let mut fields = Reader { rest: body, at };
        let attributes = i8::from_be_bytes([fields.take(1)?[0]]);
        let timestamp_delta_ms = fields.varint()?;
        let offset_delta =
            u32::try_from(fields.varint()?).map_err(|_| RecordError::Range { at })?;
        let content = fields.rest;
        let key = fields.nullable()?;
        let value = fields.nullable()?;
        let header_count = fields.length()?.ok_or(RecordError::Range { at })?;
        for _ in 0..header_count {
            let name = fields.length()?.ok_or(RecordError::Range { at })?;
            fields.take(name)?;
            fields.nullable()?;
        }
        if !fields.rest.is_empty() {
            return Err(RecordError::Range { at });
        }
        self.rest = reader.rest;
        Ok(Record {
            raw,
            attributes,
            timestamp_delta_ms,
            offset_delta,
            key,
            value,
            content,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.count {
            let trailing = std::mem::take(&mut self.rest).len();
            return (trailing > 0).then_some(Err(RecordError::Trailing(trailing)));
        }
        let step = self.step();
        if step.is_ok() {
            self.at += 1;
        } else {
            (self.at, self.rest) = (self.count, &[]);
        }
        Some(step)
    }
}

/// Checks that `body` is exactly `count` records whose offsets follow each other from the batch's
/// base offset on, as a producer writes them. Allocates nothing.
///
/// Source: Kafka's `LogValidator.validateRecord`.
pub fn check_dense(body: &[u8], count: u32) -> Result<(), RecordError> {
    for (at, record) in (0..).zip(Records::new(body, count)) {
        let delta = record?.offset_delta;
        if delta != at {
            return Err(RecordError::Delta { at, delta });
        }
    }
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
    at: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(RecordError::Truncated { at: self.at })?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<i64, RecordError> {
        let mut value = 0_u64;
        for shift in (0..MAX_VARINT_BYTES).map(|byte| byte * 7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(RecordError::Range { at: self.at })
    }

    /// A length; `None` for -1.
    fn length(&mut self) -> Result<Option<usize>, RecordError> {
        match self.varint()? {
            -1 => Ok(None),
            length => i32::try_from(length)
                .ok()
                .and_then(|length| usize::try_from(length).ok())
                .map(Some)
                .ok_or(RecordError::Range { at: self.at }),
        }
    }

    fn nullable(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        match self.length()? {
            Some(length) => Ok(Some(self.take(length)?)),
            None => Ok(None),
        }
    }
}

/// Appends a zigzag varint.
pub fn write_varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// Appends a record without headers.
pub fn write_record(
    timestamp_delta_ms: i64,
    offset_delta: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    write_record_with(timestamp_delta_ms, offset_delta, key, value, &[], out);
}

/// Appends a record.
pub fn write_record_with(
    timestamp_delta_ms: i64,
    offset_delta: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header<'_>],
    out: &mut Vec<u8>,
) {
    let mut content = Vec::new();
    let put = |field: Option<&[u8]>, content: &mut Vec<u8>| {
        let length = field.map_or(-1, |field| {
            i64::try_from(field.len()).expect("a length fits in i64")
        });
        write_varint(length, content);
        content.extend_from_slice(field.unwrap_or_default());
    };
    put(key, &mut content);
    put(value, &mut content);
    let count = i64::try_from(headers.len()).expect("a count fits in i64");
    write_varint(count, &mut content);
    for (name, value) in headers {
        put(Some(name), &mut content);
        put(*value, &mut content);
    }
    let record = Record {
        raw: &[],
        attributes: 0,
        timestamp_delta_ms,
        offset_delta,
        key,
        value,
        content: &content,
    };
    record.write(timestamp_delta_ms, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_records() -> Vec<u8> {
        let mut out = Vec::new();
        write_record(-3, 0, Some(b"k"), None, &mut out);
        write_record(1 << 40, 7, None, Some(b"value"), &mut out);
        out
    }

    #[test]
    fn records_read_back() {
        let bytes = two_records();
        let records: Vec<_> = Records::new(&bytes, 2).map(Result::unwrap).collect();
        assert_eq!(records[0].key, Some(&b"k"[..]));
        assert_eq!(
            (records[0].value, records[0].timestamp_delta_ms),
            (None, -3)
        );
        assert_eq!((records[1].offset_delta, records[1].key), (7, None));
        assert_eq!(records[1].timestamp_delta_ms, 1 << 40);
        assert_eq!([records[0].raw, records[1].raw].concat(), bytes);
    }

    #[test]
    fn headers_read_back_in_order_with_names_that_repeat() {
        let headers: [Header<'_>; 3] = [(b"a", Some(b"1")), (b"a", None), (b"", Some(b""))];
        let mut bytes = Vec::new();
        write_record_with(0, 0, None, Some(b"v"), &headers, &mut bytes);
        write_record(0, 1, None, None, &mut bytes);
        let records: Vec<_> = Records::new(&bytes, 2).map(Result::unwrap).collect();
        assert_eq!(records[0].headers().collect::<Vec<_>>(), headers);
        assert_eq!(records[1].headers().count(), 0);
    }

    #[test]
    fn a_cut_at_every_byte_is_an_error_and_ends_the_walk() {
        let bytes = two_records();
        for cut in 0..bytes.len() {
            let items: Vec<_> = Records::new(&bytes[..cut], 2).collect();
            assert!(items.last().unwrap().is_err(), "cut at {cut}");
            assert!(items.len() <= 2);
        }
    }

    #[test]
    fn trailing_bytes_and_endless_varints_are_refused() {
        let bytes = two_records();
        let last = Records::new(&bytes, 1).last().unwrap();
        assert!(matches!(last, Err(RecordError::Trailing(_))));
        let endless = Records::new(&[0xff; 20], 1).last().unwrap();
        assert_eq!(endless, Err(RecordError::Range { at: 0 }));
        let huge_count = Records::new(&[], u32::MAX).count();
        assert_eq!(huge_count, 1);
    }

    #[test]
    fn records_of_a_producer_are_as_many_as_said_and_follow_each_other() {
        let mut dense = Vec::new();
        for delta in 0..3 {
            write_record(0, delta, None, Some(b"value"), &mut dense);
        }
        assert_eq!(check_dense(&dense, 3), Ok(()));
        let last = dense.len() / 3;
        assert_eq!(check_dense(&dense, 2), Err(RecordError::Trailing(last)));
        assert_eq!(
            check_dense(&dense, 4),
            Err(RecordError::Truncated { at: 3 })
        );
        for cut in 0..dense.len() {
            assert!(check_dense(&dense[..cut], 3).is_err(), "cut at {cut}");
        }
        let gap = RecordError::Delta { at: 1, delta: 7 };
        assert_eq!(check_dense(&two_records(), 2), Err(gap));
        assert_eq!(check_dense(&[], 0), Ok(()));
    }

    #[test]
    fn a_record_is_written_with_another_time() {
        let bytes = two_records();
        let first = Records::new(&bytes, 2).next().unwrap().unwrap();
        let mut out = Vec::new();
        first.write(500, &mut out);
        let again = Records::new(&out, 1).next().unwrap().unwrap();
        assert_eq!(
            (again.timestamp_delta_ms, again.key),
            (500, Some(&b"k"[..]))
        );
    }
}
