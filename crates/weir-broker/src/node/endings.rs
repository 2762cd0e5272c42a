//! The end of transactions: whoever leads the coordinating shard tells each partition, wherever it
//! is led, again and again until all have heard.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
};

use weir_model::{ErrorKind, GroupId, PartitionId};
use weir_raft::NotCommitted;

use super::{Node, transaction_calls};
use crate::{
    outcome::AppliedOutcome,
    shard::ShardCommand,
    transaction::{Ending, Marker, TransactionCommand, marker::shard_of_offsets},
};

/// Pause before partitions that have not heard are told again, in ms.
const RETRY_MS: u64 = 200;
/// Most partitions of one transaction that are told at once.
const MAX_AT_ONCE_COUNT: usize = 256;

pub(crate) type MarkDone = Box<dyn FnOnce(Result<(), ErrorKind>) + Send>;

/// A round of telling under way.
struct Round {
    node: Arc<Node>,
    shard: GroupId,
    transaction: String,
    ending: Ending,
    /// A mutex: taken once per partition.
    heard: Mutex<Heard>,
}

struct Heard {
    partitions: Vec<PartitionId>,
    missing_count: usize,
}

impl Node {
    /// Tells the partitions, where the command has decided a transaction.
    pub(crate) fn end_if_decided(
        self: &Arc<Self>,
        shard: GroupId,
        transaction: &str,
        outcome: &Result<AppliedOutcome, NotCommitted>,
    ) {
        if let Ok(AppliedOutcome::Transaction(answer)) = outcome
            && answer.must_end
        {
            self.end_in_partitions(shard, transaction.to_owned());
        }
    }

    /// Tells the partitions of a transaction that is decided, if this node leads the shard that
    /// coordinates it.
    pub(crate) fn end_in_partitions(self: &Arc<Self>, shard: GroupId, transaction: String) {
        let node = Arc::clone(self);
        self.visit_leading(shard, move |visited| {
            // Whoever leads now does it.
            let Ok((machine, context)) = visited else {
                return;
            };
            if let Some(mut ending) = machine.begin_ending(&transaction) {
                ending.partitions.truncate(MAX_AT_ONCE_COUNT);
                let coordinator_epoch = context.applied_term.leader_epoch();
                Round::begin(&node, shard, transaction, ending, coordinator_epoch);
            }
        });
    }

    /// Ends a transaction in one partition, through whoever leads it.
    fn send_marker(self: &Arc<Self>, marker: Marker, done: MarkDone) {
        let group = match self.group_to_mark(marker.partition) {
            Ok(Some(group)) => group,
            // The topic is gone, and with it what was open.
            Ok(None) => return done(Ok(())),
            Err(error) => return done(Err(error)),
        };
        match self.leader_of(group) {
            Some((leader, _)) if leader == self.id() => self.mark_here(marker, done),
            Some((leader, _)) => transaction_calls::mark(self, leader, &marker, done),
            None => done(Err(ErrorKind::NotLeader)),
        }
    }

