//! A content's header: `u16` class, `u16` weight, `u64` body size in bytes, then the properties
//! (specification section 2.3.5.2).

use bytes::{Bytes, BytesMut};
use weir_model::fields::{BasicProperties, DecodeError, Fault, Reader, Writer};

use super::methods::BASIC;

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

#[cfg(test)]
pub(crate) mod tests {
    use weir_model::fields::examples;

    use super::*;

    pub(crate) fn full() -> ContentHeader {
        ContentHeader {
            body_bytes: 1 << 40,
            properties: examples::full(),
        }
    }

    fn bytes_of(header: &ContentHeader) -> Bytes {
        let mut out = BytesMut::new();
        header.encode(&mut out);
        out.freeze()
    }

    #[test]
    fn a_header_comes_back() {
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
    }

    #[test]
    fn a_header_that_is_cut_anywhere_or_of_another_class_is_refused() {
        let whole = bytes_of(&full());
        for length in 0..whole.len() {
            assert!(ContentHeader::decode(whole.slice(..length)).is_err());
        }
        let other = Bytes::from_static(b"\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(
            ContentHeader::decode(other).unwrap_err().fault,
            Fault::NoContent(10)
        );
    }
}
