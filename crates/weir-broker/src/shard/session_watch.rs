//! Sessions whose node is lost, or was started anew: the leader of a queue ends them.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::{NodeId, PartitionId};
use weir_raft::Context;

use super::{Shard, ShardCommand};
use crate::{Node, outcome::AppliedOutcome, queue::Gone};

/// Time between two looks, in ms.
const LOOK_INTERVAL_MS: u64 = 500;
/// How long a node may be away before its sessions end, in ms: longer than a pause that ends by
/// itself, as a rule, and shorter than consumers elsewhere should wait for its messages.
const MAX_AWAY_MS: u64 = 4_000;

/// Runs of nodes whose sessions have something in the shard's queues.
#[derive(Default)]
pub(super) struct SessionWatch {
    /// Nothing is watched where there are none.
    boots: BTreeSet<(NodeId, u64)>,
    next_look: Option<Millis>,
    /// Since when nodes do not answer, by the clock that never jumps.
    away_since: BTreeMap<NodeId, Millis>,
}

impl SessionWatch {
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.next_look.filter(|_| !self.boots.is_empty())
    }

    /// Whose sessions are over, as of now.
    fn gone(&mut self, node: &Node, now: Millis) -> Vec<Gone> {
        let mut gone = BTreeMap::new();
        for (id, boot) in &self.boots {
            match node.boot_of(*id) {
                Some(current) => {
                    self.away_since.remove(id);
                    if current != *boot {
                        gone.insert(*id, Gone::Boots(*id, current));
                    }
                }
                None => {
                    let since = *self.away_since.entry(*id).or_insert(now);
                    if now.since(since) >= MAX_AWAY_MS {
                        gone.insert(*id, Gone::Node(*id));
                    }
                }
            }
        }
        gone.into_values().collect()
    }
}

impl Shard {
    /// A queue has changed: its sessions' nodes are watched.
    pub(super) fn watch_sessions_of(
        &mut self,
        id: PartitionId,
        context: &Context<'_, AppliedOutcome>,
    ) {
        let queue = self.partitions.get(&id).and_then(|it| it.queue.as_deref());
        let watch = &mut self.pump.watch;
        watch
            .boots
            .extend(queue.into_iter().flat_map(|it| it.boots()));
        let next = context.elapsed.plus(LOOK_INTERVAL_MS);
        watch.next_look.get_or_insert(next);
    }

    pub(super) fn watch_sessions(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        let is_due = self.pump.watch.next_deadline();
        if !self.leads || is_due.is_none_or(|at| at > context.elapsed) {
            return;
        }
        let Some(node) = self.node() else { return };
        let queues = self
            .partitions
            .values()
            .filter_map(|it| it.queue.as_deref());
        let boots = queues.flat_map(|queue| queue.boots()).collect();
        let watch = &mut self.pump.watch;
        watch.boots = boots;
        watch.next_look = Some(context.elapsed.plus(LOOK_INTERVAL_MS));
        for gone in watch.gone(&node, context.elapsed) {
            tracing::info!(?gone, "sessions end with their node");
            context.propose(ShardCommand::end_sessions(&gone), None);
        }
    }
}
