//! Ranges of a partition's batches, asked for and answered.
//!
//! | Call | |
//! |---|---|
//! | `u8` | [`READ_BATCHES`] |
//! | `u64` | partition |
//! | `u64` | from this offset on |
//! | `u64` | up to this offset, exclusive; a batch ends there |
//! | `u32` | most bytes, in bytes; a larger first batch comes nevertheless |
//!
//! | Answer | |
//! |---|---|
//! | `u8` | 0: batches; 1: trimmed; 2: busy; 3: not here; 4: cannot be read |
//! | `u64` | 0: all batches up to this offset are in the answer; 1: where the log begins |
//! | `u32` | 0: CRC-32C of what follows: batches' own checksums leave their heads out |
//! | bytes to the end | 0: whole batches as they are stored |

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use weir_log::partition::{PartitionLog, Read, ReadBatches, ReadError};
use weir_model::{Offset, PartitionId, batch::BatchHeader};

use crate::{
    Node, call,
    encoding::{DecodeError, Reader, Writer},
    peer::Answer,
};

/// Most bytes of one answer's batches, in bytes, unless the first batch alone is larger. Small
/// beside what a disk and a socket do in a millisecond or two: others wait behind it.
pub(super) const MAX_RANGE_BYTES: u32 = 1 << 20;

/// Of an answer with batches, before them, in bytes.
const BATCHES_HEAD_BYTES: usize = 1 + 8 + 4;

const BATCHES: u8 = 0;
const TRIMMED: u8 = 1;
const BUSY: u8 = 2;
const NOT_HERE: u8 = 3;
const UNREADABLE: u8 = 4;

/// Asks for batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RangeRequest {
    pub(super) partition: PartitionId,
    pub(super) from: Offset,
    pub(super) to: Offset,
    pub(super) max_bytes: u32,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RangeAnswer {
    /// All batches from the one with the first offset on, up to `next`.
    Batches { next: Offset, batches: Bytes },
    /// The log begins later.
    Trimmed { start: Offset },
    /// Too much is being read: ask again.
    Busy,
    /// The node has not got these offsets.
    NotHere,
    /// The node's own data cannot be read.
    Unreadable,
}

impl RangeRequest {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(call::READ_BATCHES);
        writer.u64(self.partition.0);
        writer.u64(self.from.0);
        writer.u64(self.to.0);
        writer.u32(self.max_bytes);
        writer.finish()
    }

    /// Decodes what follows the tag.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let request = Self {
            partition: PartitionId(reader.u64()?),
            from: Offset(reader.u64()?),
            to: Offset(reader.u64()?),
            max_bytes: reader.u32()?,
        };
        reader.finish()?;
        Ok(request)
    }
}

impl RangeAnswer {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Batches { next, batches } => {
                return encode_batches(std::slice::from_ref(batches), *next, None);
            }
            Self::Trimmed { start } => {
                out.extend_from_slice(&[TRIMMED]);
                out.extend_from_slice(&start.0.to_le_bytes());
            }
            Self::Busy => out.extend_from_slice(&[BUSY]),
            Self::NotHere => out.extend_from_slice(&[NOT_HERE]),
            Self::Unreadable => out.extend_from_slice(&[UNREADABLE]),
        }
        out.freeze()
    }

    /// `None` where it is not an answer. Its batches are what was sent, and not checked besides.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        let answer = match bytes.try_get_u8().ok()? {
            BATCHES => {
                let next = Offset(bytes.try_get_u64_le().ok()?);
                let crc = bytes.try_get_u32_le().ok()?;
                if crc != crc32c::crc32c(&bytes) {
                    return None;
                }
                let batches = std::mem::take(&mut bytes);
                Self::Batches { next, batches }
            }
            TRIMMED => Self::Trimmed {
                start: Offset(bytes.try_get_u64_le().ok()?),
            },
            BUSY => Self::Busy,
            NOT_HERE => Self::NotHere,
            UNREADABLE => Self::Unreadable,
            _ => return None,
        };
        bytes.is_empty().then_some(answer)
    }
}

/// An answer with the batches of `chunks`, which are all up to `next`; copied into it once.
/// Those that begin at `end` or later are left out.
fn encode_batches(chunks: &[Bytes], next: Offset, end: Option<Offset>) -> Bytes {
    let size_bytes: usize = chunks.iter().map(Bytes::len).sum();
    let mut out = BytesMut::with_capacity(BATCHES_HEAD_BYTES + size_bytes);
    out.resize(BATCHES_HEAD_BYTES, 0);
    chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
    if let Some(end) = end {
        let length = length_before(&out[BATCHES_HEAD_BYTES..], end);
        out.truncate(BATCHES_HEAD_BYTES + length);
    }
    let crc = crc32c::crc32c(&out[BATCHES_HEAD_BYTES..]);
    let mut head = &mut out[..BATCHES_HEAD_BYTES];
    head.put_u8(BATCHES);
    head.put_u64_le(end.map_or(next, |end| next.min(end)).0);
    head.put_u32_le(crc);
    out.freeze()
}

