//! Which group carries a new partition: a pure function of how many each carries.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::GroupId;

/// Places `partition_count` partitions over `groups`, each in turn where fewest are; of equals
/// in the group with the lowest id. `load` has the partitions of each group, none where it says
/// nothing. Empty without groups.
pub fn place(
    partition_count: u32,
    groups: &BTreeSet<GroupId>,
    load: &BTreeMap<GroupId, u64>,
) -> Vec<GroupId> {
    let carried = |group: &GroupId| load.get(group).copied().unwrap_or_default();
    let mut by_load: BTreeSet<(u64, GroupId)> = groups
        .iter()
        .map(|group| (carried(group), *group))
        .collect();
    let mut placed = Vec::new();
    for _ in 0..partition_count {
        let Some((count, group)) = by_load.pop_first() else {
            break;
        };
        placed.push(group);
        by_load.insert((count.saturating_add(1), group));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(ids: &[u32]) -> BTreeSet<GroupId> {
        ids.iter().copied().map(GroupId).collect()
    }

    #[test]
    fn partitions_of_a_topic_go_around_and_the_least_loaded_group_comes_first() {
        let load = BTreeMap::from([(GroupId(1), 2), (GroupId(2), 1), (GroupId(9), 0)]);
        let placed: Vec<u32> = place(5, &groups(&[1, 2, 3]), &load)
            .iter()
            .map(|g| g.0)
            .collect();
        assert_eq!(placed, [3, 2, 3, 1, 2]);
    }

    #[test]
    fn many_single_partition_topics_spread_evenly() {
        let mut load = BTreeMap::new();
        let groups = groups(&[4, 5, 6, 7]);
        for _ in 0..400 {
            for group in place(1, &groups, &load) {
                *load.entry(group).or_default() += 1;
            }
        }
        assert!(load.values().all(|count| *count == 100) && load.len() == 4);
    }

    #[test]
    fn without_groups_there_is_no_place() {
        assert!(place(3, &BTreeSet::new(), &BTreeMap::new()).is_empty());
    }
}
