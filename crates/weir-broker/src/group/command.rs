//! The commands of groups in a shard's log: `u8` tag, then the command's own form.

use bytes::Bytes;
use weir_log::Millis;
use weir_model::PartitionId;

use super::{
    consumer::ConsumerChange,
    offsets::{StoredOffset, read_offsets, write_offsets},
    record::GroupRecord,
};
use crate::encoding::{DecodeError, Reader, Writer};

// Tags are never used again for something else: 1 and 5 were earlier forms.
const COMMIT_OFFSETS: u8 = 2;
const DELETE_GROUP: u8 = 3;
const FORGET_OFFSETS: u8 = 4;
const PUT_GROUP: u8 = 6;
const CHANGE_CONSUMERS: u8 = 7;
const CHANGE_SHARE: u8 = 8;
/// Least that an encoded place takes, in bytes.
const PLACE_BYTES: usize = 8 + 8;

/// A change of a shard's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupCommand {
    /// Replace a group's record: [`super::GroupTable::apply`].
    PutGroup(GroupRecord),
    /// Change a consumer group: [`super::GroupTable::change`].
    ChangeConsumers(ConsumerChange),
    /// Change a share group: [`super::GroupTable::change_share`].
    ChangeShare(ConsumerChange),
    /// Keep offsets: [`super::OffsetTable::apply`].
    CommitOffsets(CommitOffsets),
    /// Forget a group and all its offsets.
    DeleteGroup(String),
    /// Forget a group's places: [`super::OffsetTable::forget`].
    ForgetOffsets {
        /// The group.
        group: String,
        /// Its places, each with the time at which it was committed.
        places: Vec<(PartitionId, Millis)>,
    },
}

/// Offsets of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffsets {
    /// The group.
    pub group: String,
    /// Its places. Of two for one partition the later counts.
    pub offsets: Vec<(PartitionId, StoredOffset)>,
}

impl GroupCommand {
    /// The command as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        match self {
            Self::PutGroup(record) => {
                writer.u8(PUT_GROUP);
                record.write(&mut writer);
            }
            Self::ChangeConsumers(change) => {
                writer.u8(CHANGE_CONSUMERS);
                change.write(&mut writer);
            }
            Self::ChangeShare(change) => {
                writer.u8(CHANGE_SHARE);
                change.write(&mut writer);
            }
            Self::CommitOffsets(commit) => {
                writer.u8(COMMIT_OFFSETS);
                writer.text(&commit.group);
                let offsets = commit.offsets.iter().map(|(id, stored)| (*id, stored));
                write_offsets(&mut writer, commit.offsets.len(), offsets);
            }
            Self::DeleteGroup(group) => {
                writer.u8(DELETE_GROUP);
                writer.text(group);
            }
            Self::ForgetOffsets { group, places } => {
                writer.u8(FORGET_OFFSETS);
                writer.text(group);
                writer.count(places.len());
                for (partition, committed) in places {
                    writer.u64(partition.0);
                    writer.i64(committed.0);
                }
            }
        }
        writer.finish()
    }

    /// The command that [`Self::encode`] wrote. An unknown tag must stop the node.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let command = match reader.u8()? {
            PUT_GROUP => Self::PutGroup(GroupRecord::read(&mut reader)?),
            CHANGE_CONSUMERS => Self::ChangeConsumers(ConsumerChange::read(&mut reader)?),
            CHANGE_SHARE => Self::ChangeShare(ConsumerChange::read(&mut reader)?),
            COMMIT_OFFSETS => Self::CommitOffsets(CommitOffsets {
                group: reader.text()?.to_owned(),
                offsets: read_offsets(&mut reader)?,
            }),
            DELETE_GROUP => Self::DeleteGroup(reader.text()?.to_owned()),
            FORGET_OFFSETS => {
                let group = reader.text()?.to_owned();
                let mut places = Vec::new();
                for _ in 0..reader.count(PLACE_BYTES)? {
                    places.push((PartitionId(reader.u64()?), Millis(reader.i64()?)));
                }
                Self::ForgetOffsets { group, places }
            }
            tag => return Err(reader.unknown_tag("group command", tag)),
        };
        reader.finish()?;
        Ok(command)
    }
}
