//! Calls that this node carries out as the leader of a queue's partition.

use std::sync::Arc;

use weir_model::{ErrorKind, GroupId, PartitionId};
use weir_raft::{Command, Context, Input, NotCommitted};

use crate::{
    Node,
    api::queues::Held,
    machine::Machine,
    outcome::AppliedOutcome,
    queue::{ConsumerKey, Gone, QueueAnswer, QueueApplied, QueueCall, QueueCommand},
    routing::record::QueueId,
    seeded::Seeded,
    shard::{Shard, ShardCommand},
};

/// Hears once what became of a call. `NotLeader` and the like: to be tried again, elsewhere.
pub(crate) type QueueCallDone = Box<dyn FnOnce(Result<QueueAnswer, ErrorKind>) + Send>;

impl Node {
    /// Carries a call out where this node leads the group; `done` hears of it once it is on
    /// stable storage.
    pub(crate) fn lead_queue_call(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        call: QueueCall,
        done: QueueCallDone,
    ) {
        if !self.leads(group) {
            return done(Err(ErrorKind::NotLeader));
        }
        let done = in_any_case(done);
        let command = match call {
            QueueCall::Configure(settings) => QueueCommand::Configure(settings),
            QueueCall::Attach(attach) => QueueCommand::Attach(attach),
            QueueCall::Detach(consumer, held) => {
                return self.detach(group, partition, (consumer, held), done);
            }
            QueueCall::EndSession(session) => {
                let command = ShardCommand::end_sessions(&Gone::Session(session));
                return self.change_queue(group, command, done);
            }
            QueueCall::Settle {
                session,
                deliveries,
            } => {
                let settle = QueueCommand::Settle {
                    session,
                    deliveries,
                };
                if Seeded::of(&self.config).acks_settlements_early() {
                    done(Ok(QueueAnswer::Done));
                    let unheard = Box::new(|_| ());
                    let command = ShardCommand::queue(partition, &settle);
                    return self.change_queue(group, command, unheard);
                }
                settle
            }
            QueueCall::Get { session, request } => {
                let get = QueueCommand::Get { session, request };
                return self.get_from_queue(group, partition, get, done);
            }
            QueueCall::Purge => QueueCommand::Purge,
            QueueCall::Close(closer, only) => QueueCommand::Close(closer, only),
            QueueCall::Reopen(closer) => QueueCommand::Reopen(closer),
            QueueCall::Figures { is_use } => {
                return self.figures_of_queue(group, partition, is_use, done);
            }
        };
        self.change_queue(group, ShardCommand::queue(partition, &command), done);
    }

    fn change_queue(&self, group: GroupId, command: Command, done: QueueCallDone) {
        let done = Box::new(move |outcome| {
            done(
                applied(outcome)
                    .as_ref()
                    .map(answer)
                    .map_err(|error| *error),
            );
        });
        self.propose_in_spite(group, command, done);
    }

    /// Answered once nothing more comes to the consumer.
    fn detach(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        (consumer, held): (ConsumerKey, Held),
        done: QueueCallDone,
    ) {
        let node = Arc::clone(self);
        self.visit_queues(group, move |shard, context| {
            if !context.leads {
                return done(Err(ErrorKind::NotLeader));
            }
            let detach = QueueCommand::Detach {
                consumer,
                held,
                first_unsent: shard.stop_sending(partition, consumer),
            };
            let detached = move |outcome| {
                let outcome = applied(outcome);
                node.visit_queues(group, move |shard, context| match outcome {
                    Ok(_) if !context.leads => done(Err(ErrorKind::NotLeader)),
                    Ok(outcome) => {
                        let left = Box::new(move || done(Ok(answer(&outcome))));
                        shard.take_leave(partition, consumer, left);
                    }
                    Err(error) => {
                        shard.go_on_sending(partition, consumer, context);
                        done(Err(error));
                    }
                });
            };
            let command = ShardCommand::queue(partition, &detach);
            context.propose(command, Some(Box::new(detached)));
        });
    }

