//! Places and batches of streams.

use bytes::Bytes;
use weir_model::{ErrorKind, ProducerId};

use super::{NO_ERROR, error_of};
use crate::{
    encoding::{DecodeError, Reader, Writer},
    node::queues::stream::{Chunk, ReadAnswer, StreamStart},
};

// Tags are never used again for something else.
const FIRST: u8 = 1;
const LAST: u8 = 2;
const NEXT: u8 = 3;
const OFFSET: u8 = 4;
const TIME: u8 = 5;

const ABORTED_BYTES: usize = 8 + 8;

pub(super) fn write_start(writer: &mut Writer, start: StreamStart) {
    match start {
        StreamStart::First => writer.u8(FIRST),
        StreamStart::Last => writer.u8(LAST),
        StreamStart::Next => writer.u8(NEXT),
        StreamStart::Offset(offset) => {
            writer.u8(OFFSET);
            writer.u64(offset);
        }
        StreamStart::Time(ms) => {
            writer.u8(TIME);
            writer.i64(ms);
        }
    }
}

pub(super) fn read_start(reader: &mut Reader<'_>) -> Result<StreamStart, DecodeError> {
    Ok(match reader.u8()? {
        FIRST => StreamStart::First,
        LAST => StreamStart::Last,
        NEXT => StreamStart::Next,
        OFFSET => StreamStart::Offset(reader.u64()?),
        TIME => StreamStart::Time(reader.i64()?),
        tag => return Err(reader.unknown_tag("place in a stream", tag)),
    })
}

pub(in super::super) fn write_start_answer(found: Result<u64, ErrorKind>) -> Bytes {
    let mut writer = Writer::new();
    match found {
        Ok(offset) => {
            writer.u16(NO_ERROR);
            writer.u64(offset);
        }
        Err(error) => writer.u16(error.code()),
    }
    writer.finish()
}

pub(in super::super) fn read_start_answer(
    body: &[u8],
) -> Result<Result<u64, ErrorKind>, DecodeError> {
    let mut reader = Reader::new(body);
    let found = match reader.u16()? {
        NO_ERROR => Ok(reader.u64()?),
        code => Err(error_of(code, &reader)?),
    };
    reader.finish()?;
    Ok(found)
}

pub(in super::super) fn write_chunk(chunk: &ReadAnswer) -> Bytes {
    let mut writer = Writer::new();
    match chunk {
        Ok(chunk) => {
            writer.u16(NO_ERROR);
            writer.u64(chunk.log_start);
            writer.u64(chunk.end);
            writer.count(chunk.aborted.len());
            for (producer, first) in &chunk.aborted {
                writer.i64(producer.0);
                writer.u64(*first);
            }
            writer.bytes(&chunk.batches);
        }
        Err(error) => writer.u16(error.code()),
    }
    writer.finish()
}

/// Batches are a slice of the answer.
pub(in super::super) fn read_chunk(body: &Bytes) -> Result<ReadAnswer, DecodeError> {
    let mut reader = Reader::new(body);
    let chunk = match reader.u16()? {
        NO_ERROR => {
            let (log_start, end) = (reader.u64()?, reader.u64()?);
            let count = reader.count(ABORTED_BYTES)?;
            let aborted = (0..count).map(|_| Ok((ProducerId(reader.i64()?), reader.u64()?)));
            let aborted = aborted.collect::<Result<_, DecodeError>>()?;
            let batches = body.slice_ref(reader.bytes()?);
            Ok(Chunk {
                log_start,
                end,
                aborted,
                batches,
            })
        }
        code => Err(error_of(code, &reader)?),
    };
    reader.finish()?;
    Ok(chunk)
}
