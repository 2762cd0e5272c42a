//! Batches that begin a transaction in a partition: they wait until the transaction's coordinator
//! has said that the partition is part of it, and so does what comes behind them.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, batch::BatchHeader};
use weir_raft::{Context, Done, NotCommitted};

use super::{Shard, ShardCommand};
use crate::{
    api::{Produced, ProducerEpoch},
    outcome::AppliedOutcome,
    producer::{Arrival, Verdict},
};

/// Most batches that wait in one shard; more are refused.
const MAX_HELD_COUNT: usize = 10_000;

type ShardContext<'a> = Context<'a, AppliedOutcome>;

/// A batch of a transaction, and who waits for it.
pub(crate) struct Held {
    pub(crate) partition: PartitionId,
    pub(crate) producer: ProducerEpoch,
    pub(crate) batch: Bytes,
    pub(crate) done: Done<AppliedOutcome>,
}

/// Which batches wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HoldKey {
    pub(crate) partition: PartitionId,
    pub(crate) producer: ProducerEpoch,
}

/// What the coordinator is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) key: HoldKey,
    /// Tells this wait from a later one for the same.
    pub(crate) serial: u64,
}

struct Queue {
    serial: u64,
    /// Entry that had ended the producer's last transaction when the coordinator was asked.
    ended_at: u64,
    held: Vec<Held>,
}

/// All that waits in one shard, in the order in which it came.
#[derive(Default)]
pub(super) struct Holding {
    queues: BTreeMap<HoldKey, Queue>,
    held_count: usize,
    next_serial: u64,
}

impl Shard {
    /// Proposes the batch, or lets it wait; gives what to ask the coordinator where nobody has
    /// asked yet.
    pub(crate) fn append_in_transaction(
        &mut self,
        held: Held,
        context: &mut ShardContext<'_>,
    ) -> Option<Question> {
        let key = HoldKey {
            partition: held.partition,
            producer: held.producer,
        };
        let is_behind = self.holding.queues.contains_key(&key);
        let unverified = self.unverified(&held, context.now);
        if !is_behind && unverified.is_none() {
            let command = ShardCommand::append(held.partition, held.batch);
            context.propose(command, Some(held.done));
            return None;
        }
        if self.holding.held_count >= MAX_HELD_COUNT {
            (held.done)(Ok(refused(ErrorKind::Overloaded)));
            return None;
        }
        self.holding.held_count += 1;
        if let Some(queue) = self.holding.queues.get_mut(&key) {
            queue.held.push(held);
            return None;
        }
        let serial = self.holding.next_serial;
        self.holding.next_serial += 1;
        let queue = Queue {
            serial,
            ended_at: unverified.unwrap_or(0),
            held: vec![held],
        };
        self.holding.queues.insert(key, queue);
        Some(Question { key, serial })
    }

    /// Whether the batch would begin a transaction, and which entry ended the one before.
    fn unverified(&self, held: &Held, now: Millis) -> Option<u64> {
        let header = BatchHeader::parse(&held.batch).ok()?;
        let Some(partition) = self.partitions.get(&held.partition) else {
            return Some(0);
        };
        let arrival = Arrival {
            now,
            is_settling: false,
            verified: None,
        };
        match partition.producers.check(&header, arrival) {
            Verdict::Unverified { ended_at } => Some(ended_at),
            // Whoever applies it says the same.
            Verdict::Append | Verdict::Duplicate { .. } | Verdict::Refused(_) => None,
        }
    }

    /// The coordinator has answered: everything that waited for it goes on. `bumps_epoch`: each of
    /// the producer's transactions has an epoch of its own, so that one which is ended meanwhile
    /// needs no other guard; and the one before may have been ended since the question, which is
    /// what the coordinator waited for.
    pub(crate) fn answered(
        &mut self,
        question: Question,
        answer: Result<(), ErrorKind>,
        bumps_epoch: bool,
        context: &mut ShardContext<'_>,
    ) {
        let Some(queue) = self.holding.queues.get(&question.key) else {
            return;
        };
        if queue.serial != question.serial {
            return;
        }
        let Some(mut queue) = self.holding.queues.remove(&question.key) else {
            return;
        };
        if bumps_epoch {
            queue.ended_at = self.ended_at(question.key, context.now);
        }
        self.holding.held_count -= queue.held.len();
        for held in queue.held {
            match answer {
                Ok(()) => {
                    let Held {
                        partition, batch, ..
                    } = held;
                    let command = ShardCommand::append_verified(partition, queue.ended_at, batch);
                    context.propose(command, Some(held.done));
                }
                Err(error) => (held.done)(Ok(refused(error))),
            }
        }
    }

    fn ended_at(&self, key: HoldKey, now: Millis) -> u64 {
        let ProducerEpoch { id, epoch } = key.producer;
        let partition = self.partitions.get(&key.partition);
        let standing = partition.map(|it| it.producers.standing(id, epoch, now));
        // Where it has none any more, the batch is refused for its epoch.
        standing
            .and_then(Result::ok)
            .map_or(0, |(ended_at, _)| ended_at)
    }

    /// This node leads no more: nothing that waits is proposed.
    pub(super) fn let_go(&mut self) {
        let holding = std::mem::take(&mut self.holding);
        self.holding.next_serial = holding.next_serial;
        for queue in holding.queues.into_values() {
            for held in queue.held {
                (held.done)(Err(NotCommitted::NotLeader));
            }
        }
    }
}

fn refused(error: ErrorKind) -> AppliedOutcome {
    AppliedOutcome::Appended(Produced {
        base_offset: Err(error),
        ..Produced::default()
    })
}
