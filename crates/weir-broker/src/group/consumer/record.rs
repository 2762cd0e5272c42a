//! What outlives a restart of a consumer group, and the one kind of change to it.
//!
//! Encoded group: text id, `u64` version, `i32` epoch and target epoch, `i64` since in ms, topics,
//! members. Topics: `u32` count, ascending by serial number, each `u64` serial, `u128` id, text
//! name, `u32` partitions, `u8` whether it is read. Members: `u32` count, ascending by id, each
//! texts id, client id and client host, optional texts instance and rack, `u64` rebalance timeout
//! in ms, `u32` names, each text, optional text pattern, `u8` assignor (0: none, 1: uniform, 2:
//! range), `u8` 0 or 1 and what it is in the classic protocol (`u64` session timeout in ms, `u32`
//! protocols, each text and bytes), `i32` epoch and previous epoch, partitions assigned, being revoked and targeted, each
//! `u32` count and ascending `u64`s.
//! Encoded change: text group, `u64` version it is based on, `i32` epoch and target epoch, `i64`
//! since, `u8` 0 or 1 and topics, members, `u32` removed members, each text.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, TopicId};

use super::assign::Assignor;
use crate::encoding::{DecodeError, Reader, Writer};

const TOPIC_MIN_BYTES: usize = 8 + 16 + 4 + 4 + 1;
const MEMBER_MIN_BYTES: usize = 3 * 4 + 2 + 8 + 4 + 1 + 1 + 1 + 8 + 3 * 4;
const PROTOCOL_MIN_BYTES: usize = 4 + 4;
const TEXT_MIN_BYTES: usize = 4;
const PARTITION_BYTES: usize = 8;

/// A topic of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTopic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its partition count as of the last assignment.
    pub partition_count: u32,
    /// Whether members are subscribed to it. Where not, some still have to let go of it.
    pub is_read: bool,
}

/// Topics by serial number.
pub type GroupTopics = BTreeMap<u64, GroupTopic>;

/// What is known besides of a member that speaks the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMember {
    /// Declared dead after this long without a heartbeat.
    pub session_timeout_ms: u64,
    /// Its protocols with their metadata, best first, never empty.
    pub protocols: Vec<(String, Bytes)>,
}

/// One member. Lists of partitions are ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its id, which its client made.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// Where it stands.
    pub rack: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client connected from.
    pub client_host: String,
    /// How long it may take to let go of partitions.
    pub rebalance_timeout_ms: u64,
    /// Topics by name, ascending.
    pub topics: Vec<String>,
    /// Topics by pattern; never empty.
    pub pattern: Option<String>,
    /// The assignor that it asks for.
    pub assignor: Option<Assignor>,
    /// Set where it speaks the classic protocol.
    pub classic: Option<ClassicMember>,
    /// The assignment that it is at; -2: a static member that is away.
    pub epoch: i32,
    /// The one before.
    pub previous_epoch: i32,
    /// What it may read.
    pub assigned: Vec<PartitionId>,
    /// What it has yet to let go of.
    pub revoking: Vec<PartitionId>,
    /// What it is to have.
    pub target: Vec<PartitionId>,
}

/// A group as of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// The group's id.
    pub group: String,
    /// Counts its changes.
    pub version: u64,
    /// Counts the changes of who reads what.
    pub epoch: i32,
    /// The epoch that the target assignment was made for.
    pub target_epoch: i32,
    /// When it last changed; of an empty group: since when it is empty.
    pub since: Millis,
    /// Its topics.
    pub topics: GroupTopics,
    /// Its members by id.
    pub members: BTreeMap<String, ConsumerMember>,
}

/// A change of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerChange {
    /// The group.
    pub group: String,
    /// The version that it changes; 0: there is none yet.
    pub based_on: u64,
    /// The epoch after it.
    pub epoch: i32,
    /// The target epoch after it.
    pub target_epoch: i32,
    /// As in [`ConsumerRecord`]: whoever proposes the change puts it in.
    pub since: Millis,
    /// The topics after it; `None`: as before.
    pub topics: Option<GroupTopics>,
    /// Members that are new or changed.
    pub members: Vec<ConsumerMember>,
    /// Members that are gone; they go before the others come.
    pub removed: Vec<String>,
}

