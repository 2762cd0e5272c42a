//! Kafka's record batch v2, the one stored unit: header view, checks and the in-place patch.
//!
//! | Offset | Field | Note |
//! |---|---|---|
//! | 0 | `base_offset` i64 | written by the broker, outside the CRC |
//! | 8 | `batch_length` i32 | bytes after this field |
//! | 12 | `partition_leader_epoch` i32 | written by the broker, outside the CRC |
//! | 16 | `magic` i8 | 2 |
//! | 17 | `crc` u32 | CRC-32C from offset 21 to the end |
//! | 21 | `attributes` i16 | bits 0-2 codec, 3 log-append time, 4 transactional, 5 control; ours: 14 [references](crate::reference) |
//! | 23 | `last_offset_delta` i32 | |
//! | 27 | `base_timestamp` i64 | ms since 1970 |
//! | 35 | `max_timestamp` i64 | ms since 1970 |
//! | 43 | `producer_id` i64 | -1: none |
//! | 51 | `producer_epoch` i16 | |
//! | 53 | `base_sequence` i32 | |
//! | 57 | `record_count` i32 | records follow at 61 |
//!
//! Source: Kafka's `DefaultRecordBatch`.

use crate::id::{Offset, ProducerId};

/// Length of the fixed header, in bytes.
pub const HEADER_BYTES: usize = 61;
/// Length of the leading part that the broker rewrites (base offset, length, leader epoch).
pub const PATCHED_BYTES: usize = 16;
/// Bytes before the part that `batch_length` counts.
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// The one format version that is stored and served.
pub const MAGIC: i8 = 2;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const REFERENCES: i16 = 1 << 14;

/// Compression of a batch's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Not compressed.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in xerial's framing.
    Snappy,
    /// LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("batch needs {needed} bytes, {had} are there")]
    Truncated {
        /// Bytes the batch needs.
        needed: usize,
        /// Bytes that are there.
        had: usize,
    },
    /// `batch_length` is below what a header takes.
    #[error("batch length {0} is out of range")]
    Length(i32),
    /// The format version is not 2.
    #[error("batch magic {0}, only 2 is stored")]
    Magic(i8),
    /// The checksum does not match.
    #[error("batch checksum {found:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As stored in the batch.
        found: u32,
        /// As computed over the bytes.
        computed: u32,
    },
    /// The codec bits name no codec.
    #[error("batch codec {0} is unknown")]
    Codec(i16),
    /// `record_count` or `last_offset_delta` is negative.
    #[error("batch has a negative count")]
    NegativeCount,
}

/// The header's fields, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Whole length of the batch, header included.
    pub size_bytes: usize,
    /// Leader epoch under which the batch was appended.
    pub leader_epoch: i32,
    /// Stored checksum.
    pub crc: u32,
    /// Raw attribute bits.
    pub attributes: i16,
    /// Compression of the records.
    pub codec: Codec,
    /// Last record's offset less the base offset.
    pub last_offset_delta: u32,
    /// First record's time, ms since 1970.
    pub base_timestamp_ms: i64,
    /// Latest record's time, ms since 1970.
    pub max_timestamp_ms: i64,
    /// Idempotent producer, where there is one.
    pub producer_id: Option<ProducerId>,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Records in the batch. Less than `last_offset_delta + 1` after compaction.
    pub record_count: u32,
}

