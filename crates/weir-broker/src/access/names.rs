//! Which topics there are, for doors whose clients call them by ids.

use weir_model::{TopicId, TopicName};

use crate::Node;

/// Topics as a node knows them.
pub trait TopicNames: Send + Sync {
    /// Its name.
    fn name_of(&self, id: TopicId) -> Option<TopicName>;
    /// Whether there is one of that name.
    fn is_known(&self, name: &TopicName) -> bool;
}

impl TopicNames for Node {
    fn name_of(&self, id: TopicId) -> Option<TopicName> {
        let topology = self.topology.load();
        topology.by_id(id).map(|topic| topic.name.clone())
    }

    fn is_known(&self, name: &TopicName) -> bool {
        self.topology.load().by_name(name).is_some()
    }
}
