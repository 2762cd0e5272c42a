//! The replicated offsets that groups committed.
//!
//! Encoded table, version 1: `u8` version, `u32` groups in ascending order of id, each text id
//! and its offsets. Encoded offsets: `u32` count, each `u64` partition, `u64` offset, `i32`
//! leader epoch, text metadata, `i64` time in ms.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, Offset, PartitionId};

use super::command::CommitOffsets;
use crate::encoding::{DecodeError, Reader, Writer};

/// Longest metadata of one offset, in bytes (Kafka's `offset.metadata.max.bytes`).
pub const MAX_OFFSET_METADATA_BYTES: usize = 4096;
/// Most partitions that one group may keep an offset of.
pub const MAX_OFFSETS_PER_GROUP: usize = 200_000;
/// Most groups that keep offsets in one shard.
pub const MAX_OFFSET_GROUPS: usize = 100_000;
const VERSION: u8 = 1;
const GROUP_MIN_BYTES: usize = 4 + 4;
/// Least that an encoded offset takes, in bytes.
const OFFSET_MIN_BYTES: usize = 8 + 8 + 4 + 4 + 8;

/// A kept place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record read; -1: not known.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
    /// When it was committed.
    pub committed: Millis,
}

/// The offsets of all groups of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetTable {
    groups: BTreeMap<String, BTreeMap<PartitionId, StoredOffset>>,
}

impl OffsetTable {
    /// Keeps what can be kept; one answer an offset, in the command's order. Errors:
    /// `OffsetMetadataTooLarge`, and `Overloaded` past a limit.
    pub fn apply(&mut self, commit: CommitOffsets) -> Vec<Result<(), ErrorKind>> {
        let has_room =
            self.groups.len() < MAX_OFFSET_GROUPS || self.groups.contains_key(&commit.group);
        if !has_room {
            return vec![Err(ErrorKind::Overloaded); commit.offsets.len()];
        }
        let mut kept = self.groups.remove(&commit.group).unwrap_or_default();
        let answers = commit
            .offsets
            .into_iter()
            .map(|(partition, stored)| {
                check_metadata(&stored.metadata)?;
                if kept.len() >= MAX_OFFSETS_PER_GROUP && !kept.contains_key(&partition) {
                    return Err(ErrorKind::Overloaded);
                }
                kept.insert(partition, stored);
                Ok(())
            })
            .collect();
        if !kept.is_empty() {
            self.groups.insert(commit.group, kept);
        }
        answers
    }

    /// What the group keeps of the partition.
    pub fn fetch(&self, group: &str, partition: PartitionId) -> Option<&StoredOffset> {
        self.groups.get(group)?.get(&partition)
    }

    /// All that is kept, by group and partition.
    pub fn all(&self) -> impl Iterator<Item = (&str, PartitionId, &StoredOffset)> {
        let groups = self.groups.iter();
        groups.flat_map(|(group, kept)| {
            let kept = kept.iter();
            kept.map(move |(partition, stored)| (group.as_str(), *partition, stored))
        })
    }

    /// All that the group keeps, in ascending order of partition.
    pub fn fetch_all(&self, group: &str) -> impl Iterator<Item = (PartitionId, &StoredOffset)> {
        let kept = self.groups.get(group).into_iter().flatten();
        kept.map(|(partition, stored)| (*partition, stored))
    }

    /// Serial numbers of all topics that something is kept of. Walks all groups.
    pub fn topics(&self) -> impl Iterator<Item = u64> {
        let partitions = self.groups.values().flat_map(|kept| kept.keys());
        partitions.map(|partition| partition.topic_serial())
    }

    /// Forgets the offsets of topics that were deleted. Walks all groups.
    pub fn forget_topics(&mut self, serials: &BTreeSet<u64>) {
        self.groups.retain(|_, kept| {
            kept.retain(|partition, _| !serials.contains(&partition.topic_serial()));
            !kept.is_empty()
        });
    }

    /// The table as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(self.groups.len());
        for (group, kept) in &self.groups {
            writer.text(group);
            write_offsets(
                &mut writer,
                kept.len(),
                kept.iter().map(|(id, stored)| (*id, stored)),
            );
        }
        writer.finish()
    }

    /// The table that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("offset table version", VERSION)?;
        let mut groups: BTreeMap<String, BTreeMap<PartitionId, StoredOffset>> = BTreeMap::new();
        for _ in 0..reader.count(GROUP_MIN_BYTES)? {
            let group = reader.text()?.to_owned();
            let is_ascending = groups
                .last_key_value()
                .is_none_or(|(last, _)| *last < group);
            let offsets = read_offsets(&mut reader)?;
            let count = offsets.len();
            let kept: BTreeMap<_, _> = offsets.into_iter().collect();
            if !is_ascending || kept.len() != count {
                return Err(reader.invalid("offset table order"));
            }
            groups.insert(group, kept);
        }
        reader.finish()?;
        Ok(Self { groups })
    }
}

/// Whether metadata fits; `OffsetMetadataTooLarge` where not.
pub fn check_metadata(metadata: &str) -> Result<(), ErrorKind> {
    if metadata.len() > MAX_OFFSET_METADATA_BYTES {
        return Err(ErrorKind::OffsetMetadataTooLarge);
    }
    Ok(())
}

/// Appends `count` offsets.
pub(crate) fn write_offsets<'a>(
    writer: &mut Writer,
    count: usize,
    offsets: impl Iterator<Item = (PartitionId, &'a StoredOffset)>,
) {
    writer.count(count);
    for (partition, stored) in offsets {
        writer.u64(partition.0);
        writer.u64(stored.offset.0);
        writer.i32(stored.leader_epoch);
        writer.text(&stored.metadata);
        writer.i64(stored.committed.0);
    }
}

/// Takes what [`write_offsets`] wrote.
pub(crate) fn read_offsets(
    reader: &mut Reader<'_>,
) -> Result<Vec<(PartitionId, StoredOffset)>, DecodeError> {
    let mut offsets = Vec::new();
    for _ in 0..reader.count(OFFSET_MIN_BYTES)? {
        let partition = PartitionId(reader.u64()?);
        let stored = StoredOffset {
            offset: Offset(reader.u64()?),
            leader_epoch: reader.i32()?,
            metadata: reader.text()?.to_owned(),
            committed: Millis(reader.i64()?),
        };
        if stored.offset.0 >> 63 != 0 {
            return Err(reader.invalid("committed offset"));
        }
        offsets.push((partition, stored));
    }
    Ok(offsets)
}
