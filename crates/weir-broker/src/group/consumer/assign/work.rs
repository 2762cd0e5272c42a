//! What an assignor is given, and which there are.

use std::collections::BTreeMap;

use weir_model::PartitionId;

use super::{even, range, spread};

/// How partitions are assigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// As many to everybody, and as few moves as that takes.
    #[default]
    Uniform,
    /// Neighbouring partitions of each topic; the same ones of topics of the same size.
    Range,
}

impl Assignor {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.name() == name)
    }

    pub(in crate::group) fn tag(self) -> u8 {
        match self {
            Self::Uniform => 1,
            Self::Range => 2,
        }
    }

    pub(in crate::group) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.tag() == tag)
    }

    /// What each subscriber is to read, in the order of the work's subscribers, ascending.
    pub fn assign(self, work: &Work<'_>) -> Vec<Vec<PartitionId>> {
        let mut assigned = match self {
            Self::Range => range::assign(work),
            Self::Uniform if work.is_alike() => even::assign(work),
            Self::Uniform => spread::assign(work),
        };
        assigned.iter_mut().for_each(|list| list.sort_unstable());
        assigned
    }
}

/// Who reads.
#[derive(Clone, Debug)]
pub struct Subscriber<'a> {
    /// Which of [`Work::subscriptions`] is its own.
    pub subscription: usize,
    /// What it was to read before. No two have the same.
    pub before: &'a [PartitionId],
    /// Its place among others where order matters: static members by instance id, then the others
    /// by id.
    pub rank: (bool, &'a str),
}

/// What is to be assigned.
#[derive(Clone, Debug, Default)]
pub struct Work<'a> {
    /// Partition counts by topics' serial numbers.
    pub topics: BTreeMap<u64, u32>,
    /// The different subscriptions: serial numbers of `topics`, ascending.
    pub subscriptions: Vec<Vec<u64>>,
    /// Who reads.
    pub subscribers: Vec<Subscriber<'a>>,
}

impl Work<'_> {
    /// Whether all subscribers have the same subscription.
    fn is_alike(&self) -> bool {
        let mut own = self.subscribers.iter().map(|each| each.subscription);
        let first = own.next();
        own.all(|each| Some(each) == first)
    }

    /// Whether the subscriber has the topic.
    pub(super) fn reads(&self, subscriber: usize, serial: u64) -> bool {
        let subscription = self.subscribers[subscriber].subscription;
        self.subscriptions[subscription]
            .binary_search(&serial)
            .is_ok()
    }
}
