//! The commands of transactions in a shard's log: `u8` tag, then text transactional id, then the
//! command's fields in the order of their declaration. A producer: `i64` id, `i16` epoch; one that
//! may be absent has the id -1. Partitions: `u32` count, each `u64`.

use bytes::Bytes;
use weir_model::{PartitionId, ProducerId};

use crate::{
    api::ProducerEpoch,
    encoding::{DecodeError, Reader, Writer},
};

// Tags are never used again for something else.
const INIT: u8 = 1;
const ADD: u8 = 2;
const END: u8 = 3;
const EXPIRE: u8 = 4;
const ENDED: u8 = 5;

/// A change of a shard's transactional ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionCommand {
    /// A producer begins.
    Init(Init),
    /// Partitions become part of the transaction, which is opened where none is.
    Add {
        /// The transactional id.
        transaction: String,
        /// Its producer.
        producer: ProducerEpoch,
        /// Which.
        partitions: Vec<PartitionId>,
    },
    /// Commit or abort.
    End(End),
    /// Abort, since it has been open for too long.
    Expire {
        /// The transactional id.
        transaction: String,
        /// Its producer.
        producer: ProducerEpoch,
    },
    /// These partitions have heard of the transaction's end.
    Ended {
        /// The transactional id.
        transaction: String,
        /// Its producer as the markers name it.
        producer: ProducerEpoch,
        /// Its number among the id's transactions.
        ordinal: u64,
        /// Which.
        partitions: Vec<PartitionId>,
    },
}

/// A producer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// The transactional id.
    pub transaction: String,
    /// Its transactions are aborted after this long, in ms.
    pub timeout_ms: i32,
    /// The id and epoch that the producer has.
    pub known: Option<ProducerEpoch>,
    /// An id that nobody has, for a new transactional id and where epochs are used up.
    pub fresh: ProducerId,
}

/// Commit or abort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The transactional id.
    pub transaction: String,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// Commit; else abort.
    pub commit: bool,
    /// The producer goes on with another epoch.
    pub bumps: bool,
    /// An id that nobody has, for where epochs are used up.
    pub fresh: Option<ProducerId>,
}

impl TransactionCommand {
    /// The transactional id.
    pub fn transaction(&self) -> &str {
        match self {
            Self::Init(init) => &init.transaction,
            Self::End(end) => &end.transaction,
            Self::Add { transaction, .. }
            | Self::Expire { transaction, .. }
            | Self::Ended { transaction, .. } => transaction,
        }
    }

    /// The command as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        let tag = match self {
            Self::Init(_) => INIT,
            Self::Add { .. } => ADD,
            Self::End(_) => END,
            Self::Expire { .. } => EXPIRE,
            Self::Ended { .. } => ENDED,
        };
        writer.u8(tag);
        writer.text(self.transaction());
        match self {
            Self::Init(init) => {
                writer.i32(init.timeout_ms);
                write_optional(&mut writer, init.known);
                writer.i64(init.fresh.0);
            }
            Self::End(end) => {
                write_producer(&mut writer, end.producer);
                writer.u8(u8::from(end.commit));
                writer.u8(u8::from(end.bumps));
                writer.i64(end.fresh.map_or(-1, |fresh| fresh.0));
            }
            Self::Add {
                producer,
                partitions,
                ..
            } => {
                write_producer(&mut writer, *producer);
                write_partitions(&mut writer, partitions);
            }
            Self::Ended {
                producer,
                ordinal,
                partitions,
                ..
            } => {
                write_producer(&mut writer, *producer);
                writer.u64(*ordinal);
                write_partitions(&mut writer, partitions);
            }
            Self::Expire { producer, .. } => write_producer(&mut writer, *producer),
        }
        writer.finish()
    }

    /// The command that [`Self::encode`] wrote. An unknown tag must stop the node.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8()?;
        if !(INIT..=ENDED).contains(&tag) {
            return Err(reader.unknown_tag("transaction command", tag));
        }
        let transaction = reader.text()?.to_owned();
        let command = match tag {
            INIT => Self::Init(Init {
                transaction,
                timeout_ms: reader.i32()?,
                known: read_optional(&mut reader)?,
                fresh: ProducerId(reader.i64()?),
            }),
            END => Self::End(End {
                transaction,
                producer: read_producer(&mut reader)?,
                commit: read_flag(&mut reader)?,
                bumps: read_flag(&mut reader)?,
                fresh: non_negative(reader.i64()?),
            }),
            ADD => Self::Add {
                transaction,
                producer: read_producer(&mut reader)?,
                partitions: read_partitions(&mut reader)?,
            },
            EXPIRE => Self::Expire {
                transaction,
                producer: read_producer(&mut reader)?,
            },
            _ => Self::Ended {
                transaction,
                producer: read_producer(&mut reader)?,
                ordinal: reader.u64()?,
                partitions: read_partitions(&mut reader)?,
            },
        };
        reader.finish()?;
        Ok(command)
    }
}

fn non_negative(id: i64) -> Option<ProducerId> {
    (id >= 0).then_some(ProducerId(id))
}

pub(crate) fn read_flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.invalid("flag")),
    }
}

pub(crate) fn write_producer(writer: &mut Writer, producer: ProducerEpoch) {
    writer.i64(producer.id.0);
    writer.i16(producer.epoch);
}

pub(crate) fn read_producer(reader: &mut Reader<'_>) -> Result<ProducerEpoch, DecodeError> {
    let producer = ProducerEpoch {
        id: ProducerId(reader.i64()?),
        epoch: reader.i16()?,
    };
    if producer.id.0 < 0 || producer.epoch < 0 {
        return Err(reader.invalid("producer"));
    }
    Ok(producer)
}

fn write_optional(writer: &mut Writer, producer: Option<ProducerEpoch>) {
    let none = ProducerEpoch {
        id: ProducerId(-1),
        epoch: -1,
    };
    write_producer(writer, producer.unwrap_or(none));
}

fn read_optional(reader: &mut Reader<'_>) -> Result<Option<ProducerEpoch>, DecodeError> {
    let (id, epoch) = (reader.i64()?, reader.i16()?);
    match (non_negative(id), epoch) {
        (Some(id), 0..) => Ok(Some(ProducerEpoch { id, epoch })),
        (None, -1) => Ok(None),
        (Some(_) | None, _) => Err(reader.invalid("producer")),
    }
}

pub(crate) fn write_partitions(writer: &mut Writer, partitions: &[PartitionId]) {
    writer.count(partitions.len());
    partitions.iter().for_each(|id| writer.u64(id.0));
}

pub(crate) fn read_partitions(reader: &mut Reader<'_>) -> Result<Vec<PartitionId>, DecodeError> {
    let count = reader.count(8)?;
    (0..count).map(|_| reader.u64().map(PartitionId)).collect()
}