/// A call's body as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let request = RangeRequest::decode(body).ok()?;
    Some(request.encode())
}

/// An answer as it is understood, written again.
pub(crate) fn reread_answer(answer: &[u8]) -> Option<Bytes> {
    let answer = RangeAnswer::decode(Bytes::copy_from_slice(answer))?;
    Some(answer.encode())
}

/// Answers with batches of a partition that this node has applied, whether it leads or not.
pub(crate) fn serve(node: &Arc<Node>, request: &Bytes, answer: Answer) {
    let Ok(request) = RangeRequest::decode(request) else {
        return;
    };
    let Some(log) = node.env.registry.get(request.partition) else {
        return answer(RangeAnswer::NotHere.encode());
    };
    let max_bytes = request.max_bytes.min(MAX_RANGE_BYTES) as usize;
    match log.read(request.from, max_bytes, true) {
        Read::Batches(batches) => answer(answer_of(&request, &log, Ok(batches))),
        Read::AtEnd => answer(RangeAnswer::NotHere.encode()),
        Read::OutOfRange { start, end } => {
            let outside = Err(ReadError::OutOfRange { start, end });
            answer(answer_of(&request, &log, outside));
        }
        Read::Cold(cold) => {
            let offers = Arc::clone(&node.offers);
            let done = move |read: Result<ReadBatches, ReadError>| {
                if let Err(ReadError::Corrupt { path, .. }) = &read {
                    offers.found_damage(&log, path);
                }
                answer(answer_of(&request, &log, read));
            };
            node.env.store.read_cold(cold, Box::new(done));
        }
    }
}

fn answer_of(
    request: &RangeRequest,
    log: &PartitionLog,
    read: Result<ReadBatches, ReadError>,
) -> Bytes {
    let refused = match read {
        Ok(read) => return cut(request, log, &read),
        Err(ReadError::Busy | ReadError::Closed) => RangeAnswer::Busy,
        Err(ReadError::OutOfRange { start, .. }) if request.from < start => {
            RangeAnswer::Trimmed { start }
        }
        Err(ReadError::OutOfRange { .. }) => RangeAnswer::NotHere,
        Err(error @ (ReadError::Corrupt { .. } | ReadError::Failed { .. })) => {
            tracing::error!(%error, "stored data cannot be read for another node");
            RangeAnswer::Unreadable
        }
    };
    refused.encode()
}

/// Leaves out what begins at the range's end or later.
fn cut(request: &RangeRequest, log: &PartitionLog, read: &ReadBatches) -> Bytes {
    if read.size_bytes > 0 {
        return encode_batches(&read.chunks, read.next_offset, Some(request.to));
    }
    // Compaction left nothing up to the log's end.
    match log.end_offset() {
        end if end >= request.to => encode_batches(&[], request.to, None),
        _ => RangeAnswer::NotHere.encode(),
    }
}

/// Bytes of the batches before the first that begins at `end` or later.
fn length_before(batches: &[u8], end: Offset) -> usize {
    let mut length = 0;
    while let Ok(header) = BatchHeader::parse(&batches[length..])
        && header.base_offset < end.wire()
    {
        length += header.size_bytes;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::trial;

    #[test]
    fn requests_come_back_and_damage_is_an_error() {
        let request = RangeRequest {
            partition: PartitionId(7),
            from: Offset(1),
            to: Offset(2),
            max_bytes: 3,
        };
        let bytes = request.encode();
        assert_eq!(bytes[0], call::READ_BATCHES);
        assert_eq!(RangeRequest::decode(&bytes[1..]), Ok(request));
        trial::damage(&bytes[1..], RangeRequest::decode);
    }

    #[test]
    fn answers_come_back_and_cut_ones_are_none() {
        let batches = RangeAnswer::Batches {
            next: Offset(9),
            batches: Bytes::from_static(b"abc"),
        };
        let start = RangeAnswer::Trimmed { start: Offset(9) };
        for answer in [
            &start,
            &RangeAnswer::Busy,
            &RangeAnswer::NotHere,
            &RangeAnswer::Unreadable,
        ] {
            let bytes = answer.encode();
            assert_eq!(RangeAnswer::decode(bytes.clone()).as_ref(), Some(answer));
            for cut in 0..bytes.len() {
                assert_eq!(RangeAnswer::decode(bytes.slice(..cut)), None);
            }
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            assert_eq!(RangeAnswer::decode(longer), None);
        }
        let bytes = batches.encode();
        assert_eq!(RangeAnswer::decode(bytes.clone()), Some(batches));
        for cut in 0..bytes.len() {
            assert_eq!(RangeAnswer::decode(bytes.slice(..cut)), None);
        }
        assert_eq!(RangeAnswer::decode(Bytes::from_static(&[5])), None);
    }
}
