//! A batch that is being filled with records, for everything that does not arrive as one.

use bytes::Bytes;

use crate::{
    Offset, ProducerId,
    batch::{HEADER_BYTES, MAGIC, PATCHED_BYTES, mend_crc, patched_head, set_with_references},
    message::MessageForm,
    record::{Header, write_record_with},
    reference::BodyReference,
};

/// A place in an idempotent producer's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The producer.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: i16,
    /// The first record's number.
    pub first: i32,
}

/// An uncompressed batch to be. Records are written once, into the bytes that are stored.
#[derive(Debug)]
pub struct BatchBuilder {
    /// Room for the header, then records.
    bytes: Vec<u8>,
    count: u32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    has_references: bool,
}

impl BatchBuilder {
    /// An empty batch with room for `capacity_bytes` of records.
    pub fn new(capacity_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + capacity_bytes);
        bytes.resize(HEADER_BYTES, 0);
        Self {
            bytes,
            count: 0,
            base_timestamp_ms: 0,
            max_timestamp_ms: i64::MIN,
            has_references: false,
        }
    }

    /// Records in it.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the batch as it is, its header included.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a message. Gives its place in the batch.
    pub fn push(&mut self, form: &MessageForm, body: &[u8], timestamp_ms: i64) -> u32 {
        let (delta_ms, at) = self.next(timestamp_ms);
        form.write(body, delta_ms, at, &mut self.bytes);
        at
    }

    /// Appends a message whose body lies elsewhere. Gives its place in the batch.
    pub fn push_reference(
        &mut self,
        form: &MessageForm,
        body: BodyReference,
        timestamp_ms: i64,
    ) -> u32 {
        self.has_references = true;
        let (delta_ms, at) = self.next(timestamp_ms);
        form.write_reference(body, delta_ms, at, &mut self.bytes);
        at
    }

    /// Appends a record without headers. Gives its place in the batch.
    pub fn push_plain(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: i64,
    ) -> u32 {
        let (delta_ms, at) = self.next(timestamp_ms);
        write_record_with(delta_ms, at, key, value, &[], &mut self.bytes);
        at
    }

    /// Appends a record with headers. Gives its place in the batch.
    pub fn push_with_headers(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
        timestamp_ms: i64,
    ) -> u32 {
        let (delta_ms, at) = self.next(timestamp_ms);
        write_record_with(delta_ms, at, key, value, headers, &mut self.bytes);
        at
    }

    /// Time less the first record's, and place, of the next record.
    fn next(&mut self, timestamp_ms: i64) -> (i64, u32) {
        if self.count == 0 {
            self.base_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        self.count += 1;
        let delta_ms = timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        (delta_ms, self.count - 1)
    }

    /// The batch. `None`: it belongs to no producer.
    ///
    /// # Panics
    ///
    /// Where there is no record, or 2 GiB of them.
    pub fn finish(self, sequence: Option<Sequence>) -> Bytes {
        assert!(self.count > 0, "a batch has a record");
        let count = i32::try_from(self.count).expect("a record takes more than a byte");
        let mut bytes = self.bytes;
        let head = patched_head(Offset(0), bytes.len(), -1);
        bytes[..PATCHED_BYTES].copy_from_slice(&head);
        bytes[16] = MAGIC.cast_unsigned();
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        if self.has_references {
            set_with_references(&mut bytes);
        }
        set_sequence(
            &mut bytes,
            sequence.unwrap_or(Sequence {
                producer: ProducerId(-1),
                epoch: -1,
                first: -1,
            }),
        );
        bytes.into()
    }
}

/// Gives a whole batch another place in a producer's sequence, and mends its checksum.
pub fn set_sequence(batch: &mut [u8], sequence: Sequence) {
    batch[43..51].copy_from_slice(&sequence.producer.0.to_be_bytes());
    batch[51..53].copy_from_slice(&sequence.epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&sequence.first.to_be_bytes());
    mend_crc(batch);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{BatchHeader, Codec, verify_crc},
        record::{Records, check_dense},
    };

    #[test]
    fn a_batch_that_was_filled_is_a_batch() {
        let mut builder = BatchBuilder::new(0);
        assert_eq!(builder.push_plain(None, Some(b"first"), 1_000), 0);
        assert_eq!(builder.push_plain(Some(b"k"), Some(b"second"), 1_500), 1);
        assert_eq!(builder.push_plain(None, None, 900), 2);
        let size_bytes = builder.size_bytes();
        let sequence = Sequence {
            producer: ProducerId(7),
            epoch: 3,
            first: 40,
        };
        let batch = builder.finish(Some(sequence));
        assert_eq!(batch.len(), size_bytes);
        verify_crc(&batch).unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!((header.record_count, header.last_offset_delta), (3, 2));
        assert_eq!(
            (header.base_timestamp_ms, header.max_timestamp_ms),
            (1_000, 1_500)
        );
        assert_eq!((header.codec, header.attributes), (Codec::None, 0));
        assert_eq!(header.producer_id, Some(ProducerId(7)));
        assert_eq!((header.producer_epoch, header.base_sequence), (3, 40));
        let body = &batch[HEADER_BYTES..];
        check_dense(body, 3).unwrap();
        let times = Records::new(body, 3).map(|record| record.unwrap().timestamp_delta_ms);
        assert_eq!(times.collect::<Vec<_>>(), [0, 500, -100]);
    }

    #[test]
    fn a_batch_without_a_producer_says_so() {
        let mut builder = BatchBuilder::new(0);
        builder.push_plain(None, Some(b"v"), 0);
        let header = BatchHeader::parse(&builder.finish(None)).unwrap();
        assert_eq!((header.producer_id, header.base_sequence), (None, -1));
    }
}
