//! How queues end that nobody deletes: with their session, their last consumer, their node's run, or
//! their topic.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use weir_model::{GroupId, NodeId, PartitionId};

use super::{lines::Then, target::FoundQueue};
use crate::{
    Node,
    queue::SessionKey,
    routing::{RoutingCommand, RoutingOutcome},
};

/// Whether what ended with this node's earlier runs is gone. Until then no session begins: it could
/// find a queue that is about to go.
#[derive(Default)]
pub(crate) struct Run {
    has_begun: AtomicBool,
    is_asking: AtomicBool,
    /// A mutex: taken by sessions that begin early.
    waiting: Mutex<Vec<Then>>,
}

impl Run {
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Then>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Calls `then` once sessions may begin.
    pub(super) fn when_run_has_begun(self: &Arc<Self>, then: Then) {
        let mut waiting = self.run.lock();
        if self.run.has_begun() {
            drop(waiting);
            return then();
        }
        waiting.push(then);
        drop(waiting);
        self.begin_run();
    }

    /// Lets what ended with earlier runs go, where that has not been done.
    pub(crate) fn begin_run(self: &Arc<Self>) {
        let run = &self.run;
        if run.has_begun() || run.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let command = RoutingCommand::NodeStarted {
            node: self.id(),
            boot: self.sessions.boot(),
        };
        let node = Arc::clone(self);
        self.repeat_removal(command, move |is_done| {
            let due = {
                let mut waiting = node.run.lock();
                node.run.has_begun.store(is_done, Ordering::Release);
                node.run.is_asking.store(false, Ordering::Release);
                match is_done {
                    true => std::mem::take(&mut *waiting),
                    false => Vec::new(),
                }
            };
            due.into_iter().for_each(|then| then());
        });
    }

    /// Proposes a command until there is nothing more for it to remove. `done` hears whether it came
    /// to that.
    fn repeat_removal(
        self: &Arc<Self>,
        command: RoutingCommand,
        done: impl FnOnce(bool) + Send + 'static,
    ) {
        let node = Arc::clone(self);
        self.propose_routing(command.clone(), move |outcome| match outcome {
            Ok(RoutingOutcome::Removed { has_more: true, .. }) => {
                node.repeat_removal(command, done);
            }
            Ok(RoutingOutcome::Refused(_)) | Err(_) => done(false),
            Ok(
                RoutingOutcome::Removed { .. }
                | RoutingOutcome::Done
                | RoutingOutcome::QueueDeclared(_),
            ) => done(true),
        });
    }

    /// A node is lost: its transient queues go.
    pub(super) fn node_lost(self: &Arc<Self>, node: NodeId) {
        let command = RoutingCommand::NodeStarted { node, boot: 0 };
        self.repeat_removal(command, |_| {});
    }

    /// Deletes a session's exclusive queues; `may_own_more`: also where none are known here. What is
    /// not deleted when `done` is called is deleted when the node is lost, or starts again.
    pub(super) fn delete_exclusive_queues(
        self: &Arc<Self>,
        (session, may_own_more): (SessionKey, bool),
        done: Then,
    ) {
        let has_some = || {
            let topology = self.topology.load();
            let mut queues = topology.routing().exclusive_queues(session);
            queues.next().is_some()
        };
        match may_own_more || has_some() {
            false => done(),
            true => {
                self.repeat_removal(RoutingCommand::EndSession(session), move |_| done());
            }
        }
    }

    /// A queue's leader has seen its last consumer go.
    pub(crate) fn queue_lost_consumers(self: &Arc<Self>, partition: PartitionId) {
        if let Some(found) = self.queue_of(partition) {
            self.delete_if_unused(&found, Box::new(|| ()));
        }
    }

    /// Deletes a queue that goes with its last consumer, where that has gone.
    pub(super) fn delete_if_unused(self: &Arc<Self>, found: &FoundQueue, done: Then) {
        if !found.queue.is_auto_delete {
            return done();
        }
        self.remove_unused(found, done);
    }

    /// Lets the group's queues behave by today's policies.
    pub(super) fn reconcile_queues_of(&self, group: GroupId) {
        self.visit_queues(group, |shard, context| {
            if context.leads {
                shard.reconcile_queues(context);
            }
        });
    }
}
