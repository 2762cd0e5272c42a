//! The replicated offsets that groups committed.
//!
//! Encoded table, version 1: `u8` version, `u32` groups in ascending order of id, each text id
//! and its offsets. Encoded offsets: `u32` count, each `u64` partition, `i64` offset, `i32`
//! leader epoch, text metadata, `i64` time in ms.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId};

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

/// What one shard's offsets may take in memory, in bytes, as [`OffsetTable::held_bytes`] counts.
pub const MAX_OFFSET_TABLE_BYTES: usize = 512 * 1024 * 1024;
/// What a group takes besides its id and its offsets, in bytes: nodes of the map, lengths.
const GROUP_BYTES: usize = 64;

/// Groups with so many places or fewer take no more memory than these, as a count.
const FEW_COUNT: usize = 16;

/// A kept place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOffset {
    /// The next offset to read, as the client gave it. Below 0 it is what the client makes of it:
    /// kafkajs commits -2 and -1 for the first and the next offset, and Kafka keeps them.
    pub offset: i64,
    /// The leader epoch of the last record read; -1: not known.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: Box<str>,
    /// When it was committed.
    pub committed: Millis,
}

/// A group's places, in ascending order of partition. A list: most groups have a few, and a map's
/// smallest node is larger than ten of them.
type Places = Vec<(PartitionId, StoredOffset)>;

/// The offsets of all groups of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetTable {
    groups: BTreeMap<String, Places>,
    held_bytes: usize,
}

impl OffsetTable {
    /// Keeps what can be kept; one answer an offset, in the command's order. Errors:
    /// `OffsetMetadataTooLarge`, and `Overloaded` past a limit.
    pub fn apply(&mut self, commit: CommitOffsets) -> Vec<Result<(), ErrorKind>> {
        let has_room =
            self.groups.len() < MAX_OFFSET_GROUPS || self.groups.contains_key(&commit.group);
        let added_bytes: usize = commit
            .offsets
            .iter()
            .map(|(_, place)| place_bytes(place))
            .sum();
        if !has_room || self.held_bytes + added_bytes > MAX_OFFSET_TABLE_BYTES {
            return vec![Err(ErrorKind::Overloaded); commit.offsets.len()];
        }
        let held_bytes = &mut self.held_bytes;
        let kept = self.groups.entry(commit.group.clone()).or_insert_with(|| {
            *held_bytes += group_bytes(&commit.group, &Vec::new());
            Vec::new()
        });
        let mut answers = Vec::with_capacity(commit.offsets.len());
        for (partition, stored) in commit.offsets {
            let answer = keep(kept, partition, stored);
            answers.push(answer.map(|grown_bytes| {
                *held_bytes = held_bytes.saturating_add_signed(grown_bytes);
            }));
        }
        if kept.is_empty() {
            self.take(&commit.group);
        } else if kept.len() <= FEW_COUNT {
            kept.shrink_to_fit();
        }
        answers
    }

    /// What the group keeps of the partition.
    pub fn fetch(&self, group: &str, partition: PartitionId) -> Option<&StoredOffset> {
        let kept = self.groups.get(group)?;
        let at = kept.binary_search_by_key(&partition, |(id, _)| *id).ok()?;
        Some(&kept[at].1)
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

    /// The groups that keep anything, after `after` in ascending order of id.
    pub fn groups_after(&self, after: &str) -> impl Iterator<Item = &str> {
        let later = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.groups
            .range::<str, _>(later)
            .map(|(id, _)| id.as_str())
    }

    /// Whether the group keeps anything.
    pub fn contains(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Number of groups that keep anything.
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    /// What the table takes in memory, about, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The serial numbers of all topics that any group keeps a place in. Walks all groups.
    pub fn topics(&self) -> BTreeSet<u64> {
        let places = self.groups.values().flatten();
        places
            .map(|(partition, _)| partition.topic_serial())
            .collect()
    }

    /// Forgets places of a group, each only where it is still the one that was committed then.
    pub fn forget(&mut self, group: &str, places: &[(PartitionId, Millis)]) {
        let mut kept = self.take(group);
        let gone: BTreeMap<PartitionId, Millis> = places.iter().copied().collect();
        kept.retain(|(partition, stored)| gone.get(partition) != Some(&stored.committed));
        self.put(group.to_owned(), kept);
    }

    /// Forgets all places of a group.
    pub fn forget_group(&mut self, group: &str) {
        self.take(group);
    }

    /// Forgets the offsets of topics that were deleted. Walks all groups.
    pub fn forget_topics(&mut self, serials: &BTreeSet<u64>) {
        for (group, mut kept) in std::mem::take(&mut self.groups) {
            self.held_bytes -= group_bytes(&group, &kept);
            kept.retain(|(partition, _)| !serials.contains(&partition.topic_serial()));
            self.put(group, kept);
        }
    }

    fn take(&mut self, group: &str) -> Places {
        let Some(kept) = self.groups.remove(group) else {
            return Vec::new();
        };
        self.held_bytes -= group_bytes(group, &kept);
        kept
    }

    fn put(&mut self, group: String, mut kept: Places) {
        if kept.is_empty() {
            return;
        }
        kept.shrink_to_fit();
        self.held_bytes += group_bytes(&group, &kept);
        self.groups.insert(group, kept);
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
        let mut table = Self::default();
        for _ in 0..reader.count(GROUP_MIN_BYTES)? {
            let group = reader.text()?.to_owned();
            let is_ascending = table
                .groups
                .last_key_value()
                .is_none_or(|(last, _)| *last < group);
            let kept = read_offsets(&mut reader)?;
            let is_sorted = kept.is_sorted_by(|(one, _), (next, _)| one < next);
            if !is_ascending || !is_sorted || kept.is_empty() {
                return Err(reader.invalid("offset table order"));
            }
            table.put(group, kept);
        }
        reader.finish()?;
        Ok(table)
    }
}

/// Gives by how many bytes the places grew.
fn keep(
    kept: &mut Places,
    partition: PartitionId,
    stored: StoredOffset,
) -> Result<isize, ErrorKind> {
    check_metadata(&stored.metadata)?;
    let signed = |bytes: usize| isize::try_from(bytes).expect("metadata is short");
    let new_bytes = signed(place_bytes(&stored));
    match kept.binary_search_by_key(&partition, |(id, _)| *id) {
        Ok(at) => {
            let old = std::mem::replace(&mut kept[at].1, stored);
            Ok(new_bytes - signed(place_bytes(&old)))
        }
        Err(_) if kept.len() >= MAX_OFFSETS_PER_GROUP => Err(ErrorKind::Overloaded),
        Err(at) => {
            kept.insert(at, (partition, stored));
            Ok(new_bytes)
        }
    }
}

fn place_bytes(stored: &StoredOffset) -> usize {
    size_of::<(PartitionId, StoredOffset)>() + stored.metadata.len()
}

fn group_bytes(group: &str, kept: &Places) -> usize {
    let places = kept.iter().map(|(_, stored)| place_bytes(stored));
    GROUP_BYTES + group.len() + places.sum::<usize>()
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
        writer.i64(stored.offset);
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
            offset: reader.i64()?,
            leader_epoch: reader.i32()?,
            metadata: reader.text()?.into(),
            committed: Millis(reader.i64()?),
        };
        offsets.push((partition, stored));
    }
    Ok(offsets)
}
