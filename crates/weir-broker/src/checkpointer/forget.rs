//! Deleted topics: tells the shards that this node leads, and makes room on the disk.

use std::sync::Arc;

use weir_log::Millis;
use weir_raft::{Context, Input};

use super::Checkpointer;
use crate::{machine::Machine, metadata::Topology, outcome::AppliedOutcome};

/// Time between two checkpoints that only make room, in ms.
const ROOM_INTERVAL_MS: u64 = 1_000;
/// Time between two looks at everything, in ms: at what came after a topic was deleted, and at
/// what a former leader did not come to.
const LOOK_INTERVAL_MS: u64 = 30_000;

/// What was looked at.
#[derive(Default)]
pub(super) struct Forgetting {
    seen: Option<Arc<Topology>>,
    deleted_count: u64,
    next_look: Option<Millis>,
    next_room: Option<Millis>,
}

impl Checkpointer {
    /// Looks for what belongs to deleted topics where there may be something.
    pub(super) fn forget_deleted(&mut self) {
        let now = self.node.elapsed();
        let looking = &mut self.forgetting;
        let topology = self.node.topology.load_full();
        let is_seen = |seen: &Arc<Topology>| Arc::ptr_eq(seen, &topology);
        let is_news = !looking.seen.as_ref().is_some_and(is_seen);
        let deleted_count = topology.deleted_count();
        let has_deleted = is_news && deleted_count != looking.deleted_count;
        let is_time = looking.next_look.is_none_or(|at| at <= now);
        looking.seen = Some(Arc::clone(&topology));
        looking.deleted_count = deleted_count;
        let may_make_room = looking.next_room.is_none_or(|at| at <= now);
        if may_make_room && self.state.take_wish_for_room() {
            self.forgetting.next_room = Some(now.plus(ROOM_INTERVAL_MS));
            self.is_hurried = true;
        }
        if !has_deleted && !is_time {
            return;
        }
        if is_time {
            self.forgetting.next_look = Some(now.plus(LOOK_INTERVAL_MS));
            let env = &self.node.env;
            env.registry.remove_unowned(
                // What a take-over has brought there waits for its shard.
                |log| topology.is_deleted(log.id().topic_serial()) && log.brought().is_empty(),
                |log| env.store.close_partition(log),
            );
        }
        if deleted_count > 0 {
            self.tell_shards(&topology, is_time);
        }
    }

    fn tell_shards(&self, topology: &Arc<Topology>, include_offsets: bool) {
        for group in self.node.groups_with_partitions() {
            if !self.node.leads(group) {
                continue;
            }
            let topology = Arc::clone(topology);
            let visit = Box::new(
                move |machine: &mut Machine, context: &mut Context<'_, AppliedOutcome>| {
                    if let Machine::Shard(shard) = machine {
                        shard.propose_forget(&topology, include_offsets, context);
                    }
                },
            );
            self.node
                .handle_of(group)
                .send(Input::Visit { group, visit });
        }
    }
}
