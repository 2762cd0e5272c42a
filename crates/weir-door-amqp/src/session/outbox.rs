//! Frames that wait to be sent, as few chunks as can be without copying long bodies.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use weir_door::queue_room::give_back;
use weir_model::fields::ShortString;

use crate::codec::{FRAME_END, FRAME_OVERHEAD_BYTES, FrameKind, Method};

/// Parts of bodies from this length on are sent as slices; copying shorter ones costs less than one
/// more chunk in a write. In bytes.
const MIN_SLICE_BYTES: usize = 1024;
/// The class of contents.
const BASIC: u16 = 60;

/// What waits to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
    /// All bytes that were ever put in, and all that were taken out.
    put_bytes: u64,
    taken_bytes: u64,
    /// Where in the stream deliveries end, with the bytes of their records.
    deliveries: VecDeque<(u64, usize)>,
    /// Longest frame of a body, its overhead included.
    pub(super) frame_max_bytes: usize,
}

/// A message on its way to the client.
pub(super) struct Content<'a> {
    pub(super) properties: &'a [u8],
    pub(super) body: &'a Bytes,
}

impl Outbox {
    pub(super) fn new(frame_max_bytes: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            bytes: 0,
            put_bytes: 0,
            taken_bytes: 0,
            deliveries: VecDeque::new(),
            frame_max_bytes,
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Bytes that are no frame.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
        self.count(bytes.len());
    }

    pub(super) fn heartbeat(&mut self) {
        self.frame(FrameKind::Heartbeat, 0, |_| {});
    }

    pub(super) fn method(&mut self, channel: u16, method: &Method) {
        self.frame(FrameKind::Method, channel, |out| method.encode(out));
    }

    /// A method with its content.
    pub(super) fn content(&mut self, channel: u16, method: &Method, content: &Content<'_>) {
        self.method(channel, method);
        self.frame(FrameKind::Header, channel, |out| {
            out.put_u16(BASIC);
            out.put_u16(0);
            out.put_u64(content.body.len() as u64);
            out.put_slice(content.properties);
        });
        let step_bytes = self.frame_max_bytes - FRAME_OVERHEAD_BYTES;
        let mut from = 0;
        while from < content.body.len() {
            let end = content.body.len().min(from + step_bytes);
            self.body(channel, content.body.slice(from..end));
            from = end;
        }
    }

    /// Marks the end of a delivery of a record of so many bytes.
    pub(super) fn note_delivery(&mut self, record_bytes: usize) {
        self.deliveries.push_back((self.put_bytes, record_bytes));
    }

    /// Bytes of records whose deliveries have left since it was last asked.
    pub(super) fn take_delivered(&mut self) -> usize {
        let mut left_bytes = 0;
        while let Some((end, record_bytes)) = self.deliveries.front()
            && *end <= self.taken_bytes
        {
            left_bytes += record_bytes;
            self.deliveries.pop_front();
        }
        give_back(&mut self.deliveries);
        left_bytes
    }

    /// Moves chunks until they have `max_bytes` or more.
    pub(super) fn transmit(&mut self, into: &mut Vec<Bytes>, max_bytes: usize) -> usize {
        self.seal();
        let mut moved_bytes = 0;
        while moved_bytes < max_bytes
            && let Some(chunk) = self.chunks.pop_front()
        {
            moved_bytes += chunk.len();
            into.push(chunk);
        }
        give_back(&mut self.chunks);
        assert!(moved_bytes <= self.bytes, "only what waits is moved");
        self.bytes -= moved_bytes;
        self.taken_bytes += moved_bytes as u64;
        moved_bytes
    }

    fn body(&mut self, channel: u16, part: Bytes) {
        if part.len() < MIN_SLICE_BYTES {
            self.frame(FrameKind::Body, channel, |out| out.put_slice(&part));
            return;
        }
        let frame_bytes = part.len() + FRAME_OVERHEAD_BYTES;
        FrameKind::Body.begin(&mut self.tail, channel, part.len());
        self.seal();
        self.chunks.push_back(part);
        self.tail.put_u8(FRAME_END);
        self.count(frame_bytes);
    }

    fn frame(&mut self, kind: FrameKind, channel: u16, write: impl FnOnce(&mut BytesMut)) {
        let from = self.tail.len();
        kind.begin(&mut self.tail, channel, 0);
        let payload = self.tail.len();
        write(&mut self.tail);
        let size = u32::try_from(self.tail.len() - payload).expect("payloads are below 4 GiB");
        self.tail[payload - 4..payload].copy_from_slice(&size.to_be_bytes());
        self.tail.put_u8(FRAME_END);
        self.count(self.tail.len() - from);
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.put_bytes += bytes as u64;
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }
}

/// A short string of the door's own words.
pub(super) fn word(text: &str) -> ShortString {
    ShortString::new(text).expect("the door's own words are short")
}
