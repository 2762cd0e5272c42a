//! Queues between nodes.
//!
//! Calls: tag `QUEUE`, then `u8` kind. Kind 1, a call to a partition's leader: `u32` group, `u64`
//! partition, call. Its answer: `u8` 0 and an answer, or `u8` 1 and the `u16` code of an error.
//! Kind 2, a batch for a partition: `u32` group, `u64` partition, then the batch up to the end. Its
//! answer: `u16` 0, `u32` the first record that the queue does not take, or 2^32 - 1, and `u64` the
//! batch's offset, or 2^64 - 1 where that is not known; or the `u16` code of an error. Kind 3, deliveries for sessions: `u32` count, and for each session,
//! consumer and delivery. Kind 4, whether sessions have room: `u32` count and sessions. The answer of
//! both: `u32` count and sessions that are gone, `u32` count and sessions that have no room. Kind 5,
//! whether a consumer of replies is there: session, `u64` consumer. Its answer is the same: its
//! session counts as gone where it is not. Kind 6, a place in a stream: `u64` partition, `u8` which,
//! `u64` offset or `i64` time. Its answer: `u16` 0 and `u64` offset, or the `u16` code of an error.
//! Kind 7, batches of a stream: `u64` partition, `u64` offset, `u32` most bytes. Its answer: `u16` 0,
//! `u64` first offset, `u64` end, `u32` count and for each aborted transaction `i64` producer and
//! `u64` first offset, then the batches up to the end; or the `u16` code of an error.
//! Kind 8, sessions that a leader has ended since their node was away: `u32` count and sessions. Its
//! answer is that of kind 4: those that are gone already.

mod answer;
mod call;
mod streams;

use bytes::Bytes;
use weir_model::{ErrorKind, GroupId, Offset, PartitionId};

pub(super) use self::streams::{
    read_chunk, read_start_answer as read_start, write_chunk, write_start_answer,
};
use super::stream::StreamStart;
use crate::{
    api::queues::{ConsumerTag, Delivered, DeliveryId},
    call::QUEUE,
    encoding::{DecodeError, Reader, Writer},
    queue::{
        ConsumerKey, QueueAnswer, QueueCall, SessionKey,
        encoding::{read_consumer, read_session, write_consumer, write_session},
    },
};

// Kinds are never used again for something else.
const ASK: u8 = 1;
const APPEND: u8 = 2;
const DELIVER: u8 = 3;
const ROOM: u8 = 4;
const REPLY_CONSUMER: u8 = 5;
const STREAM_START: u8 = 6;
const STREAM_READ: u8 = 7;
const LOST: u8 = 8;

const NO_ERROR: u16 = 0;
const NONE_REFUSED: u32 = u32::MAX;
/// An offset that is not known.
const NOWHERE: u64 = u64::MAX;
const SESSION_BYTES: usize = 3 * 8;
const DELIVERY_MIN_BYTES: usize = SESSION_BYTES + 8 + 3 * 8 + 1 + 4 + 8 + 4;

/// A call about queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Ask {
        group: GroupId,
        partition: PartitionId,
        call: QueueCall,
    },
    Append {
        group: GroupId,
        partition: PartitionId,
        batch: Bytes,
    },
    Deliver(Vec<(SessionKey, ConsumerTag, Delivered)>),
    Room(Vec<SessionKey>),
    ReplyConsumer(ConsumerKey),
    StreamStart {
        partition: PartitionId,
        start: StreamStart,
    },
    StreamRead {
        partition: PartitionId,
        offset: u64,
        max_bytes: u32,
    },
    Lost(Vec<SessionKey>),
}

/// What became of a batch.
pub(super) type Appended = Result<Landed, ErrorKind>;

/// A batch that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Landed {
    /// Where it begins, as far as that is known.
    pub(super) base_offset: Option<Offset>,
    /// The first record that the queue does not take.
    pub(super) refused_from: Option<u32>,
}

/// Sessions of a node that deliveries were for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    /// They are gone.
    pub(super) ended: Vec<SessionKey>,
    /// Their clients have much to take already.
    pub(super) full: Vec<SessionKey>,
}

