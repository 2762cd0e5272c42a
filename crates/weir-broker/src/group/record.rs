//! What outlives a restart of a group: one generation with its members and assignments.
//!
//! Encoded group: text id, `i32` generation, `i64` time in ms, text protocol type, optional texts protocol and
//! leader, `u8` whether its members have to join again, `u32` members, each text id, optional text instance, texts client id and host,
//! `u64` session and rebalance timeouts in ms, bytes metadata and assignment.
//! Encoded table, version 4: `u8` version, `u32` groups in ascending order of id, each `u8` kind (1:
//! classic, 2: consumer, see [`super::consumer::record`], 3: share, likewise) and the group.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::Millis;

use super::consumer::{ConsumerChange, ConsumerRecord};
use crate::encoding::{DecodeError, Reader, Writer};
use weir_model::ErrorKind;

const VERSION: u8 = 4;
const CLASSIC: u8 = 1;
const CONSUMER: u8 = 2;
const SHARE: u8 = 3;
const GROUP_MIN_BYTES: usize = 1 + 4 + 4 + 8 + 4 + 1 + 1 + 1 + 4;
const MEMBER_MIN_BYTES: usize = 4 + 1 + 4 + 4 + 8 + 8 + 4 + 4;

/// A group as it was when a generation became stable, or its members changed after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// The group's id.
    pub group: String,
    /// The generation.
    pub generation: i32,
    /// When the record was made; of an empty group: since when it is empty.
    pub since: Millis,
    /// The protocol type; empty before the first member.
    pub protocol_type: String,
    /// The chosen protocol; `None` without members.
    pub protocol: Option<String>,
    /// The leading member; `None` without members.
    pub leader: Option<String>,
    /// Its members have to join again: it was a consumer group, and what one had is nobody's.
    pub must_rebalance: bool,
    /// The members in the order in which they joined.
    pub members: Vec<MemberRecord>,
}

/// One member of a [`GroupRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its id.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client connected from.
    pub client_host: String,
    /// Declared dead after this long without a heartbeat.
    pub session_timeout_ms: u64,
    /// How long the group waits for it to join again.
    pub rebalance_timeout_ms: u64,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

impl GroupRecord {
    /// Appends the record.
    pub fn write(&self, writer: &mut Writer) {
        writer.text(&self.group);
        writer.i32(self.generation);
        writer.i64(self.since.0);
        writer.text(&self.protocol_type);
        writer.optional_text(self.protocol.as_deref());
        writer.optional_text(self.leader.as_deref());
        writer.u8(u8::from(self.must_rebalance));
        writer.count(self.members.len());
        for member in &self.members {
            member.write(writer);
        }
    }

    /// Takes what [`Self::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut record = Self {
            group: reader.text()?.to_owned(),
            generation: reader.i32()?,
            since: Millis(reader.i64()?),
            protocol_type: reader.text()?.to_owned(),
            protocol: reader.optional_text()?.map(str::to_owned),
            leader: reader.optional_text()?.map(str::to_owned),
            must_rebalance: match reader.u8()? {
                0 => false,
                1 => true,
                tag => return Err(reader.unknown_tag("need of a rebalance", tag)),
            },
            members: Vec::new(),
        };
        for _ in 0..reader.count(MEMBER_MIN_BYTES)? {
            record.members.push(MemberRecord::read(reader)?);
        }
        if record.is_sound() {
            Ok(record)
        } else {
            Err(reader.invalid("group"))
        }
    }

    /// Whether leader and protocol are there exactly with members, the leader being one.
    pub fn is_sound(&self) -> bool {
        let is_led = match &self.leader {
            Some(leader) => self.members.iter().any(|member| member.member == *leader),
            None => self.members.is_empty(),
        };
        is_led && self.protocol.is_none() == self.members.is_empty() && self.generation >= 0
    }
}

impl MemberRecord {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.member);
        writer.optional_text(self.instance.as_deref());
        writer.text(&self.client_id);
        writer.text(&self.client_host);
        writer.u64(self.session_timeout_ms);
        writer.u64(self.rebalance_timeout_ms);
        writer.bytes(&self.metadata);
        writer.bytes(&self.assignment);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            member: reader.text()?.to_owned(),
            instance: reader.optional_text()?.map(str::to_owned),
            client_id: reader.text()?.to_owned(),
            client_host: reader.text()?.to_owned(),
            session_timeout_ms: reader.u64()?,
            rebalance_timeout_ms: reader.u64()?,
            metadata: Bytes::copy_from_slice(reader.bytes()?),
            assignment: Bytes::copy_from_slice(reader.bytes()?),
        })
    }
}

/// A group of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StoredGroup {
    Classic(GroupRecord),
    Consumer(ConsumerRecord),
    Share(ConsumerRecord),
}

