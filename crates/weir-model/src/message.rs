//! Messages with an exchange, a routing key and properties, as records.
//!
//! The record's value is the body, its key the header `weir-key` where there is one. Of the record's
//! headers the first, `weir-amqp`, has all that is not body: `u8` 1, then exchange and routing key
//! as short strings (`u8` length, UTF-8), then the properties as on the wire of AMQP 0-9-1. The
//! others repeat for readers of other protocols what the application may look for: its headers and
//! most properties, as text. A record without `weir-amqp` was written by another protocol and becomes
//! a message by its headers' names. The tables are in `docs/mapping.md`.

mod foreign;
mod hop;
mod text;

use bytes::{BufMut, Bytes, BytesMut};

use self::hop::HOP;
pub use self::hop::Hop;

use crate::{
    fields::{BasicProperties, DecodeError, FieldValue, Glance, Reader, ShortString, Writer},
    record::{Record, RecordError, Records, write_varint},
    reference::{BodyReference, IS_REFERENCE},
};

/// The header with exchange, routing key and properties.
const ENVELOPE: &str = "weir-amqp";
/// The application's header that is the record's key, and the other way round.
const KEY: &str = "weir-key";
/// The header with the time before which no queue gives the message to anybody: ms since 1970 in
/// decimal digits. Any protocol's clients may set it.
const DELIVER_AT: &str = "weir-deliver-at";
/// The header with how long the message was to wait for that time, in ms in decimal digits, where it was to
/// wait for so long and not for a time: clocks may disagree on the time.
const DELAY: &str = "weir-delay";
/// Layout of the envelope.
const VERSION: u8 = 1;
/// Longest varints of a record, in bytes: of 32 and of 64 bits.
const MAX_VARINT_BYTES: usize = 5;
const MAX_VARLONG_BYTES: usize = 10;

/// A message's key and headers, ready to be written into any number of batches. To be used again
/// for the next message: its memory stays.
#[derive(Debug, Default)]
pub struct MessageForm {
    key: Option<Bytes>,
    /// The headers of the record.
    headers: BytesMut,
    header_count: i64,
    /// For a value before its length is known.
    value: BytesMut,
}

impl MessageForm {
    /// Takes the form of another message.
    pub fn set(
        &mut self,
        exchange: &ShortString,
        routing_key: &ShortString,
        properties: &BasicProperties,
    ) {
        self.headers.clear();
        self.header_count = 0;
        self.key = Self::key_of(properties).cloned();
        self.value.clear();
        let mut writer = Writer::new(&mut self.value);
        writer.octet(VERSION);
        writer.shortstr(exchange);
        writer.shortstr(routing_key);
        properties.write(&mut writer);
        writer.finish();
        self.put(ENVELOPE, true);
        let headers = properties.headers.iter().flat_map(|table| &table.0);
        for (name, value) in headers {
            match value {
                FieldValue::LongString(_) | FieldValue::Bytes(_) if name.as_str() == KEY => {}
                // Nobody but the broker writes these.
                _ if matches!(name.as_str(), ENVELOPE | HOP | DELAY) => {}
                value => {
                    self.value.clear();
                    let has_value = text::write(value, &mut self.value);
                    self.put(name.as_str(), has_value);
                }
            }
        }
        for (name, value) in foreign::named(properties) {
            self.value.clear();
            self.value.put_slice(value.as_str().as_bytes());
            self.put(name, true);
        }
        if let Some(priority) = properties.priority {
            self.put_number(foreign::PRIORITY, priority);
        }
    }

    /// No queue gives the message to anybody for so long from `now_ms` on, whatever its headers say.
    pub fn set_delay(&mut self, now_ms: i64, delay_ms: u64) {
        let at_ms = now_ms.saturating_add_unsigned(delay_ms);
        self.put_number(DELIVER_AT, at_ms);
        self.put_number(DELAY, delay_ms);
    }

    fn put_number(&mut self, name: &str, number: impl std::fmt::Display) {
        self.value.clear();
        text::number(number, &mut self.value);
        self.put(name, true);
    }

    /// The key of the record that a message with these properties becomes.
    pub fn key_of(properties: &BasicProperties) -> Option<&Bytes> {
        let headers = properties.headers.iter().flat_map(|table| &table.0);
        let mut keys = headers.filter_map(|(name, value)| match value {
            FieldValue::LongString(key) | FieldValue::Bytes(key) if name.as_str() == KEY => {
                Some(key)
            }
            _ => None,
        });
        keys.next_back()
    }

    /// The message that was set is a dead letter.
    pub fn set_hop(&mut self, hop: &Hop) {
        self.value.clear();
        hop.write(&mut self.value);
        self.put(HOP, true);
    }

    /// Appends a header with the value that was written down.
    fn put(&mut self, name: &str, has_value: bool) {
        self.header_count += 1;
        put_varint(length(name.len()), &mut self.headers);
        self.headers.put_slice(name.as_bytes());
        let value = has_value.then_some(&self.value[..]);
        put_varint(
            value.map_or(-1, |value| length(value.len())),
            &mut self.headers,
        );
        self.headers.put_slice(value.unwrap_or_default());
    }

    /// Most bytes that a record takes with this body.
    pub fn max_record_bytes(&self, body: &[u8]) -> usize {
        let key_bytes = self.key.as_ref().map_or(0, Bytes::len);
        1 + MAX_VARLONG_BYTES + 5 * MAX_VARINT_BYTES + key_bytes + body.len() + self.headers.len()
    }

