//! Sessions whose node is lost, or was started anew: the leader of a queue ends them. A node that was
//! only away is told of it once it is back, and tells their clients.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_log::Millis;
use weir_model::{ErrorKind, NodeId, PartitionId};
use weir_raft::Context;

use super::{Shard, ShardCommand, pump::visit_shard};
use crate::{
    Node,
    node::queues::Handed,
    outcome::AppliedOutcome,
    queue::{Gone, SessionKey},
};

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
    /// Sessions that ended and whose nodes may not know it.
    lost: BTreeSet<SessionKey>,
    /// Since when nodes do not answer, by the clock that never jumps.
    away_since: BTreeMap<NodeId, Millis>,
}

/// What became of nodes whose sessions were lost.
#[derive(Default)]
struct Found {
    /// They are there, and these sessions were theirs.
    there: BTreeMap<NodeId, Vec<SessionKey>>,
    /// They run anew.
    anew: BTreeSet<(NodeId, u64)>,
}

impl SessionWatch {
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let is_needed = !self.boots.is_empty() || !self.lost.is_empty();
        self.next_look.filter(|_| is_needed)
    }

    fn found(&self, node: &Node) -> Found {
        let mut found = Found::default();
        for session in &self.lost {
            match node.boot_of(session.node) {
                Some(boot) if boot == session.boot => {
                    let there = found.there.entry(session.node).or_default();
                    there.push(*session);
                }
                Some(boot) => {
                    found.anew.insert((session.node, boot));
                }
                None => {}
            }
        }
        found
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
        let lost = queue.into_iter().flat_map(|it| it.lost_sessions());
        watch.lost.extend(lost);
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
        let boots = queues.clone().flat_map(|queue| queue.boots()).collect();
        let lost = queues.flat_map(|queue| queue.lost_sessions()).collect();
        let watch = &mut self.pump.watch;
        (watch.boots, watch.lost) = (boots, lost);
        watch.next_look = Some(context.elapsed.plus(LOOK_INTERVAL_MS));
        for gone in watch.gone(&node, context.elapsed) {
            tracing::info!(?gone, "sessions end with their node");
            context.propose(ShardCommand::end_sessions(&gone), None);
        }
        let Found { there, anew } = self.pump.watch.found(&node);
        for (id, boot) in anew {
            let gone = Gone::Boots(id, boot);
            context.propose(ShardCommand::end_sessions(&gone), None);
        }
        for (id, sessions) in there {
            self.tell_lost(&node, id, sessions);
        }
    }

    /// Those that the node does not know any more are over; it ends the others, or is told again.
    fn tell_lost(&self, node: &Arc<Node>, to: NodeId, sessions: Vec<SessionKey>) {
        let (handle, id) = (self.env.handle.clone(), self.id);
        let done = move |handed: Result<Handed, ErrorKind>| {
            visit_shard(&handle, id, move |_, context| {
                let ended = handed.map(|handed| handed.ended).unwrap_or_default();
                if context.leads {
                    for session in ended {
                        let gone = Gone::Session(session);
                        context.propose(ShardCommand::end_sessions(&gone), None);
                    }
                }
            });
        };
        node.tell_lost(to, sessions, Box::new(done));
    }
}
