//! Sessions, consumers and what becomes of deliveries as bytes: in commands, in checkpoints and in
//! calls between nodes alike.
//!
//! A session: three `u64`, node, boot and number. A consumer: a session and a `u64`. What becomes of
//! deliveries: `u32` count, each offset `u64`, serial `u64`, `u8` settlement, from 1 in the order
//! of its declaration. A deletion under a condition: a key like a session's, `u8`
//! only if unused, `u8` only if empty.

use weir_model::NodeId;

use super::{Attach, CloseIf, CloserKey, ConsumerKey, SessionKey};
use crate::{
    api::queues::{ConsumerTag, Settlement},
    encoding::{DecodeError, Reader, Writer},
};

const SETTLED_BYTES: usize = 8 + 8 + 1;

pub(crate) fn write_session(writer: &mut Writer, session: &SessionKey) {
    writer.u64(session.node.0);
    writer.u64(session.boot);
    writer.u64(session.number);
}

pub(crate) fn read_session(reader: &mut Reader<'_>) -> Result<SessionKey, DecodeError> {
    Ok(SessionKey {
        node: NodeId(reader.u64()?),
        boot: reader.u64()?,
        number: reader.u64()?,
    })
}

pub(crate) fn write_close(writer: &mut Writer, closer: CloserKey, only: CloseIf) {
    write_session(writer, &closer.0);
    writer.u8(u8::from(only.is_unused));
    writer.u8(u8::from(only.is_empty));
}

pub(crate) fn read_close(reader: &mut Reader<'_>) -> Result<(CloserKey, CloseIf), DecodeError> {
    let closer = CloserKey(read_session(reader)?);
    let only = CloseIf {
        is_unused: reader.flag()?,
        is_empty: reader.flag()?,
    };
    Ok((closer, only))
}

pub(crate) fn write_consumer(writer: &mut Writer, consumer: &ConsumerKey) {
    write_session(writer, &consumer.session);
    writer.u64(consumer.tag.0);
}

pub(crate) fn read_consumer(reader: &mut Reader<'_>) -> Result<ConsumerKey, DecodeError> {
    Ok(ConsumerKey {
        session: read_session(reader)?,
        tag: ConsumerTag(reader.u64()?),
    })
}

pub(crate) fn write_attach(writer: &mut Writer, attach: &Attach) {
    write_consumer(writer, &attach.consumer);
    writer.u8(u8::from(attach.is_exclusive));
    writer.u8(u8::from(attach.no_ack));
    writer.i32(attach.priority);
    writer.u32(attach.prefetch_count);
}

pub(crate) fn read_attach(reader: &mut Reader<'_>) -> Result<Attach, DecodeError> {
    Ok(Attach {
        consumer: read_consumer(reader)?,
        is_exclusive: reader.flag()?,
        no_ack: reader.flag()?,
        priority: reader.i32()?,
        prefetch_count: reader.u32()?,
    })
}

pub(crate) fn write_settlements(writer: &mut Writer, deliveries: &[(u64, u64, Settlement)]) {
    writer.count(deliveries.len());
    for (offset, serial, settlement) in deliveries {
        writer.u64(*offset);
        writer.u64(*serial);
        writer.u8(settlement_tag(*settlement));
    }
}

pub(crate) fn read_settlements(
    reader: &mut Reader<'_>,
) -> Result<Vec<(u64, u64, Settlement)>, DecodeError> {
    let count = reader.count(SETTLED_BYTES)?;
    (0..count)
        .map(|_| Ok((reader.u64()?, reader.u64()?, read_settlement(reader)?)))
        .collect()
}

fn settlement_tag(settlement: Settlement) -> u8 {
    match settlement {
        Settlement::Ack => 1,
        Settlement::RequeueFailed => 2,
        Settlement::Requeue => 3,
        Settlement::Reject => 4,
    }
}

fn read_settlement(reader: &mut Reader<'_>) -> Result<Settlement, DecodeError> {
    Ok(match reader.u8()? {
        1 => Settlement::Ack,
        2 => Settlement::RequeueFailed,
        3 => Settlement::Requeue,
        4 => Settlement::Reject,
        tag => return Err(reader.unknown_tag("settlement", tag)),
    })
}
