//! What outlives a restart of a group: one generation with its members and assignments.
//!
//! Encoded group: text id, `i32` generation, `i64` time in ms, text protocol type, optional texts protocol and
//! leader, `u32` members, each text id, optional text instance, texts client id and host,
//! `u64` session and rebalance timeouts in ms, bytes metadata and assignment.
//! Encoded table, version 2: `u8` version, `u32` groups in ascending order of id.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::Millis;

use crate::encoding::{DecodeError, Reader, Writer};

const VERSION: u8 = 2;
const GROUP_MIN_BYTES: usize = 4 + 4 + 8 + 4 + 1 + 1 + 4;
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

/// The replicated groups of one shard: the last record of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTable {
    groups: BTreeMap<String, GroupRecord>,
}

impl GroupTable {
    /// Replaces the group's record.
    pub fn apply(&mut self, record: GroupRecord) {
        self.groups.insert(record.group.clone(), record);
    }

    /// Forgets the group.
    pub fn remove(&mut self, group: &str) {
        self.groups.remove(group);
    }

    /// The group's record.
    pub fn get(&self, group: &str) -> Option<&GroupRecord> {
        self.groups.get(group)
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

    /// All records in ascending order of id: what a new leader restores.
    pub fn records(&self) -> impl Iterator<Item = &GroupRecord> {
        self.groups.values()
    }

    /// The table as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(self.groups.len());
        for record in self.groups.values() {
            record.write(&mut writer);
        }
        writer.finish()
    }

    /// The table that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("group table version", VERSION)?;
        let mut table = Self::default();
        for _ in 0..reader.count(GROUP_MIN_BYTES)? {
            let record = GroupRecord::read(&mut reader)?;
            let last = table.groups.last_key_value();
            if last.is_some_and(|(last, _)| *last >= record.group) {
                return Err(reader.invalid("group order"));
            }
            table.apply(record);
        }
        reader.finish()?;
        Ok(table)
    }
}
