//! A call to a partition's leader: `u8` tag, then its fields in the order of their declaration.

use super::{read_consumer, read_flag, read_session, write_consumer, write_session};
use crate::{
    api::queues::{Held, Settlement},
    encoding::{DecodeError, Reader, Writer},
    queue::{Attach, QueueCall, QueueSettings},
};

// Tags are never used again for something else.
const CONFIGURE: u8 = 1;
const ATTACH: u8 = 2;
const DETACH: u8 = 3;
const END_SESSION: u8 = 4;
const SETTLE: u8 = 5;
const GET: u8 = 6;
const PURGE: u8 = 7;
const FIGURES: u8 = 8;

const SETTLEMENT_BYTES: usize = 8 + 8 + 1;

pub(super) fn write(writer: &mut Writer, call: &QueueCall) {
    match call {
        QueueCall::Configure(settings) => {
            writer.u8(CONFIGURE);
            settings.write(writer);
        }
        QueueCall::Attach(attach) => {
            writer.u8(ATTACH);
            write_consumer(writer, &attach.consumer);
            writer.u8(u8::from(attach.no_ack));
            writer.u8(u8::from(attach.is_exclusive));
            writer.i32(attach.priority);
            writer.u32(attach.prefetch_count);
        }
        QueueCall::Detach(consumer, held) => {
            writer.u8(DETACH);
            write_consumer(writer, consumer);
            writer.u8(u8::from(*held == Held::Returns));
        }
        QueueCall::EndSession(session) => {
            writer.u8(END_SESSION);
            write_session(writer, session);
        }
        QueueCall::Settle {
            session,
            deliveries,
        } => {
            writer.u8(SETTLE);
            write_session(writer, session);
            writer.count(deliveries.len());
            for (offset, serial, settlement) in deliveries {
                writer.u64(*offset);
                writer.u64(*serial);
                writer.u8(settlement_tag(*settlement));
            }
        }
        QueueCall::Get { session, request } => {
            writer.u8(GET);
            write_session(writer, session);
            writer.u64(*request);
        }
        QueueCall::Purge => writer.u8(PURGE),
        QueueCall::Figures { is_use } => {
            writer.u8(FIGURES);
            writer.u8(u8::from(*is_use));
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<QueueCall, DecodeError> {
    Ok(match reader.u8()? {
        CONFIGURE => QueueCall::Configure(Box::new(QueueSettings::read(reader)?)),
        ATTACH => QueueCall::Attach(Attach {
            consumer: read_consumer(reader)?,
            no_ack: read_flag(reader)?,
            is_exclusive: read_flag(reader)?,
            priority: reader.i32()?,
            prefetch_count: reader.u32()?,
        }),
        DETACH => {
            let consumer = read_consumer(reader)?;
            let held = match read_flag(reader)? {
                true => Held::Returns,
                false => Held::Stays,
            };
            QueueCall::Detach(consumer, held)
        }
        END_SESSION => QueueCall::EndSession(read_session(reader)?),
        SETTLE => {
            let session = read_session(reader)?;
            let count = reader.count(SETTLEMENT_BYTES)?;
            let deliveries =
                (0..count).map(|_| Ok((reader.u64()?, reader.u64()?, read_settlement(reader)?)));
            let deliveries = deliveries.collect::<Result<_, _>>()?;
            QueueCall::Settle {
                session,
                deliveries,
            }
        }
        GET => QueueCall::Get {
            session: read_session(reader)?,
            request: reader.u64()?,
        },
        PURGE => QueueCall::Purge,
        FIGURES => QueueCall::Figures {
            is_use: read_flag(reader)?,
        },
        tag => return Err(reader.unknown_tag("call to a queue", tag)),
    })
}

fn settlement_tag(settlement: Settlement) -> u8 {
    match settlement {
        Settlement::Ack => 0,
        Settlement::RequeueFailed => 1,
        Settlement::Requeue => 2,
        Settlement::Reject => 3,
    }
}

fn read_settlement(reader: &mut Reader<'_>) -> Result<Settlement, DecodeError> {
    Ok(match reader.u8()? {
        0 => Settlement::Ack,
        1 => Settlement::RequeueFailed,
        2 => Settlement::Requeue,
        3 => Settlement::Reject,
        tag => return Err(reader.unknown_tag("settlement", tag)),
    })
}
