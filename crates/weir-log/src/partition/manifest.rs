//! What a group's checkpoint says about one partition: where its log starts and which segments
//! hold it. The encoding stands in `docs/formats-segments.md`.

use weir_model::Offset;

/// Most segments that one partition may have.
pub const MAX_SEGMENTS: usize = 1 << 20;

/// In a segment's generation: it was brought from another replica, and the rest counts such
/// segments. So no flush and no compaction here makes a file of the same name.
pub(crate) const BROUGHT_BIT: u32 = 1 << 31;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 13;
const SEGMENT_BYTES: usize = 68;

/// One segment file. Its bytes beyond `size_bytes` count for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentMeta {
    /// First offset that the segment is responsible for; names the file.
    pub base_offset: Offset,
    /// Offset after the last one that the segment is responsible for.
    pub next_offset: Offset,
    /// How often compaction rewrote it, or a number of its own where it was brought from another
    /// replica; names the file. Above 0 it may have gaps, and is not appended to.
    pub generation: u32,
    /// Entries of its index file.
    pub index_count: u32,
    /// Length of its batches, in bytes. 0: there is no file.
    pub size_bytes: u64,
    /// Position of the batch that the last index entry names, in bytes; 0 without entries.
    pub indexed_bytes: u64,
    /// Latest record's time, ms since 1970; `i64::MIN` where there is no record.
    pub max_timestamp_ms: i64,
    /// Base offset of the batch with that record.
    pub max_timestamp_offset: Offset,
    /// When the file was begun, ms since 1970.
    pub created_ms: i64,
    /// CRC-32C of the batches' heads (the first 16 bytes of each, which their own checksums leave
    /// out), from the batch that the last index entry names.
    pub heads_crc: u32,
}

impl SegmentMeta {
    /// A segment that nothing was written to.
    pub fn empty(base_offset: Offset, generation: u32, created_ms: i64) -> Self {
        Self {
            base_offset,
            next_offset: base_offset,
            generation,
            index_count: 0,
            size_bytes: 0,
            indexed_bytes: 0,
            max_timestamp_ms: i64::MIN,
            max_timestamp_offset: base_offset,
            created_ms,
            heads_crc: 0,
        }
    }

    /// Whether both are the same file.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.base_offset, self.generation) == (other.base_offset, other.generation)
    }

    /// Whether compaction on this node has seen its batches.
    pub(crate) fn was_compacted(&self) -> bool {
        self.generation > 0 && self.generation & BROUGHT_BIT == 0
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.base_offset.0.to_le_bytes());
        out.extend_from_slice(&self.next_offset.0.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.index_count.to_le_bytes());
        out.extend_from_slice(&self.size_bytes.to_le_bytes());
        out.extend_from_slice(&self.indexed_bytes.to_le_bytes());
        out.extend_from_slice(&self.max_timestamp_ms.to_le_bytes());
        out.extend_from_slice(&self.max_timestamp_offset.0.to_le_bytes());
        out.extend_from_slice(&self.created_ms.to_le_bytes());
        out.extend_from_slice(&self.heads_crc.to_le_bytes());
    }

    fn decode(bytes: &[u8; SEGMENT_BYTES]) -> Self {
        let word = |at: usize| u64::from_le_bytes(array_at(bytes, at));
        let time = |at: usize| i64::from_le_bytes(array_at(bytes, at));
        let half = |at: usize| u32::from_le_bytes(array_at(bytes, at));
        Self {
            base_offset: Offset(word(0)),
            next_offset: Offset(word(8)),
            generation: half(16),
            index_count: half(20),
            size_bytes: word(24),
            indexed_bytes: word(32),
            max_timestamp_ms: time(40),
            max_timestamp_offset: Offset(word(48)),
            created_ms: time(56),
            heads_crc: half(64),
        }
    }
}

/// One partition's durable state: segments without gaps between them, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionManifest {
    /// First offset that may be read.
    pub start: Offset,
    /// The segments. The last one is the active one: it is appended to.
    pub segments: Vec<SegmentMeta>,
}

/// Why bytes are not a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Another format version.
    #[error("manifest version {0} is unknown")]
    Version(u8),
    /// The bytes end early, or go on.
    #[error("manifest needs {needed} bytes, {had} are there")]
    Length {
        /// Bytes that the manifest takes.
        needed: usize,
        /// Bytes that are there.
        had: usize,
    },
    /// More than [`MAX_SEGMENTS`].
    #[error("manifest names {0} segments")]
    TooMany(u32),
    /// The segment at this place does not fit its neighbours or itself.
    #[error("manifest's segment {0} is inconsistent")]
    Segment(usize),
}

impl PartitionManifest {
    /// Offset after the last stored one.
    pub fn end(&self) -> Offset {
        self.segments
            .last()
            .map_or(self.start, |last| last.next_offset)
    }