impl BatchHeader {
    /// Decodes the header at the start of `bytes` and checks that the whole batch is there. The
    /// checksum is checked by [`verify_crc`], not here.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse_head(bytes)?;
        if bytes.len() < header.size_bytes {
            return Err(BatchError::Truncated {
                needed: header.size_bytes,
                had: bytes.len(),
            });
        }
        Ok(header)
    }

    /// Decodes the header at the start of `bytes`, whether the rest of the batch is there or not.
    pub fn parse_head(bytes: &[u8]) -> Result<Self, BatchError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BatchError::Truncated {
            needed: HEADER_BYTES,
            had: bytes.len(),
        })?;
        let magic = i8::from_be_bytes([header[16]]);
        if magic != MAGIC {
            return Err(BatchError::Magic(magic));
        }
        let batch_length = i32_at(header, 8);
        let size_bytes = usize::try_from(batch_length)
            .ok()
            .and_then(|length| length.checked_add(LENGTH_PREFIX_BYTES))
            .filter(|size| *size >= HEADER_BYTES)
            .ok_or(BatchError::Length(batch_length))?;
        let attributes = i16_at(header, 21);
        let producer_id = i64_at(header, 43);
        Ok(Self {
            base_offset: i64_at(header, 0),
            size_bytes,
            leader_epoch: i32_at(header, 12),
            crc: u32::from_be_bytes(array_at(header, 17)),
            attributes,
            codec: codec_of(attributes)?,
            last_offset_delta: non_negative(i32_at(header, 23))?,
            base_timestamp_ms: i64_at(header, 27),
            max_timestamp_ms: i64_at(header, 35),
            producer_id: (producer_id >= 0).then_some(ProducerId(producer_id)),
            producer_epoch: i16_at(header, 51),
            base_sequence: i32_at(header, 53),
            record_count: non_negative(i32_at(header, 57))?,
        })
    }

    /// Number of offsets that the batch takes.
    pub fn offset_count(&self) -> u64 {
        u64::from(self.last_offset_delta) + 1
    }

    /// Whether `max_timestamp_ms` is the broker's time for every record.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the batch is a broker's own marker.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether values of its records may lie [elsewhere](crate::reference).
    pub fn has_references(&self) -> bool {
        self.attributes & REFERENCES != 0
    }
}

/// Checks the checksum of one whole batch.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    if batch.len() < HEADER_BYTES {
        return Err(BatchError::Truncated {
            needed: HEADER_BYTES,
            had: batch.len(),
        });
    }
    let found = u32::from_be_bytes(array_at(batch, 17));
    let computed = crc32c::crc32c(&batch[21..]);
    if found == computed {
        Ok(())
    } else {
        Err(BatchError::Checksum { found, computed })
    }
}

/// The first [`PATCHED_BYTES`] of a stored batch: what the broker writes over what came in.
pub fn patched_head(
    base_offset: Offset,
    size_bytes: usize,
    leader_epoch: i32,
) -> [u8; PATCHED_BYTES] {
    assert!(size_bytes >= HEADER_BYTES, "a batch has at least a header");
    let length = i32::try_from(size_bytes - LENGTH_PREFIX_BYTES).expect("a batch is below 2 GiB");
    let mut head = [0; PATCHED_BYTES];
    head[..8].copy_from_slice(&base_offset.wire().to_be_bytes());
    head[8..12].copy_from_slice(&length.to_be_bytes());
    head[12..].copy_from_slice(&leader_epoch.to_be_bytes());
    head
}

/// Makes `now_ms` the time of every record of a whole, valid batch, and mends its checksum.
pub fn stamp_append_time(batch: &mut [u8], now_ms: i64) {
    assert!(batch.len() >= HEADER_BYTES, "a valid batch has a header");
    let attributes = i16::from_be_bytes(array_at(batch, 21)) | LOG_APPEND_TIME;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&now_ms.to_be_bytes());
    mend_crc(batch);
}

/// Makes `time_ms` the latest time in the header of a whole, valid batch, and mends its checksum.
pub fn set_max_timestamp(batch: &mut [u8], time_ms: i64) {
    assert!(batch.len() >= HEADER_BYTES, "a valid batch has a header");
    batch[35..43].copy_from_slice(&time_ms.to_be_bytes());
    mend_crc(batch);
}

/// Makes the header of a whole batch say that its records are in `codec` and as long as they are.
/// The checksum is left to [`mend_crc`].
pub fn set_codec(batch: &mut [u8], codec: Codec) {
    assert!(batch.len() >= HEADER_BYTES, "a valid batch has a header");
    let bits = match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    };
    let attributes = i16::from_be_bytes(array_at(batch, 21)) & !CODEC_MASK | bits;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    let length = i32::try_from(batch.len() - LENGTH_PREFIX_BYTES).expect("a batch is below 2 GiB");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
}

