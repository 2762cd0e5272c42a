//! The lanes of this node, by partition.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use weir_model::{GroupId, PartitionId};

use super::lane::{Budget, Lane};

/// Parts of the registry, each with a lock of its own: publishers to different queues seldom meet
/// there.
const PARTS_COUNT: usize = 16;
/// Lanes of one part past which those that nobody uses are let go. About 500 bytes each.
const MAX_IDLE_COUNT: usize = 1_000;

#[derive(Default)]
struct Part {
    lanes: BTreeMap<PartitionId, Arc<Lane>>,
    /// Look for idle ones at so many.
    look_count: usize,
}

/// All lanes.
#[derive(Default)]
pub(crate) struct Lanes {
    parts: [Mutex<Part>; PARTS_COUNT],
    budget: Arc<Budget>,
    turn: AtomicU64,
}

impl Lanes {
    /// The lane to a partition, which begins where there was none.
    pub(super) fn get(&self, group: GroupId, partition: PartitionId) -> Arc<Lane> {
        let at = usize::try_from(
            (partition.topic_serial() + u64::from(partition.index())) % PARTS_COUNT as u64,
        )
        .expect("few parts");
        let mut part = self.parts[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = part.lanes.get(&partition) {
            return Arc::clone(lane);
        }
        if part.lanes.len() >= part.look_count.max(MAX_IDLE_COUNT) {
            part.lanes
                .retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle());
            part.look_count = part.lanes.len() * 2;
        }
        let lane = Lane::new(group, partition, &self.budget);
        part.lanes.insert(partition, Arc::clone(&lane));
        lane
    }

    /// Counts, for whatever goes round.
    pub(super) fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Relaxed)
    }
}
