//! What a message says of itself: `u16` flags, then the properties whose flags are set, in order
//! (AMQP 0-9-1, section 2.3.5.2).

#[cfg(test)]
use bytes::{Bytes, BytesMut};

use super::{
    error::{DecodeError, Fault},
    reader::Reader,
    table::{FieldTable, ShortString},
    writer::Writer,
};

/// Flags of the 14 properties; the lowest bit would say that another word of flags follows.
const KNOWN_FLAGS: u16 = 0xfffc;

/// What a message says of itself. `None`: its flag is not set, which is another thing than an
/// empty value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasicProperties {
    /// MIME type of the body.
    pub content_type: Option<ShortString>,
    /// MIME encoding of the body.
    pub content_encoding: Option<ShortString>,
    /// The application's headers.
    pub headers: Option<FieldTable>,
    /// 1: transient; 2: persistent.
    pub delivery_mode: Option<u8>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// What an answer has to say to be known as such.
    pub correlation_id: Option<ShortString>,
    /// Where answers go.
    pub reply_to: Option<ShortString>,
    /// Time to live in ms, as text.
    pub expiration: Option<ShortString>,
    /// The message's own name.
    pub message_id: Option<ShortString>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// What kind of message it is, for applications.
    pub kind: Option<ShortString>,
    /// The user that sent it.
    pub user_id: Option<ShortString>,
    /// The application that sent it.
    pub app_id: Option<ShortString>,
    /// Of no meaning since AMQP 0-9-1; carried.
    pub cluster_id: Option<ShortString>,
}

impl BasicProperties {
    /// Reads the flags and all that is behind them.
    pub fn read(mut reader: Reader) -> Result<Self, DecodeError> {
        let flags = reader.short("property-flags")?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(reader.error("property-flags", Fault::UnknownProperties(flags)));
        }
        let has = |bit: u32| flags & (1 << bit) != 0;
        let mut read = reader;
        let mut text = |bit, field| match has(bit) {
            true => read.shortstr(field).map(Some),
            false => Ok(None),
        };
        let content_type = text(15, "content-type")?;
        let content_encoding = text(14, "content-encoding")?;
        let headers = match has(13) {
            true => Some(read.table("headers")?),
            false => None,
        };
        let octet = |read: &mut Reader, bit, field| match has(bit) {
            true => read.octet(field).map(Some),
            false => Ok(None),
        };
        let delivery_mode = octet(&mut read, 12, "delivery-mode")?;
        let priority = octet(&mut read, 11, "priority")?;
        let mut text = |bit, field| match has(bit) {
            true => read.shortstr(field).map(Some),
            false => Ok(None),
        };
        let correlation_id = text(10, "correlation-id")?;
        let reply_to = text(9, "reply-to")?;
        let expiration = text(8, "expiration")?;
        let message_id = text(7, "message-id")?;
        let timestamp = match has(6) {
            true => Some(read.longlong("timestamp")?),
            false => None,
        };
        let mut text = |bit, field| match has(bit) {
            true => read.shortstr(field).map(Some),
            false => Ok(None),
        };
        let properties = Self {
            content_type,
            content_encoding,
            headers,
            delivery_mode,
            priority,
            correlation_id,
            reply_to,
            expiration,
            message_id,
            timestamp,
            kind: text(5, "type")?,
            user_id: text(4, "user-id")?,
            app_id: text(3, "app-id")?,
            cluster_id: text(2, "cluster-id")?,
        };
        read.finish("properties")?;
        Ok(properties)
    }

    /// Writes flags and properties.
    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.short(self.flags());
        let text = |writer: &mut Writer<'_>, text: &Option<ShortString>| {
            if let Some(text) = text {
                writer.shortstr(text);
            }
        };
        text(writer, &self.content_type);
        text(writer, &self.content_encoding);
        if let Some(headers) = &self.headers {
            writer.table(headers);
        }
        for octet in [self.delivery_mode, self.priority].into_iter().flatten() {
            writer.octet(octet);
        }
        text(writer, &self.correlation_id);
        text(writer, &self.reply_to);
        text(writer, &self.expiration);
        text(writer, &self.message_id);
        if let Some(timestamp) = self.timestamp {
            writer.longlong(timestamp);
        }
        text(writer, &self.kind);
        text(writer, &self.user_id);
        text(writer, &self.app_id);
        text(writer, &self.cluster_id);
    }

    fn flags(&self) -> u16 {
        let set = [
            self.content_type.is_some(),
            self.content_encoding.is_some(),
            self.headers.is_some(),
            self.delivery_mode.is_some(),
            self.priority.is_some(),
            self.correlation_id.is_some(),
            self.reply_to.is_some(),
            self.expiration.is_some(),
            self.message_id.is_some(),
            self.timestamp.is_some(),
            self.kind.is_some(),
            self.user_id.is_some(),
            self.app_id.is_some(),
            self.cluster_id.is_some(),
        ];
        let bits = set.into_iter().zip((2..=15).rev());
        bits.fold(0, |flags, (is_set, bit)| flags | u16::from(is_set) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{
        FieldTable, FieldValue,
        examples::{full, short},
    };

    fn bytes_of(properties: &BasicProperties) -> Bytes {
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        properties.write(&mut writer);
        writer.finish();
        out.freeze()
    }

    fn read(bytes: Bytes) -> Result<BasicProperties, DecodeError> {
        BasicProperties::read(Reader::new(bytes))
    }

    #[test]
    fn all_properties_and_none_come_back() {
        for properties in [full(), BasicProperties::default()] {
            assert_eq!(read(bytes_of(&properties)), Ok(properties));
        }
        assert_eq!(full().flags(), KNOWN_FLAGS);
    }

    /// As pika 1.3.2 encodes `BasicProperties(delivery_mode=2, content_type="text/plain",
    /// headers={"x": 1, "s": "t", "l": [True, None]})`.
    #[test]
    fn properties_have_the_bytes_that_a_client_sends() {
        let list = vec![FieldValue::Boolean(true), FieldValue::Void];
        let properties = BasicProperties {
            delivery_mode: Some(2),
            content_type: Some(short("text/plain")),
            headers: Some(FieldTable(vec![
                (short("x"), FieldValue::Int32(1)),
                (short("s"), FieldValue::LongString(Bytes::from_static(b"t"))),
                (short("l"), FieldValue::Array(list)),
            ])),
            ..BasicProperties::default()
        };
        let wanted = b"\xb0\x00\x0atext/plain\x00\x00\x00\x19\x01xI\x00\x00\x00\x01\x01sS\x00\x00\x00\x01t\x01lA\x00\x00\x00\x03t\x01V\x02";
        let bytes = bytes_of(&properties);
        assert_eq!(bytes, &wanted[..]);
        assert_eq!(read(bytes), Ok(properties));
    }

    #[test]
    fn properties_that_are_cut_anywhere_or_go_on_are_refused() {
        let whole = bytes_of(&full());
        for length in 0..whole.len() {
            assert!(read(whole.slice(..length)).is_err());
        }
        let mut longer = BytesMut::from(&whole[..]);
        longer.extend_from_slice(b"\x00");
        assert_eq!(read(longer.freeze()).unwrap_err().fault, Fault::Left(1));
        let more = Bytes::from_static(b"\x00\x01");
        assert_eq!(read(more).unwrap_err().fault, Fault::UnknownProperties(1));
    }
}
