//! Queues that are deleted, whatever is in them or under a condition. Where there is one, the queue is
//! closed first: what came in after a look would go with it. Several deletions may be under way: each
//! opens what it has closed itself, and the queue stays closed for the others.

use std::sync::Arc;

use weir_model::{ErrorKind, fields::ShortString};

use super::{QueueSession, lines::Then, target::FoundQueue, topology::answer};
use crate::{
    Node,
    api::queues::{QueueOutcome, Refused},
    mailbox::Reply,
    queue::{CloseIf, CloserKey, QueueAnswer, QueueCall},
    routing::{
        RoutingCommand, RoutingOutcome,
        record::{QueueRecord, QueueType},
    },
};

/// What became of a condition.
enum Closed {
    /// It holds, and nothing comes in any more while that deletion goes on; so many messages are ready.
    Holds(u64, CloserKey),
    StillUsed,
    NotEmpty,
    Failed(Refused),
}

impl Node {
    pub(super) fn delete_queue(
        self: &Arc<Self>,
        session: &Arc<QueueSession>,
        name: &ShortString,
        only: CloseIf,
        reply: Reply,
    ) {
        let found = match self.find_queue(&session.vhost, session.key, name) {
            Ok(found) => found,
            Err(Refused::NoQueue { .. }) => return answer(reply, QueueOutcome::Counted(0)),
            Err(refused) => return answer(reply, QueueOutcome::Refused(refused)),
        };
        let (node, session) = (Arc::clone(self), Arc::clone(session));
        let has_condition = only.is_unused || only.is_empty;
        if !has_condition || found.queue.kind == QueueType::Stream {
            return self.figures_of(&found.clone(), false, move |figures| {
                let figures = figures.ok().flatten().unwrap_or_default();
                let (name, vhost) = (found.queue.name.clone(), session.vhost.clone());
                if only.is_unused && figures.consumer_count > 0 {
                    return answer(reply, QueueOutcome::Refused(in_use(name, vhost)));
                }
                if only.is_empty && figures.ready_count > 0 {
                    let refused = Refused::NotEmpty { name, vhost };
                    return answer(reply, QueueOutcome::Refused(refused));
                }
                node.remove_queue(&session, &found, (figures.ready_count, None), reply);
            });
        }
        self.close_queue(&found.clone(), only, move |closed| {
            let (name, vhost) = (found.queue.name.clone(), session.vhost.clone());
            let refused = match closed {
                Closed::Holds(ready_count, closer) => {
                    let closed = (ready_count, Some(closer));
                    return node.remove_queue(&session, &found, closed, reply);
                }
                Closed::StillUsed => in_use(name, vhost),
                Closed::NotEmpty => Refused::NotEmpty { name, vhost },
                Closed::Failed(refused) => refused,
            };
            answer(reply, QueueOutcome::Refused(refused));
        });
    }

    fn remove_queue(
        self: &Arc<Self>,
        session: &QueueSession,
        found: &FoundQueue,
        (message_count, closer): (u64, Option<CloserKey>),
        reply: Reply,
    ) {
        let command = RoutingCommand::DeleteQueue {
            vhost: session.vhost.clone(),
            name: found.queue.name.clone(),
            id: found.queue.id,
            session: Some(session.key),
        };
        let (node, found) = (Arc::clone(self), found.clone());
        self.propose_routing(command, move |outcome| {
            let refused = match outcome {
                Ok(RoutingOutcome::Removed { .. }) => {
                    return answer(reply, QueueOutcome::Counted(message_count));
                }
                Ok(RoutingOutcome::Done | RoutingOutcome::QueueDeclared(_)) => {
                    Refused::Failed(ErrorKind::InvalidRequest)
                }
                Ok(RoutingOutcome::Refused(refused)) | Err(refused) => refused,
            };
            if let Some(closer) = closer {
                node.reopen_if_decided(&found, closer, &refused);
            }
            answer(reply, QueueOutcome::Refused(refused));
        });
    }

