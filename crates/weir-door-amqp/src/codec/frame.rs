//! Frames: `u8` type, `u16` channel, `u32` size in bytes, the payload, and [`FRAME_END`]
//! (specification section 2.3). A connection begins with [`PROTOCOL_HEADER`] instead.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a client of AMQP 0-9-1 sends first.
pub const PROTOCOL_HEADER: [u8; PROTOCOL_HEADER_BYTES] = *b"AMQP\x00\x00\x09\x01";
/// Length of a protocol header, in bytes.
pub const PROTOCOL_HEADER_BYTES: usize = 8;
/// The octet behind each payload.
pub const FRAME_END: u8 = 206;
/// Bytes of a frame around its payload.
pub const FRAME_OVERHEAD_BYTES: usize = HEADER_BYTES + 1;
/// Least `frame_max` that may be agreed upon, in bytes (specification, `connection.tune`).
pub const MIN_FRAME_MAX_BYTES: u32 = 4096;
const HEADER_BYTES: usize = 7;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A method.
    Method,
    /// A content's header.
    Header,
    /// A part of a content's body.
    Body,
    /// Nothing: a sign of life.
    Heartbeat,
}

/// A frame that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// A slice of what was received.
    pub payload: Bytes,
}

/// Why bytes are no frame: the connection ends with 501 (`frame_error`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A type that does not exist.
    #[error("frame type {0} is not known")]
    UnknownKind(u8),
    /// A frame that is longer than was agreed.
    #[error("a frame of {size_bytes} bytes, {max_bytes} at most")]
    TooLong {
        /// Bytes of the whole frame.
        size_bytes: u64,
        /// Bytes that it may have.
        max_bytes: usize,
    },
    /// The octet behind the payload is another one.
    #[error("the frame ends with {0:#04x}")]
    NoEnd(u8),
}

impl FrameKind {
    fn from_wire(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }

    fn to_wire(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    /// Appends what stands before a payload.
    pub(crate) fn begin(self, out: &mut BytesMut, channel: u16, payload_bytes: usize) {
        out.put_u8(self.to_wire());
        out.put_u16(channel);
        out.put_u32(u32::try_from(payload_bytes).expect("payloads are cut to frame_max"));
    }
}

/// Length of the frame at the start of `bytes`, in bytes; `None` where its header is not whole.
/// `max_bytes` is the longest whole frame; [`FRAME_OVERHEAD_BYTES`] more are let through, as
/// RabbitMQ does for clients that count the payload alone.
pub fn frame_bytes(bytes: &[u8], max_bytes: usize) -> Result<Option<usize>, FrameError> {
    let Some(tag) = bytes.first() else {
        return Ok(None);
    };
    if FrameKind::from_wire(*tag).is_none() {
        return Err(FrameError::UnknownKind(*tag));
    }
    let Some(header) = bytes.get(..HEADER_BYTES) else {
        return Ok(None);
    };
    let payload_bytes = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    let size_bytes = u64::from(payload_bytes) + FRAME_OVERHEAD_BYTES as u64;
    match usize::try_from(size_bytes) {
        Ok(size) if size <= max_bytes.saturating_add(FRAME_OVERHEAD_BYTES) => Ok(Some(size)),
        Ok(_) | Err(_) => Err(FrameError::TooLong {
            size_bytes,
            max_bytes,
        }),
    }
}

/// Bytes of the whole frames at the start of `bytes`, and of the one after them those that it lacks.
pub fn whole_frames(bytes: &[u8], max_bytes: usize) -> (usize, usize) {
    let mut whole_bytes = 0;
    loop {
        let rest = &bytes[whole_bytes..];
        match frame_bytes(rest, max_bytes) {
            Ok(Some(total)) if total <= rest.len() => whole_bytes += total,
            Ok(Some(total)) => return (whole_bytes, total - rest.len()),
            Ok(None) => return (whole_bytes, 0),
            // To be seen and refused.
            Err(_) => return (bytes.len(), 0),
        }
    }
}

impl Frame {
    /// Takes the frame off the start of `bytes`; `None` where it is not whole.
    pub fn take(bytes: &mut Bytes, max_bytes: usize) -> Result<Option<Self>, FrameError> {
        let Some(size_bytes) = frame_bytes(bytes, max_bytes)? else {
            return Ok(None);
        };
        if bytes.len() < size_bytes {
            return Ok(None);
        }
        let mut frame = bytes.split_to(size_bytes);
        let tag = frame.get_u8();
        let kind = FrameKind::from_wire(tag).ok_or(FrameError::UnknownKind(tag))?;
        let channel = frame.get_u16();
        frame.advance(4);
        let payload = frame.split_to(frame.len() - 1);
        match frame[0] {
            FRAME_END => Ok(Some(Self {
                kind,
                channel,
                payload,
            })),
            other => Err(FrameError::NoEnd(other)),
        }
    }

