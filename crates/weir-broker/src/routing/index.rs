//! What is bound to an exchange, in the form that its type routes by.

use std::sync::{Arc, OnceLock};

use weir_model::fields::ShortString;

use super::{
    consistent::{Buckets, weight},
    record::{Binding, ExchangeRecord, Target},
    topic_trie::TopicTrie,
};
use crate::{
    api::queues::ExchangeKind,
    chunked::Chunked,
    hashed::{self, Hashed},
};

/// Targets with how many bindings lead to each. Most often there is one.
#[derive(Clone, Debug, Default)]
pub(super) enum Targets {
    #[default]
    None,
    One(Target, u32),
    Many(Box<Chunked<Target, u32>>),
}

impl Targets {
    pub(super) fn add(&mut self, target: Target) {
        match self {
            Self::None => *self = Self::One(target, 1),
            Self::One(known, count) if *known == target => *count += 1,
            Self::One(known, count) => {
                let mut all = Box::new(Chunked::default());
                all.insert(*known, *count);
                all.insert(target, 1);
                *self = Self::Many(all);
            }
            Self::Many(all) => match all.get_mut(&target) {
                Some(count) => *count += 1,
                None => all.insert(target, 1),
            },
        }
    }

    pub(super) fn remove(&mut self, target: Target) {
        match self {
            Self::None => {}
            Self::One(known, count) if *known == target => match *count {
                1 => *self = Self::None,
                _ => *count -= 1,
            },
            Self::One(..) => {}
            Self::Many(all) => {
                match all.get_mut(&target) {
                    Some(count) if *count > 1 => *count -= 1,
                    Some(_) => drop(all.remove(&target)),
                    None => {}
                }
                if all.len() == 1
                    && let Some((target, count)) = all.nth(0)
                {
                    *self = Self::One(*target, *count);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Target> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(target, _) => (Some(*target), None),
            Self::Many(all) => (None, Some(all.keys().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// One of them: `number` modulo how many there are.
    pub(super) fn pick(&self, number: u64) -> Option<Target> {
        match self {
            Self::None => None,
            Self::One(target, _) => Some(*target),
            Self::Many(all) => {
                let count = u64::try_from(all.len()).ok()?;
                let at = number.checked_rem(count)?;
                let found = all.nth(usize::try_from(at).ok()?);
                found.map(|(target, _)| *target)
            }
        }
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
    Direct(Hashed<Arc<Keyed>>),
    All(Targets),
    Topic(Arc<TopicTrie>),
    Headers(Chunked<u64, Arc<Binding>>),
    Weighted(Weighted),
}

/// What is bound by one key.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    key: ShortString,
    pub(super) targets: Targets,
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
            ExchangeKind::Direct => Index::Direct(Hashed::default()),
            ExchangeKind::Topic => Index::Topic(Arc::default()),
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
            Index::Direct(keys) => bind_key(keys, &binding.routing_key, target),
            Index::All(targets) => targets.add(target),
            Index::Topic(trie) => {
                Arc::make_mut(trie).add(binding.routing_key.as_str(), target);
            }
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
            Index::Direct(keys) => unbind_key(keys, &binding.routing_key, target),
            Index::All(targets) => targets.remove(target),
            Index::Topic(trie) => {
                Arc::make_mut(trie).remove(binding.routing_key.as_str(), target);
            }
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

/// What is bound by that very key.
pub(super) fn bound_by<'a>(keys: &'a Hashed<Arc<Keyed>>, key: &ShortString) -> Option<&'a Keyed> {
    let found = keys.find(hashed::hash(key.as_bytes()), |keyed| keyed.key == *key);
    found.map(Arc::as_ref)
}

fn bind_key(keys: &mut Hashed<Arc<Keyed>>, key: &ShortString, target: Target) {
    let hash = hashed::hash(key.as_bytes());
    if let Some(keyed) = keys.find_mut(hash, |keyed| keyed.key == *key) {
        return Arc::make_mut(keyed).targets.add(target);
    }
    let key = key.clone();
    let targets = Targets::One(target, 1);
    keys.insert(hash, Arc::new(Keyed { key, targets }));
}

fn unbind_key(keys: &mut Hashed<Arc<Keyed>>, key: &ShortString, target: Target) {
    let hash = hashed::hash(key.as_bytes());
    let is_it = |keyed: &Arc<Keyed>| keyed.key == *key;
    let Some(keyed) = keys.find_mut(hash, is_it) else {
        return;
    };
    let keyed = Arc::make_mut(keyed);
    keyed.targets.remove(target);
    if keyed.targets.is_empty() {
        keys.remove(hash, is_it);
    }
}
