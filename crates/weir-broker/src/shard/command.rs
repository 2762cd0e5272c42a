//! What a shard's log holds.
//!
//! | Byte 0 | Command | Rest |
//! |---|---|---|
//! | 1 | append | partition u64, record batch |
//! | 2 | group | see [`crate::group::GroupCommand`] |
//! | 3 | trim | partition u64, new start u64 |
//! | 20 | forget | serial u64 of each deleted topic |
//! | 4 | verified append | partition u64, entry verified at u64, record batch |
//! | 5 | marker | see [`crate::transaction::Marker`] |
//! | 6 | transaction | see [`crate::transaction::TransactionCommand`] |
//! | 7 | offsets of a transaction | see [`crate::transaction::pending::BringOffsets`] |
//! | 8 | enqueue | partition u64, record batch |
//! | 9 | queue | partition u64, see [`crate::queue::QueueCommand`] |
//! | 10 | sessions that ended | see [`crate::queue::Gone`] |
//! | 11 | bodies that nobody refers to go | - |
//! | 12 | share groups | see [`crate::share::ShareCommand`] |
//!
//! Numbers are little-endian. Tags are never used again for something else.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use weir_model::{ErrorKind, Offset, PartitionId};
use weir_raft::Command;

use crate::{
    encoding::{DecodeError, Reader, Writer},
    group::GroupCommand,
    queue::{Gone, QueueCommand},
    share::ShareCommand,
    transaction::{Marker, TransactionCommand, pending::BringOffsets},
};

const APPEND: u8 = 1;
const GROUP: u8 = 2;
const TRIM: u8 = 3;
const FORGET: u8 = 20;
const APPEND_VERIFIED: u8 = 4;
const MARK: u8 = 5;
const TRANSACTION: u8 = 6;
const BRING_OFFSETS: u8 = 7;
const ENQUEUE: u8 = 8;
const QUEUE: u8 = 9;
const END_SESSIONS: u8 = 10;
const SWEEP_BODIES: u8 = 11;
const SHARE: u8 = 12;
const ENQUEUE_DECLARED: u8 = 13;

/// What a queue's partition answers that is no queue yet: it would know nothing of what came before.
pub(crate) const NO_QUEUE_YET: ErrorKind = ErrorKind::UnknownTopicOrPartition;

/// A change of a shard.
#[derive(Debug)]
pub(crate) enum ShardCommand {
    /// Append a batch that the leader has checked.
    Append {
        partition: PartitionId,
        batch: Bytes,
    },
    /// The same for a queue, which may take some of the records only.
    Enqueue {
        partition: PartitionId,
        /// The partition is to be a queue: until it is one, it takes nothing.
        is_declared: bool,
        batch: Bytes,
    },
    /// Append a batch that begins a transaction, of which the coordinator has said that the
    /// partition is part: see [`crate::producer::Arrival::verified`].
    AppendVerified {
        partition: PartitionId,
        ended_at: u64,
        batch: Bytes,
    },
    /// End a transaction in a partition.
    Mark(Marker),
    /// Change a transactional id.
    Transaction(TransactionCommand),
    /// Keep offsets until their transaction ends.
    BringOffsets(BringOffsets),
    /// Change a consumer group or its offsets.
    Group(GroupCommand),
    /// Change a partition's queue.
    Queue {
        partition: PartitionId,
        command: QueueCommand,
    },
    /// Change what share groups have.
    Share(ShareCommand),
    /// Let go of all that sessions have in the shard's queues.
    EndSessions(Gone),
    /// Move a partition's start up.
    Trim {
        partition: PartitionId,
        start: Offset,
    },
    /// Let bodies go that nobody has referred to for a while.
    SweepBodies,
    /// Let go of all that belongs to deleted topics.
    Forget {
        /// Their serial numbers.
        topics: BTreeSet<u64>,
    },
}

impl ShardCommand {
    /// An append that leaves the batch where it is.
    pub(crate) fn append(partition: PartitionId, batch: Bytes) -> Command {
        of_batch(APPEND, partition, batch)
    }

