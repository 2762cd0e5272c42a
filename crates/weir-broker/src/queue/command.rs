//! Changes of a queue.
//!
//! | Byte 0 | Command | Rest |
//! |---|---|---|
//! | 1 | configure | settings: see [`QueueSettings`] |
//! | 2 | attach | consumer; exclusive u8, no acknowledgements u8, priority i32, prefetch u32 |
//! | 3 | detach | consumer; whether what it holds returns u8, first serial that it was not sent u64 |
//! | 4 | settle | session; u32 count, each offset u64, serial u64, settlement u8 |
//! | 5 | get | session; request u64 |
//! | 6 | purge | |
//! | 7 | remove | why u8; u32 count, each offset u64, whether it is held u8, serial u64 |
//! | 8 | hopped | u32 count, each offset u64, serial u64 |
//! | 9 | wake | |
//! | 10 | close | deletion; only if unused u8, only if empty u8 |
//! | 11 | reopen | deletion |
//! | 12 | waited | u32 count, each offset u64, serial u64 |
//!
//! A session is three u64, node, boot and number, and so is a deletion; a consumer is a session and a u64. Numbers are
//! little-endian. Tags are never used again for something else.

use weir_model::NodeId;

use super::{
    Attach, CloseIf, CloserKey, ConsumerKey, QueueSettings, SessionKey,
    encoding::{
        read_attach, read_close, read_consumer, read_session, read_settlements, write_attach,
        write_close, write_consumer, write_session, write_settlements,
    },
};
use crate::{
    api::queues::{Held, Settlement},
    encoding::{DecodeError, Reader, Writer},
};

const CONFIGURE: u8 = 1;
const ATTACH: u8 = 2;
const DETACH: u8 = 3;
const SETTLE: u8 = 4;
const GET: u8 = 5;
const PURGE: u8 = 6;
const REMOVE: u8 = 7;
const HOPPED: u8 = 8;
const WAKE: u8 = 9;
const CLOSE: u8 = 10;
const REOPEN: u8 = 11;

const DELIVERY_BYTES: usize = 8 + 8;

/// A change of one partition's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueueCommand {
    /// Makes a queue of the partition, or changes how it behaves.
    Configure(Box<QueueSettings>),
    Attach(Attach),
    Detach {
        consumer: ConsumerKey,
        held: Held,
        /// What was assigned to it from that serial on never left the leader.
        first_unsent: u64,
    },
    Settle {
        session: SessionKey,
        /// Offset, serial, and what becomes of it.
        deliveries: Vec<(u64, u64, Settlement)>,
    },
    Get {
        session: SessionKey,
        request: u64,
    },
    Purge,
    /// Messages that the leader has looked at and that nobody is to have.
    Remove {
        why: Removed,
        /// Offset, and the serial of its delivery where it is held.
        messages: Vec<(u64, Option<u64>)>,
    },
    /// Dead letters that lie where they belong: offset and serial.
    Hopped(Vec<(u64, u64)>),
    /// Messages whose time has come are ready.
    Wake,
    /// Takes nothing any more, where the condition holds.
    Close(CloserKey, CloseIf),
    /// That deletion does not come about after all.
    Reopen(CloserKey),
}

/// Why a message is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// Its time was over before anybody took it.
    Expired,
    /// It is no message: a marker, or of a transaction that was aborted, or compacted away.
    Void,
}

/// Whose sessions have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// One, with its connection: what it held has failed with it.
    Session(SessionKey),
    /// All of a node, which is lost.
    Node(NodeId),
    /// All of a node from before it was started the last time.
    Boots(NodeId, u64),
}

impl Gone {
    /// Whether the session is meant.
    pub(crate) fn means(&self, session: &SessionKey) -> bool {
        match self {
            Self::Session(gone) => gone == session,
            Self::Node(node) => *node == session.node,
            Self::Boots(node, boot) => *node == session.node && *boot != session.boot,
        }
    }

