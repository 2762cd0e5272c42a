//! The bytes of file headers and frames. `docs/formats.md` has the tables.
//!
//! All numbers are little-endian. A file is a row of 4 KiB blocks: one for its header, then
//! frames, each starting on a block and filled up with zeros to the next.

use crate::disk::{AlignedBuf, BLOCK_BYTES};

use super::config::MAX_BODY_BYTES;

/// Bytes of a file's header.
pub(super) const FILE_HEADER_BYTES: usize = BLOCK_BYTES;
/// Bytes of a frame's header; the body follows.
pub(super) const FRAME_HEADER_BYTES: usize = 64;

const FILE_MAGIC: [u8; 8] = *b"WEIR-WAL";
const FILE_VERSION: u32 = 1;
const FRAME_MAGIC: [u8; 4] = *b"WFRM";
/// Magic and checksum are outside of what a frame's checksum covers.
const CHECKED_FROM: usize = 8;
/// A frame's body is summed up in pieces of this length, in bytes.
const SUMMED_BYTES: usize = 24 << 10;
const KIND_RECORDS: u32 = 1;
const KIND_SEAL: u32 = 2;

/// The first block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// The file's number.
    pub(super) seq: u64,
    /// Drawn anew each time the file is put to use: ties its frames to this use.
    pub(super) nonce: u64,
    /// Number of the oldest file that was needed when this one was put to use.
    pub(super) first_live_seq: u64,
    /// How much of the file is used. What lies behind does not count.
    pub(super) file_bytes: u64,
}

/// Why a block is not a file header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileHeaderError {
    /// Not ours, or damaged.
    Damaged,
    /// Written by another version of the program.
    UnknownVersion(u32),
}

impl FileHeader {
    /// Appends the block.
    pub(super) fn encode(&self, out: &mut AlignedBuf) {
        let mut block = [0; FILE_HEADER_BYTES];
        block[..8].copy_from_slice(&FILE_MAGIC);
        block[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.seq.to_le_bytes());
        block[24..32].copy_from_slice(&self.nonce.to_le_bytes());
        block[32..40].copy_from_slice(&self.first_live_seq.to_le_bytes());
        block[40..48].copy_from_slice(&self.file_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&block);
    }

    /// Reads the block.
    pub(super) fn decode(block: &[u8]) -> Result<Self, FileHeaderError> {
        if block.len() != FILE_HEADER_BYTES || block[..8] != FILE_MAGIC {
            return Err(FileHeaderError::Damaged);
        }
        let before = crc32c::crc32c(&block[..12]);
        let with_gap = crc32c::crc32c_append(before, &[0; 4]);
        if crc32c::crc32c_append(with_gap, &block[16..]) != u32_at(block, 12) {
            return Err(FileHeaderError::Damaged);
        }
        let version = u32_at(block, 8);
        if version != FILE_VERSION {
            return Err(FileHeaderError::UnknownVersion(version));
        }
        let header = Self {
            seq: u64_at(block, 16),
            nonce: u64_at(block, 24),
            first_live_seq: u64_at(block, 32),
            file_bytes: u64_at(block, 40),
        };
        let whole_blocks = header.file_bytes.is_multiple_of(BLOCK_BYTES as u64);
        if !whole_blocks || header.first_live_seq > header.seq {
            return Err(FileHeaderError::Damaged);
        }
        Ok(header)
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Carries records.
    Records,
    /// Nothing follows in this file.
    Seal,
}

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: FrameKind,
    /// Number of the file that the frame was written to.
    pub(super) seq: u64,
    /// That file's nonce.
    pub(super) nonce: u64,
    /// Where in that file.
    pub(super) position: u64,
    /// Number of the oldest file still needed.
    pub(super) first_live_seq: u64,
    pub(super) record_count: u32,
    pub(super) body_bytes: usize,
}

impl FrameHeader {
    /// Bytes of the frame up to the end of its body.
    pub(super) fn unpadded_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body_bytes
    }

    /// Bytes of the frame with its padding.
    pub(super) fn padded_bytes(&self) -> usize {
        frame_bytes(self.body_bytes)
    }

    /// Reads a frame's start; `None` where there is none. Says nothing about the checksum.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FRAME_HEADER_BYTES || bytes[..4] != FRAME_MAGIC {
            return None;
        }
        let kind = match u32_at(bytes, 8) {
            KIND_RECORDS => FrameKind::Records,
            KIND_SEAL => FrameKind::Seal,
            _ => return None,
        };
        let body_bytes = usize::try_from(u32_at(bytes, 12)).ok()?;
        (body_bytes <= MAX_BODY_BYTES).then(|| Self {
            kind,
            seq: u64_at(bytes, 16),
            nonce: u64_at(bytes, 24),
            position: u64_at(bytes, 32),
            first_live_seq: u64_at(bytes, 40),
            record_count: u32_at(bytes, 48),
            body_bytes,
        })
    }

    fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let body_bytes = u32::try_from(self.body_bytes).expect("a body has at most 1 GiB");
        let kind = match self.kind {
            FrameKind::Records => KIND_RECORDS,
            FrameKind::Seal => KIND_SEAL,
        };
        let mut header = [0; FRAME_HEADER_BYTES];
        header[..4].copy_from_slice(&FRAME_MAGIC);
        header[8..12].copy_from_slice(&kind.to_le_bytes());
        header[12..16].copy_from_slice(&body_bytes.to_le_bytes());
        header[16..24].copy_from_slice(&self.seq.to_le_bytes());
        header[24..32].copy_from_slice(&self.nonce.to_le_bytes());
        header[32..40].copy_from_slice(&self.position.to_le_bytes());
        header[40..48].copy_from_slice(&self.first_live_seq.to_le_bytes());
        header[48..52].copy_from_slice(&self.record_count.to_le_bytes());
        header
    }
}

