//! Who asks for metadata just when a leader was lost is answered once the next one is known:
//! librdkafka, told that nobody leads, looks again after a second.

use std::sync::Arc;

use weir_model::GroupId;

use super::Node;
use crate::{api::TopicRef, metadata::Topology};

/// Longest wait for a lost leader's successor, from the loss on, in ms; several elections long.
/// Other answers on the client's connection wait as well.
const MAX_WAIT_MS: u64 = 500;
/// Time between two looks, in ms.
const LOOK_MS: u64 = 10;

impl Node {
    /// Calls `then` at once, or once all groups of these topics have a leader, or when that has
    /// taken too long.
    pub(super) fn await_successors(
        self: &Arc<Self>,
        topics: Option<Vec<TopicRef>>,
        then: Box<dyn FnOnce(Option<Vec<TopicRef>>) + Send>,
    ) {
        if !self.awaits_successor(topics.as_deref()) {
            return then(topics);
        }
        let node = Arc::clone(self);
        let again = move || node.await_successors(topics, then);
        let at = self.elapsed().plus(LOOK_MS);
        self.purgatory.at(at, Box::new(again));
    }

    fn awaits_successor(&self, topics: Option<&[TopicRef]>) -> bool {
        let Some(lost_at) = self.views.last_loss() else {
            return false;
        };
        if self.elapsed() >= lost_at.plus(MAX_WAIT_MS) || self.is_closing() {
            return false;
        }
        let topology = self.topology.load();
        let has_no_leader = |group: GroupId| self.leader_of(group).is_none();
        match topics {
            Some(topics) => groups_of(topics, &topology).any(has_no_leader),
            None => (1..=self.config.shard_count)
                .map(GroupId)
                .any(has_no_leader),
        }
    }
}

fn groups_of<'a>(
    topics: &'a [TopicRef],
    topology: &'a Topology,
) -> impl Iterator<Item = GroupId> + 'a {
    let known = topics.iter().filter_map(|topic| topology.topic(topic).ok());
    known.flat_map(|topic| topic.partitions.iter().copied())
}
