//! What the crate's `fuzzing` module is given of the decoders here.

use bytes::Bytes;

use super::{
    body,
    format::{FileHeader, FrameHeader},
};

/// Bytes that the records of a body would take if they were written again.
pub(crate) fn body_bytes(records_count: u32, bytes: &[u8]) -> Option<usize> {
    let records = body::decode(Bytes::copy_from_slice(bytes), records_count).ok()?;
    Some(body::body_bytes(&records))
}

/// Whether a block is the header of a file.
pub(crate) fn is_file_header(block: &[u8]) -> bool {
    FileHeader::decode(block).is_ok()
}

/// Bytes of the frame that begins here, with its padding.
pub(crate) fn frame_bytes(bytes: &[u8]) -> Option<usize> {
    FrameHeader::decode(bytes).map(|header| header.padded_bytes())
}