/// Bytes of a frame with a body of `body_bytes`, with its padding.
pub(super) fn frame_bytes(body_bytes: usize) -> usize {
    (FRAME_HEADER_BYTES + body_bytes).next_multiple_of(BLOCK_BYTES)
}

/// The body of a frame as it is appended, and its checksum.
pub(super) struct FrameBody<'a> {
    out: &'a mut AlignedBuf,
    checksum: u32,
}

impl<'a> FrameBody<'a> {
    /// Bytes to be appended to `out`, and summed up from there on.
    pub(super) fn new(out: &'a mut AlignedBuf) -> Self {
        Self { out, checksum: 0 }
    }

    /// Appends `bytes`, and sums them up piece by piece: while they are in the processor's cache.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(SUMMED_BYTES) {
            self.out.extend_from_slice(piece);
            self.checksum = crc32c::crc32c_append(self.checksum, piece);
        }
    }
}

/// Appends a frame whose body `write_body` appends: `header.body_bytes` bytes.
pub(super) fn encode_frame(
    out: &mut AlignedBuf,
    header: FrameHeader,
    write_body: impl FnOnce(&mut FrameBody<'_>),
) {
    let start = out.len();
    assert_eq!(start % BLOCK_BYTES, 0, "a frame starts on a block");
    let encoded = header.encode();
    out.extend_from_slice(&encoded[..CHECKED_FROM]);
    let mut body = FrameBody::new(out);
    body.put(&encoded[CHECKED_FROM..]);
    write_body(&mut body);
    let checksum = body.checksum;
    assert_eq!(
        out.len(),
        start + header.unpadded_bytes(),
        "a body has the length that its header says"
    );
    out.as_mut_slice()[start + 4..start + CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
    out.resize(start + header.padded_bytes());
}

/// Whether the checksum of a frame, given without its padding, is right.
pub(super) fn is_intact(frame: &[u8]) -> bool {
    frame.len() >= FRAME_HEADER_BYTES && crc32c::crc32c(&frame[CHECKED_FROM..]) == u32_at(frame, 4)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes[at..at + 4].try_into();
    u32::from_le_bytes(field.expect("a slice of four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes[at..at + 8].try_into();
    u64::from_le_bytes(field.expect("a slice of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: FileHeader = FileHeader {
        seq: 7,
        nonce: 0x0123_4567_89ab_cdef,
        first_live_seq: 5,
        file_bytes: 1 << 20,
    };

    fn file_header() -> AlignedBuf {
        let mut buf = AlignedBuf::default();
        HEADER.encode(&mut buf);
        buf
    }

    #[test]
    fn a_file_header_comes_back() {
        assert_eq!(FileHeader::decode(file_header().as_slice()), Ok(HEADER));
    }

    #[test]
    fn any_flipped_bit_damages_a_file_header() {
        let good = file_header();
        for bit in 0..good.len() * 8 {
            let mut bad = good.as_slice().to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FileHeader::decode(&bad), Err(FileHeaderError::Damaged));
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut block = file_header().as_slice().to_vec();
        block[8..16].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        let crc = crc32c::crc32c(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(
            FileHeader::decode(&block),
            Err(FileHeaderError::UnknownVersion(2))
        );
    }

    #[test]
    fn a_frame_comes_back_and_any_flipped_bit_before_its_padding_shows() {
        let header = FrameHeader {
            kind: FrameKind::Records,
            seq: 7,
            nonce: 9,
            position: 4096,
            first_live_seq: 5,
            record_count: 1,
            body_bytes: 4,
        };
        let mut buf = AlignedBuf::default();
        encode_frame(&mut buf, header, |body| body.put(b"body"));
        assert_eq!(buf.len(), BLOCK_BYTES);
        assert_eq!(FrameHeader::decode(buf.as_slice()), Some(header));
        let frame = &buf.as_slice()[..header.unpadded_bytes()];
        assert!(is_intact(frame));
        for bit in 32..frame.len() * 8 {
            let mut bad = frame.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(&bad), "bit {bit}");
        }
    }

    #[test]
    fn a_length_past_the_limit_is_no_frame() {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[8] = 1;
        let limit = u32::try_from(MAX_BODY_BYTES).unwrap();
        bytes[12..16].copy_from_slice(&limit.to_le_bytes());
        assert!(FrameHeader::decode(&bytes).is_some());
        bytes[12..16].copy_from_slice(&(limit + 1).to_le_bytes());
        assert_eq!(FrameHeader::decode(&bytes), None);
    }
}
