//! Topics with partitions, flattened for the node and grouped again for the answer.

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;
use weir_broker::api::TopicRef;
use weir_model::{TopicId, TopicName};

use crate::wire_code;

/// The topics and partitions of a request in its order. Each partition was either asked of the
/// node or has a code already.
#[derive(Debug, Default)]
pub struct Grouped {
    topics: Vec<Topic>,
    partitions: Vec<(i32, Option<i16>)>,
}

#[derive(Debug)]
struct Topic {
    name: StrBytes,
    id: Uuid,
    partitions_count: usize,
}

impl Grouped {
    /// Begins a topic; later partitions are its own.
    pub fn topic(&mut self, name: StrBytes, id: Uuid) {
        self.topics.push(Topic {
            name,
            id,
            partitions_count: 0,
        });
    }

    /// A partition of the last topic: `code` where the node is not asked.
    pub fn partition(&mut self, index: i32, code: Option<i16>) {
        let topic = self
            .topics
            .last_mut()
            .expect("a partition comes after its topic");
        topic.partitions_count += 1;
        self.partitions.push((index, code));
    }

    /// Groups `outcomes`, one for each partition that the node was asked for, in order.
    pub fn regroup<O, P, T>(
        self,
        outcomes: Vec<O>,
        mut partition: impl FnMut(i32, Result<O, i16>) -> P,
        mut topic: impl FnMut(StrBytes, Uuid, Vec<P>) -> T,
    ) -> Vec<T> {
        let mut outcomes = outcomes.into_iter();
        let mut partitions = self.partitions.into_iter();
        let mut group = |of: Topic| {
            let own = partitions.by_ref().take(of.partitions_count);
            let own = own.map(|(index, code)| {
                let outcome = match code {
                    Some(code) => Err(code),
                    None => outcomes.next().ok_or(wire_code::UNKNOWN_SERVER_ERROR),
                };
                partition(index, outcome)
            });
            let own = own.collect();
            topic(of.name, of.id, own)
        };
        self.topics.into_iter().map(&mut group).collect()
    }
}

/// The topic called `name`, or the code for a name that no topic can have.
pub fn by_name(name: &str) -> Result<TopicRef, i16> {
    TopicName::new(name)
        .map(TopicRef::Name)
        .map_err(|_| wire_code::UNKNOWN_TOPIC_OR_PARTITION)
}

/// The topic with `id`, or the code for the id that no topic has.
pub fn by_id(id: Uuid) -> Result<TopicRef, i16> {
    if id.is_nil() {
        Err(wire_code::UNKNOWN_TOPIC_ID)
    } else {
        Ok(TopicRef::Id(TopicId(id)))
    }
}
