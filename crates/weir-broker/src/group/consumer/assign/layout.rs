//! All partitions of some topics, numbered without gaps.

use std::collections::BTreeMap;

use weir_model::PartitionId;

pub(super) struct Layout {
    /// Serial number, number of its first partition, and how many it has; ascending.
    topics: Vec<(u64, usize, u32)>,
    count: usize,
}

impl Layout {
    pub(super) fn new(topics: &BTreeMap<u64, u32>) -> Self {
        let mut layout = Self {
            topics: Vec::with_capacity(topics.len()),
            count: 0,
        };
        for (serial, count) in topics {
            layout.topics.push((*serial, layout.count, *count));
            layout.count += usize::try_from(*count).expect("a u32 fits");
        }
        layout
    }

    /// How many partitions there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The partition's number; `None`: it is not there.
    pub(super) fn number(&self, partition: PartitionId) -> Option<usize> {
        let serial = partition.topic_serial();
        let at = self.topics.binary_search_by_key(&serial, |(it, ..)| *it);
        let (_, first, count) = self.topics[at.ok()?];
        let index = partition.index();
        (index < count).then(|| first + usize::try_from(index).expect("a u32 fits"))
    }

    /// Topics with the number of their first partition and their partitions.
    pub(super) fn topics(
        &self,
    ) -> impl Iterator<Item = (u64, usize, impl Iterator<Item = PartitionId>)> {
        self.topics.iter().map(|(serial, first, count)| {
            let partitions = (0..*count).map(|index| PartitionId::new(*serial, index));
            (*serial, *first, partitions)
        })
    }

    /// All partitions in order of their numbers.
    pub(super) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.topics().flat_map(|(_, _, partitions)| partitions)
    }
}