impl ConsumerRecord {
    /// A group before its first change.
    pub fn new(group: String) -> Self {
        Self {
            group,
            version: 0,
            epoch: 0,
            target_epoch: 0,
            since: Millis(0),
            topics: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    /// Carries the change out. `NotCoordinator`: whoever made it did not know the group as it is.
    pub fn apply(&mut self, change: ConsumerChange) -> Result<(), ErrorKind> {
        if change.based_on != self.version {
            return Err(ErrorKind::NotCoordinator);
        }
        self.version += 1;
        self.epoch = change.epoch;
        self.target_epoch = change.target_epoch;
        self.since = change.since;
        if let Some(topics) = change.topics {
            self.topics = topics;
        }
        for member in &change.removed {
            self.members.remove(member);
        }
        for member in change.members {
            self.members.insert(member.member.clone(), member);
        }
        Ok(())
    }

    /// Appends the record.
    pub fn write(&self, writer: &mut Writer) {
        writer.text(&self.group);
        writer.u64(self.version);
        writer.i32(self.epoch);
        writer.i32(self.target_epoch);
        writer.i64(self.since.0);
        write_topics(writer, &self.topics);
        write_members(writer, self.members.len(), self.members.values());
    }

    /// Takes what [`Self::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let record = Self::read_shared(reader)?;
        let mut held = BTreeSet::new();
        let members = record.members.values();
        let mut own = members.flat_map(|member| member.assigned.iter().chain(&member.revoking));
        if !own.all(|partition| held.insert(*partition)) {
            return Err(reader.invalid("partition of one member"));
        }
        Ok(record)
    }

    /// The same for a group whose members may have the same partitions.
    pub fn read_shared(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut record = Self {
            group: reader.text()?.to_owned(),
            version: reader.u64()?,
            epoch: reader.i32()?,
            target_epoch: reader.i32()?,
            since: Millis(reader.i64()?),
            topics: read_topics(reader)?,
            members: BTreeMap::new(),
        };
        for member in read_members(reader)? {
            record.members.insert(member.member.clone(), member);
        }
        if record.version == 0 || record.target_epoch > record.epoch || record.target_epoch < 0 {
            return Err(reader.invalid("consumer group"));
        }
        Ok(record)
    }
}

impl ConsumerChange {
    /// Appends the change.
    pub fn write(&self, writer: &mut Writer) {
        writer.text(&self.group);
        writer.u64(self.based_on);
        writer.i32(self.epoch);
        writer.i32(self.target_epoch);
        writer.i64(self.since.0);
        writer.u8(u8::from(self.topics.is_some()));
        if let Some(topics) = &self.topics {
            write_topics(writer, topics);
        }
        write_members(writer, self.members.len(), self.members.iter());
        writer.count(self.removed.len());
        for member in &self.removed {
            writer.text(member);
        }
    }

    /// Takes what [`Self::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut change = Self {
            group: reader.text()?.to_owned(),
            based_on: reader.u64()?,
            epoch: reader.i32()?,
            target_epoch: reader.i32()?,
            since: Millis(reader.i64()?),
            topics: match reader.u8()? {
                0 => None,
                1 => Some(read_topics(reader)?),
                tag => return Err(reader.unknown_tag("presence of topics", tag)),
            },
            members: read_members(reader)?,
            removed: Vec::new(),
        };
        for _ in 0..reader.count(TEXT_MIN_BYTES)? {
            change.removed.push(reader.text()?.to_owned());
        }
        if change.target_epoch > change.epoch || change.target_epoch < 0 {
            return Err(reader.invalid("consumer group"));
        }
        Ok(change)
    }
}

fn write_topics(writer: &mut Writer, topics: &GroupTopics) {
    writer.count(topics.len());
    for (serial, topic) in topics {
        writer.u64(*serial);
        writer.u128(topic.id.0.as_u128());
        writer.text(&topic.name);
        writer.u32(topic.partition_count);
        writer.u8(u8::from(topic.is_read));
    }
}

fn read_topics(reader: &mut Reader<'_>) -> Result<GroupTopics, DecodeError> {
    let mut topics = GroupTopics::new();
    for _ in 0..reader.count(TOPIC_MIN_BYTES)? {
        let serial = reader.u64()?;
        let topic = GroupTopic {
            id: TopicId(uuid::Uuid::from_u128(reader.u128()?)),
            name: reader.text()?.to_owned(),
            partition_count: reader.u32()?,
            is_read: match reader.u8()? {
                0 => false,
                1 => true,
                tag => return Err(reader.unknown_tag("use of a topic", tag)),
            },
        };
        let is_ascending = topics
            .last_key_value()
            .is_none_or(|(last, _)| *last < serial);
        let has_range = serial >> (u64::BITS - PartitionId::INDEX_BITS) == 0
            && topic.partition_count <= PartitionId::MAX_INDEX_COUNT;
        if !is_ascending || !has_range {
            return Err(reader.invalid("topic of a group"));
        }
        topics.insert(serial, topic);
    }
    Ok(topics)
}

