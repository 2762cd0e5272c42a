//! The commands of groups in a shard's log: `u8` tag, then the command's own form.

use bytes::Bytes;
use weir_model::PartitionId;

use super::{
    offsets::{StoredOffset, read_offsets, write_offsets},
    record::GroupRecord,
};
use crate::encoding::{DecodeError, Reader, Writer};

// Tags are never used again for something else.
const PUT_GROUP: u8 = 1;
const COMMIT_OFFSETS: u8 = 2;

/// A change of a shard's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupCommand {
    /// Replace a group's record: [`super::GroupTable::apply`].
    PutGroup(GroupRecord),
    /// Keep offsets: [`super::OffsetTable::apply`].
    CommitOffsets(CommitOffsets),
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
            Self::CommitOffsets(commit) => {
                writer.u8(COMMIT_OFFSETS);
                writer.text(&commit.group);
                let offsets = commit.offsets.iter().map(|(id, stored)| (*id, stored));
                write_offsets(&mut writer, commit.offsets.len(), offsets);
            }
        }
        writer.finish()
    }

    /// The command that [`Self::encode`] wrote. An unknown tag must stop the node.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let command = match reader.u8()? {
            PUT_GROUP => Self::PutGroup(GroupRecord::read(&mut reader)?),
            COMMIT_OFFSETS => Self::CommitOffsets(CommitOffsets {
                group: reader.text()?.to_owned(),
                offsets: read_offsets(&mut reader)?,
            }),
            tag => return Err(reader.unknown_tag("group command", tag)),
        };
        reader.finish()?;
        Ok(command)
    }
}
