//! Messages that were asked for on demand: fetched for the answer, as the queue's leader.

use weir_model::{ErrorKind, PartitionId};
use weir_raft::{Context, NotCommitted};

use super::{Shard, ShardCommand, fetched::Fetched};
use crate::{
    node::queues::QueueCallDone,
    outcome::AppliedOutcome,
    queue::{Assignment, QueueAnswer, QueueCommand, Removed},
};

impl Shard {
    /// Answers with the message, which is the session's. Where it is nothing that anybody is to
    /// have, it is removed and the session gets the next one.
    pub(crate) fn fetch_gotten(
        &mut self,
        partition: PartitionId,
        get: QueueCommand,
        assigned: Assignment,
        ready_count: u64,
        done: QueueCallDone,
        context: &mut Context<'_, AppliedOutcome>,
    ) {
        if !context.leads {
            // The next leader is asked again, and gives the same.
            return done(Err(ErrorKind::NotLeader));
        }
        let why = match self.fetch_assigned(partition, &assigned) {
            Fetched::Message(message) => {
                return done(Ok(QueueAnswer::Got(Some((message, ready_count)))));
            }
            Fetched::Cold(read) => {
                return self.read_window(read, move |shard, is_read, context| {
                    if is_read {
                        shard.fetch_gotten(partition, get, assigned, ready_count, done, context);
                    } else {
                        done(Err(ErrorKind::Overloaded));
                    }
                });
            }
            Fetched::Bodiless => return done(Err(ErrorKind::Overloaded)),
            Fetched::Expired => Removed::Expired,
            Fetched::Void => Removed::Void,
        };
        let remove = QueueCommand::Remove {
            why,
            messages: vec![(assigned.offset, Some(assigned.serial))],
        };
        let (group, node) = (self.id, self.node());
        let again = move |outcome: Result<AppliedOutcome, NotCommitted>| match (outcome, node) {
            (Ok(_), Some(node)) => node.get_again(group, partition, get, done),
            (Err(error), _) => done(Err(error.kind())),
            (Ok(_), None) => done(Err(ErrorKind::ShuttingDown)),
        };
        let remove = ShardCommand::queue(partition, &remove);
        context.propose(remove, Some(Box::new(again)));
    }
}