fn write_members<'a>(
    writer: &mut Writer,
    count: usize,
    members: impl Iterator<Item = &'a ConsumerMember>,
) {
    writer.count(count);
    for member in members {
        member.write(writer);
    }
}

fn read_members(reader: &mut Reader<'_>) -> Result<Vec<ConsumerMember>, DecodeError> {
    let mut members: Vec<ConsumerMember> = Vec::new();
    for _ in 0..reader.count(MEMBER_MIN_BYTES)? {
        let member = ConsumerMember::read(reader)?;
        if members
            .last()
            .is_some_and(|last| last.member >= member.member)
        {
            return Err(reader.invalid("member order"));
        }
        members.push(member);
    }
    Ok(members)
}

impl ConsumerMember {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.member);
        writer.text(&self.client_id);
        writer.text(&self.client_host);
        writer.optional_text(self.instance.as_deref());
        writer.optional_text(self.rack.as_deref());
        writer.u64(self.rebalance_timeout_ms);
        writer.count(self.topics.len());
        for name in &self.topics {
            writer.text(name);
        }
        writer.optional_text(self.pattern.as_deref());
        writer.u8(self.assignor.map_or(0, Assignor::tag));
        writer.u8(u8::from(self.classic.is_some()));
        if let Some(classic) = &self.classic {
            classic.write(writer);
        }
        writer.i32(self.epoch);
        writer.i32(self.previous_epoch);
        for list in [&self.assigned, &self.revoking, &self.target] {
            writer.count(list.len());
            list.iter().for_each(|partition| writer.u64(partition.0));
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut member = Self {
            member: reader.text()?.to_owned(),
            client_id: reader.text()?.to_owned(),
            client_host: reader.text()?.to_owned(),
            instance: reader.optional_text()?.map(str::to_owned),
            rack: reader.optional_text()?.map(str::to_owned),
            rebalance_timeout_ms: reader.u64()?,
            topics: Vec::new(),
            pattern: None,
            assignor: None,
            classic: None,
            epoch: 0,
            previous_epoch: 0,
            assigned: Vec::new(),
            revoking: Vec::new(),
            target: Vec::new(),
        };
        for _ in 0..reader.count(TEXT_MIN_BYTES)? {
            member.topics.push(reader.text()?.to_owned());
        }
        member.pattern = reader.optional_text()?.map(str::to_owned);
        member.assignor = match reader.u8()? {
            0 => None,
            tag => {
                Some(Assignor::from_tag(tag).ok_or_else(|| reader.unknown_tag("assignor", tag))?)
            }
        };
        member.classic = match reader.u8()? {
            0 => None,
            1 => Some(ClassicMember::read(reader)?),
            tag => return Err(reader.unknown_tag("protocol of a member", tag)),
        };
        member.epoch = reader.i32()?;
        member.previous_epoch = reader.i32()?;
        member.assigned = read_partitions(reader)?;
        member.revoking = read_partitions(reader)?;
        member.target = read_partitions(reader)?;
        if !member.topics.is_sorted_by(|one, next| one < next) || member.epoch < -2 {
            return Err(reader.invalid("member"));
        }
        Ok(member)
    }
}

impl ClassicMember {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.session_timeout_ms);
        writer.count(self.protocols.len());
        for (name, metadata) in &self.protocols {
            writer.text(name);
            writer.bytes(metadata);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let session_timeout_ms = reader.u64()?;
        let mut protocols = Vec::new();
        for _ in 0..reader.count(PROTOCOL_MIN_BYTES)? {
            let name = reader.text()?.to_owned();
            protocols.push((name, Bytes::copy_from_slice(reader.bytes()?)));
        }
        if protocols.is_empty() {
            return Err(reader.invalid("protocols of a member"));
        }
        Ok(Self {
            session_timeout_ms,
            protocols,
        })
    }
}

fn read_partitions(reader: &mut Reader<'_>) -> Result<Vec<PartitionId>, DecodeError> {
    let mut list = Vec::new();
    for _ in 0..reader.count(PARTITION_BYTES)? {
        list.push(PartitionId(reader.u64()?));
    }
    if !list.is_sorted_by(|one, next| one < next) {
        return Err(reader.invalid("partition order"));
    }
    Ok(list)
}