    /// Appends the frame.
    pub fn write(&self, out: &mut BytesMut) {
        self.kind.begin(out, self.channel, self.payload.len());
        out.put_slice(&self.payload);
        out.put_u8(FRAME_END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 4096;

    fn method() -> Frame {
        Frame {
            kind: FrameKind::Method,
            channel: 0x0102,
            payload: Bytes::from_static(b"\x00\x0a\x00\x33"),
        }
    }

    fn written(frame: &Frame) -> Bytes {
        let mut out = BytesMut::new();
        frame.write(&mut out);
        out.freeze()
    }

    #[test]
    fn a_frame_has_the_bytes_of_the_specification_and_comes_back() {
        let bytes = written(&method());
        assert_eq!(
            bytes,
            &b"\x01\x01\x02\x00\x00\x00\x04\x00\x0a\x00\x33\xce"[..]
        );
        let mut two = BytesMut::from(&bytes[..]);
        two.extend_from_slice(b"\x08\x00\x00\x00\x00\x00\x00\xce");
        let mut two = two.freeze();
        assert_eq!(Frame::take(&mut two, MAX_BYTES), Ok(Some(method())));
        let beat = Frame::take(&mut two, MAX_BYTES).unwrap().unwrap();
        assert_eq!((beat.kind, beat.payload.len()), (FrameKind::Heartbeat, 0));
        assert!(two.is_empty());
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_waited_for_and_left_where_it_is() {
        let whole = written(&method());
        for length in 0..whole.len() {
            let mut cut = whole.slice(..length);
            assert_eq!(Frame::take(&mut cut, MAX_BYTES), Ok(None));
            assert_eq!(cut.len(), length);
        }
    }

    #[test]
    fn a_frame_may_be_its_overhead_longer_than_agreed_and_no_byte_more() {
        let sized = |payload_bytes: usize| {
            let mut out = BytesMut::new();
            FrameKind::Body.begin(&mut out, 1, payload_bytes);
            frame_bytes(&out, MAX_BYTES)
        };
        assert_eq!(sized(MAX_BYTES), Ok(Some(MAX_BYTES + FRAME_OVERHEAD_BYTES)));
        assert!(matches!(
            sized(MAX_BYTES + 1),
            Err(FrameError::TooLong { .. })
        ));
        assert!(frame_bytes(b"\x01\x00\x00\xff\xff\xff\xff", usize::MAX).is_ok());
    }

    #[test]
    fn unknown_types_and_wrong_ends_are_refused_by_their_first_and_last_octet() {
        assert_eq!(
            frame_bytes(b"\x04", MAX_BYTES),
            Err(FrameError::UnknownKind(4))
        );
        let mut bytes = BytesMut::from(&written(&method())[..]);
        *bytes.last_mut().unwrap() = 0;
        let taken = Frame::take(&mut bytes.freeze(), MAX_BYTES);
        assert_eq!(taken, Err(FrameError::NoEnd(0)));
    }
}
