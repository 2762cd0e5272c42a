//! Which partitions a message goes to, and which a queue has, by what this node knows.

use std::sync::Arc;

use weir_model::{GroupId, PartitionId, fields::ShortString};

use super::QueueSession;
use crate::{
    Node,
    api::queues::{Message, Refused},
    metadata::TopicRecord,
    queue::SessionKey,
    routing::{
        check_access, consistent,
        record::{QueueId, QueueRecord},
        route::{Addressed, Surroundings},
    },
};

/// Where a message goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Routed {
    /// One partition of each queue; empty where no queue takes it.
    pub(crate) targets: Vec<(PartitionId, GroupId)>,
    /// How long it waits before it is ready, in ms.
    pub(crate) delay_ms: u64,
}

/// A queue and the topic below it.
#[derive(Clone, Debug)]
pub(crate) struct FoundQueue {
    pub(crate) queue: Arc<QueueRecord>,
    pub(crate) topic: Arc<TopicRecord>,
}

impl FoundQueue {
    /// Its partitions with the groups that carry them.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (PartitionId, GroupId)> {
        let serial = self.topic.serial;
        let groups = self.topic.partitions.iter().zip(0..);
        groups.map(move |(group, index)| (PartitionId::new(serial, index), *group))
    }
}

impl Node {
    /// Where a client's message goes: each queue once.
    pub(crate) fn route_message(&self, vhost: &str, message: &Message) -> Result<Routed, Refused> {
        let topology = self.topology.load();
        let routing = topology.routing();
        let found = routing.vhost(vhost);
        let vhost = found.ok_or_else(|| Refused::NoVhost(vhost.to_owned()))?;
        let addressed = Addressed {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            properties: &message.properties,
        };
        let to = routing.route(vhost, &addressed, self)?;
        let topics = to.queues.iter();
        let topics = topics.filter_map(|queue| topology.by_serial(queue.0));
        let targets = topics.filter_map(|topic| partition_for(topic, &message.routing_key));
        Ok(Routed {
            targets: targets.collect(),
            delay_ms: to.delay_ms,
        })
    }

    /// The queue of that name, where the session may use it.
    pub(crate) fn find_queue(
        &self,
        session: &QueueSession,
        name: &ShortString,
    ) -> Result<FoundQueue, Refused> {
        self.find_queue_for(&session.vhost, session.key, name)
    }

    pub(super) fn find_queue_for(
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
        let topology = self.topology.load();
        let serial = partition.topic_serial();
        Some(FoundQueue {
            queue: Arc::clone(topology.routing().queue_by_id(QueueId(serial))?),
            topic: Arc::clone(topology.by_serial(serial)?),
        })
    }
}

/// The partition of a queue that messages with this key go to: of one key always the same, so that
/// their order is kept.
fn partition_for(topic: &TopicRecord, routing_key: &ShortString) -> Option<(PartitionId, GroupId)> {
    let count = u64::try_from(topic.partitions.len()).ok()?;
    let index = match count {
        1 => 0,
        count => consistent::hash(routing_key.as_bytes()).checked_rem(count)?,
    };
    topic.partition(i32::try_from(index).ok()?)
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