    /// An append to a queue, of messages that its doors took one by one: a queue that is full
    /// refuses those that are too many ([`crate::api::Produced::refused_from`]).
    /// A partition that is to be a queue, since one was declared, and is none yet answers
    /// [`NO_QUEUE_YET`].
    pub(crate) fn enqueue(partition: PartitionId, is_declared: bool, batch: Bytes) -> Command {
        let tag = if is_declared {
            ENQUEUE_DECLARED
        } else {
            ENQUEUE
        };
        of_batch(tag, partition, batch)
    }

    /// An append that leaves the batch where it is.
    pub(crate) fn append_verified(partition: PartitionId, ended_at: u64, batch: Bytes) -> Command {
        let mut head = BytesMut::with_capacity(17);
        head.put_u8(APPEND_VERIFIED);
        head.put_u64_le(partition.0);
        head.put_u64_le(ended_at);
        Command {
            head: head.freeze(),
            payload: batch,
        }
    }

    pub(crate) fn mark(marker: &Marker) -> Command {
        written(MARK, |writer| marker.write(writer))
    }

    pub(crate) fn transaction(command: &TransactionCommand) -> Command {
        Command {
            head: Bytes::from_static(&[TRANSACTION]),
            payload: command.encode(),
        }
    }

    pub(crate) fn bring_offsets(bring: &BringOffsets) -> Command {
        written(BRING_OFFSETS, |writer| bring.write(writer))
    }

    pub(crate) fn group(command: &GroupCommand) -> Command {
        Command {
            head: Bytes::from_static(&[GROUP]),
            payload: command.encode(),
        }
    }

    pub(crate) fn queue(partition: PartitionId, command: &QueueCommand) -> Command {
        written(QUEUE, |writer| {
            writer.u64(partition.0);
            command.write(writer);
        })
    }

    pub(crate) fn share(command: &ShareCommand) -> Command {
        written(SHARE, |writer| command.write(writer))
    }

    pub(crate) fn end_sessions(gone: &Gone) -> Command {
        written(END_SESSIONS, |writer| gone.write(writer))
    }

    pub(crate) fn trim(partition: PartitionId, start: Offset) -> Command {
        let mut head = BytesMut::with_capacity(17);
        head.put_u8(TRIM);
        head.put_u64_le(partition.0);
        head.put_u64_le(start.0);
        Command {
            head: head.freeze(),
            payload: Bytes::new(),
        }
    }

    pub(crate) fn sweep_bodies() -> Command {
        Command {
            head: Bytes::from_static(&[SWEEP_BODIES]),
            payload: Bytes::new(),
        }
    }

    pub(crate) fn forget(topics: &BTreeSet<u64>) -> Command {
        let mut head = BytesMut::with_capacity(1 + 8 * topics.len());
        head.put_u8(FORGET);
        topics.iter().for_each(|serial| head.put_u64_le(*serial));
        Command {
            head: head.freeze(),
            payload: Bytes::new(),
        }
    }

