//! A call to a partition's leader: `u8` tag, then its fields in the order of their declaration.

use crate::{
    api::queues::Held,
    encoding::{DecodeError, Reader, Writer},
    queue::{
        CloserKey, QueueCall, QueueSettings,
        encoding::{
            read_attach, read_close, read_consumer, read_session, read_settlements, write_attach,
            write_close, write_consumer, write_session, write_settlements,
        },
    },
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
const CLOSE: u8 = 9;
const REOPEN: u8 = 10;

pub(super) fn write(writer: &mut Writer, call: &QueueCall) {
    match call {
        QueueCall::Configure(settings) => {
            writer.u8(CONFIGURE);
            settings.write(writer);
        }
        QueueCall::Attach(attach) => {
            writer.u8(ATTACH);
            write_attach(writer, attach);
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
            write_settlements(writer, deliveries);
        }
        QueueCall::Get { session, request } => {
            writer.u8(GET);
            write_session(writer, session);
            writer.u64(*request);
        }
        QueueCall::Purge => writer.u8(PURGE),
        QueueCall::Close(closer, only) => {
            writer.u8(CLOSE);
            write_close(writer, *closer, *only);
        }
        QueueCall::Reopen(closer) => {
            writer.u8(REOPEN);
            write_session(writer, &closer.0);
        }
        QueueCall::Figures { is_use } => {
            writer.u8(FIGURES);
            writer.u8(u8::from(*is_use));
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<QueueCall, DecodeError> {
    Ok(match reader.u8()? {
        CONFIGURE => QueueCall::Configure(Box::new(QueueSettings::read(reader)?)),
        ATTACH => QueueCall::Attach(read_attach(reader)?),
        DETACH => {
            let consumer = read_consumer(reader)?;
            let held = match reader.flag()? {
                true => Held::Returns,
                false => Held::Stays,
            };
            QueueCall::Detach(consumer, held)
        }
        END_SESSION => QueueCall::EndSession(read_session(reader)?),
        SETTLE => QueueCall::Settle {
            session: read_session(reader)?,
            deliveries: read_settlements(reader)?,
        },
        GET => QueueCall::Get {
            session: read_session(reader)?,
            request: reader.u64()?,
        },
        PURGE => QueueCall::Purge,
        CLOSE => {
            let (closer, only) = read_close(reader)?;
            QueueCall::Close(closer, only)
        }
        REOPEN => QueueCall::Reopen(CloserKey(read_session(reader)?)),
        FIGURES => QueueCall::Figures {
            is_use: reader.flag()?,
        },
        tag => return Err(reader.unknown_tag("call to a queue", tag)),
    })
}
