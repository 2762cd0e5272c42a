//! Records whose value lies elsewhere: in their group's log of bodies, where it is stored once
//! however many queues have it.
//!
//! A batch with such records has attribute bit 14, which Kafka does not use; the records themselves
//! have attribute bit 0, and in the place of their value `u64` offset of the body's record, `u32`
//! length of the body in bytes, both big-endian. Readers of other protocols are given
//! [`whole`] batches.

use crate::{
    Offset,
    batch::{
        BatchHeader, Codec, HEADER_BYTES, LENGTH_PREFIX_BYTES, mend_crc, set_without_references,
    },
    record::{Record, RecordError, Records},
};

/// Attribute bit of a record that is a reference.
pub(crate) const IS_REFERENCE: i8 = 1;
/// Length of a reference, in bytes.
pub const REFERENCE_BYTES: usize = 12;

/// Where a body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyReference {
    /// Offset of its record in its group's log of bodies.
    pub offset: Offset,
    /// Its length in bytes.
    pub length_bytes: u32,
}

impl BodyReference {
    /// As it stands in a record.
    pub fn encode(self) -> [u8; REFERENCE_BYTES] {
        let mut bytes = [0; REFERENCE_BYTES];
        bytes[..8].copy_from_slice(&self.offset.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length_bytes.to_be_bytes());
        bytes
    }

    /// The same, read back; `None`: it is none.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let value: &[u8; REFERENCE_BYTES] = value.try_into().ok()?;
        let (offset, length) = value.split_first_chunk::<8>()?;
        let offset = u64::from_be_bytes(*offset);
        Some(Self {
            offset: i64::try_from(offset).ok().map(|_| Offset(offset))?,
            length_bytes: u32::from_be_bytes(length.try_into().ok()?),
        })
    }
}

/// Why a batch cannot be made whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWhole {
    /// Its records are damaged.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A record that says it is a reference is none, or the records are compressed.
    #[error("a reference is malformed")]
    Malformed,
    /// Nobody has the body.
    #[error("there is no body at {}", .0.offset)]
    Missing(BodyReference),
    /// It would be too long for a batch.
    #[error("a batch would have 2 GiB")]
    TooLong,
}

/// The references of a batch that is said to have some, in the order of its records.
pub fn references(batch: &[u8]) -> Result<Vec<BodyReference>, NotWhole> {
    let header = BatchHeader::parse(batch).map_err(|_| NotWhole::Malformed)?;
    let mut found = Vec::new();
    for record in open_records(batch, &header)? {
        found.extend(record?.reference()?);
    }
    Ok(found)
}

/// The batch with the bodies that `body` gives in the place of its references: the same offsets,
/// times and producer, another length and checksum.
pub fn whole<B: AsRef<[u8]>>(
    batch: &[u8],
    mut body: impl FnMut(BodyReference) -> Option<B>,
) -> Result<Vec<u8>, NotWhole> {
    let header = BatchHeader::parse(batch).map_err(|_| NotWhole::Malformed)?;
    let mut out = batch[..HEADER_BYTES].to_vec();
    for record in open_records(batch, &header)? {
        let record = record?;
        match record.reference()? {
            None => out.extend_from_slice(record.raw),
            Some(reference) => {
                let found = body(reference).ok_or(NotWhole::Missing(reference))?;
                write_whole(&record, reference, found.as_ref(), &mut out)?;
            }
        }
    }
    let length = i32::try_from(out.len() - LENGTH_PREFIX_BYTES).map_err(|_| NotWhole::TooLong)?;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    set_without_references(&mut out);
    mend_crc(&mut out);
    Ok(out)
}

/// Appends a record that is a reference with its body.
pub fn write_whole(
    record: &Record<'_>,
    reference: BodyReference,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), NotWhole> {
    if u32::try_from(body.len()) != Ok(reference.length_bytes) {
        return Err(NotWhole::Missing(reference));
    }
    record.write_with_value(body, out);
    Ok(())
}

fn open_records<'a>(batch: &'a [u8], header: &BatchHeader) -> Result<Records<'a>, NotWhole> {
    match header.codec {
        Codec::None => {
            let body = &batch[HEADER_BYTES..header.size_bytes];
            Ok(Records::new(body, header.record_count))
        }
        Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => Err(NotWhole::Malformed),
    }
}

