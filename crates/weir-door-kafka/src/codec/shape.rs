//! Walks a request's body before it is decoded. The decoder (crate `kafka-protocol`) allocates
//! what an array's count says before it reads an element, and reads a known tag without looking
//! at its size; so every count, length and tag is followed here first, without allocating. What
//! passes has as many elements as its counts say, and few enough of them.

/// Most array elements and tags in one request, over all its arrays.
pub const MAX_ELEMENTS_COUNT: usize = 32 << 10;

/// What a field looks like on the wire. Lengths and counts are compact in flexible versions.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string, maybe null.
    Text,
    /// Bytes, maybe null.
    Blob,
    /// An array of fields without tags, maybe null.
    Plain(&'static Kind),
    /// An array of structures, maybe null.
    Array(&'static Shape),
    /// A structure.
    Struct(&'static Shape),
    /// A byte, below 0 for null, and a structure where it is not.
    Optional(&'static Shape),
}

/// A field and the versions that have it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// What it looks like.
    pub kind: Kind,
    /// First version.
    pub from: i16,
    /// Last version.
    pub to: i16,
}

/// A structure: its fields, then in flexible versions its tags.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// In wire order.
    pub fields: &'static [Field],
    /// The tags that the decoder knows.
    pub tags: &'static [(u32, Kind)],
}

/// Where and why bytes are not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct DecodeError {
    /// Position in the frame's header or body.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

/// A position in bytes that are only looked at.
#[derive(Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    flexible: bool,
    elements_count: usize,
}

/// What a walk has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Elements and tags of the request.
    pub elements_count: usize,
    /// Where the request ends. librdkafka 2.16 sends three bytes more when it asks for all topics
    /// by Metadata 13; Kafka, and so this door, leaves what follows a request alone.
    pub length_bytes: usize,
}

/// Follows `body` of a request of `shape` to the request's end.
pub fn check(
    body: &[u8],
    shape: &Shape,
    version: i16,
    flexible: bool,
) -> Result<Walked, DecodeError> {
    let mut walk = Walk::new(body);
    walk.flexible = flexible;
    walk.structure(shape, version)?;
    Ok(Walked {
        elements_count: walk.elements_count,
        length_bytes: walk.at,
    })
}

impl<'a> Walk<'a> {
    /// At the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            flexible: false,
            elements_count: 0,
        }
    }

    /// The position.
    pub fn at(&self) -> usize {
        self.at
    }

    /// An error at the position.
    pub fn error(&self, what: &str) -> DecodeError {
        DecodeError {
            at: self.at,
            what: what.to_owned(),
        }
    }

    fn skip(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let left = &self.bytes[self.at..];
        let Some(taken) = left.get(..count) else {
            return Err(self.error(&format!("needs {count} bytes, has {}", left.len())));
        };
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.skip(N)?;
        Ok(*taken
            .first_chunk()
            .expect("as many bytes as were asked for"))
    }

    /// A 16-bit number.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// A 32-bit number.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("varint over 32 bits"))
    }

    /// `None`: null.
    fn length(&mut self, wide: bool) -> Result<Option<usize>, DecodeError> {
        let length = if self.flexible {
            i64::from(self.varint()?) - 1
        } else if wide {
            i64::from(self.i32()?)
        } else {
            i64::from(self.i16()?)
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| self.error(&format!("length {length}"))),
        }
    }

    /// The range of the header's client id, which is never compact.
    pub fn header_string(&mut self) -> Result<Option<std::ops::Range<usize>>, DecodeError> {
        let Some(length) = self.length(false)? else {
            return Ok(None);
        };
        self.skip(length)?;
        Ok(Some(self.at - length..self.at))
    }

    fn count(&mut self, more: usize) -> Result<(), DecodeError> {
        self.elements_count = self.elements_count.saturating_add(more);
        if self.elements_count > MAX_ELEMENTS_COUNT {
            return Err(self.error(&format!("over {MAX_ELEMENTS_COUNT} elements")));
        }
        Ok(())
    }

    fn kind(&mut self, kind: &Kind, version: i16) -> Result<(), DecodeError> {
        match kind {
            Kind::Fixed(count) => self.skip(*count).map(drop),
            Kind::Text => {
                let length = self.length(false)?.unwrap_or(0);
                self.skip(length).map(drop)
            }
            Kind::Blob => {
                let length = self.length(true)?.unwrap_or(0);
                self.skip(length).map(drop)
            }
            Kind::Plain(element) => {
                let count = self.length(true)?.unwrap_or(0);
                self.count(count)?;
                (0..count).try_for_each(|_| self.kind(element, version))
            }
            Kind::Array(shape) => {
                let count = self.length(true)?.unwrap_or(0);
                self.count(count)?;
                (0..count).try_for_each(|_| self.structure(shape, version))
            }
            Kind::Struct(shape) => self.structure(shape, version),
            Kind::Optional(shape) => {
                let [presence] = self.array()?;
                if presence.cast_signed() < 0 {
                    Ok(())
                } else {
                    self.structure(shape, version)
                }
            }
        }
    }

    fn structure(&mut self, shape: &Shape, version: i16) -> Result<(), DecodeError> {
        for field in shape.fields {
            if (field.from..=field.to).contains(&version) {
                self.kind(&field.kind, version)?;
            }
        }
        if self.flexible {
            self.tags(shape.tags, version)?;
        }
        Ok(())
    }

    /// A tag section; the tags in `known` must have the size that their kind has.
    pub fn tags(&mut self, known: &[(u32, Kind)], version: i16) -> Result<(), DecodeError> {
        let tags_count = self.varint()?;
        for _ in 0..tags_count {
            self.count(1)?;
            let tag = self.varint()?;
            let size = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
            let start = self.at;
            match known.iter().find(|(number, _)| *number == tag) {
                Some((_, kind)) => self.kind(kind, version)?,
                None => self.skip(size).map(drop)?,
            }
            if self.at - start != size {
                return Err(self.error(&format!("tag {tag} does not have {size} bytes")));
            }
        }
        Ok(())
    }
}
