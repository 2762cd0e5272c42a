//! Readers read different topics: a partition moves only where nobody reads it any more, or to a
//! reader who has at least two fewer.

use std::collections::BTreeSet;

use weir_model::PartitionId;

use super::{layout::Layout, work::Work};

/// No reader.
const NOBODY: usize = usize::MAX;

/// The subscriptions that have a topic, and the numbers of its partitions.
type Subscribed = (Vec<usize>, std::ops::Range<usize>);

struct Spread {
    /// Reader by number of the partition.
    readers: Vec<usize>,
    /// How many partitions each reader has.
    loads: Vec<usize>,
    /// Which subscription each reader has.
    subscriptions: Vec<usize>,
    /// Loads and readers, by subscription.
    by_load: Vec<BTreeSet<(usize, usize)>>,
}

pub(super) fn assign(work: &Work<'_>) -> Vec<Vec<PartitionId>> {
    let layout = Layout::new(&work.topics);
    let mut spread = Spread::keep(work, &layout);
    let mut subscribed: Vec<Subscribed> = Vec::new();
    for (serial, first, partitions) in layout.topics() {
        let own = (0..work.subscriptions.len()).filter(|it| {
            !spread.by_load[*it].is_empty()
                && work.subscriptions[*it].binary_search(&serial).is_ok()
        });
        subscribed.push((own.collect(), first..first + partitions.count()));
    }
    // Those with the least choice first.
    let mut order: Vec<usize> = (0..subscribed.len()).collect();
    order.sort_by_key(|at| (subscribed[*at].0.len(), *at));
    for at in order {
        let (subscriptions, numbers) = &subscribed[at];
        spread.give_out(subscriptions, numbers.clone());
    }
    spread.level_all(&subscribed);
    let mut assigned = vec![Vec::new(); work.subscribers.len()];
    for (partition, reader) in layout.partitions().zip(spread.readers) {
        if reader != NOBODY {
            assigned[reader].push(partition);
        }
    }
    assigned
}

impl Spread {
    /// Everybody keeps what it may read.
    fn keep(work: &Work<'_>, layout: &Layout) -> Self {
        let mut spread = Self {
            readers: vec![NOBODY; layout.count()],
            loads: vec![0; work.subscribers.len()],
            subscriptions: work.subscribers.iter().map(|it| it.subscription).collect(),
            by_load: vec![BTreeSet::new(); work.subscriptions.len()],
        };
        for (reader, subscriber) in work.subscribers.iter().enumerate() {
            for partition in subscriber.before {
                let number = layout.number(*partition);
                let number = number.filter(|it| spread.readers[*it] == NOBODY);
                if let Some(number) =
                    number.filter(|_| work.reads(reader, partition.topic_serial()))
                {
                    spread.readers[number] = reader;
                    spread.loads[reader] += 1;
                }
            }
            spread.by_load[subscriber.subscription].insert((spread.loads[reader], reader));
        }
        spread
    }

    /// The reader with the fewest partitions of those that may read the topic.
    fn least(&self, subscriptions: &[usize]) -> Option<(usize, usize)> {
        let least = subscriptions
            .iter()
            .filter_map(|it| self.by_load[*it].first());
        least.min().copied()
    }

    fn set_load(&mut self, reader: usize, load: usize) {
        let by_load = &mut self.by_load[self.subscriptions[reader]];
        by_load.remove(&(self.loads[reader], reader));
        by_load.insert((load, reader));
        self.loads[reader] = load;
    }

    fn give_out(&mut self, subscriptions: &[usize], numbers: std::ops::Range<usize>) {
        for number in numbers {
            if self.readers[number] != NOBODY {
                continue;
            }
            let Some((load, reader)) = self.least(subscriptions) else {
                return;
            };
            self.readers[number] = reader;
            self.set_load(reader, load + 1);
        }
    }

    /// Levels the loads, the largest differences first: else readers of one topic would give all
    /// that they can to somebody who is the only one to relieve readers of another.
    fn level_all(&mut self, subscribed: &[Subscribed]) {
        let loads = || self.loads.iter().copied();
        let mut gap = loads().max().unwrap_or(0) - loads().min().unwrap_or(0);
        while gap > 1 {
            gap /= 2;
            let mut has_moved = true;
            while has_moved {
                has_moved = false;
                for (subscriptions, numbers) in subscribed {
                    has_moved |= self.level(subscriptions, numbers.clone(), gap);
                }
            }
        }
    }

    /// Moves partitions of a topic to readers who have fewer by more than `gap`. Whether any moved.
    fn level(
        &mut self,
        subscriptions: &[usize],
        numbers: std::ops::Range<usize>,
        gap: usize,
    ) -> bool {
        let mut has_moved = false;
        for number in numbers {
            let from = self.readers[number];
            if from == NOBODY {
                continue;
            }
            let Some((load, to)) = self.least(subscriptions) else {
                continue;
            };
            if self.loads[from] > load + gap {
                self.readers[number] = to;
                self.set_load(from, self.loads[from] - 1);
                self.set_load(to, load + 1);
                has_moved = true;
            }
        }
        has_moved
    }
}