    /// The least session that may be meant, and the node of all.
    pub(super) fn first(&self) -> SessionKey {
        match self {
            Self::Session(gone) => *gone,
            Self::Node(node) | Self::Boots(node, _) => SessionKey {
                node: *node,
                boot: 0,
                number: 0,
            },
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Session(session) => {
                writer.u8(1);
                write_session(writer, session);
            }
            Self::Node(node) => {
                writer.u8(2);
                writer.u64(node.0);
            }
            Self::Boots(node, boot) => {
                writer.u8(3);
                writer.u64(node.0);
                writer.u64(*boot);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => Self::Session(read_session(reader)?),
            2 => Self::Node(NodeId(reader.u64()?)),
            3 => Self::Boots(NodeId(reader.u64()?), reader.u64()?),
            tag => return Err(reader.unknown_tag("sessions that ended", tag)),
        })
    }
}

impl QueueCommand {
    /// Whose change it is, where it is one session's that goes on.
    pub(super) fn session(&self) -> Option<SessionKey> {
        match self {
            Self::Attach(attach) => Some(attach.consumer.session),
            Self::Settle { session, .. } | Self::Get { session, .. } => Some(*session),
            Self::Configure(_)
            | Self::Detach { .. }
            | Self::Purge
            | Self::Remove { .. }
            | Self::Hopped(_)
            | Self::Wake
            | Self::Close(..)
            | Self::Reopen(_) => None,
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Configure(settings) => {
                writer.u8(CONFIGURE);
                settings.write(writer);
            }
            Self::Attach(attach) => {
                writer.u8(ATTACH);
                write_attach(writer, attach);
            }
            Self::Detach {
                consumer,
                held,
                first_unsent,
            } => {
                writer.u8(DETACH);
                write_consumer(writer, consumer);
                writer.u8(u8::from(*held == Held::Returns));
                writer.u64(*first_unsent);
            }
            Self::Settle {
                session,
                deliveries,
            } => {
                writer.u8(SETTLE);
                write_session(writer, session);
                write_settlements(writer, deliveries);
            }
            Self::Get { session, request } => {
                writer.u8(GET);
                write_session(writer, session);
                writer.u64(*request);
            }
            Self::Purge => writer.u8(PURGE),
            Self::Remove { why, messages } => {
                writer.u8(REMOVE);
                writer.u8(match why {
                    Removed::Expired => 1,
                    Removed::Void => 2,
                });
                writer.count(messages.len());
                for (offset, serial) in messages {
                    writer.u64(*offset);
                    writer.u8(u8::from(serial.is_some()));
                    writer.u64(serial.unwrap_or(0));
                }
            }
            Self::Hopped(letters) => {
                writer.u8(HOPPED);
                write_deliveries(writer, letters);
            }
            Self::Wake => writer.u8(WAKE),
            Self::Close(closer, only) => {
                writer.u8(CLOSE);
                write_close(writer, *closer, *only);
            }
            Self::Reopen(closer) => {
                writer.u8(REOPEN);
                write_session(writer, &closer.0);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            CONFIGURE => Self::Configure(Box::new(QueueSettings::read(reader)?)),
            ATTACH => Self::Attach(read_attach(reader)?),
            DETACH => Self::Detach {
                consumer: read_consumer(reader)?,
                held: match reader.u8()? != 0 {
                    true => Held::Returns,
                    false => Held::Stays,
                },
                first_unsent: reader.u64()?,
            },
            SETTLE => Self::read_settle(reader)?,
            GET => Self::Get {
                session: read_session(reader)?,
                request: reader.u64()?,
            },
            PURGE => Self::Purge,
            REMOVE => Self::read_remove(reader)?,
            HOPPED => Self::Hopped(read_deliveries(reader)?),
            WAKE => Self::Wake,
            CLOSE => {
                let (closer, only) = read_close(reader)?;
                Self::Close(closer, only)
            }
            REOPEN => Self::Reopen(CloserKey(read_session(reader)?)),
            tag => return Err(reader.unknown_tag("queue command", tag)),
        })
    }

