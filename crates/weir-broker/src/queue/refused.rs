//! Refusals as bytes, for nodes that ask on a client's behalf: `u8` tag, then the texts in the order of
//! their declaration. `what` stands as `u8`, an error as its `u16` code.

use weir_model::ErrorKind;

use crate::{
    api::queues::Refused,
    encoding::{DecodeError, Reader, Writer},
    routing::fields::{read_short, write_short},
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
const VHOST: u8 = 15;
const LIMIT: u8 = 16;

/// What refusals are about.
const WHAT: [&str; 2] = ["queue", "exchange"];

// Table: one kind of refusal a row.
pub(crate) fn write(refused: &Refused, writer: &mut Writer) {
    match refused {
        Refused::NoVhost(vhost) => {
            writer.u8(NO_VHOST);
            writer.text(vhost);
        }
        Refused::Vhost { vhost, user } => {
            writer.u8(VHOST);
            writer.text(vhost);
            writer.text(user);
        }
        Refused::Limit(text) => {
            writer.u8(LIMIT);
            writer.text(text);
        }
        Refused::NoExchange { name, vhost } => {
            writer.u8(NO_EXCHANGE);
            write_short(writer, name);
            writer.text(vhost);
        }
        Refused::NoQueue { name, vhost } => {
            writer.u8(NO_QUEUE);
            write_short(writer, name);
            writer.text(vhost);
        }
        Refused::Locked { name, vhost } => {
            writer.u8(LOCKED);
            write_short(writer, name);
            writer.text(vhost);
        }
        Refused::Inequivalent {
            what,
            name,
            vhost,
            argument,
            received,
            current,
        } => {
            writer.u8(INEQUIVALENT);
            write_what(writer, what);
            write_short(writer, name);
            writer.text(vhost);
            writer.text(argument);
            writer.text(received);
            writer.text(current);
        }
        Refused::Argument {
            what,
            name,
            vhost,
            argument,
            reason,
        } => {
            writer.u8(ARGUMENT);
            write_what(writer, what);
            write_short(writer, name);
            writer.text(vhost);
            writer.text(argument);
            writer.text(reason);
        }
        Refused::UnknownKind(kind) => {
            writer.u8(UNKNOWN_KIND);
            write_short(writer, kind);
        }
        Refused::InUse { what, name, vhost } => {
            writer.u8(IN_USE);
            write_what(writer, what);
            write_short(writer, name);
            writer.text(vhost);
        }
        Refused::NotEmpty { name, vhost } => {
            writer.u8(NOT_EMPTY);
            write_short(writer, name);
            writer.text(vhost);
        }
        Refused::Access(reason) => {
            writer.u8(ACCESS);
            writer.text(reason);
        }
        Refused::Exclusive { name, vhost } => {
            writer.u8(EXCLUSIVE);
            write_short(writer, name);
            writer.text(vhost);
        }
        Refused::Precondition(reason) => {
            writer.u8(PRECONDITION);
            writer.text(reason);
        }
        Refused::NotImplemented(reason) => {
            writer.u8(NOT_IMPLEMENTED);
            writer.text(reason);
        }
        Refused::Failed(error) => {
            writer.u8(FAILED);
            writer.u16(error.code());
        }
    }
}

pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Refused, DecodeError> {
    Ok(match reader.u8()? {
        NO_VHOST => Refused::NoVhost(text(reader)?),
        NO_EXCHANGE => Refused::NoExchange {
            name: read_short(reader)?,
            vhost: text(reader)?,
        },
        NO_QUEUE => Refused::NoQueue {
            name: read_short(reader)?,
            vhost: text(reader)?,
        },
        LOCKED => Refused::Locked {
            name: read_short(reader)?,
            vhost: text(reader)?,
        },
        INEQUIVALENT => Refused::Inequivalent {
            what: read_what(reader)?,
            name: read_short(reader)?,
            vhost: text(reader)?,
            argument: text(reader)?,
            received: text(reader)?,
            current: text(reader)?,
        },
        ARGUMENT => Refused::Argument {
            what: read_what(reader)?,
            name: read_short(reader)?,
            vhost: text(reader)?,
            argument: text(reader)?,
            reason: text(reader)?,
        },
        UNKNOWN_KIND => Refused::UnknownKind(read_short(reader)?),
        IN_USE => Refused::InUse {
            what: read_what(reader)?,
            name: read_short(reader)?,
            vhost: text(reader)?,
        },
        NOT_EMPTY => Refused::NotEmpty {
            name: read_short(reader)?,
            vhost: text(reader)?,
        },
        ACCESS => Refused::Access(text(reader)?),
        LIMIT => Refused::Limit(text(reader)?),
        VHOST => Refused::Vhost {
            vhost: reader.text()?.to_owned(),
            user: reader.text()?.to_owned(),
        },
        EXCLUSIVE => Refused::Exclusive {
            name: read_short(reader)?,
            vhost: text(reader)?,
        },
        PRECONDITION => Refused::Precondition(text(reader)?),
        NOT_IMPLEMENTED => Refused::NotImplemented(text(reader)?),
        FAILED => {
            let error = ErrorKind::from_code(reader.u16()?);
            Refused::Failed(error.ok_or_else(|| reader.invalid("error code"))?)
        }
        tag => return Err(reader.unknown_tag("refusal", tag)),
    })
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.text().map(str::to_owned)
}

fn write_what(writer: &mut Writer, what: &'static str) {
    let at = WHAT.iter().position(|known| *known == what);
    writer.u8(u8::try_from(at.unwrap_or_default()).unwrap_or_default());
}

fn read_what(reader: &mut Reader<'_>) -> Result<&'static str, DecodeError> {
    let tag = reader.u8()?;
    let known = WHAT.get(usize::from(tag)).copied();
    known.ok_or_else(|| reader.unknown_tag("subject of a refusal", tag))
}

#[cfg(test)]
mod tests {
    use weir_model::fields::ShortString;

    use super::*;
    use crate::encoding::trial;

    #[test]
    fn refusals_come_back_and_damage_is_an_error() {
        let name = || ShortString::new("q").unwrap();
        let vhost = || "/".to_owned();
        let all = [
            Refused::NoVhost(vhost()),
            Refused::NoExchange {
                name: name(),
                vhost: vhost(),
            },
            Refused::NoQueue {
                name: name(),
                vhost: vhost(),
            },
            Refused::Locked {
                name: name(),
                vhost: vhost(),
            },
            Refused::Inequivalent {
                what: "exchange",
                name: name(),
                vhost: vhost(),
                argument: "type".to_owned(),
                received: "'a'".to_owned(),
                current: "'b'".to_owned(),
            },
            Refused::Argument {
                what: "queue",
                name: name(),
                vhost: vhost(),
                argument: "x-expires".to_owned(),
                reason: "0".to_owned(),
            },
            Refused::UnknownKind(name()),
            Refused::InUse {
                what: "queue",
                name: name(),
                vhost: vhost(),
            },
            Refused::NotEmpty {
                name: name(),
                vhost: vhost(),
            },
            Refused::Vhost {
                vhost: vhost(),
                user: "u".to_owned(),
            },
            Refused::Access("no".to_owned()),
            Refused::Limit("no".to_owned()),
            Refused::Exclusive {
                name: name(),
                vhost: vhost(),
            },
            Refused::Precondition("no".to_owned()),
            Refused::NotImplemented("no".to_owned()),
            Refused::Failed(ErrorKind::Overloaded),
        ];
        for refused in all {
            let mut writer = Writer::new();
            write(&refused, &mut writer);
            let bytes = writer.finish();
            let decode = |bytes: &[u8]| {
                let mut reader = Reader::new(bytes);
                let refused = read(&mut reader)?;
                reader.finish()?;
                Ok(refused)
            };
            assert_eq!(decode(&bytes), Ok(refused));
            trial::damage(&bytes, decode);
        }
    }
}