impl Record<'_> {
    /// Where its value lies; `None`: it has it itself.
    ///
    /// # Errors
    ///
    /// Where it says that its value lies elsewhere, and not where. Only to be asked of records of
    /// batches [`with references`](BatchHeader::has_references): others' bits mean nothing.
    pub fn reference(&self) -> Result<Option<BodyReference>, NotWhole> {
        if self.attributes & IS_REFERENCE == 0 {
            return Ok(None);
        }
        let reference = self.value.and_then(BodyReference::decode);
        reference.map(Some).ok_or(NotWhole::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        ProducerId,
        batch::{patched_head, verify_crc},
        batch_builder::{BatchBuilder, Sequence},
        fields::{BasicProperties, ShortString},
        message::MessageForm,
    };

    fn form() -> MessageForm {
        let short = |text| ShortString::new(text).unwrap();
        let properties = BasicProperties {
            message_id: Some(short("id")),
            ..BasicProperties::default()
        };
        let mut form = MessageForm::default();
        form.set(&short("exchange"), &short("key"), &properties);
        form
    }

    fn reference(offset: u64, body: &[u8]) -> BodyReference {
        BodyReference {
            offset: Offset(offset),
            length_bytes: u32::try_from(body.len()).unwrap(),
        }
    }

    fn sequence() -> Option<Sequence> {
        Some(Sequence {
            producer: ProducerId(7),
            epoch: 1,
            first: 9,
        })
    }

    /// Three messages, whole; and with references to the bodies of the first and the last.
    fn both(bodies: [&[u8]; 3]) -> (Bytes, Bytes) {
        let form = form();
        let (mut plain, mut referring) = (BatchBuilder::new(0), BatchBuilder::new(0));
        for (at, body) in (0..).zip(bodies) {
            let time_ms = 1_000 + i64::try_from(at).unwrap();
            plain.push(&form, body, time_ms);
            if at == 1 {
                referring.push(&form, body, time_ms);
            } else {
                referring.push_reference(&form, reference(at, body), time_ms);
            }
        }
        (plain.finish(sequence()), referring.finish(sequence()))
    }

    #[test]
    fn a_batch_made_whole_is_the_batch_that_never_had_references() {
        let long = vec![7; 100_000];
        let bodies: [&[u8]; 3] = [&long, b"short", b""];
        let (plain, referring) = both(bodies);
        assert!(referring.len() < 1_000);
        verify_crc(&referring).unwrap();
        let header = BatchHeader::parse(&referring).unwrap();
        assert!(header.has_references());
        let found = references(&referring).unwrap();
        assert_eq!(found, [reference(0, bodies[0]), reference(2, bodies[2])]);
        let body = |found: BodyReference| bodies.get(usize::try_from(found.offset.0).unwrap());
        assert_eq!(whole(&referring, body).unwrap(), plain);
        // As it is read: with a place of its own.
        let head = |batch: &Bytes| {
            let mut bytes = batch.to_vec();
            let head = patched_head(Offset(40), bytes.len(), 3);
            bytes[..head.len()].copy_from_slice(&head);
            bytes
        };
        assert_eq!(whole(&head(&referring), body).unwrap(), head(&plain));
    }

    #[test]
    fn a_body_that_is_missing_or_of_another_length_is_said_to_be_missing() {
        let (_, referring) = both([b"first", b"second", b"third"]);
        let first = reference(0, b"first");
        let none = whole(&referring, |_| None::<&[u8]>);
        assert_eq!(none, Err(NotWhole::Missing(first)));
        let longer = whole(&referring, |_| Some(b"firsts"));
        assert_eq!(longer, Err(NotWhole::Missing(first)));
    }

    #[test]
    fn what_is_no_reference_is_malformed_wherever_it_is_cut() {
        let (_, referring) = both([b"first", b"second", b"third"]);
        for cut in 0..referring.len() {
            assert!(references(&referring[..cut]).is_err(), "cut at {cut}");
        }
        let header = BatchHeader::parse(&referring).unwrap();
        let record = Records::new(&referring[HEADER_BYTES..], header.record_count).next();
        let value = record.unwrap().unwrap().value.unwrap().to_vec();
        assert_eq!(BodyReference::decode(&value), Some(reference(0, b"first")));
        assert_eq!(BodyReference::decode(&value[1..]), None);
        assert_eq!(BodyReference::decode(&[0xff; REFERENCE_BYTES]), None);
    }

    #[test]
    fn a_batch_without_references_says_so() {
        let (plain, _) = both([b"first", b"second", b"third"]);
        assert!(!BatchHeader::parse(&plain).unwrap().has_references());
        assert_eq!(references(&plain), Ok(Vec::new()));
    }
}