    /// Ends a transaction in a partition that this node leads.
    pub(super) fn mark_here(self: &Arc<Self>, marker: Marker, done: MarkDone) {
        let group = match self.group_to_mark(marker.partition) {
            Ok(Some(group)) => group,
            Ok(None) => return done(Ok(())),
            Err(error) => return done(Err(error)),
        };
        let marked = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            done(match outcome {
                Ok(AppliedOutcome::Marked(result)) => result,
                Ok(
                    AppliedOutcome::Metadata(_)
                    | AppliedOutcome::Group(_)
                    | AppliedOutcome::Queue(_)
                    | AppliedOutcome::Share(_)
                    | AppliedOutcome::Appended(_)
                    | AppliedOutcome::Offsets(_)
                    | AppliedOutcome::Transaction(_)
                    | AppliedOutcome::Done,
                ) => Err(ErrorKind::InvalidRequest),
                Err(error) => Err(error.kind()),
            });
        };
        self.propose(group, ShardCommand::mark(&marker), Box::new(marked));
    }

    /// The group that carries the partition; `None` where its topic was deleted. A topic that this
    /// node does not know yet is an error.
    fn group_to_mark(&self, partition: PartitionId) -> Result<Option<GroupId>, ErrorKind> {
        if let Some(shard) = shard_of_offsets(partition) {
            let is_shard = (1..=self.config.shard_count).contains(&shard);
            let group = is_shard.then_some(GroupId(shard));
            return group.map(Some).ok_or(ErrorKind::InvalidRequest);
        }
        let topology = self.topology.load();
        let serial = partition.topic_serial();
        if let Some(topic) = topology.by_serial(serial) {
            let index = i32::try_from(partition.index()).ok();
            return Ok(index
                .and_then(|index| topic.partition(index))
                .map(|it| it.1));
        }
        // Serial numbers rise: one that is unknown and lower was deleted.
        let newest = topology.topics().map(|topic| topic.serial).max();
        if Some(serial) < newest {
            Ok(None)
        } else {
            Err(ErrorKind::UnknownTopicOrPartition)
        }
    }
}

impl Round {
    fn begin(
        node: &Arc<Node>,
        shard: GroupId,
        transaction: String,
        ending: Ending,
        coordinator_epoch: i32,
    ) {
        let partitions = ending.partitions.clone();
        let marker = |partition| Marker {
            partition,
            producer: ending.producer,
            commit: ending.commit,
            coordinator_epoch,
            ordinal: NonZeroU64::new(ending.ordinal),
        };
        let markers: Vec<Marker> = partitions.into_iter().map(marker).collect();
        let round = Arc::new(Self {
            node: Arc::clone(node),
            shard,
            transaction,
            ending,
            heard: Mutex::new(Heard {
                partitions: Vec::new(),
                missing_count: markers.len(),
            }),
        });
        for marker in markers {
            let round = Arc::clone(&round);
            let done = move |result| round.told(marker.partition, result);
            node.send_marker(marker, Box::new(done));
        }
    }

    fn told(self: Arc<Self>, partition: PartitionId, result: Result<(), ErrorKind>) {
        let has_heard = match result {
            // A later epoch is there: its transaction could begin only after this one's end.
            Ok(()) | Err(ErrorKind::InvalidProducerEpoch) => true,
            Err(error) => {
                tracing::debug!(%partition, ?error, "a transaction's end was not heard yet");
                false
            }
        };
        let whole = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if has_heard {
                heard.partitions.push(partition);
            }
            heard.missing_count -= 1;
            (heard.missing_count == 0).then(|| std::mem::take(&mut heard.partitions))
        };
        if let Some(partitions) = whole {
            self.finish(partitions);
        }
    }

    fn finish(self: Arc<Self>, partitions: Vec<PartitionId>) {
        let is_complete = partitions.len() == self.ending.partitions.len();
        let node = Arc::clone(&self.node);
        node.visit_leading(self.shard, move |visited| {
            let Ok((machine, context)) = visited else {
                return;
            };
            machine.over_ending(&self.transaction);
            if partitions.is_empty() {
                return self.later();
            }
            let command = ShardCommand::transaction(&TransactionCommand::Ended {
                transaction: self.transaction.clone(),
                producer: self.ending.producer,
                ordinal: self.ending.ordinal,
                partitions,
            });
            let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
                if outcome.is_ok() && is_complete {
                    // More than one round's worth may be left.
                    let transaction = self.transaction.clone();
                    self.node.end_in_partitions(self.shard, transaction);
                } else {
                    self.later();
                }
            };
            context.propose(command, Some(Box::new(done)));
        });
    }

    fn later(self: Arc<Self>) {
        let node = Arc::clone(&self.node);
        let at = node.elapsed().plus(RETRY_MS);
        let again = move || {
            if !self.node.is_closing() {
                let transaction = self.transaction.clone();
                self.node.end_in_partitions(self.shard, transaction);
            }
        };
        node.purgatory.at(at, Box::new(again));
    }
}
