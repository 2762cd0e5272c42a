//! What a partition's leader answers: `u8` tag, then its fields in the order of their declaration.

use bytes::Bytes;

use super::{read_delivered, write_delivered};
use crate::{
    encoding::{DecodeError, Reader, Writer},
    queue::{QueueAnswer, QueueFigures, refused},
};

// Tags are never used again for something else.
const DONE: u8 = 1;
const COUNTED: u8 = 2;
const GOT: u8 = 3;
const FIGURES: u8 = 4;
const IN_EXCLUSIVE_USE: u8 = 5;
const NOT_A_QUEUE: u8 = 6;
const REFUSED: u8 = 7;
const SESSION_LOST: u8 = 8;
const STILL_USED: u8 = 9;
const NOT_EMPTY: u8 = 10;

pub(super) fn write(writer: &mut Writer, answer: &QueueAnswer) {
    match answer {
        QueueAnswer::Done => writer.u8(DONE),
        QueueAnswer::Counted(count) => {
            writer.u8(COUNTED);
            writer.u64(*count);
        }
        QueueAnswer::Got(got) => {
            writer.u8(GOT);
            writer.u8(u8::from(got.is_some()));
            if let Some((delivered, ready_count)) = got {
                write_delivered(writer, delivered);
                writer.u64(*ready_count);
            }
        }
        QueueAnswer::Figures(figures) => {
            writer.u8(FIGURES);
            writer.u64(figures.ready_count);
            writer.u64(figures.unacked_count);
            writer.u64(figures.delayed_count);
            writer.u64(figures.consumer_count);
            writer.u64(figures.idle_ms);
        }
        QueueAnswer::InExclusiveUse => writer.u8(IN_EXCLUSIVE_USE),
        QueueAnswer::NotAQueue => writer.u8(NOT_A_QUEUE),
        QueueAnswer::SessionLost => writer.u8(SESSION_LOST),
        QueueAnswer::StillUsed => writer.u8(STILL_USED),
        QueueAnswer::NotEmpty => writer.u8(NOT_EMPTY),
        QueueAnswer::Refused(refused) => {
            writer.u8(REFUSED);
            refused::write(refused, writer);
        }
    }
}

/// `body` is what is read: records are slices of it.
pub(super) fn read(reader: &mut Reader<'_>, body: &Bytes) -> Result<QueueAnswer, DecodeError> {
    Ok(match reader.u8()? {
        DONE => QueueAnswer::Done,
        COUNTED => QueueAnswer::Counted(reader.u64()?),
        GOT => QueueAnswer::Got(match reader.flag()? {
            true => Some((read_delivered(reader, body)?, reader.u64()?)),
            false => None,
        }),
        FIGURES => QueueAnswer::Figures(QueueFigures {
            ready_count: reader.u64()?,
            unacked_count: reader.u64()?,
            delayed_count: reader.u64()?,
            consumer_count: reader.u64()?,
            idle_ms: reader.u64()?,
        }),
        IN_EXCLUSIVE_USE => QueueAnswer::InExclusiveUse,
        NOT_A_QUEUE => QueueAnswer::NotAQueue,
        SESSION_LOST => QueueAnswer::SessionLost,
        STILL_USED => QueueAnswer::StillUsed,
        NOT_EMPTY => QueueAnswer::NotEmpty,
        REFUSED => QueueAnswer::Refused(refused::read(reader)?),
        tag => return Err(reader.unknown_tag("answer of a queue", tag)),
    })
}