impl Call {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(QUEUE);
        match self {
            Self::Ask {
                group,
                partition,
                call,
            } => {
                writer.u8(ASK);
                write_place(&mut writer, *group, *partition);
                call::write(&mut writer, call);
            }
            Self::Append {
                group,
                partition,
                batch,
            } => {
                writer.u8(APPEND);
                write_place(&mut writer, *group, *partition);
                writer.bytes(batch);
            }
            Self::Deliver(deliveries) => {
                writer.u8(DELIVER);
                writer.count(deliveries.len());
                for (session, consumer, delivered) in deliveries {
                    write_session(&mut writer, session);
                    writer.u64(consumer.0);
                    write_delivered(&mut writer, delivered);
                }
            }
            Self::Room(sessions) => {
                writer.u8(ROOM);
                write_sessions(&mut writer, sessions);
            }
            Self::Lost(sessions) => {
                writer.u8(LOST);
                write_sessions(&mut writer, sessions);
            }
            Self::ReplyConsumer(consumer) => {
                writer.u8(REPLY_CONSUMER);
                write_consumer(&mut writer, consumer);
            }
            Self::StreamStart { partition, start } => {
                writer.u8(STREAM_START);
                writer.u64(partition.0);
                streams::write_start(&mut writer, *start);
            }
            Self::StreamRead {
                partition,
                offset,
                max_bytes,
            } => {
                writer.u8(STREAM_READ);
                writer.u64(partition.0);
                writer.u64(*offset);
                writer.u32(*max_bytes);
            }
        }
        writer.finish()
    }

    /// Records and batches are slices of the call.
    pub(super) fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let call = match reader.u8()? {
            ASK => {
                let (group, partition) = read_place(&mut reader)?;
                let call = call::read(&mut reader)?;
                Self::Ask {
                    group,
                    partition,
                    call,
                }
            }
            APPEND => {
                let (group, partition) = read_place(&mut reader)?;
                let batch = body.slice_ref(reader.bytes()?);
                Self::Append {
                    group,
                    partition,
                    batch,
                }
            }
            DELIVER => {
                let count = reader.count(DELIVERY_MIN_BYTES)?;
                let deliveries = (0..count).map(|_| {
                    let session = read_session(&mut reader)?;
                    let consumer = ConsumerTag(reader.u64()?);
                    let delivered = read_delivered(&mut reader, body)?;
                    Ok((session, consumer, delivered))
                });
                Self::Deliver(deliveries.collect::<Result<_, _>>()?)
            }
            ROOM => Self::Room(read_sessions(&mut reader)?),
            REPLY_CONSUMER => Self::ReplyConsumer(read_consumer(&mut reader)?),
            STREAM_START => Self::StreamStart {
                partition: PartitionId(reader.u64()?),
                start: streams::read_start(&mut reader)?,
            },
            STREAM_READ => Self::StreamRead {
                partition: PartitionId(reader.u64()?),
                offset: reader.u64()?,
                max_bytes: reader.u32()?,
            },
            LOST => Self::Lost(read_sessions(&mut reader)?),
            kind => return Err(reader.unknown_tag("call about queues", kind)),
        };
        reader.finish()?;
        Ok(call)
    }
}

pub(super) fn write_answer(answer: &Result<QueueAnswer, ErrorKind>) -> Bytes {
    let mut writer = Writer::new();
    match answer {
        Ok(answer) => {
            writer.u8(0);
            answer::write(&mut writer, answer);
        }
        Err(error) => {
            writer.u8(1);
            writer.u16(error.code());
        }
    }
    writer.finish()
}

pub(super) fn read_answer(body: &Bytes) -> Result<Result<QueueAnswer, ErrorKind>, DecodeError> {
    let mut reader = Reader::new(body);
    let answer = match reader.u8()? {
        0 => Ok(answer::read(&mut reader, body)?),
        1 => Err(read_error(&mut reader)?),
        tag => return Err(reader.unknown_tag("answer", tag)),
    };
    reader.finish()?;
    Ok(answer)
}