    /// Appends the message as a record.
    pub fn write(&self, body: &[u8], delta_ms: i64, offset_delta: u32, out: &mut Vec<u8>) {
        self.write_value(0, body, (delta_ms, offset_delta), out);
    }

    /// Appends the message as a record whose body lies elsewhere.
    pub fn write_reference(
        &self,
        body: BodyReference,
        delta_ms: i64,
        offset_delta: u32,
        out: &mut Vec<u8>,
    ) {
        self.write_value(IS_REFERENCE, &body.encode(), (delta_ms, offset_delta), out);
    }

    fn write_value(
        &self,
        attributes: i8,
        body: &[u8],
        (delta_ms, offset_delta): (i64, u32),
        out: &mut Vec<u8>,
    ) {
        let key_length = self.key.as_ref().map_or(-1, |key| length(key.len()));
        let (body_length, offset_delta) = (length(body.len()), i64::from(offset_delta));
        let numbers = [
            delta_ms,
            offset_delta,
            key_length,
            body_length,
            self.header_count,
        ];
        let numbers_bytes: usize = numbers.into_iter().map(varint_bytes).sum();
        let key = self.key.as_deref().unwrap_or_default();
        let total = 1 + numbers_bytes + key.len() + body.len() + self.headers.len();
        out.reserve(MAX_VARINT_BYTES + total);
        write_varint(length(total), out);
        out.extend_from_slice(&attributes.to_be_bytes());
        write_varint(delta_ms, out);
        write_varint(offset_delta, out);
        write_varint(key_length, out);
        out.extend_from_slice(key);
        write_varint(body_length, out);
        out.extend_from_slice(body);
        write_varint(self.header_count, out);
        out.extend_from_slice(&self.headers);
    }
}

/// What a record says of itself as a message, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The exchange that it was published to.
    pub exchange: &'a str,
    /// Its routing key.
    pub routing_key: &'a str,
    /// Its properties as on the wire: sound, as far as [`BasicProperties`] looks.
    pub properties: &'a [u8],
    /// What brokers act on.
    pub glance: Glance<'a>,
}

impl<'a> Envelope<'a> {
    /// `None` where the record has none that is sound: another protocol's.
    pub fn of(record: &Record<'a>) -> Option<Self> {
        let mut headers = record.headers();
        let (_, value) = headers.find(|(name, _)| *name == ENVELOPE.as_bytes())?;
        let (version, rest) = value?.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (exchange, rest) = short(rest)?;
        let (routing_key, properties) = short(rest)?;
        let glance = Glance::at(properties)?;
        Some(Self {
            exchange,
            routing_key,
            properties,
            glance,
        })
    }
}

/// The time before which no queue gives the record's message to anybody, in ms since 1970; the last
/// one that is a time where there are several.
pub fn deliver_at_ms(record: &Record<'_>) -> Option<i64> {
    last_number(record, DELIVER_AT)
}

/// For how long the message was to wait for that time, in ms; `None`: it was to wait for the time itself.
pub fn delay_ms(record: &Record<'_>) -> Option<u64> {
    last_number(record, DELAY)
}

fn last_number<T: std::str::FromStr>(record: &Record<'_>, header: &str) -> Option<T> {
    let headers = record.headers();
    let found = headers.filter(|(name, _)| *name == header.as_bytes());
    let found = found.filter_map(|(_, text)| std::str::from_utf8(text?).ok()?.parse().ok());
    found.last()
}

fn short(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// A message read from a record, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The exchange that it was published to.
    pub exchange: ShortString,
    /// Its routing key.
    pub routing_key: ShortString,
    /// Its properties, flags included, as on the wire of AMQP 0-9-1: to be sent as they are.
    pub raw_properties: Bytes,
    /// The body.
    pub body: Bytes,
    /// The record's key.
    pub key: Option<Bytes>,
}

impl StoredMessage {
    /// Reads a whole record, its length included. `timestamp_ms` is the record's time and `queue` the
    /// queue that it lies in: what another protocol's record has as time and routing key.
    pub fn read(
        record: &Bytes,
        timestamp_ms: i64,
        queue: &ShortString,
    ) -> Result<Self, RecordError> {
        let read = Records::new(record, 1).next();
        let read = read.ok_or(RecordError::Truncated { at: 0 })??;
        let body = read
            .value
            .map_or_else(Bytes::new, |body| record.slice_ref(body));
        let key = read.key.map(|key| record.slice_ref(key));
        let text = |text: &str| ShortString::from_wire(record.slice_ref(text.as_bytes()));
        let own = Envelope::of(&read).and_then(|own| {
            let (exchange, routing_key) = (text(own.exchange)?, text(own.routing_key)?);
            Some((exchange, routing_key, record.slice_ref(own.properties)))
        });
        let (exchange, routing_key, raw_properties) = own.unwrap_or_else(|| {
            let properties = foreign::properties(record, &read, timestamp_ms);
            let mut raw = BytesMut::new();
            let mut writer = Writer::new(&mut raw);
            properties.write(&mut writer);
            writer.finish();
            (ShortString::default(), queue.clone(), raw.freeze())
        });
        Ok(Self {
            exchange,
            routing_key,
            raw_properties,
            body,
            key,
        })
    }

    /// Its properties.
    pub fn properties(&self) -> Result<BasicProperties, DecodeError> {
        BasicProperties::read(Reader::new(self.raw_properties.clone()))
    }
}

fn length(length: usize) -> i64 {
    i64::try_from(length).expect("a length fits in i64")
}

fn varint_bytes(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let bits = 64 - (zigzag | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).expect("ten at most")
}

fn put_varint(value: i64, out: &mut BytesMut) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.put_u8(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests;