    fn get_from_queue(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        get: QueueCommand,
        done: QueueCallDone,
    ) {
        let id = QueueId(partition.topic_serial());
        if self.topology.load().routing().is_expiring(id) {
            self.visit_queues(group, move |shard, context| {
                shard.queue_figures(partition, true, context);
            });
        }
        let command = ShardCommand::queue(partition, &get);
        let node = Arc::clone(self);
        let got = move |outcome| match applied(outcome) {
            Err(error) => done(Err(error)),
            Ok(QueueApplied::Got(Some(assigned), ready_count)) => {
                node.visit_queues(group, move |shard, context| {
                    shard.fetch_gotten(partition, get, assigned, ready_count, done, context);
                });
            }
            Ok(other) => done(Ok(answer(&other))),
        };
        self.propose_in_spite(group, command, Box::new(got));
    }

    /// Gets again, since what was got is nothing that anybody is to have.
    pub(crate) fn get_again(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        get: QueueCommand,
        done: QueueCallDone,
    ) {
        self.get_from_queue(group, partition, get, done);
    }

    fn figures_of_queue(
        &self,
        group: GroupId,
        partition: PartitionId,
        is_use: bool,
        done: QueueCallDone,
    ) {
        self.visit_queues(group, move |shard, context| {
            if !context.leads {
                return done(Err(ErrorKind::NotLeader));
            }
            let figures = shard.queue_figures(partition, is_use, context);
            done(Ok(
                figures.map_or(QueueAnswer::NotAQueue, QueueAnswer::Figures)
            ));
        });
    }

    pub(super) fn visit_queues(
        &self,
        group: GroupId,
        visit: impl FnOnce(&mut Shard, &mut Context<'_, AppliedOutcome>) + Send + 'static,
    ) {
        let visit = Box::new(
            move |machine: &mut Machine, context: &mut Context<'_, AppliedOutcome>| {
                if let Machine::Shard(shard) = machine {
                    visit(shard, context);
                }
            },
        );
        self.handle_of(group).send(Input::Visit { group, visit });
    }
}

/// The same, called as well where it is dropped, as when another node begins to lead.
fn in_any_case(done: QueueCallDone) -> QueueCallDone {
    let mut waiting = Waiting(Some(done));
    Box::new(move |answer| {
        if let Some(done) = waiting.0.take() {
            done(answer);
        }
    })
}

struct Waiting(Option<QueueCallDone>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(ErrorKind::NotLeader));
        }
    }
}

fn applied(outcome: Result<AppliedOutcome, NotCommitted>) -> Result<QueueApplied, ErrorKind> {
    match outcome {
        Ok(AppliedOutcome::Queue(applied)) => Ok(applied),
        Ok(
            AppliedOutcome::Metadata(_)
            | AppliedOutcome::Appended(_)
            | AppliedOutcome::Offsets(_)
            | AppliedOutcome::Transaction(_)
            | AppliedOutcome::Marked(_)
            | AppliedOutcome::Group(_)
            | AppliedOutcome::Share(_)
            | AppliedOutcome::Done,
        ) => Err(ErrorKind::InvalidRequest),
        Err(error) => Err(error.kind()),
    }
}

fn answer(applied: &QueueApplied) -> QueueAnswer {
    match applied {
        QueueApplied::Done => QueueAnswer::Done,
        QueueApplied::Counted(count) => QueueAnswer::Counted(*count),
        // One that was given is fetched before it is answered.
        QueueApplied::Got(..) => QueueAnswer::Got(None),
        QueueApplied::InExclusiveUse => QueueAnswer::InExclusiveUse,
        QueueApplied::StillUsed => QueueAnswer::StillUsed,
        QueueApplied::NotEmpty => QueueAnswer::NotEmpty,
        QueueApplied::NotAQueue => QueueAnswer::NotAQueue,
        QueueApplied::SessionLost => QueueAnswer::SessionLost,
        QueueApplied::TooManyConsumers | QueueApplied::TooManyDeletions => {
            QueueAnswer::Refused(crate::api::queues::Refused::Failed(ErrorKind::Overloaded))
        }
    }
}
