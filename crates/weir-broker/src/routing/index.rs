//! What is bound to an exchange, in the form that its type routes by.

use std::sync::{Arc, OnceLock};

use super::{
    consistent::{Buckets, weight},
    record::{Binding, ExchangeRecord, Target},
    topic_trie::TopicTrie,
};
use crate::{api::queues::ExchangeKind, chunked::Chunked};

/// Targets with how many bindings lead to each.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets(Chunked<Target, u32>);

impl Targets {
    pub(super) fn add(&mut self, target: Target) {
        match self.0.get_mut(&target) {
            Some(count) => *count += 1,
            None => self.0.insert(target, 1),
        }
    }

    pub(super) fn remove(&mut self, target: Target) {
        match self.0.get_mut(&target) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.0.remove(&target);
            }
            None => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Target> {
        self.0.keys().copied()
    }

    /// One of them: `number` modulo how many there are.
    pub(super) fn pick(&self, number: u64) -> Option<Target> {
        let count = u64::try_from(self.0.len()).ok()?;
        let at = number.checked_rem(count)?;
        let found = self.0.nth(usize::try_from(at).ok()?);
        found.map(|(target, _)| *target)
    }
}

/// An exchange and what is bound to it. Copies share what did not change.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) record: Arc<ExchangeRecord>,
    pub(super) index: Index,
    /// Bindings that lead out of it.
    pub(crate) binding_count: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Index {
    /// By the bindings' keys themselves, which stand in order.
    Direct,
    All(Targets),
    Topic(TopicTrie),
    Headers(Chunked<u64, Arc<Binding>>),
    Weighted(Weighted),
}

/// Targets by the serials of their bindings, with weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Weighted {
    targets: Chunked<u64, (Target, u32)>,
    /// Made when a message asks for it.
    buckets: OnceLock<Arc<Buckets>>,
}

impl Weighted {
    pub(super) fn target(&self, hash: u64) -> Option<Target> {
        let buckets = self
            .buckets
            .get_or_init(|| Arc::new(Buckets::new(self.targets.values().copied())));
        buckets.target(hash)
    }
}

impl Exchange {
    pub(super) fn new(record: Arc<ExchangeRecord>) -> Self {
        let index = match record.kind {
            ExchangeKind::Direct => Index::Direct,
            ExchangeKind::Topic => Index::Topic(TopicTrie::default()),
            ExchangeKind::Headers => Index::Headers(Chunked::default()),
            ExchangeKind::ConsistentHash => Index::Weighted(Weighted::default()),
            ExchangeKind::Fanout
            | ExchangeKind::ModulusHash
            | ExchangeKind::Random
            | ExchangeKind::LocalRandom => Index::All(Targets::default()),
        };
        Self {
            record,
            index,
            binding_count: 0,
        }
    }

    pub(super) fn bind(&mut self, binding: &Arc<Binding>) {
        self.binding_count += 1;
        let target = binding.target;
        match &mut self.index {
            Index::Direct => {}
            Index::All(targets) => targets.add(target),
            Index::Topic(trie) => trie.add(binding.routing_key.as_str(), target),
            Index::Headers(bindings) => bindings.insert(binding.serial, Arc::clone(binding)),
            Index::Weighted(weighted) => {
                let weight = weight(binding.routing_key.as_str()).unwrap_or(1);
                weighted.targets.insert(binding.serial, (target, weight));
                weighted.buckets = OnceLock::new();
            }
        }
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.binding_count = self.binding_count.saturating_sub(1);
        let target = binding.target;
        match &mut self.index {
            Index::Direct => {}
            Index::All(targets) => targets.remove(target),
            Index::Topic(trie) => trie.remove(binding.routing_key.as_str(), target),
            Index::Headers(bindings) => {
                bindings.remove(&binding.serial);
            }
            Index::Weighted(weighted) => {
                weighted.targets.remove(&binding.serial);
                weighted.buckets = OnceLock::new();
            }
        }
    }
}
