//! Consumers of one channel, and messages that wait for room in its limit.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use weir_broker::api::queues::{ConsumerTag, Delivered};
use weir_model::fields::ShortString;

use super::timeout::Origin;

/// A consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    /// Its name.
    pub(super) tag: ShortString,
    pub(super) queue: ShortString,
    /// Of what it is given.
    pub(super) origin: Arc<Origin>,
    pub(super) no_ack: bool,
    /// The limit that it came with.
    pub(super) prefetch_count: u16,
    /// The client was told that it is there.
    pub(super) is_told: bool,
}

/// All of a channel.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    by_number: BTreeMap<ConsumerTag, Consumer>,
    by_tag: BTreeMap<ShortString, ConsumerTag>,
    /// Who gets answers to this channel's requests.
    pub(super) replies: Option<ConsumerTag>,
    /// Messages over the channel's limit, oldest first.
    pub(super) held: VecDeque<(ConsumerTag, Delivered)>,
}

impl Consumers {
    pub(super) fn add(&mut self, number: ConsumerTag, consumer: Consumer) {
        self.by_tag.insert(consumer.tag.clone(), number);
        self.by_number.insert(number, consumer);
    }

    pub(super) fn remove(&mut self, number: ConsumerTag) -> Option<Consumer> {
        let consumer = self.by_number.remove(&number)?;
        self.by_tag.remove(&consumer.tag);
        if self.replies == Some(number) {
            self.replies = None;
        }
        Some(consumer)
    }

    pub(super) fn get(&self, number: ConsumerTag) -> Option<&Consumer> {
        self.by_number.get(&number)
    }

    pub(super) fn tell(&mut self, number: ConsumerTag) {
        if let Some(consumer) = self.by_number.get_mut(&number) {
            consumer.is_told = true;
        }
    }

    pub(super) fn named(&self, tag: &ShortString) -> Option<ConsumerTag> {
        self.by_tag.get(tag).copied()
    }

    pub(super) fn numbers(&self) -> Vec<ConsumerTag> {
        self.by_number.keys().copied().collect()
    }

    /// Those whose messages are settled by the client, with their own limits.
    pub(super) fn settling(&self) -> Vec<(ConsumerTag, u16)> {
        let all = self.by_number.iter();
        all.filter(|(_, consumer)| !consumer.no_ack)
            .map(|(number, consumer)| (*number, consumer.prefetch_count))
            .collect()
    }

    /// Takes out what is held for a consumer.
    pub(super) fn take_held(&mut self, number: ConsumerTag) -> Vec<Delivered> {
        let (taken, left) = std::mem::take(&mut self.held)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(consumer, _)| *consumer == number);
        self.held = left;
        taken.into_iter().map(|(_, delivered)| delivered).collect()
    }
}
