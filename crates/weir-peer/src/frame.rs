//! Frames: what a connection between nodes consists of. Layout: `docs/formats-peer.md`.

use std::{io, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use weir_raft::{BufferPool, MAX_POOLED_BYTES, MIN_POOLED_BYTES, PooledBuf};

use crate::limits::{MAX_FRAME_BYTES, MAX_READ_AHEAD_BYTES, READ_STEP_BYTES};

const MAGIC: [u8; 4] = *b"WEIP";
const VERSION: u8 = 1;
pub(crate) const HEADER_BYTES: usize = 32;
/// Magic and checksum are outside of what the checksum covers.
const CHECKED_FROM: usize = 8;
/// Behind the checksum, version, kind and what is reserved.
const LENGTH_AT: usize = CHECKED_FROM + 4;

/// What a frame carries. Tags are never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello,
    HelloOk,
    Messages,
    Call,
    Answer,
    Beacon,
    Refuse,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Hello,
        Self::HelloOk,
        Self::Messages,
        Self::Call,
        Self::Answer,
        Self::Beacon,
        Self::Refuse,
    ];

    fn tag(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::HelloOk => 2,
            Self::Messages => 3,
            Self::Call => 4,
            Self::Answer => 5,
            Self::Beacon => 6,
            Self::Refuse => 7,
        }
    }

    fn of(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) cluster: u128,
    pub(crate) body: Bytes,
}

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are not of this protocol.
    #[error("this is no connection between nodes of WeirMQ")]
    Magic,
    /// Another version of the protocol.
    #[error("frame version {0} is unknown")]
    Version(u8),
    /// A kind of frame that this build does not know.
    #[error("kind of frame {0} is unknown")]
    Kind(u8),
    /// The frame is longer than allowed here.
    #[error("a frame of {length} bytes, {max_bytes} are allowed")]
    TooLong {
        /// Its body's length as it says, in bytes.
        length: u32,
        /// What is allowed, in bytes.
        max_bytes: usize,
    },
    /// The checksum is wrong.
    #[error("a frame's checksum is wrong")]
    Checksum,
    /// The connection ended within a frame.
    #[error("the connection ended within a frame")]
    Cut,
    /// The body is not what the frame's kind asks for.
    #[error("a frame's body is malformed: {0}")]
    Body(String),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Appends a frame to what is to be written. `body` is at most [`MAX_FRAME_BYTES`] long.
pub(crate) fn seal(kind: Kind, cluster: u128, body: Vec<Bytes>, out: &mut Vec<Bytes>) {
    let length: usize = body.iter().map(Bytes::len).sum();
    assert!(length <= MAX_FRAME_BYTES, "queues take no more than fits");
    let mut header = BytesMut::with_capacity(HEADER_BYTES);
    header.put_slice(&MAGIC);
    header.put_u32_le(0);
    header.put_u8(VERSION);
    header.put_u8(kind.tag());
    header.put_u16_le(0);
    header.put_u32_le(u32::try_from(length).expect("64 MiB fit"));
    header.put_u128_le(cluster);
    let mut checksum = crc32c::crc32c(&header[CHECKED_FROM..]);
    for chunk in &body {
        checksum = crc32c::crc32c_append(checksum, chunk);
    }
    header[MAGIC.len()..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
    out.push(header.freeze());
    out.extend(body.into_iter().filter(|chunk| !chunk.is_empty()));
}

/// Takes the first frame off `buffer`; `None` where it is not whole yet.
pub(crate) fn take(buffer: &mut BytesMut, max_bytes: usize) -> Result<Option<Frame>, FrameError> {
    let Some(header) = Header::read(buffer, max_bytes)? else {
        return Ok(None);
    };
    if buffer.len() < header.whole_bytes {
        return Ok(None);
    }
    let whole = buffer.split_to(header.whole_bytes).freeze();
    let found = crc32c::crc32c(&whole[CHECKED_FROM..]);
    header.open(whole, found).map(Some)
}

/// The start of a frame.
struct Header {
    checksum: u32,
    kind: Kind,
    cluster: u128,
    /// With itself, in bytes.
    whole_bytes: usize,
}

impl Header {
    /// Reads what the bytes begin with; `None` where there are too few.
    fn read(bytes: &[u8], max_bytes: usize) -> Result<Option<Self>, FrameError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(FrameError::Magic);
        }
        let Some(mut header) = bytes.get(MAGIC.len()..HEADER_BYTES) else {
            return Ok(None);
        };
        let checksum = header.get_u32_le();
        let (version, tag) = (header.get_u8(), header.get_u8());
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let kind = Kind::of(tag).ok_or(FrameError::Kind(tag))?;
        let _reserved = header.get_u16_le();
        let length = header.get_u32_le();
        let cluster = header.get_u128_le();
        let body_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if body_bytes > max_bytes {
            return Err(FrameError::TooLong { length, max_bytes });
        }
        Ok(Some(Self {
            checksum,
            kind,
            cluster,
            whole_bytes: HEADER_BYTES + body_bytes,
        }))
    }

    /// The frame in its bytes, whose checksum was found to be `found`.
    fn open(self, mut whole: Bytes, found: u32) -> Result<Frame, FrameError> {
        if found != self.checksum {
            return Err(FrameError::Checksum);
        }
        whole.advance(HEADER_BYTES);
        Ok(Frame {
            kind: self.kind,
            cluster: self.cluster,
            body: whole,
        })
    }
}

