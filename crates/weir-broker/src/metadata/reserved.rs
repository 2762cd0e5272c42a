//! Names of the topics that Kafka keeps its own state in. Here that state is in the groups' own
//! logs: the topics are not there, and nobody can make them, so that nothing takes a user's
//! records for it. Queues whose names are no topics' names, or nobody else's business, have topics
//! under a prefix of their own.

use weir_model::{TopicId, TopicName};

/// The names.
const RESERVED: [&str; 4] = [
    "__cluster_metadata",
    "__consumer_offsets",
    "__share_group_state",
    "__transaction_state",
];

/// What the topics of such queues begin with.
const QUEUE_PREFIX: &str = "__weir.queue.";

/// Whether nobody can make a topic of this name.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || is_hidden(name)
}

/// Whether the name is that of a queue's topic that is left out where topics are listed.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(QUEUE_PREFIX)
}

/// The name of the topic with this id, for a queue.
pub(crate) fn queue_topic(id: TopicId) -> TopicName {
    let name = format!("{QUEUE_PREFIX}{}", id.0.simple());
    TopicName::new(&name).expect("the prefix and 32 digits are a topic's name")
}
