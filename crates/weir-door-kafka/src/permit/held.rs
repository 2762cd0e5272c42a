//! What a client is told beside the node's outcome: what the node was not asked, or is not to tell.

use weir_access::acl::Operation;
use weir_broker::api::{
    CreatedTopic, DescribedConsumerGroup, Fetched, FetchedOffset, Outcome, Produced, Refused,
    TopicMetadata, TopicRef,
    admin::{Managed, Refusal},
    share::{AckRefused, DescribedShareOffset, ShareAdminAnswer, SharedPartition},
};
use weir_model::{ErrorKind, TopicId, TopicName};

use super::asker::Asker;

/// Places in a list of answers, ascending, that the node was not asked for, and why.
pub type Gaps = Vec<(usize, ErrorKind)>;

/// What was taken out of lists: by the list's place, and by its own in the list.
pub type Hidden<T> = Vec<(usize, Vec<(usize, T)>)>;

/// Kafka's words where a request takes any.
const WORDS: &str = "Authorization failed.";
/// Kafka's words for a group of which not all can be told.
const HIDDEN_TOPICS: &str =
    "The group has described topic(s) that the client is not authorized to describe.";

/// What is kept of a request until its outcome is there.
#[derive(Debug, Default)]
pub struct Held {
    /// Answers that are missing.
    pub gaps: Gaps,
    /// Topics that metadata was not asked for.
    pub topics: Vec<(usize, TopicRef, ErrorKind)>,
    /// Transactions that are refused, with the answer for each partition.
    pub transactions: Vec<(usize, Vec<Result<(), ErrorKind>>)>,
    /// Partitions of a share session.
    pub shares: Vec<(TopicId, i32, ErrorKind)>,
    /// The outcome names what the client did not: what it may not see is left out.
    pub trims: bool,
    /// Groups whose places in all partitions were asked for.
    pub all_of: Vec<usize>,
    /// Partitions of groups that may not be told, by the group's place.
    pub offsets: Hidden<(TopicRef, i32)>,
    /// Topics with partitions of share groups likewise.
    pub topics_of: Hidden<(TopicName, Vec<i32>)>,
    /// Topics whose settings are not told when they are made.
    pub hidden: Vec<usize>,
}

impl Held {
    /// The outcome is the answer as it stands.
    pub fn is_empty(&self) -> bool {
        !self.trims
            && self.gaps.is_empty()
            && self.topics.is_empty()
            && self.transactions.is_empty()
            && self.shares.is_empty()
            && self.all_of.is_empty()
            && self.offsets.is_empty()
            && self.topics_of.is_empty()
            && self.hidden.is_empty()
    }

    /// Something that the client named was refused.
    pub fn has_refusals(&self) -> bool {
        !self.gaps.is_empty()
            || !self.topics.is_empty()
            || !self.transactions.is_empty()
            || !self.shares.is_empty()
            || !self.offsets.is_empty()
            || !self.topics_of.is_empty()
    }

    /// Makes the answer of the outcome.
    // Table: one arm per outcome that can be told in part.
    pub fn apply(self, outcome: &mut Outcome, asker: &mut Asker<'_>) {
        let gaps = self.gaps;
        match outcome {
            Outcome::Produce(all) => fill(all, gaps, produced),
            Outcome::Fetch(all) => fill(all, gaps, fetched),
            Outcome::ListOffsets(all) => fill(all, gaps, Err),
            Outcome::EndOfEpoch(all) => fill(all, gaps, Err),
            Outcome::Coordinators(all) => fill(all, gaps, Err),
            Outcome::OffsetCommit(all) => fill(all, gaps, Err),
            Outcome::DeleteGroups(all) => fill(all, gaps, Err),
            Outcome::DescribeProducers(all) => fill(all, gaps, Err),
            Outcome::DeleteOffsets(Ok(all)) => fill(all, gaps, Err),
            Outcome::DescribeGroups(all) => fill(all, gaps, |error| Err(error.into())),
            Outcome::AddPartitions(all) => insert(all, self.transactions),
            Outcome::Metadata(told) => {
                if self.trims {
                    let may = |topic: &TopicMetadata, asker: &mut Asker<'_>| match &topic.result {
                        Ok(topic) => asker.topic(Operation::Describe, topic.name.as_str()),
                        Err(_) => asker.topic_ref(Operation::Describe, &topic.topic),
                    };
                    told.topics.retain(|topic| may(topic, asker).is_ok());
                }
                let refused = self.topics.into_iter().map(|(at, topic, error)| {
                    let result = Err(error);
                    (at, TopicMetadata { topic, result })
                });
                insert(&mut told.topics, refused.collect());
            }
            Outcome::CreateTopics(all) => {
                fill(all, gaps, |error| Err(Refusal::new(error, WORDS)));
                for at in self.hidden {
                    hide(all, at);
                }
            }
            Outcome::OffsetFetch(all) => {
                for at in self.all_of {
                    if let Some(Ok(offsets)) = all.get_mut(at) {
                        let may = |topic: &TopicRef, asker: &mut Asker<'_>| {
                            asker.topic_ref(Operation::Describe, topic).is_ok()
                        };
                        offsets.retain(|offset| may(&offset.topic, asker));
                    }
                }
                for (at, hidden) in self.offsets {
                    if let Some(Ok(offsets)) = all.get_mut(at) {
                        let hidden = hidden.into_iter().map(|(at, it)| (at, hidden_offset(it)));
                        insert(offsets, hidden.collect());
                    }
                }
                fill(all, gaps, Err);
            }
            Outcome::ListGroups(Ok(groups)) if self.trims => {
                groups.retain(|group| asker.group(Operation::Describe, &group.group).is_ok());
            }
            Outcome::ListTransactions(all) if self.trims => all.retain(|one| {
                let asked = asker.transaction(Operation::Describe, &one.transaction);
                asked.is_ok()
            }),
            Outcome::DescribeTransactions(all) => {
                for one in all.iter_mut().flatten() {
                    one.partitions
                        .retain(|(topic, _)| asker.topic(Operation::Describe, topic).is_ok());
                }
                fill(all, gaps, Err);
            }
            Outcome::DescribeConsumerGroups(all) => {
                for group in all.iter_mut() {
                    if matches!(group, Ok(group) if !sees(group, asker)) {
                        *group = Err(Refused {
                            error: ErrorKind::TopicUnauthorized,
                            reason: HIDDEN_TOPICS.to_owned(),
                        });
                    }
                }
                fill(all, gaps, |error| Err(error.into()));
            }
            Outcome::ShareAdmin(ShareAdminAnswer::Described(all)) => {
                for places in all.iter_mut().flatten() {
                    let may = |topic: &str, asker: &mut Asker<'_>| {
                        asker.topic(Operation::Describe, topic).is_ok()
                    };
                    places.retain(|place| may(place.topic.as_str(), asker));
                }
                for (at, hidden) in self.topics_of {
                    if let Some(Ok(places)) = all.get_mut(at) {
                        places.extend(hidden.into_iter().flat_map(|(_, it)| hidden_places(it)));
                    }
                }
                fill(all, gaps, |error| Err(error.into()));
            }
            Outcome::ShareAdmin(ShareAdminAnswer::Changed(Ok(all))) => fill(all, gaps, Err),
            Outcome::Share(Ok(answer)) => {
                for partition in &mut answer.partitions {
                    let topic = TopicRef::Id(partition.topic);
                    // The session has what was asked for before.
                    if let Err(error) = asker.topic_ref(Operation::Read, &topic) {
                        partition.batches = Err(error);
                        partition.acquired.clear();
                    }
                }
                answer
                    .partitions
                    .extend(self.shares.into_iter().map(shared));
            }
            Outcome::Managed(Managed::DeletedTopics(all)) => fill(all, gaps, refusal),
            Outcome::Managed(Managed::Checked(all)) => fill(all, gaps, refusal),
            Outcome::Managed(Managed::Configs(all)) => fill(all, gaps, refusal),
            Outcome::Managed(Managed::DeletedRecords(all)) => fill(all, gaps, Err),
            // Told as a whole or not at all.
            _ => {}
        }
    }
}