/// A large frame that is arriving, in memory of just its size.
struct Arriving {
    header: Header,
    whole: PooledBuf,
    /// Of what is here: summed up while it is in the processor's cache.
    checksum: u32,
}

impl Arriving {
    fn missing_bytes(&self) -> usize {
        self.header.whole_bytes - self.whole.as_ref().len()
    }

    /// Reads some of what is missing.
    async fn read(&mut self, input: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let (from, limit) = (self.whole.as_ref().len(), self.missing_bytes());
        let count = input
            .read_buf(&mut self.whole.memory().limit(limit))
            .await?;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.whole.as_ref()[from..]);
        Ok(count)
    }
}

/// Reads frames; its memory grows with what has arrived, and is reserved up to
/// [`MAX_POOLED_BYTES`] ahead.
pub(crate) struct FrameReader<R> {
    input: R,
    buffer: BytesMut,
    /// Instead of `buffer`, which is empty then.
    arriving: Option<Arriving>,
    buffers: Arc<BufferPool>,
    max_bytes: usize,
    on_bytes: Box<dyn Fn() + Send>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(input: R, max_bytes: usize) -> Self {
        Self {
            input,
            buffer: BytesMut::new(),
            arriving: None,
            buffers: Arc::default(),
            max_bytes,
            on_bytes: Box::new(|| {}),
        }
    }

    /// Allows longer frames.
    pub(crate) fn allow(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Has large frames come in memory of `buffers`.
    pub(crate) fn share(&mut self, buffers: &Arc<BufferPool>) {
        self.buffers = Arc::clone(buffers);
    }

    /// Has `on_bytes` called for every read: a large frame is a sign of life long before it is
    /// whole.
    pub(crate) fn on_bytes(&mut self, on_bytes: Box<dyn Fn() + Send>) {
        self.on_bytes = on_bytes;
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if self.read().await? == 0 {
                return if self.buffer.is_empty() && self.arriving.is_none() {
                    Ok(None)
                } else {
                    Err(FrameError::Cut)
                };
            }
            (self.on_bytes)();
        }
    }

    /// The frame that is whole.
    fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let is_whole = |arriving: &mut Arriving| arriving.missing_bytes() == 0;
        if let Some(whole) = self.arriving.take_if(is_whole) {
            return whole
                .header
                .open(whole.whole.freeze(), whole.checksum)
                .map(Some);
        }
        take(&mut self.buffer, self.max_bytes)
    }

    async fn read(&mut self) -> Result<usize, FrameError> {
        if self.arriving.is_none() {
            self.set_apart()?;
        }
        Ok(match &mut self.arriving {
            Some(arriving) => arriving.read(&mut self.input).await?,
            None => {
                self.make_room();
                self.input.read_buf(&mut self.buffer).await?
            }
        })
    }

    /// Moves the beginning of a large frame to where the whole of it has room.
    fn set_apart(&mut self) -> Result<(), FrameError> {
        let Some(header) = Header::read(&self.buffer, self.max_bytes)? else {
            return Ok(());
        };
        if (MIN_POOLED_BYTES..=MAX_POOLED_BYTES).contains(&header.whole_bytes) {
            let mut whole = self.buffers.take(header.whole_bytes);
            whole.memory().extend_from_slice(&self.buffer);
            let checksum = crc32c::crc32c(&self.buffer[CHECKED_FROM..]);
            self.buffer.clear();
            self.arriving = Some(Arriving {
                header,
                whole,
                checksum,
            });
        }
        Ok(())
    }

    /// Room for the rest of a frame that has begun, so that it is not moved as it grows.
    fn make_room(&mut self) {
        let spare_bytes = self.buffer.capacity() - self.buffer.len();
        let missing_bytes = missing(&self.buffer).min(self.max_bytes);
        if spare_bytes < READ_STEP_BYTES.min(missing_bytes.max(HEADER_BYTES)) {
            let ahead_bytes = missing_bytes.min(MAX_READ_AHEAD_BYTES);
            self.buffer.reserve(ahead_bytes.max(READ_STEP_BYTES));
        }
    }
}

