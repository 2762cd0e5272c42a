//! Everybody reads the same topics: counts differ by one at most, and a partition moves only where
//! its reader has too many or is gone.

use weir_model::PartitionId;

use super::{layout::Layout, work::Work};

pub(super) fn assign(work: &Work<'_>) -> Vec<Vec<PartitionId>> {
    let readers_count = work.subscribers.len();
    if readers_count == 0 {
        return Vec::new();
    }
    let read = work
        .topics
        .iter()
        .filter(|(serial, _)| work.reads(0, **serial));
    let layout = Layout::new(&read.map(|(serial, count)| (*serial, *count)).collect());
    let quota = layout.count() / readers_count;
    let mut larger_count = layout.count() % readers_count;
    let mut is_kept = vec![false; layout.count()];
    let mut assigned = Vec::with_capacity(readers_count);
    for subscriber in &work.subscribers {
        let mut kept = Vec::new();
        for partition in subscriber.before {
            let Some(number) = layout.number(*partition).filter(|it| !is_kept[*it]) else {
                continue;
            };
            let is_larger = kept.len() == quota && larger_count > 0;
            if kept.len() < quota || is_larger {
                larger_count -= usize::from(is_larger);
                is_kept[number] = true;
                kept.push(*partition);
            }
        }
        assigned.push(kept);
    }
    let all = layout.partitions().zip(is_kept);
    let free = all
        .filter(|(_, is_kept)| !is_kept)
        .map(|(partition, _)| partition);
    deal(free, quota, larger_count, &mut assigned);
    assigned
}

/// Deals out what is free, one each time round, so that no one gets all of one topic.
fn deal(
    mut free: impl Iterator<Item = PartitionId>,
    quota: usize,
    mut larger_count: usize,
    assigned: &mut [Vec<PartitionId>],
) {
    let mut hungry: Vec<usize> = (0..assigned.len()).collect();
    while !hungry.is_empty() {
        hungry.retain(|at| assigned[*at].len() < quota);
        for at in &hungry {
            let Some(partition) = free.next() else {
                return;
            };
            assigned[*at].push(partition);
        }
    }
    for list in assigned.iter_mut().filter(|list| list.len() == quota) {
        if larger_count == 0 {
            return;
        }
        larger_count -= 1;
        list.extend(free.next());
    }
}
