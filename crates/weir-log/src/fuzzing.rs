//! What fuzz targets need of this crate: decoders of what the disk says. Where the bytes are
//! understood they are given back as they would be written, which must be understood as the same.

use weir_model::{GroupId, Offset, PartitionId};

use crate::{
    checkpoint, index::SegmentIndex, partition::PartitionManifest, segment::SegmentKey, wal::reread,
};

/// Group of the checkpoints that are read, and partition of the indexes.
const NUMBER: u32 = 1;

/// Bytes that the records of a frame's body would take if they were written again.
pub fn wal_body_bytes(records_count: u32, body: &[u8]) -> Option<usize> {
    reread::body_bytes(records_count, body)
}

/// Whether that is the first block of a file of the write-ahead log.
pub fn is_wal_header(block: &[u8]) -> bool {
    reread::is_file_header(block)
}

/// Bytes of the frame of the write-ahead log that begins here.
pub fn wal_frame_bytes(bytes: &[u8]) -> Option<usize> {
    reread::frame_bytes(bytes)
}

/// A checkpoint's file.
pub fn checkpoint(bytes: &[u8]) -> Option<Vec<u8>> {
    checkpoint::reread(GroupId(NUMBER), bytes.to_vec())
}

/// A partition's manifest.
pub fn manifest(bytes: &[u8]) -> Option<Vec<u8>> {
    let manifest = PartitionManifest::decode(bytes).ok()?;
    let mut out = Vec::new();
    manifest.encode(&mut out);
    Some(out)
}

/// A segment's index.
pub fn index(bytes: &[u8]) -> Option<Vec<u8>> {
    let key = SegmentKey {
        partition: PartitionId(u64::from(NUMBER)),
        base_offset: Offset(0),
        generation: 0,
    };
    let index = SegmentIndex::decode(key, bytes)?;
    Some(index.encode(key))
}
