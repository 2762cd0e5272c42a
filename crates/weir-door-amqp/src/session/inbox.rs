//! Finds frames in bytes that arrive cut anywhere.

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::{Frame, FrameError, PROTOCOL_HEADER_BYTES};

/// Received and not yet decoded bytes. A frame that lies in one chunk is a slice of it; what is cut
/// is put together.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Bytes,
}

impl Inbox {
    /// Takes the next chunk.
    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.bytes.is_empty() {
            self.bytes = chunk;
            return;
        }
        let mut joined = BytesMut::with_capacity(self.bytes.len() + chunk.len());
        joined.extend_from_slice(&self.bytes);
        joined.extend_from_slice(&chunk);
        self.bytes = joined.freeze();
    }

    /// Bytes held.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.bytes = Bytes::new();
    }

    /// What a connection begins with; `Err`: bytes that no protocol header begins with.
    pub(super) fn header(&mut self) -> Result<Option<[u8; PROTOCOL_HEADER_BYTES]>, ()> {
        let known_bytes = self.bytes.len().min(4);
        if self.bytes[..known_bytes] != b"AMQP"[..known_bytes] {
            return Err(());
        }
        let Some(header) = self.bytes.first_chunk() else {
            return Ok(None);
        };
        let header = *header;
        self.bytes.advance(PROTOCOL_HEADER_BYTES);
        Ok(Some(header))
    }

    /// The next whole frame; `None`: more bytes are needed.
    pub(super) fn frame(&mut self, max_bytes: usize) -> Result<Option<Frame>, FrameError> {
        Frame::take(&mut self.bytes, max_bytes)
    }
}