    /// Length of all segments, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    /// Place of the first segment that is responsible for `offset` or for a later one.
    pub fn segment_at(&self, offset: Offset) -> usize {
        self.segments
            .partition_point(|segment| segment.next_offset <= offset)
    }

    /// Whether `segment` is one of its files.
    pub fn names(&self, segment: &SegmentMeta) -> bool {
        let at = self
            .segments
            .partition_point(|other| other.base_offset < segment.base_offset);
        self.segments
            .get(at)
            .is_some_and(|other| other.is_same_file(segment))
    }

    /// Appends the encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.check(), Ok(()));
        assert!(self.segments.len() <= MAX_SEGMENTS, "segments are counted");
        let count = u32::try_from(self.segments.len()).expect("the limit fits in u32");
        out.reserve(HEAD_BYTES + self.segments.len() * SEGMENT_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.start.0.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        for segment in &self.segments {
            segment.encode(out);
        }
    }

    /// Decodes all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let had = bytes.len();
        let (head, rest) =
            bytes
                .split_first_chunk::<HEAD_BYTES>()
                .ok_or(ManifestError::Length {
                    needed: HEAD_BYTES,
                    had,
                })?;
        if head[0] != VERSION {
            return Err(ManifestError::Version(head[0]));
        }
        let count = u32::from_le_bytes(array_at(head, 9));
        let segment_count = usize::try_from(count).unwrap_or(usize::MAX);
        if segment_count > MAX_SEGMENTS {
            return Err(ManifestError::TooMany(count));
        }
        let needed = HEAD_BYTES + segment_count * SEGMENT_BYTES;
        if had != needed {
            return Err(ManifestError::Length { needed, had });
        }
        let (chunks, _) = rest.as_chunks::<SEGMENT_BYTES>();
        let manifest = Self {
            start: Offset(u64::from_le_bytes(array_at(head, 1))),
            segments: chunks.iter().map(SegmentMeta::decode).collect(),
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks that segments touch each other and that the log starts in the first one.
    pub fn check(&self) -> Result<(), ManifestError> {
        let mut next = None;
        for (at, segment) in self.segments.iter().enumerate() {
            let touches = next.is_none_or(|next| next == segment.base_offset);
            let in_range = i64::try_from(segment.next_offset.0).is_ok();
            let indexed = segment.indexed_bytes <= segment.size_bytes;
            if !touches || !in_range || !indexed || segment.next_offset <= segment.base_offset {
                return Err(ManifestError::Segment(at));
            }
            next = Some(segment.next_offset);
        }
        match self.segments.first() {
            Some(first) if self.start < first.base_offset || self.start >= first.next_offset => {
                Err(ManifestError::Segment(0))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("the slice has the array's length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> PartitionManifest {
        let mut first = SegmentMeta::empty(Offset(10), 2, 77);
        first.next_offset = Offset(20);
        first.size_bytes = 500;
        let mut second = SegmentMeta::empty(Offset(20), 0, -1);
        second.next_offset = Offset(21);
        second.max_timestamp_ms = 5;
        second.heads_crc = 0xdead_beef;
        PartitionManifest {
            start: Offset(12),
            segments: vec![first, second],
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        let mut bytes = Vec::new();
        manifest().encode(&mut bytes);
        assert_eq!(PartitionManifest::decode(&bytes), Ok(manifest()));
        assert_eq!(manifest().end(), Offset(21));
        assert_eq!(PartitionManifest::default().end(), Offset(0));
    }

    #[test]
    fn a_cut_at_every_byte_is_refused() {
        let mut bytes = Vec::new();
        manifest().encode(&mut bytes);
        for cut in 0..bytes.len() {
            let decoded = PartitionManifest::decode(&bytes[..cut]);
            assert!(matches!(decoded, Err(ManifestError::Length { .. })));
        }
        bytes.push(0);
        assert!(PartitionManifest::decode(&bytes).is_err());
    }

    #[test]
    fn gaps_between_segments_and_unknown_versions_are_refused() {
        let mut gap = manifest();
        gap.segments[1].base_offset = Offset(21);
        gap.segments[1].next_offset = Offset(22);
        assert_eq!(gap.check(), Err(ManifestError::Segment(1)));
        let mut outside = manifest();
        outside.start = Offset(20);
        assert_eq!(outside.check(), Err(ManifestError::Segment(0)));
        let mut bytes = Vec::new();
        manifest().encode(&mut bytes);
        bytes[0] = 9;
        assert_eq!(
            PartitionManifest::decode(&bytes),
            Err(ManifestError::Version(9))
        );
    }

    #[test]
    fn a_count_does_not_size_an_allocation() {
        let mut bytes = Vec::new();
        PartitionManifest::default().encode(&mut bytes);
        bytes[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            PartitionManifest::decode(&bytes),
            Err(ManifestError::TooMany(u32::MAX))
        );
    }
}
