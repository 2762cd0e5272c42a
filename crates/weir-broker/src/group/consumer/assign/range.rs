//! Neighbouring partitions of each topic.

use weir_model::PartitionId;

use super::work::Work;

pub(super) fn assign(work: &Work<'_>) -> Vec<Vec<PartitionId>> {
    let mut assigned = vec![Vec::new(); work.subscribers.len()];
    let mut ranked: Vec<usize> = (0..work.subscribers.len()).collect();
    ranked.sort_by_key(|at| work.subscribers[*at].rank);
    for (serial, count) in &work.topics {
        let readers = ranked.iter().filter(|at| work.reads(**at, *serial));
        let readers: Vec<usize> = readers.copied().collect();
        let Some(readers_count) = u32::try_from(readers.len()).ok().filter(|it| *it > 0) else {
            continue;
        };
        let (each, larger_count) = (count / readers_count, count % readers_count);
        let mut next = 0;
        for (at, place) in readers.into_iter().zip(0..) {
            let end = next + each + u32::from(place < larger_count);
            assigned[at].extend((next..end).map(|index| PartitionId::new(*serial, index)));
            next = end;
        }
    }
    assigned
}
