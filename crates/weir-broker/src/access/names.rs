//! Which topics there are, for doors whose clients call them by ids.

use weir_model::{TopicId, TopicName};

use crate::{Node, api::TopicRef};

/// Topics as a node knows them.
pub trait TopicNames: Send + Sync {
    /// Its name.
    fn name_of(&self, id: TopicId) -> Option<TopicName>;
    /// Whether there is one of that name.
    fn is_known(&self, name: &TopicName) -> bool;
    /// How many partitions it has; 0 where there is no such topic.
    fn partition_count(&self, topic: &TopicRef) -> usize;
    /// How many one has that does not say.
    fn default_partition_count(&self) -> usize;
}

impl TopicNames for Node {
    fn name_of(&self, id: TopicId) -> Option<TopicName> {
        let topology = self.topology.load();
        topology.by_id(id).map(|topic| topic.name.clone())
    }

    fn is_known(&self, name: &TopicName) -> bool {
        self.topology.load().by_name(name).is_some()
    }

    fn partition_count(&self, topic: &TopicRef) -> usize {
        let topology = self.topology.load();
        topology
            .topic(topic)
            .map_or(0, |topic| topic.partitions.len())
    }

    fn default_partition_count(&self) -> usize {
        usize::try_from(self.config.default_partition_count).unwrap_or(usize::MAX)
    }
}