    /// Deletes a queue that nobody asked to delete, where nobody consumes from it.
    pub(super) fn remove_unused(self: &Arc<Self>, found: &FoundQueue, done: Then) {
        let only = CloseIf {
            is_unused: true,
            is_empty: false,
        };
        let (node, found) = (Arc::clone(self), found.clone());
        self.close_queue(&found.clone(), only, move |closed| match closed {
            Closed::Holds(_, closer) => {
                let command = node.removal(&found.queue);
                let removing = Arc::clone(&node);
                node.propose_routing(command, move |outcome| {
                    if let Err(refused) = outcome {
                        tracing::info!(%refused, "a queue that is over is not deleted yet");
                        removing.reopen_if_decided(&found, closer, &refused);
                    }
                    done();
                });
            }
            Closed::StillUsed | Closed::NotEmpty | Closed::Failed(_) => done(),
        });
    }

    fn removal(&self, queue: &QueueRecord) -> RoutingCommand {
        let topology = self.topology.load();
        let vhost = topology.routing().vhost_by_id(queue.vhost);
        RoutingCommand::DeleteQueue {
            vhost: vhost.map_or_else(String::new, |vhost| vhost.name.clone()),
            name: queue.name.clone(),
            id: queue.id,
            session: None,
        }
    }

    /// Lets nothing more into any of a queue's partitions, where the condition holds in all of them.
    fn close_queue(
        self: &Arc<Self>,
        found: &FoundQueue,
        only: CloseIf,
        done: impl FnOnce(Closed) + Send + 'static,
    ) {
        let (node, closing) = (Arc::clone(self), found.clone());
        let closer = CloserKey(self.sessions.next_key());
        self.ask_partitions(found, &QueueCall::Close(closer, only), move |answers| {
            // What refused to be closed is not.
            let has_closed = answers.as_ref().map_or(true, |answers| {
                let mut answers = answers.iter();
                answers.any(|answer| matches!(answer, QueueAnswer::Counted(_)))
            });
            let closed = all_closed(answers, closer);
            match closed {
                Closed::StillUsed | Closed::NotEmpty | Closed::Failed(_) if has_closed => {
                    node.reopen_queue(&closing, closer);
                }
                Closed::Holds(..) | Closed::StillUsed | Closed::NotEmpty | Closed::Failed(_) => {}
            }
            done(closed);
        });
    }

    /// The queue's deletion was refused. Where nobody has decided on it, it may come about yet: what
    /// came in until then would go with it.
    fn reopen_if_decided(
        self: &Arc<Self>,
        found: &FoundQueue,
        closer: CloserKey,
        refused: &Refused,
    ) {
        if !matches!(refused, Refused::Failed(_)) {
            self.reopen_queue(found, closer);
        }
    }

    /// That deletion does not come about after all. Where that cannot be told, it closes the queue no
    /// longer in a while.
    fn reopen_queue(self: &Arc<Self>, found: &FoundQueue, closer: CloserKey) {
        self.ask_partitions(found, &QueueCall::Reopen(closer), |_| ());
    }
}

fn in_use(name: ShortString, vhost: String) -> Refused {
    Refused::InUse {
        what: "queue",
        name,
        vhost,
    }
}

fn all_closed(answers: Result<Vec<QueueAnswer>, Refused>, closer: CloserKey) -> Closed {
    let answers = match answers {
        Ok(answers) => answers,
        Err(refused) => return Closed::Failed(refused),
    };
    let mut ready_count = 0;
    for answer in answers {
        match answer {
            QueueAnswer::Counted(count) => ready_count += count,
            // Nobody has used it so far.
            QueueAnswer::NotAQueue => {}
            QueueAnswer::StillUsed => return Closed::StillUsed,
            QueueAnswer::NotEmpty => return Closed::NotEmpty,
            QueueAnswer::Done
            | QueueAnswer::Got(_)
            | QueueAnswer::Figures(_)
            | QueueAnswer::InExclusiveUse
            | QueueAnswer::SessionLost
            | QueueAnswer::Refused(_) => {
                return Closed::Failed(Refused::Failed(ErrorKind::InvalidRequest));
            }
        }
    }
    Closed::Holds(ready_count, closer)
}