    fn read_settle(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::Settle {
            session: read_session(reader)?,
            deliveries: read_settlements(reader)?,
        })
    }

    fn read_remove(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let why = match reader.u8()? {
            1 => Removed::Expired,
            2 => Removed::Void,
            tag => return Err(reader.unknown_tag("reason of a removal", tag)),
        };
        let mut messages = Vec::new();
        for _ in 0..reader.count(DELIVERY_BYTES + 1)? {
            let (offset, is_held) = (reader.u64()?, reader.u8()? != 0);
            let serial = reader.u64()?;
            messages.push((offset, is_held.then_some(serial)));
        }
        Ok(Self::Remove { why, messages })
    }
}

fn write_deliveries(writer: &mut Writer, deliveries: &[(u64, u64)]) {
    writer.count(deliveries.len());
    for (offset, serial) in deliveries {
        writer.u64(*offset);
        writer.u64(*serial);
    }
}

fn read_deliveries(reader: &mut Reader<'_>) -> Result<Vec<(u64, u64)>, DecodeError> {
    let count = reader.count(DELIVERY_BYTES)?;
    (0..count)
        .map(|_| Ok((reader.u64()?, reader.u64()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::queues::ConsumerTag;
    use crate::encoding::trial;

    const SESSION: SessionKey = SessionKey {
        node: NodeId(2),
        boot: 77,
        number: 3,
    };

    fn all() -> Vec<QueueCommand> {
        let consumer = ConsumerKey {
            session: SESSION,
            tag: ConsumerTag(5),
        };
        let attach = Attach {
            consumer,
            no_ack: true,
            is_exclusive: false,
            priority: -3,
            prefetch_count: 20,
        };
        let settlements = [
            Settlement::Ack,
            Settlement::RequeueFailed,
            Settlement::Requeue,
            Settlement::Reject,
        ];
        vec![
            QueueCommand::Configure(Box::default()),
            QueueCommand::Attach(attach),
            QueueCommand::Detach {
                consumer,
                held: Held::Returns,
                first_unsent: 7,
            },
            QueueCommand::Settle {
                session: SESSION,
                deliveries: settlements.map(|settlement| (1, 9, settlement)).to_vec(),
            },
            QueueCommand::Get {
                session: SESSION,
                request: 1,
            },
            QueueCommand::Purge,
            QueueCommand::Remove {
                why: Removed::Expired,
                messages: vec![(1, None), (2, Some(7))],
            },
            QueueCommand::Hopped(vec![(1, 2), (3, 4)]),
            QueueCommand::Wake,
            QueueCommand::Close(
                CloserKey(SESSION),
                CloseIf {
                    is_unused: true,
                    is_empty: false,
                },
            ),
            QueueCommand::Reopen(CloserKey(SESSION)),
        ]
    }

    #[test]
    fn commands_come_back_and_damage_is_an_error() {
        let decode = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let command = QueueCommand::read(&mut reader)?;
            reader.finish()?;
            Ok(command)
        };
        for command in all() {
            let mut writer = Writer::new();
            command.write(&mut writer);
            let bytes = writer.finish();
            assert_eq!(decode(&bytes), Ok(command));
            trial::damage(&bytes, decode);
        }
    }

    #[test]
    fn whose_sessions_ended_comes_back_and_means_no_others() {
        let other = SessionKey {
            boot: 78,
            ..SESSION
        };
        for (gone, means_other) in [
            (Gone::Session(SESSION), false),
            (Gone::Node(NodeId(2)), true),
            (Gone::Boots(NodeId(2), 78), false),
        ] {
            let mut writer = Writer::new();
            gone.write(&mut writer);
            assert_eq!(Gone::read(&mut Reader::new(&writer.finish())), Ok(gone));
            assert!(gone.means(&SESSION));
            assert_eq!(gone.means(&other), means_other);
        }
    }
}