impl StoredGroup {
    fn id(&self) -> &str {
        match self {
            Self::Classic(record) => &record.group,
            Self::Consumer(record) | Self::Share(record) => &record.group,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Classic(record) => {
                writer.u8(CLASSIC);
                record.write(writer);
            }
            Self::Consumer(record) => {
                writer.u8(CONSUMER);
                record.write(writer);
            }
            Self::Share(record) => {
                writer.u8(SHARE);
                record.write(writer);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            CLASSIC => GroupRecord::read(reader).map(Self::Classic),
            CONSUMER => ConsumerRecord::read(reader).map(Self::Consumer),
            SHARE => ConsumerRecord::read_shared(reader).map(Self::Share),
            tag => Err(reader.unknown_tag("kind of group", tag)),
        }
    }
}

/// The replicated groups of one shard: the last record of each. A group is of one kind at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTable {
    groups: BTreeMap<String, StoredGroup>,
}

impl GroupTable {
    /// Replaces the group by a classic one.
    pub fn apply(&mut self, record: GroupRecord) {
        let id = record.group.clone();
        self.groups.insert(id, StoredGroup::Classic(record));
    }

    /// Changes a consumer group, or makes it, in the place of a classic group where there is one.
    /// `NotCoordinator`: whoever made the change did not know the group as it is.
    pub fn change(&mut self, change: ConsumerChange) -> Result<(), ErrorKind> {
        if let Some(StoredGroup::Consumer(record)) = self.groups.get_mut(&change.group) {
            return record.apply(change);
        }
        let mut record = ConsumerRecord::new(change.group.clone());
        record.apply(change)?;
        let id = record.group.clone();
        self.groups.insert(id, StoredGroup::Consumer(record));
        Ok(())
    }

    /// Changes a share group, or makes it. `NotCoordinator`: whoever made the change did not know
    /// the group as it is. `InconsistentGroupProtocol`: a group of another kind has that id.
    pub fn change_share(&mut self, change: ConsumerChange) -> Result<(), ErrorKind> {
        match self.groups.get_mut(&change.group) {
            Some(StoredGroup::Share(record)) => record.apply(change),
            Some(StoredGroup::Classic(_) | StoredGroup::Consumer(_)) => {
                Err(ErrorKind::InconsistentGroupProtocol)
            }
            None => {
                let mut record = ConsumerRecord::new(change.group.clone());
                record.apply(change)?;
                let id = record.group.clone();
                self.groups.insert(id, StoredGroup::Share(record));
                Ok(())
            }
        }
    }

    /// Forgets the group.
    pub fn remove(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// Whether there is such a group.
    pub fn contains(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// The classic group's record.
    pub fn get(&self, group: &str) -> Option<&GroupRecord> {
        match self.groups.get(group)? {
            StoredGroup::Classic(record) => Some(record),
            StoredGroup::Consumer(_) | StoredGroup::Share(_) => None,
        }
    }

    /// The share group's record.
    pub fn share(&self, group: &str) -> Option<&ConsumerRecord> {
        match self.groups.get(group)? {
            StoredGroup::Share(record) => Some(record),
            StoredGroup::Classic(_) | StoredGroup::Consumer(_) => None,
        }
    }

    /// The consumer group's record.
    pub fn consumer(&self, group: &str) -> Option<&ConsumerRecord> {
        match self.groups.get(group)? {
            StoredGroup::Consumer(record) => Some(record),
            StoredGroup::Classic(_) | StoredGroup::Share(_) => None,
        }
    }

    /// Ids after `after` in ascending order.
    pub fn ids_after(&self, after: &str) -> impl Iterator<Item = &str> {
        let later = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let later = self.groups.range::<str, _>(later);
        later.map(|(id, _)| id.as_str())
    }

    /// Number of groups.
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    /// The classic groups in ascending order of id: what a new leader restores.
    pub fn records(&self) -> impl Iterator<Item = &GroupRecord> {
        self.groups.values().filter_map(|stored| match stored {
            StoredGroup::Classic(record) => Some(record),
            StoredGroup::Consumer(_) | StoredGroup::Share(_) => None,
        })
    }

    /// The consumer groups likewise.
    pub fn consumers(&self) -> impl Iterator<Item = &ConsumerRecord> {
        self.groups.values().filter_map(|stored| match stored {
            StoredGroup::Consumer(record) => Some(record),
            StoredGroup::Classic(_) | StoredGroup::Share(_) => None,
        })
    }

    /// The share groups likewise.
    pub fn share_groups(&self) -> impl Iterator<Item = &ConsumerRecord> {
        self.groups.values().filter_map(|stored| match stored {
            StoredGroup::Share(record) => Some(record),
            StoredGroup::Classic(_) | StoredGroup::Consumer(_) => None,
        })
    }

    /// The table as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(self.groups.len());
        for stored in self.groups.values() {
            stored.write(&mut writer);
        }
        writer.finish()
    }

    /// The table that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("group table version", VERSION)?;
        let mut table = Self::default();
        for _ in 0..reader.count(GROUP_MIN_BYTES)? {
            let stored = StoredGroup::read(&mut reader)?;
            let last = table.groups.last_key_value();
            if last.is_some_and(|(last, _)| last.as_str() >= stored.id()) {
                return Err(reader.invalid("group order"));
            }
            table.groups.insert(stored.id().to_owned(), stored);
        }
        reader.finish()?;
        Ok(table)
    }
}
