//! Which partitions a name or a message means.

use std::sync::Arc;

use weir_model::{GroupId, PartitionId, TopicName, fields::ShortString};

use super::QueueSession;
use crate::{
    Node,
    api::{
        TopicRef,
        queues::{Message, Refused},
    },
    metadata::{TopicRecord, Topology},
    queue::QueueSettings,
};

/// A queue's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueTarget {
    pub(super) partitions: Vec<(GroupId, PartitionId)>,
}

impl Node {
    /// The queue that a session means.
    pub(super) fn queue_for(
        &self,
        session: &QueueSession,
        name: &ShortString,
    ) -> Result<QueueTarget, Refused> {
        let topology = self.topology.load();
        let topic = topic_of(&topology, name);
        let topic = topic.ok_or_else(|| Refused::NoQueue {
            name: name.clone(),
            vhost: session.vhost.clone(),
        })?;
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let partitions = (0..count).filter_map(|index| topic.partition(index));
        let partitions = partitions.map(|(partition, group)| (group, partition));
        Ok(QueueTarget {
            partitions: partitions.collect(),
        })
    }

    /// How a partition's queue behaves.
    pub(super) fn settings_of(&self, _partition: PartitionId) -> QueueSettings {
        QueueSettings::default()
    }

    /// Calls `found` for each queue that takes a message.
    pub(super) fn route_message(
        topology: &Topology,
        session: &QueueSession,
        message: &Message,
        mut found: impl FnMut(&Arc<TopicRecord>),
    ) -> Result<(), Refused> {
        if !message.exchange.is_empty() {
            return Err(Refused::NoExchange {
                name: message.exchange.clone(),
                vhost: session.vhost.clone(),
            });
        }
        if let Some(topic) = topic_of(topology, &message.routing_key) {
            found(topic);
        }
        Ok(())
    }
}

fn topic_of<'a>(topology: &'a Topology, name: &ShortString) -> Option<&'a Arc<TopicRecord>> {
    let name = TopicName::new(name.as_str()).ok()?;
    topology.topic(&TopicRef::Name(name)).ok()
}
