//! Since when queues are not used: for those that go when nobody uses them.

use std::collections::BTreeMap;

use weir_log::Millis;
use weir_model::PartitionId;
use weir_raft::Context;

use super::{Shard, ShardCommand};
use crate::{
    outcome::AppliedOutcome,
    queue::{QueueCommand, QueueFigures},
};

/// Queues that this shard's leader has seen in use, or asked for.
#[derive(Default)]
pub(super) struct QueueUses(BTreeMap<PartitionId, Use>);

struct Use {
    has_consumers: bool,
    /// By the clock that never jumps.
    last: Millis,
}

impl Shard {
    /// A queue has changed: has its last consumer gone?
    pub(super) fn watch_use_of(&mut self, id: PartitionId, context: &Context<'_, AppliedOutcome>) {
        let queue = self.partitions.get(&id).and_then(|it| it.queue.as_deref());
        let Some(queue) = queue else {
            self.pump.uses.0.remove(&id);
            return;
        };
        let has_consumers = queue.figures().consumer_count > 0;
        let was_consumed = queue.was_consumed();
        let known = self.pump.uses.0.get_mut(&id);
        let had_consumers = match known {
            Some(known) => {
                if known.has_consumers {
                    known.last = context.elapsed;
                }
                std::mem::replace(&mut known.has_consumers, has_consumers)
            }
            None => {
                self.touch_queue(id, has_consumers, context.elapsed);
                // Under an earlier leader, perhaps.
                was_consumed
            }
        };
        if had_consumers
            && !has_consumers
            && let Some(node) = self.node()
        {
            node.queue_lost_consumers(id);
        }
    }

    fn touch_queue(&mut self, id: PartitionId, has_consumers: bool, last: Millis) {
        let used = Use {
            has_consumers,
            last,
        };
        self.pump.uses.0.insert(id, used);
    }

    /// What a queue holds, and how long nobody has used it. `is_use`: from now on.
    pub(crate) fn queue_figures(
        &mut self,
        id: PartitionId,
        is_use: bool,
        context: &Context<'_, AppliedOutcome>,
    ) -> Option<QueueFigures> {
        let mut figures = self.queue(id)?.figures();
        let has_consumers = figures.consumer_count > 0;
        if is_use || has_consumers || !self.pump.uses.0.contains_key(&id) {
            self.touch_queue(id, has_consumers, context.elapsed);
        }
        let used = self.pump.uses.0.get(&id);
        figures.idle_ms = used.map_or(0, |used| context.elapsed.since(used.last));
        Some(figures)
    }

    /// Proposes how queues are to behave by the policies and arguments of today, where they do not
    /// yet.
    pub(crate) fn reconcile_queues(&self, context: &mut Context<'_, AppliedOutcome>) {
        let topology = self.env.topology.load_full();
        let routing = topology.routing();
        for (id, partition) in &self.partitions {
            let record = routing.queue_by_id(crate::routing::record::QueueId(id.topic_serial()));
            let (Some(queue), Some(record)) = (&partition.queue, record) else {
                continue;
            };
            let settings = routing.settings(record);
            if settings != *queue.settings() {
                let configure = QueueCommand::Configure(Box::new(settings));
                context.propose(ShardCommand::queue(*id, &configure), None);
            }
        }
    }
}
