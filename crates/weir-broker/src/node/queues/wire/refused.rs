//! Why something is not so: `u8` tag, then its fields in the order of their declaration.

use weir_model::{ErrorKind, fields::ShortString};

use crate::{
    api::queues::Refused,
    encoding::{DecodeError, Reader, Writer},
};

// Tags are never used again for something else.
const NO_VHOST: u8 = 1;
const NO_EXCHANGE: u8 = 2;
const NO_QUEUE: u8 = 3;
const LOCKED: u8 = 4;
const INEQUIVALENT: u8 = 5;
const ARGUMENT: u8 = 6;
const UNKNOWN_KIND: u8 = 7;
const IN_USE: u8 = 8;
const NOT_EMPTY: u8 = 9;
const ACCESS: u8 = 10;
const EXCLUSIVE: u8 = 11;
const PRECONDITION: u8 = 12;
const NOT_IMPLEMENTED: u8 = 13;
const FAILED: u8 = 14;

/// What may be inequivalent, wrong or in use.
const THINGS: [&str; 2] = ["queue", "exchange"];

// Table: one row a reason.
pub(super) fn write(writer: &mut Writer, refused: &Refused) {
    let texts = |writer: &mut Writer, tag: u8, texts: &[&str]| {
        writer.u8(tag);
        texts.iter().for_each(|text| writer.text(text));
    };
    match refused {
        Refused::NoVhost(vhost) => texts(writer, NO_VHOST, &[vhost]),
        Refused::NoExchange { name, vhost } => texts(writer, NO_EXCHANGE, &[name.as_str(), vhost]),
        Refused::NoQueue { name, vhost } => texts(writer, NO_QUEUE, &[name.as_str(), vhost]),
        Refused::Locked { name, vhost } => texts(writer, LOCKED, &[name.as_str(), vhost]),
        Refused::Inequivalent {
            what,
            name,
            vhost,
            argument,
            received,
            current,
        } => texts(
            writer,
            INEQUIVALENT,
            &[what, name.as_str(), vhost, argument, received, current],
        ),
        Refused::Argument {
            what,
            name,
            vhost,
            argument,
            reason,
        } => texts(
            writer,
            ARGUMENT,
            &[what, name.as_str(), vhost, argument, reason],
        ),
        Refused::UnknownKind(kind) => texts(writer, UNKNOWN_KIND, &[kind.as_str()]),
        Refused::InUse { what, name, vhost } => {
            texts(writer, IN_USE, &[what, name.as_str(), vhost]);
        }
        Refused::NotEmpty { name, vhost } => texts(writer, NOT_EMPTY, &[name.as_str(), vhost]),
        Refused::Access(text) => texts(writer, ACCESS, &[text]),
        Refused::Exclusive { name, vhost } => texts(writer, EXCLUSIVE, &[name.as_str(), vhost]),
        Refused::Precondition(text) => texts(writer, PRECONDITION, &[text]),
        Refused::NotImplemented(text) => texts(writer, NOT_IMPLEMENTED, &[text]),
        Refused::Failed(error) => {
            writer.u8(FAILED);
            writer.u16(error.code());
        }
    }
}

// Table: one row a reason.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Refused, DecodeError> {
    Ok(match reader.u8()? {
        NO_VHOST => Refused::NoVhost(text(reader)?),
        NO_EXCHANGE => Refused::NoExchange {
            name: short(reader)?,
            vhost: text(reader)?,
        },
        NO_QUEUE => Refused::NoQueue {
            name: short(reader)?,
            vhost: text(reader)?,
        },
        LOCKED => Refused::Locked {
            name: short(reader)?,
            vhost: text(reader)?,
        },
        INEQUIVALENT => Refused::Inequivalent {
            what: thing(reader)?,
            name: short(reader)?,
            vhost: text(reader)?,
            argument: text(reader)?,
            received: text(reader)?,
            current: text(reader)?,
        },
        ARGUMENT => Refused::Argument {
            what: thing(reader)?,
            name: short(reader)?,
            vhost: text(reader)?,
            argument: text(reader)?,
            reason: text(reader)?,
        },
        UNKNOWN_KIND => Refused::UnknownKind(short(reader)?),
        IN_USE => Refused::InUse {
            what: thing(reader)?,
            name: short(reader)?,
            vhost: text(reader)?,
        },
        NOT_EMPTY => Refused::NotEmpty {
            name: short(reader)?,
            vhost: text(reader)?,
        },
        ACCESS => Refused::Access(text(reader)?),
        EXCLUSIVE => Refused::Exclusive {
            name: short(reader)?,
            vhost: text(reader)?,
        },
        PRECONDITION => Refused::Precondition(text(reader)?),
        NOT_IMPLEMENTED => Refused::NotImplemented(text(reader)?),
        FAILED => {
            let error = ErrorKind::from_code(reader.u16()?);
            Refused::Failed(error.ok_or_else(|| reader.invalid("error code"))?)
        }
        tag => return Err(reader.unknown_tag("reason", tag)),
    })
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.text().map(str::to_owned)
}

fn short(reader: &mut Reader<'_>) -> Result<ShortString, DecodeError> {
    let text = reader.text()?;
    ShortString::new(text).ok_or_else(|| reader.invalid("short string"))
}

fn thing(reader: &mut Reader<'_>) -> Result<&'static str, DecodeError> {
    let text = reader.text()?;
    let mut things = THINGS.into_iter();
    let thing = things.find(|thing| *thing == text);
    thing.ok_or_else(|| reader.invalid("thing that is refused"))
}