pub(super) fn write_appended(appended: Appended) -> Bytes {
    let mut writer = Writer::new();
    match appended {
        Ok(landed) => {
            writer.u16(NO_ERROR);
            writer.u32(landed.refused_from.unwrap_or(NONE_REFUSED));
            writer.u64(landed.base_offset.map_or(NOWHERE, |base| base.0));
        }
        Err(error) => writer.u16(error.code()),
    }
    writer.finish()
}

pub(super) fn read_appended(body: &[u8]) -> Result<Appended, DecodeError> {
    let mut reader = Reader::new(body);
    let appended = match reader.u16()? {
        NO_ERROR => {
            let refused_from = reader.u32()?;
            let base_offset = reader.u64()?;
            Ok(Landed {
                base_offset: (base_offset != NOWHERE).then_some(Offset(base_offset)),
                refused_from: (refused_from != NONE_REFUSED).then_some(refused_from),
            })
        }
        code => Err(error_of(code, &reader)?),
    };
    reader.finish()?;
    Ok(appended)
}

impl Sessions {
    pub(super) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        write_sessions(&mut writer, &self.ended);
        write_sessions(&mut writer, &self.full);
        writer.finish()
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let sessions = Self {
            ended: read_sessions(&mut reader)?,
            full: read_sessions(&mut reader)?,
        };
        reader.finish()?;
        Ok(sessions)
    }
}

fn read_error(reader: &mut Reader<'_>) -> Result<ErrorKind, DecodeError> {
    let code = reader.u16()?;
    error_of(code, reader)
}

fn error_of(code: u16, reader: &Reader<'_>) -> Result<ErrorKind, DecodeError> {
    ErrorKind::from_code(code).ok_or_else(|| reader.invalid("error code"))
}

fn write_place(writer: &mut Writer, group: GroupId, partition: PartitionId) {
    writer.u32(group.0);
    writer.u64(partition.0);
}

fn read_place(reader: &mut Reader<'_>) -> Result<(GroupId, PartitionId), DecodeError> {
    Ok((GroupId(reader.u32()?), PartitionId(reader.u64()?)))
}

fn write_sessions(writer: &mut Writer, sessions: &[SessionKey]) {
    writer.count(sessions.len());
    let mut write = |session| write_session(writer, session);
    sessions.iter().for_each(&mut write);
}

fn read_sessions(reader: &mut Reader<'_>) -> Result<Vec<SessionKey>, DecodeError> {
    let count = reader.count(SESSION_BYTES)?;
    (0..count).map(|_| read_session(reader)).collect()
}

fn write_delivered(writer: &mut Writer, delivered: &Delivered) {
    writer.u64(delivered.id.partition.0);
    writer.u64(delivered.id.offset);
    writer.u64(delivered.id.serial);
    writer.u8(u8::from(delivered.is_redelivered));
    writer.u32(delivered.failed_count);
    writer.i64(delivered.timestamp_ms);
    writer.bytes(&delivered.record);
}

fn read_delivered(reader: &mut Reader<'_>, body: &Bytes) -> Result<Delivered, DecodeError> {
    let (partition, offset, serial) = (PartitionId(reader.u64()?), reader.u64()?, reader.u64()?);
    Ok(Delivered {
        id: DeliveryId::of(partition, offset, serial),
        is_redelivered: reader.flag()?,
        failed_count: reader.u32()?,
        timestamp_ms: reader.i64()?,
        record: body.slice_ref(reader.bytes()?),
    })
}

/// The body of a call as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let body = Bytes::copy_from_slice(body);
    Call::decode(&body).ok().map(|call| call.encode())
}

/// An answer as it is understood, written again.
pub(crate) fn reread_answer(answer: &[u8]) -> Option<Bytes> {
    let answer = Bytes::copy_from_slice(answer);
    read_answer(&answer)
        .ok()
        .map(|answer| write_answer(&answer))
}

#[cfg(test)]
mod tests;
