//! Where partitions begin and end: asked of whoever leads them.

use std::collections::BTreeMap;

use weir_broker::{
    api::{Metadata, Outcome, Request, TopicDescription, TopicRef},
    topic_admin::{OffsetAt, TopicAdminAnswer, TopicAdminRequest},
};
use weir_model::{ErrorKind, NodeId, TopicName};

use super::call::{Call, unexpected};
use crate::routing::problem::Problem;

/// Offsets by partition.
pub(super) type Offsets = BTreeMap<i32, u64>;

impl Call {
    /// A topic that is there.
    pub(super) async fn topic(&self, name: &str) -> Result<TopicDescription, Problem> {
        let name = TopicName::new(name).map_err(|_| refused(ErrorKind::InvalidTopic))?;
        let mut found = self.topics(Some(vec![TopicRef::Name(name)])).await?;
        let found = found.pop().ok_or_else(unexpected)?;
        found.map_err(refused)
    }

    /// Topics, or all of them by name.
    pub(super) async fn topics(
        &self,
        topics: Option<Vec<TopicRef>>,
    ) -> Result<Vec<Result<TopicDescription, ErrorKind>>, Problem> {
        let metadata = Metadata {
            topics,
            auto_create: false,
        };
        let Outcome::Metadata(metadata) = self.ask(Request::Metadata(metadata)).await? else {
            return Err(unexpected());
        };
        let topics = metadata.topics.into_iter().map(|topic| topic.result);
        Ok(topics.collect())
    }

    /// Offsets of these partitions of a topic. What is not known is left out.
    pub(super) async fn offsets_of(
        &self,
        topic: &TopicDescription,
        partitions: impl Iterator<Item = i32>,
        at: OffsetAt,
    ) -> Offsets {
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for index in partitions {
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let leader = topic.partitions.get(at).and_then(|known| known.leader);
            by_leader
                .entry(leader.unwrap_or(-1))
                .or_default()
                .push(index);
        }
        let mut found = Offsets::new();
        for (leader, partitions) in by_leader {
            let Ok(leader) = u64::try_from(leader) else {
                continue;
            };
            let request = TopicAdminRequest::Offsets {
                topic: topic.name.as_str().to_owned(),
                partitions,
                at,
            };
            // A node that does not answer is one whose partitions are not known.
            if let Ok(TopicAdminAnswer::Offsets { rows }) =
                self.ask_at(NodeId(leader), request).await
            {
                let rows = rows.into_iter();
                found.extend(rows.filter_map(|row| Some((row.partition, row.offset?))));
            }
        }
        found
    }
}

/// An error of the broker's.
pub(super) fn refused(error: ErrorKind) -> Problem {
    weir_broker::Refusal::from(error).into()
}
