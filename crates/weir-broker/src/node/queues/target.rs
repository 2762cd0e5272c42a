//! Which queues and partitions a name, a partition or a message means, by what this node knows.

use std::sync::Arc;

use weir_model::{GroupId, PartitionId, fields::ShortString};

use super::QueueSession;
use crate::{
    Node,
    api::queues::{Message, Refused},
    metadata::{TopicRecord, Topology},
    queue::{QueueSettings, SessionKey},
    routing::{
        check_access,
        record::{QueueId, QueueRecord, QueueType},
        route::{Addressed, Surroundings},
    },
};

/// A queue's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueTarget {
    pub(super) id: QueueId,
    pub(super) name: ShortString,
    pub(super) kind: QueueType,
    pub(super) partitions: Vec<(GroupId, PartitionId)>,
}

/// A queue and the topic below it.
#[derive(Clone, Debug)]
pub(crate) struct FoundQueue {
    pub(crate) queue: Arc<QueueRecord>,
    pub(crate) topic: Arc<TopicRecord>,
}

impl FoundQueue {
    /// Its partitions with the groups that carry them.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (GroupId, PartitionId)> {
        let serial = self.topic.serial;
        let groups = self.topic.partitions.iter().zip(0..);
        groups.map(move |(group, index)| (*group, PartitionId::new(serial, index)))
    }
}

impl Node {
    /// The queue that a session means.
    pub(super) fn queue_for(
        &self,
        session: &QueueSession,
        name: &ShortString,
    ) -> Result<QueueTarget, Refused> {
        let found = self.find_queue(&session.vhost, session.key, name)?;
        Ok(QueueTarget {
            id: found.queue.id,
            name: found.queue.name.clone(),
            kind: found.queue.kind,
            partitions: found.partitions().collect(),
        })
    }

    /// The queue of that name, where the session may use it.
    pub(crate) fn find_queue(
        &self,
        vhost: &str,
        session: SessionKey,
        name: &ShortString,
    ) -> Result<FoundQueue, Refused> {
        let topology = self.topology.load();
        let routing = topology.routing();
        let found = routing.vhost(vhost);
        let vhost = found.ok_or_else(|| Refused::NoVhost(vhost.to_owned()))?;
        let absent = || Refused::NoQueue {
            name: name.clone(),
            vhost: vhost.name.clone(),
        };
        let queue = routing.queue(vhost.id, name).ok_or_else(absent)?;
        check_access(queue, vhost, session)?;
        let topic = topology.by_serial(queue.id.0).ok_or_else(absent)?;
        Ok(FoundQueue {
            queue: Arc::clone(queue),
            topic: Arc::clone(topic),
        })
    }

    /// The queue that the partition belongs to; `None` where it belongs to none (any more).
    pub(crate) fn queue_of(&self, partition: PartitionId) -> Option<FoundQueue> {
        self.queue_by_id(QueueId(partition.topic_serial()))
    }

    /// The queue with that number.
    pub(super) fn queue_by_id(&self, id: QueueId) -> Option<FoundQueue> {
        let topology = self.topology.load();
        Some(FoundQueue {
            queue: Arc::clone(topology.routing().queue_by_id(id)?),
            topic: Arc::clone(topology.by_serial(id.0)?),
        })
    }

    /// How a partition's queue behaves.
    pub(super) fn settings_of(&self, partition: PartitionId) -> QueueSettings {
        let topology = self.topology.load();
        let routing = topology.routing();
        let queue = routing.queue_by_id(QueueId(partition.topic_serial()));
        queue.map_or_else(QueueSettings::default, |queue| routing.settings(queue))
    }

    /// Calls `found` for each queue that takes a message, with the time that it has to wait there, in
    /// ms.
    pub(super) fn route_message(
        &self,
        topology: &Topology,
        session: &QueueSession,
        message: &Message,
        mut found: impl FnMut(&Arc<TopicRecord>, u64),
    ) -> Result<(), Refused> {
        let routing = topology.routing();
        let vhost = routing.vhost(&session.vhost);
        let vhost = vhost.ok_or_else(|| Refused::NoVhost(session.vhost.clone()))?;
        let addressed = Addressed {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            properties: &message.properties,
        };
        let to = routing.route(vhost, &addressed, self)?;
        let topics = to.queues.iter();
        let topics = topics.filter_map(|queue| topology.by_serial(queue.0));
        topics.for_each(|topic| found(topic, to.delay_ms));
        Ok(())
    }
}

impl Surroundings for Node {
    fn random(&self) -> u64 {
        self.entropy.next_u64()
    }

    fn is_local(&self, queue: QueueId) -> bool {
        let topology = self.topology.load();
        let topic = topology.by_serial(queue.0);
        let first = topic.and_then(|topic| topic.partitions.first());
        first.is_some_and(|group| self.leads(*group))
    }
}