/// What the first frame in `buffer` lacks, in bytes, as far as its header is there.
fn missing(buffer: &[u8]) -> usize {
    let Some(header) = buffer.get(..HEADER_BYTES) else {
        return HEADER_BYTES - buffer.len();
    };
    let length = (&header[LENGTH_AT..]).get_u32_le();
    let whole_bytes = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .saturating_add(HEADER_BYTES);
    whole_bytes.saturating_sub(buffer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(kind: Kind, body: &'static [u8]) -> BytesMut {
        let mut out = Vec::new();
        seal(kind, 5 << 100, vec![Bytes::from_static(body)], &mut out);
        BytesMut::from(&out.concat()[..])
    }

    #[test]
    fn every_kind_reads_back_and_no_cut_does() {
        for kind in Kind::ALL {
            let whole = sealed(kind, b"body");
            let frame = Frame {
                kind,
                cluster: 5 << 100,
                body: Bytes::from_static(b"body"),
            };
            assert_eq!(take(&mut whole.clone(), 4).unwrap(), Some(frame));
            for cut in 0..whole.len() {
                let mut cut = BytesMut::from(&whole[..cut]);
                assert!(matches!(take(&mut cut, 4), Ok(None)));
            }
        }
    }

    #[test]
    fn a_changed_bit_in_any_byte_is_never_a_frame() {
        let whole = sealed(Kind::Call, b"body");
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                let taken = take(&mut damaged, 4);
                assert!(!matches!(taken, Ok(Some(_))), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_frame_one_byte_too_long_is_refused_by_its_header_alone() {
        let mut header = sealed(Kind::Call, b"body");
        header.truncate(HEADER_BYTES);
        assert!(matches!(
            take(&mut header, 3),
            Err(FrameError::TooLong {
                length: 4,
                max_bytes: 3
            })
        ));
    }

    #[tokio::test]
    async fn a_large_frame_comes_in_pieces_and_leaves_the_next_one_whole() {
        let body = vec![9; MIN_POOLED_BYTES + 7];
        let mut large = Vec::new();
        seal(
            Kind::Messages,
            1,
            vec![Bytes::from(body.clone())],
            &mut large,
        );
        let mut bytes = large.concat();
        bytes.extend_from_slice(&sealed(Kind::Beacon, b"next"));
        for piece_bytes in [1, HEADER_BYTES, MIN_POOLED_BYTES, bytes.len()] {
            let (mut input, output) = tokio::io::duplex(piece_bytes);
            let sent = bytes.clone();
            tokio::spawn(
                async move { tokio::io::AsyncWriteExt::write_all(&mut input, &sent).await },
            );
            let mut reader = FrameReader::new(output, MAX_FRAME_BYTES);
            assert_eq!(reader.next().await.unwrap().unwrap().body, body);
            assert_eq!(&reader.next().await.unwrap().unwrap().body[..], b"next");
            assert!(reader.next().await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn a_large_frame_that_is_damaged_or_cut_is_an_error() {
        let mut large = Vec::new();
        let body = Bytes::from(vec![9; MIN_POOLED_BYTES]);
        seal(Kind::Messages, 1, vec![body], &mut large);
        let whole = large.concat();
        let mut damaged = whole.clone();
        damaged[MIN_POOLED_BYTES] ^= 1;
        let mut reader = FrameReader::new(&damaged[..], MAX_FRAME_BYTES);
        assert!(matches!(reader.next().await, Err(FrameError::Checksum)));
        let mut reader = FrameReader::new(&whole[..whole.len() - 1], MAX_FRAME_BYTES);
        assert!(matches!(reader.next().await, Err(FrameError::Cut)));
    }

    #[tokio::test]
    async fn frames_come_out_of_single_bytes_and_a_cut_is_told_from_an_end() {
        let bytes = [sealed(Kind::Call, b"one"), sealed(Kind::Beacon, b"")].concat();
        let (mut input, output) = tokio::io::duplex(1);
        let cut = bytes[..40].to_vec();
        tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut input, &bytes)
                .await
                .unwrap();
        });
        let mut reader = FrameReader::new(output, 64);
        assert_eq!(reader.next().await.unwrap().unwrap().kind, Kind::Call);
        assert_eq!(reader.next().await.unwrap().unwrap().kind, Kind::Beacon);
        assert!(reader.next().await.unwrap().is_none());
        let mut reader = FrameReader::new(&cut[..39], 64);
        assert!(reader.next().await.unwrap().is_some() || cut.len() < 35);
        assert!(matches!(reader.next().await, Err(FrameError::Cut)));
    }
}