    /// The command in `bytes`, or what is wrong with them: this build cannot go on with the log.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, String> {
        let ended = |_| "command ends early".to_owned();
        let command = match bytes.try_get_u8().map_err(ended)? {
            APPEND => {
                let partition = PartitionId(bytes.try_get_u64_le().map_err(ended)?);
                return Ok(Self::Append {
                    partition,
                    batch: bytes,
                });
            }
            tag @ (ENQUEUE | ENQUEUE_DECLARED) => {
                let partition = PartitionId(bytes.try_get_u64_le().map_err(ended)?);
                return Ok(Self::Enqueue {
                    partition,
                    is_declared: tag == ENQUEUE_DECLARED,
                    batch: bytes,
                });
            }
            GROUP => {
                let command = GroupCommand::decode(&bytes).map_err(|error| error.to_string())?;
                return Ok(Self::Group(command));
            }
            APPEND_VERIFIED => {
                return Ok(Self::AppendVerified {
                    partition: PartitionId(bytes.try_get_u64_le().map_err(ended)?),
                    ended_at: bytes.try_get_u64_le().map_err(ended)?,
                    batch: bytes,
                });
            }
            MARK => return read(&bytes, Marker::read).map(Self::Mark),
            TRANSACTION => {
                let command = TransactionCommand::decode(&bytes);
                let command = command.map_err(|error| error.to_string())?;
                return Ok(Self::Transaction(command));
            }
            BRING_OFFSETS => return read(&bytes, BringOffsets::read).map(Self::BringOffsets),
            QUEUE => {
                return read(&bytes, |reader| {
                    Ok(Self::Queue {
                        partition: PartitionId(reader.u64()?),
                        command: QueueCommand::read(reader)?,
                    })
                });
            }
            SHARE => return read(&bytes, ShareCommand::read).map(Self::Share),
            END_SESSIONS => return read(&bytes, Gone::read).map(Self::EndSessions),
            TRIM => Self::Trim {
                partition: PartitionId(bytes.try_get_u64_le().map_err(ended)?),
                start: Offset(bytes.try_get_u64_le().map_err(ended)?),
            },
            SWEEP_BODIES => Self::SweepBodies,
            FORGET => {
                let mut topics = BTreeSet::new();
                while !bytes.is_empty() {
                    topics.insert(bytes.try_get_u64_le().map_err(ended)?);
                }
                Self::Forget { topics }
            }
            tag => return Err(format!("unknown shard command {tag}")),
        };
        if bytes.is_empty() {
            Ok(command)
        } else {
            Err(format!("{} bytes left over behind a command", bytes.len()))
        }
    }
}

fn of_batch(tag: u8, partition: PartitionId, batch: Bytes) -> Command {
    let mut head = BytesMut::with_capacity(9);
    head.put_u8(tag);
    head.put_u64_le(partition.0);
    Command {
        head: head.freeze(),
        payload: batch,
    }
}

fn written(tag: u8, write: impl FnOnce(&mut Writer)) -> Command {
    let mut writer = Writer::new();
    writer.u8(tag);
    write(&mut writer);
    Command {
        head: writer.finish(),
        payload: Bytes::new(),
    }
}

fn read<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, String> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader).map_err(|error| error.to_string())?;
    reader.finish().map_err(|error| error.to_string())?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(command: &Command) -> Bytes {
        [&command.head[..], &command.payload[..]].concat().into()
    }

    #[test]
    fn commands_read_back() {
        let partition = PartitionId(7);
        let append = joined(&ShardCommand::append(
            partition,
            Bytes::from_static(b"batch"),
        ));
        assert!(matches!(
            ShardCommand::decode(append),
            Ok(ShardCommand::Append { partition: PartitionId(7), batch }) if batch == "batch"
        ));
        let trim = joined(&ShardCommand::trim(partition, Offset(9)));
        assert!(matches!(
            ShardCommand::decode(trim),
            Ok(ShardCommand::Trim {
                partition: PartitionId(7),
                start: Offset(9)
            })
        ));
    }

    #[test]
    fn a_cut_or_a_longer_command_is_refused() {
        let trim = joined(&ShardCommand::trim(PartitionId(7), Offset(9)));
        for cut in 0..trim.len() {
            assert!(
                ShardCommand::decode(trim.slice(..cut)).is_err(),
                "cut at {cut}"
            );
        }
        let forget = joined(&ShardCommand::forget(&BTreeSet::from([3, 900])));
        assert!(ShardCommand::decode(forget.slice(..12)).is_err());
        assert!(matches!(
            ShardCommand::decode(forget),
            Ok(ShardCommand::Forget { topics }) if topics == BTreeSet::from([3, 900])
        ));
        let longer = [&trim[..], b"x"].concat();
        assert!(ShardCommand::decode(longer.into()).is_err());
        assert!(ShardCommand::decode(Bytes::from_static(&[99])).is_err());
    }
}
