//! The metadata as readers see it: immutable, and cheap to make again after a change.

use std::{collections::BTreeMap, sync::Arc};

use weir_access::Access;
use weir_model::{ErrorKind, GroupId, NodeId, PartitionId, TopicId, TopicName};

use super::{
    placed::Placement,
    record::{NodeRecord, TopicRecord},
    state::FIRST_SERIAL,
};
use crate::api::{
    TopicRef,
    admin::{ConfigMap, ConfigResource},
};
use crate::{chunked::Chunked, quota::QuotaTable, routing::Routing};

/// One state of the metadata. A clone shares nodes and topics; a change after it copies a few
/// hundred references.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    pub(super) cluster_id: Arc<str>,
    pub(super) nodes: Arc<BTreeMap<NodeId, NodeRecord>>,
    pub(super) by_name: Chunked<TopicName, Arc<TopicRecord>>,
    pub(super) by_id: Chunked<TopicId, Arc<TopicRecord>>,
    pub(super) by_serial: Chunked<u64, Arc<TopicRecord>>,
    /// Topics whose names another name could be taken for: by their name with `_` for `.`, as
    /// Kafka's metrics write it.
    pub(super) by_folded: Chunked<String, TopicName>,
    pub(super) configs: Chunked<ConfigResource, Arc<ConfigMap>>,
    pub(super) load: Arc<BTreeMap<GroupId, u64>>,
    pub(super) placements: Arc<BTreeMap<GroupId, Placement>>,
    pub(super) routing: Routing,
    pub(super) access: Access,
    pub(super) quotas: QuotaTable,
    /// The next topic's serial number.
    pub(super) next_serial: u64,
}

impl Topology {
    /// The cluster's id; empty before it is named.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// All nodes by id.
    pub fn nodes(&self) -> &BTreeMap<NodeId, NodeRecord> {
        &self.nodes
    }

    /// Number of topics.
    pub fn topic_count(&self) -> usize {
        self.by_serial.len()
    }

    /// All topics in ascending order of name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicRecord>> {
        self.by_name.values()
    }

    /// Topics whose names are this text or behind it, in ascending order of name.
    pub(crate) fn topics_from<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Arc<TopicRecord>> {
        let later = self.by_name.iter_from(move |known| known.as_str() < name);
        later.map(|(_, topic)| topic)
    }

    /// The topic with this name.
    pub fn by_name(&self, name: &TopicName) -> Option<&Arc<TopicRecord>> {
        self.by_name.get(name)
    }

    /// The topic with this id.
    pub fn by_id(&self, id: TopicId) -> Option<&Arc<TopicRecord>> {
        self.by_id.get(&id)
    }

    /// The topic with this serial number: whose a [`PartitionId`] is.
    pub fn by_serial(&self, serial: u64) -> Option<&Arc<TopicRecord>> {
        self.by_serial.get(&serial)
    }

    /// Whether the topic with this serial number was deleted: never so for one that this state of
    /// the metadata does not know yet.
    pub fn is_deleted(&self, serial: u64) -> bool {
        serial < self.next_serial && self.by_serial(serial).is_none()
    }

    /// How many topics were deleted so far.
    pub fn deleted_count(&self) -> u64 {
        let given = self.next_serial.saturating_sub(FIRST_SERIAL);
        given.saturating_sub(u64::try_from(self.topic_count()).unwrap_or(u64::MAX))
    }

    /// Another topic whose name Kafka's metrics could not tell from `name`.
    pub fn collision(&self, name: &TopicName) -> Option<&TopicName> {
        let other = self.by_folded.get(&folded(name)?)?;
        (other != name).then_some(other)
    }

    /// The topic a client means. `UnknownTopicOrPartition` or `UnknownTopicId`.
    pub fn topic(&self, topic: &TopicRef) -> Result<&Arc<TopicRecord>, ErrorKind> {
        match topic {
            TopicRef::Name(name) => self.by_name(name).ok_or(ErrorKind::UnknownTopicOrPartition),
            TopicRef::Id(id) => self.by_id(*id).ok_or(ErrorKind::UnknownTopicId),
        }
    }

    /// The partition a client means and the group that carries it.
    pub fn partition(
        &self,
        topic: &TopicRef,
        index: i32,
    ) -> Result<(PartitionId, GroupId), ErrorKind> {
        let found = self.topic(topic)?.partition(index);
        found.ok_or(ErrorKind::UnknownTopicOrPartition)
    }

    /// Partitions that each group carries, for [`super::placement::place`]; groups with none are
    /// left out.
    pub fn load(&self) -> &BTreeMap<GroupId, u64> {
        &self.load
    }

    /// Where people want groups; the others are where the steward puts them.
    pub fn placements(&self) -> &BTreeMap<GroupId, Placement> {
        &self.placements
    }

    /// Where people want a group.
    pub fn placement(&self, group: GroupId) -> Option<&Placement> {
        self.placements.get(&group)
    }

    /// Virtual hosts, exchanges, bindings and queues.
    pub(crate) fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Users, permissions and ACLs.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// How much of something they may have.
    pub(crate) fn quotas(&self) -> &QuotaTable {
        &self.quotas
    }

    pub(super) fn add(&mut self, topic: TopicRecord) -> Arc<TopicRecord> {
        let topic = Arc::new(topic);
        self.carry_more(&topic.partitions);
        self.by_name.insert(topic.name.clone(), topic.clone());
        self.by_id.insert(topic.id, topic.clone());
        self.by_serial.insert(topic.serial, topic.clone());
        if let Some(folded) = folded(&topic.name)
            && self.by_folded.get(&folded).is_none()
        {
            self.by_folded.insert(folded, topic.name.clone());
        }
        self.assert_sound();
        topic
    }

    /// Puts a changed topic in the place of itself.
    pub(super) fn replace(&mut self, topic: Arc<TopicRecord>) {
        self.by_name.insert(topic.name.clone(), topic.clone());
        self.by_id.insert(topic.id, topic.clone());
        self.by_serial.insert(topic.serial, topic);
        self.assert_sound();
    }

    /// The groups carry one more partition each.
    pub(super) fn carry_more(&mut self, groups: &[GroupId]) {
        let load = Arc::make_mut(&mut self.load);
        for group in groups {
            *load.entry(*group).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, id: TopicId) -> Option<Arc<TopicRecord>> {
        let topic = self.by_id.remove(&id)?;
        self.by_name.remove(&topic.name);
        self.by_serial.remove(&topic.serial);
        if let Some(folded) = folded(&topic.name)
            && self.by_folded.get(&folded) == Some(&topic.name)
        {
            self.by_folded.remove(&folded);
        }
        let load = Arc::make_mut(&mut self.load);
        for group in &topic.partitions {
            if let Some(count) = load.get_mut(group) {
                *count -= 1;
            }
        }
        load.retain(|_, count| *count > 0);
        self.assert_sound();
        Some(topic)
    }

    fn assert_sound(&self) {
        let count = self.by_serial.len();
        assert!(
            self.by_name.len() == count && self.by_id.len() == count,
            "a topic is found by its name, its id and its serial number"
        );
    }
}

/// The name with `_` for `.`; `None`: no other name gives the same.
fn folded(name: &TopicName) -> Option<String> {
    let text = name.as_str();
    text.contains(['.', '_']).then(|| text.replace('.', "_"))
}