/// Makes the header of a batch say that records of it are references. The checksum is left to
/// [`mend_crc`].
pub(crate) fn set_with_references(batch: &mut [u8]) {
    let attributes = i16::from_be_bytes(array_at(batch, 21)) | REFERENCES;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
}

/// The other way round.
pub(crate) fn set_without_references(batch: &mut [u8]) {
    let attributes = i16::from_be_bytes(array_at(batch, 21)) & !REFERENCES;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
}

/// Makes the checksum of a whole batch that of its bytes.
pub fn mend_crc(batch: &mut [u8]) {
    assert!(batch.len() >= HEADER_BYTES, "a valid batch has a header");
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn codec_of(attributes: i16) -> Result<Codec, BatchError> {
    match attributes & CODEC_MASK {
        0 => Ok(Codec::None),
        1 => Ok(Codec::Gzip),
        2 => Ok(Codec::Snappy),
        3 => Ok(Codec::Lz4),
        4 => Ok(Codec::Zstd),
        other => Err(BatchError::Codec(other)),
    }
}

fn non_negative(value: i32) -> Result<u32, BatchError> {
    u32::try_from(value).map_err(|_| BatchError::NegativeCount)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("the slice has the array's length")
}

fn i16_at(header: &[u8; HEADER_BYTES], at: usize) -> i16 {
    i16::from_be_bytes(array_at(header, at))
}

fn i32_at(header: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes(array_at(header, at))
}

fn i64_at(header: &[u8; HEADER_BYTES], at: usize) -> i64 {
    i64::from_be_bytes(array_at(header, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes.extend_from_slice(payload);
        let head = patched_head(Offset(5), bytes.len(), 3);
        bytes[..PATCHED_BYTES].copy_from_slice(&head);
        bytes[16] = 2;
        bytes[43..51].copy_from_slice(&(-1_i64).to_be_bytes());
        bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn a_patched_head_reads_back() {
        let bytes = batch(b"abc");
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(
            (header.base_offset, header.leader_epoch, header.size_bytes),
            (5, 3, 64)
        );
        assert_eq!(verify_crc(&bytes), Ok(()));
    }

    #[test]
    fn the_patch_leaves_the_checksum_valid() {
        let mut bytes = batch(b"abc");
        let size = bytes.len();
        bytes[..PATCHED_BYTES].copy_from_slice(&patched_head(Offset(99), size, 8));
        assert_eq!(verify_crc(&bytes), Ok(()));
    }

    #[test]
    fn a_stamped_batch_has_the_brokers_time_and_a_valid_checksum() {
        let mut bytes = batch(b"abc");
        stamp_append_time(&mut bytes, 77);
        let header = BatchHeader::parse(&bytes).unwrap();
        assert!(header.is_log_append_time());
        assert_eq!((header.max_timestamp_ms, verify_crc(&bytes)), (77, Ok(())));
    }

    #[test]
    fn a_cut_at_every_byte_is_truncated() {
        let bytes = batch(b"abc");
        for cut in 0..bytes.len() {
            assert!(
                matches!(
                    BatchHeader::parse(&bytes[..cut]),
                    Err(BatchError::Truncated { .. })
                ),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_behind_the_checksum_is_found() {
        let mut bytes = batch(b"abc");
        bytes[62] ^= 1;
        assert!(matches!(
            verify_crc(&bytes),
            Err(BatchError::Checksum { .. })
        ));
    }

    #[test]
    fn other_formats_and_codecs_are_refused() {
        let mut old = batch(b"");
        old[16] = 1;
        assert_eq!(BatchHeader::parse(&old), Err(BatchError::Magic(1)));
        let mut odd = batch(b"");
        odd[22] = 7;
        assert_eq!(BatchHeader::parse(&odd), Err(BatchError::Codec(7)));
        let mut short = batch(b"");
        short[8..12].copy_from_slice(&1_i32.to_be_bytes());
        assert_eq!(BatchHeader::parse(&short), Err(BatchError::Length(1)));
    }
}
