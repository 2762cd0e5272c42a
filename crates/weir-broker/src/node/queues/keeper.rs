//! What a node looks after for queues as time passes: its own start, nodes that are lost, queues that
//! nobody uses, settings that policies have changed, and publishers who are to wait for room.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use weir_log::Millis;
use weir_model::{GroupId, NodeId, Term};

use crate::{Node, routing::record::QueueId};

/// How long a node may be away before its transient queues go, in ms: as long as its sessions last.
const MAX_AWAY_MS: u64 = 4_000;
/// Pause before another look at a queue whose leader did not answer, in ms.
const RETRY_MS: u64 = 1_000;

/// Why publishers wait, in RabbitMQ's words.
const LOW_ON_DISK: &str = "low on disk";

/// What was found of queues that expire: when to look again.
type Found = Arc<Mutex<Vec<(QueueId, Millis)>>>;

/// One per node; the steward's thread calls it several times a second.
#[derive(Default)]
pub(crate) struct QueueKeeper {
    /// Since when nodes do not answer, by the clock that never jumps.
    away_since: BTreeMap<NodeId, Millis>,
    /// The leaderships and the policies for which settings were compared.
    compared: BTreeMap<GroupId, (Term, u64)>,
    /// The metadata for which `looks` were made.
    revision: Option<u64>,
    /// When to look whether a queue has expired; `None`: somebody is looking.
    looks: BTreeMap<QueueId, Option<Millis>>,
    /// The users and rules by which consumers were last looked at.
    reviewed: u64,
    /// A mutex: taken once for each look, and each turn.
    found: Found,
}

impl QueueKeeper {
    /// Looks at everything that is due.
    pub(crate) fn turn(&mut self, node: &Arc<Node>) {
        let now = node.elapsed();
        node.begin_run();
        let alarm = node.is_short_of_disk().then_some(LOW_ON_DISK);
        node.sessions.set_alarm(alarm);
        let rules = node.access().generation();
        if std::mem::replace(&mut self.reviewed, rules) != rules && node.access().is_known() {
            node.review_consumers(|_| true);
        }
        self.look_for_lost_nodes(node, now);
        self.compare_settings(node);
        self.look_for_expired(node, now);
    }

    /// Transient queues of nodes that are away are nobody's: their sessions are over.
    fn look_for_lost_nodes(&mut self, node: &Arc<Node>, now: Millis) {
        if !node.leads(GroupId::METADATA) {
            self.away_since.clear();
            return;
        }
        let owners = node.topology.load().routing().nodes_with_transient_queues();
        self.away_since.retain(|id, _| owners.contains(id));
        for id in owners {
            if node.boot_of(id).is_some() {
                self.away_since.remove(&id);
                continue;
            }
            let since = *self.away_since.entry(id).or_insert(now);
            if now.since(since) >= MAX_AWAY_MS {
                self.away_since.insert(id, now);
                tracing::info!(node = %id, "its transient queues end with the node");
                node.node_lost(id);
            }
        }
    }

    fn compare_settings(&mut self, node: &Arc<Node>) {
        let policies = node.topology.load().routing().policy_revision();
        for group in node.groups_with_partitions() {
            let current = (node.status(group).term(), policies);
            if !node.leads(group) {
                self.compared.remove(&group);
            } else if self.compared.insert(group, current) != Some(current) {
                node.reconcile_queues_of(group);
            }
        }
    }

    fn look_for_expired(&mut self, node: &Arc<Node>, now: Millis) {
        let topology = node.topology.load_full();
        let routing = topology.routing();
        let revision = node.topology.revision();
        if self.revision != Some(revision) {
            self.revision = Some(revision);
            let known = std::mem::take(&mut self.looks);
            let expiring = routing.expiring().map(|id| {
                let next = known.get(&id).copied();
                (id, next.unwrap_or(Some(now)))
            });
            self.looks = expiring.collect();
        }
        let found = std::mem::take(&mut *lock(&self.found));
        for (id, next) in found {
            if let Some(look) = self.looks.get_mut(&id) {
                *look = Some(next);
            }
        }
        for (id, look) in &mut self.looks {
            let is_due = look.is_some_and(|at| at <= now);
            let leads = || {
                let group = topology.by_serial(id.0)?.partitions.first()?;
                node.leads(*group).then_some(())
            };
            if is_due && leads().is_some() {
                *look = None;
                look_at(node, *id, &self.found);
            }
        }
    }
}

/// Finds out how long a queue has not been used.
fn look_at(node: &Arc<Node>, id: QueueId, found: &Found) {
    let again = |node: &Arc<Node>, wait_ms: u64| {
        let next = node.elapsed().plus(wait_ms);
        lock(found).push((id, next));
    };
    let topology = node.topology.load_full();
    let queue = topology.routing().queue_by_id(id);
    let expires_ms = queue.and_then(|queue| topology.routing().expires_ms(queue));
    let (Some(queue), Some(expires_ms)) = (node.queue_by_id(id), expires_ms) else {
        return again(node, RETRY_MS);
    };
    let (asking, found) = (Arc::clone(node), Arc::clone(found));
    node.figures_of(&queue.clone(), false, move |figures| {
        let idle_ms = match figures {
            Ok(Some(figures)) if figures.consumer_count == 0 => Some(figures.idle_ms),
            Ok(Some(_)) => Some(0),
            Ok(None) | Err(_) => None,
        };
        let wait_ms = match idle_ms {
            Some(idle_ms) if idle_ms >= expires_ms => {
                tracing::info!(queue = %queue.queue.name, "the queue has expired");
                asking.remove_unused(&queue, Box::new(|| ()));
                RETRY_MS
            }
            Some(idle_ms) => expires_ms - idle_ms,
            None => RETRY_MS,
        };
        let next = asking.elapsed().plus(wait_ms);
        lock(&found).push((id, next));
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