fn refusal<T>(error: ErrorKind) -> Result<T, Refusal> {
    Err(Refusal::new(error, WORDS))
}

fn produced(error: ErrorKind) -> Produced {
    Produced {
        base_offset: Err(error),
        ..Produced::default()
    }
}

fn fetched(error: ErrorKind) -> Fetched {
    Fetched {
        batches: Err(error),
        ..Fetched::default()
    }
}

fn shared((topic, index, error): (TopicId, i32, ErrorKind)) -> SharedPartition {
    SharedPartition {
        topic,
        index,
        acknowledged: Err(AckRefused::Failed(error)),
        batches: Err(error),
        acquired: Vec::new(),
        leader: None,
    }
}

fn hidden_offset((topic, index): (TopicRef, i32)) -> FetchedOffset {
    FetchedOffset {
        topic,
        index,
        offset: None,
        leader_epoch: -1,
        metadata: String::new(),
        error: Some(ErrorKind::TopicUnauthorized),
    }
}

fn hidden_places(
    (topic, indexes): (TopicName, Vec<i32>),
) -> impl Iterator<Item = DescribedShareOffset> {
    indexes.into_iter().map(move |index| DescribedShareOffset {
        topic: topic.clone(),
        id: None,
        index,
        place: Err(ErrorKind::TopicUnauthorized),
    })
}

fn hide(created: &mut [Result<CreatedTopic, Refusal>], at: usize) {
    if let Some(Ok(created)) = created.get_mut(at) {
        created.configs.clear();
    }
}

/// Whether the client may see all topics of a group's members.
fn sees(group: &DescribedConsumerGroup, asker: &mut Asker<'_>) -> bool {
    group.members.iter().all(|member| {
        let mut all = member.assigned.iter().chain(&member.target);
        all.all(|topic| asker.topic(Operation::Describe, &topic.name).is_ok())
    })
}

/// Puts answers where they belong.
fn fill<T>(answers: &mut Vec<T>, gaps: Gaps, answer: impl Fn(ErrorKind) -> T) {
    let gaps = gaps.into_iter().map(|(at, error)| (at, answer(error)));
    insert(answers, gaps.collect());
}

/// Puts what is missing into a list, ascending by its place.
pub fn insert<T>(answers: &mut Vec<T>, gaps: Vec<(usize, T)>) {
    if gaps.is_empty() {
        return;
    }
    let count = answers.len() + gaps.len();
    let mut known = std::mem::take(answers).into_iter();
    let mut gaps = gaps.into_iter().peekable();
    answers.reserve(count);
    for at in 0..count {
        let gap = gaps
            .next_if(|(gap, _)| *gap <= at)
            .map(|(_, answer)| answer);
        answers.extend(gap.or_else(|| known.next()));
    }
    answers.extend(known);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_in_the_order_of_what_was_asked() {
        let mut told = vec![1, 3, 4];
        insert(&mut told, vec![(0, 0), (2, 2), (5, 5)]);
        assert_eq!(told, [0, 1, 2, 3, 4, 5]);
        let mut none = Vec::new();
        insert(&mut none, vec![(0, 0), (1, 1)]);
        assert_eq!(none, [0, 1]);
    }
}
