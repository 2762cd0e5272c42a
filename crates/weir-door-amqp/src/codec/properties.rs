//! A content's header: `u16` class, `u16` weight, `u64` body size in bytes, `u16` flags, then the
//! properties whose flags are set, in order (specification section 2.3.5.2).

use bytes::{Bytes, BytesMut};

use super::{
    error::{DecodeError, Fault},
    methods::BASIC,
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

/// A content's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentHeader {
    /// Bytes of the body that follows.
    pub body_bytes: u64,
    /// The properties.
    pub properties: BasicProperties,
}

impl ContentHeader {
    /// Reads the payload of a header frame.
    pub fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let class = reader.short("class-id")?;
        if class != BASIC {
            let fault = Fault::NoContent(class);
            return Err(DecodeError {
                at: 0,
                field: "class-id",
                fault,
            });
        }
        // Must be zero by the specification; RabbitMQ does not look.
        reader.short("weight")?;
        let body_bytes = reader.longlong("body-size")?;
        let properties = BasicProperties::read(reader)?;
        Ok(Self {
            body_bytes,
            properties,
        })
    }

    /// Appends the payload of a header frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut writer = Writer::new(out);
        writer.short(BASIC);
        writer.short(0);
        writer.longlong(self.body_bytes);
        self.properties.write(&mut writer);
        writer.finish();
    }
}

impl BasicProperties {
    fn read(mut reader: Reader) -> Result<Self, DecodeError> {
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

    fn write(&self, writer: &mut Writer<'_>) {
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
pub(crate) mod tests {
    use super::*;
    use crate::codec::table::{FieldValue, tests::of_all_types};

    fn short(text: &str) -> Option<ShortString> {
        ShortString::new(text)
    }

    pub(crate) fn full() -> ContentHeader {
        ContentHeader {
            body_bytes: 1 << 40,
            properties: BasicProperties {
                content_type: short("text/plain"),
                content_encoding: short(""),
                headers: Some(of_all_types()),
                delivery_mode: Some(2),
                priority: Some(9),
                correlation_id: short("c"),
                reply_to: short("r"),
                expiration: short("60000"),
                message_id: short("m"),
                timestamp: Some(u64::MAX),
                kind: short("k"),
                user_id: short("guest"),
                app_id: short("a"),
                cluster_id: short("x"),
            },
        }
    }

    fn bytes_of(header: &ContentHeader) -> Bytes {
        let mut out = BytesMut::new();
        header.encode(&mut out);
        out.freeze()
    }

    #[test]
    fn all_properties_and_none_come_back() {
        for header in [full(), ContentHeader::default()] {
            let bytes = bytes_of(&header);
            assert_eq!(ContentHeader::decode(bytes), Ok(header));
        }
    }

    #[test]
    fn each_property_alone_has_the_flag_of_the_specification() {
        let mode = BasicProperties {
            delivery_mode: Some(2),
            ..BasicProperties::default()
        };
        let header = ContentHeader {
            body_bytes: 5,
            properties: mode,
        };
        let wanted = b"\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x10\x00\x02";
        assert_eq!(bytes_of(&header), &wanted[..]);
        assert_eq!(full().properties.flags(), KNOWN_FLAGS);
    }

    /// As pika 1.3.2 encodes `BasicProperties(delivery_mode=2, content_type="text/plain",
    /// headers={"x": 1, "s": "t", "l": [True, None]})`.
    #[test]
    fn properties_have_the_bytes_that_a_client_sends() {
        let named = |name, value| (short(name).unwrap(), value);
        let list = vec![FieldValue::Boolean(true), FieldValue::Void];
        let properties = BasicProperties {
            delivery_mode: Some(2),
            content_type: short("text/plain"),
            headers: Some(FieldTable(vec![
                named("x", FieldValue::Int32(1)),
                named("s", FieldValue::LongString(Bytes::from_static(b"t"))),
                named("l", FieldValue::Array(list)),
            ])),
            ..BasicProperties::default()
        };
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        properties.write(&mut writer);
        writer.finish();
        let wanted = b"\xb0\x00\x0atext/plain\x00\x00\x00\x19\x01xI\x00\x00\x00\x01\x01sS\x00\x00\x00\x01t\x01lA\x00\x00\x00\x03t\x01V\x02";
        assert_eq!(out, &wanted[..]);
        let back = BasicProperties::read(Reader::new(out.freeze()));
        assert_eq!(back, Ok(properties));
    }

    #[test]
    fn a_header_that_is_cut_anywhere_or_goes_on_is_refused() {
        let whole = bytes_of(&full());
        for length in 0..whole.len() {
            assert!(ContentHeader::decode(whole.slice(..length)).is_err());
        }
        let mut longer = BytesMut::from(&whole[..]);
        longer.extend_from_slice(b"\x00");
        let error = ContentHeader::decode(longer.freeze()).unwrap_err();
        assert_eq!(error.fault, Fault::Left(1));
    }

    #[test]
    fn other_classes_and_more_flags_are_refused() {
        let other = Bytes::from_static(b"\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(
            ContentHeader::decode(other).unwrap_err().fault,
            Fault::NoContent(10)
        );
        let more = Bytes::from_static(b"\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01");
        let error = ContentHeader::decode(more).unwrap_err();
        assert_eq!(error.fault, Fault::UnknownProperties(1));
    }
}
