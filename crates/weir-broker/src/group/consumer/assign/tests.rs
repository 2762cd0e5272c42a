use std::collections::{BTreeMap, BTreeSet};

use weir_model::PartitionId;

use super::{Assignor, Subscriber, Work};

struct Case {
    topics: BTreeMap<u64, u32>,
    subscriptions: Vec<Vec<u64>>,
    /// Which subscription each member has, and its id.
    members: Vec<(usize, String)>,
    before: Vec<Vec<PartitionId>>,
}

impl Case {
    fn alike(partition_counts: &[u32], members_count: usize) -> Self {
        let topics: BTreeMap<u64, u32> = (1..).zip(partition_counts.iter().copied()).collect();
        let subscriptions = vec![topics.keys().copied().collect()];
        let members = (0..members_count).map(|at| (0, format!("m{at:04}")));
        Self {
            topics,
            subscriptions,
            members: members.collect(),
            before: vec![Vec::new(); members_count],
        }
    }

    /// Assigns, checks what always holds, and gives how many partitions changed hands.
    fn run(&mut self, assignor: Assignor) -> usize {
        let subscribers = self.members.iter().zip(&self.before);
        let work = Work {
            topics: self.topics.clone(),
            subscriptions: self.subscriptions.clone(),
            subscribers: subscribers
                .map(|((subscription, id), before)| Subscriber {
                    subscription: *subscription,
                    before,
                    rank: (true, id.as_str()),
                })
                .collect(),
        };
        let assigned = assignor.assign(&work);
        let mut all = BTreeSet::new();
        for (at, list) in assigned.iter().enumerate() {
            assert!(list.is_sorted());
            for partition in list {
                assert!(all.insert(*partition), "assigned twice");
                let subscription = &self.subscriptions[self.members[at].0];
                assert!(subscription.contains(&partition.topic_serial()));
                assert!(partition.index() < self.topics[&partition.topic_serial()]);
            }
        }
        let read: BTreeSet<u64> = self
            .members
            .iter()
            .flat_map(|(subscription, _)| self.subscriptions[*subscription].iter().copied())
            .collect();
        let wanted: u32 = read.iter().map(|serial| self.topics[serial]).sum();
        assert_eq!(
            all.len(),
            usize::try_from(wanted).unwrap(),
            "all are assigned"
        );
        let old = self.before.iter().zip(&assigned);
        let moved = old.map(|(old, new)| old.iter().filter(|it| !new.contains(it)).count());
        let moved = moved.sum();
        self.before = assigned;
        moved
    }

    fn loads(&self) -> Vec<usize> {
        self.before.iter().map(Vec::len).collect()
    }

    fn spread(&self) -> usize {
        let loads = self.loads();
        loads.iter().max().unwrap() - loads.iter().min().unwrap()
    }
}

#[test]
fn uniform_gives_as_many_to_everybody_and_moves_what_it_must() {
    let mut case = Case::alike(&[7, 3], 3);
    assert_eq!((case.run(Assignor::Uniform), case.spread()), (0, 1));
    assert_eq!(case.run(Assignor::Uniform), 0, "nothing changed");
    case.members.push((0, "new".to_owned()));
    case.before.push(Vec::new());
    assert_eq!((case.run(Assignor::Uniform), case.spread()), (2, 1));
    let gone = case.before.remove(0);
    case.members.remove(0);
    assert_eq!((case.run(Assignor::Uniform), case.spread()), (0, 1));
    assert!(gone.len() >= 2);
    case.topics.insert(2, 9);
    assert_eq!((case.run(Assignor::Uniform), case.spread()), (0, 1));
}

#[test]
fn uniform_spreads_each_topic_over_its_readers() {
    let mut case = Case::alike(&[4, 4, 4], 4);
    case.run(Assignor::Uniform);
    for list in &case.before {
        let topics: BTreeSet<u64> = list.iter().map(|it| it.topic_serial()).collect();
        assert_eq!(topics.len(), 3);
    }
}

#[test]
fn more_members_than_partitions_leave_some_without() {
    let mut case = Case::alike(&[2], 5);
    case.run(Assignor::Uniform);
    assert_eq!(case.loads().iter().sum::<usize>(), 2);
    assert_eq!(case.spread(), 1);
    let mut nobody = Case::alike(&[2], 0);
    nobody.subscriptions = vec![Vec::new()];
    nobody.run(Assignor::Uniform);
    let mut nothing = Case::alike(&[], 2);
    nothing.run(Assignor::Uniform);
    nothing.run(Assignor::Range);
}

#[test]
fn readers_of_different_topics_end_level_where_they_can() {
    let mut case = Case::alike(&[6, 6], 0);
    case.subscriptions = vec![vec![1], vec![1, 2], vec![]];
    case.members = vec![
        (0, "a".to_owned()),
        (1, "b".to_owned()),
        (2, "c".to_owned()),
    ];
    case.before = vec![Vec::new(); 3];
    case.run(Assignor::Uniform);
    assert_eq!(case.loads(), [6, 6, 0]);
    case.members.push((1, "d".to_owned()));
    case.before.push(Vec::new());
    let moved = case.run(Assignor::Uniform);
    assert_eq!((case.loads(), moved), (vec![4, 4, 0, 4], 4));
    assert_eq!(case.run(Assignor::Uniform), 0);
}

#[test]
fn range_gives_neighbours_and_the_same_of_topics_of_one_size() {
    let mut case = Case::alike(&[5, 5], 2);
    case.members.reverse();
    case.run(Assignor::Range);
    let of = |serial: u64, indexes: std::ops::Range<u32>| -> Vec<PartitionId> {
        indexes
            .map(|index| PartitionId::new(serial, index))
            .collect()
    };
    assert_eq!(case.before[1], [of(1, 0..3), of(2, 0..3)].concat());
    assert_eq!(case.before[0], [of(1, 3..5), of(2, 3..5)].concat());
}

#[test]
fn any_history_stays_balanced_and_moves_little() {
    let mut state = 7_u64;
    let mut below = move |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % limit
    };
    for _ in 0..60 {
        let mut case = Case::alike(&[3, 8, 1, 13], 0);
        let is_alike = below(2) == 0;
        case.subscriptions
            .extend([vec![1, 3], vec![2], vec![2, 3, 4]]);
        for step in 0..40 {
            if below(3) > 0 || case.members.is_empty() {
                let subscription = if is_alike { 0 } else { below(4) };
                let subscription = usize::try_from(subscription).unwrap();
                case.members.push((subscription, format!("m{step}")));
                case.before.push(Vec::new());
            } else {
                let at = usize::try_from(below(case.members.len() as u64)).unwrap();
                case.members.remove(at);
                case.before.remove(at);
            }
            if case.members.is_empty() {
                continue;
            }
            let loads = case.loads();
            let moved = case.run(Assignor::Uniform);
            if is_alike {
                assert!(case.spread() <= 1);
                let quota = 25 / case.members.len();
                let over: usize = loads.iter().map(|load| load.saturating_sub(quota)).sum();
                assert!(moved <= over, "{moved} moved, {over} were too many");
            } else {
                assert_level(&case);
            }
        }
    }
}

/// Nobody could give a partition to somebody who has at least two fewer.
fn assert_level(case: &Case) {
    let loads = case.loads();
    for (from, list) in case.before.iter().enumerate() {
        for partition in list {
            for (to, (subscription, _)) in case.members.iter().enumerate() {
                let may_read =
                    case.subscriptions[*subscription].contains(&partition.topic_serial());
                assert!(!may_read || loads[from] <= loads[to] + 1, "{loads:?}");
            }
        }
    }
}
