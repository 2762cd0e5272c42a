//! Transactions as clients ask for them: every request goes to the shard that coordinates the
//! transactional id, or to the partition's.

use std::sync::Arc;

use weir_log::{Millis, partition::PartitionLog};
use weir_model::{ErrorKind, GroupId, Offset, PartitionId, ProducerId};
use weir_raft::NotCommitted;

use super::{
    Node,
    coordinator::{Membership, MembershipAnswer, transaction_result},
    transactional::only_answer,
};
use crate::{
    api::{
        AddOffsets, AddPartitions, DescribedProducer, DescribedTransaction, EndTransaction,
        InitProducer, ListTransactions, ListedTransaction, Outcome, PartitionAnswers,
        ProducerEpoch, TopicRef, TransactionState, WriteMarkers,
    },
    gather::Gather,
    mailbox::Reply,
    outcome::AppliedOutcome,
    producer::ProducerState,
    shard::{Shard, ShardCommand},
    transaction::{
        Marker, TransactionCommand,
        command::{End, Init},
        marker::{offsets_of_shard, shard_of_offsets},
        table::{Described, MAX_TRANSACTION_TIMEOUT_MS, MAX_TRANSACTIONAL_ID_BYTES},
        view::Stable,
    },
};

/// The highest epoch that a producer is given: past it its id is used up.
const LAST_EPOCH: i16 = i16::MAX - 1;
/// What the offsets of groups are called in the list of a transaction's partitions.
const OFFSETS_TOPIC: &str = "__consumer_offsets";

type EpochDone = Box<dyn FnOnce(Result<ProducerEpoch, ErrorKind>) + Send>;

impl Node {
    /// A transactional producer begins.
    pub(super) fn init_transactional(self: &Arc<Self>, init: InitProducer, reply: Reply) {
        let done: EpochDone = Box::new(|answer: Result<ProducerEpoch, ErrorKind>| {
            let answer = answer.map(|producer| (producer.id, producer.epoch));
            reply.send(Outcome::ProducerId(answer));
        });
        let Some(asked) = init.transactional else {
            return done(Err(ErrorKind::InvalidRequest));
        };
        if !(1..=MAX_TRANSACTION_TIMEOUT_MS).contains(&asked.timeout_ms) {
            return done(Err(ErrorKind::InvalidTransactionTimeout));
        }
        let node = Arc::clone(self);
        self.with_producer_id(move |fresh| match fresh {
            Ok(fresh) => {
                let command = TransactionCommand::Init(Init {
                    transaction: asked.id,
                    timeout_ms: asked.timeout_ms,
                    known: init.known,
                    fresh,
                });
                node.decide(command, done);
            }
            Err(error) => done(Err(error)),
        });
    }

    /// Commits or aborts.
    pub(super) fn end_transaction(self: &Arc<Self>, end: EndTransaction, reply: Reply) {
        let done: EpochDone = Box::new(|answer| reply.send(Outcome::EndTransaction(answer)));
        if !end.bumps_epoch {
            return self.end_in_old_flow(end, done);
        }
        let bumps_among_last = end.producer.epoch >= LAST_EPOCH;
        let command = move |fresh| {
            TransactionCommand::End(End {
                transaction: end.transaction,
                producer: end.producer,
                commit: end.commit,
                bumps: true,
                fresh,
            })
        };
        if !bumps_among_last {
            return self.decide(command(None), done);
        }
        let node = Arc::clone(self);
        self.with_producer_id(move |fresh| match fresh {
            Ok(fresh) => node.decide(command(Some(fresh)), done),
            Err(error) => done(Err(error)),
        });
    }

    /// The epoch does not tell one transaction from the next: that nothing else is late does.
    fn end_in_old_flow(self: &Arc<Self>, end: EndTransaction, done: EpochDone) {
        let (transaction, connection) = (end.transaction.clone(), end.connection);
        let command = TransactionCommand::End(End {
            transaction: end.transaction,
            producer: end.producer,
            commit: end.commit,
            bumps: false,
            fresh: None,
        });
        self.decide_if(
            move |shard| shard.hear_end(&transaction, connection),
            command,
            done,
        );
    }

    /// Lets the coordinator apply a command, and tells partitions of what it decided.
    fn decide(self: &Arc<Self>, command: TransactionCommand, done: EpochDone) {
        self.decide_if(|_| Ok(()), command, done);
    }

    fn decide_if(
        self: &Arc<Self>,
        allows: impl FnOnce(&mut Shard) -> Result<(), ErrorKind> + Send + 'static,
        command: TransactionCommand,
        done: EpochDone,
    ) {
        let transaction = command.transaction().to_owned();
        if transaction.is_empty() || transaction.len() > MAX_TRANSACTIONAL_ID_BYTES {
            return done(Err(ErrorKind::InvalidRequest));
        }
        let group = self.coordinating_shard(&transaction);
        let node = Arc::clone(self);
        self.visit_leading(group, move |visited| match visited {
            Ok((shard, context)) => {
                if let Err(error) = allows(shard) {
                    return done(Err(error));
                }
                let command = ShardCommand::transaction(&command);
                let decided = move |outcome: Result<AppliedOutcome, NotCommitted>| {
                    node.end_if_decided(group, &transaction, &outcome);
                    done(transaction_result(&outcome));
                };
                context.propose(command, Some(Box::new(decided)));
            }
            Err(error) => done(Err(error)),
        });
    }

    /// Adds partitions to transactions, or says whether they are part of them. Where one of a
    /// transaction's partitions is unknown, none is added.
    pub(super) fn add_partitions(self: &Arc<Self>, wanted: Vec<AddPartitions>, reply: Reply) {
        let unsettled = Vec::new();
        let outcome = Outcome::AddPartitions;
        let task = Arc::new(Gather::new(wanted.len(), unsettled, reply, outcome));
        for (at, wanted) in wanted.into_iter().enumerate() {
            let resolved = self.resolved(&wanted.partitions);
            let partitions = match resolved {
                Ok(partitions) => partitions,
                Err(refused) => {
                    task.settle(at, refused);
                    continue;
                }
            };
            let (task, count) = (Arc::clone(&task), partitions.len());
            let membership = Membership {
                transaction: wanted.transaction,
                producer: wanted.producer,
                adds: !wanted.verify_only,
                partitions,
            };
            let answered = move |answer: MembershipAnswer| {
                task.settle(at, answer.unwrap_or_else(|error| vec![Err(error); count]));
            };
            self.client_membership(membership, Box::new(answered));
        }
    }

    fn resolved(&self, wanted: &[(TopicRef, i32)]) -> Result<Vec<PartitionId>, PartitionAnswers> {
        let routes = wanted
            .iter()
            .map(|(topic, index)| self.route(topic, *index).map(|route| route.partition));
        let routes: Vec<Result<PartitionId, ErrorKind>> = routes.collect();
        if routes.iter().all(Result::is_ok) {
            return Ok(routes.into_iter().flatten().collect());
        }
        let refused = |route: Result<PartitionId, ErrorKind>| {
            Err(route.err().unwrap_or(ErrorKind::OperationNotAttempted))
        };
        Err(routes.into_iter().map(refused).collect())
    }

    /// A client's own question: answered here or not at all.
    fn client_membership(
        self: &Arc<Self>,
        membership: Membership,
        done: super::coordinator::MembershipDone,
    ) {
        if membership.transaction.is_empty() {
            return done(Err(ErrorKind::InvalidRequest));
        }
        let group = self.coordinating_shard(&membership.transaction);
        let node = Arc::clone(self);
        let done = move |answer: MembershipAnswer| {
            done(answer.map_err(|error| match error {
                ErrorKind::NotLeader => node.not_coordinating(group),
                error => error,
            }));
        };
        self.membership_here(membership, Box::new(done));
    }

    /// The offsets of a group become part of a transaction.
    pub(super) fn add_offsets(self: &Arc<Self>, wanted: AddOffsets, reply: Reply) {
        let membership = Membership {
            transaction: wanted.transaction,
            producer: wanted.producer,
            adds: true,
            partitions: vec![self.offsets_partition(&wanted.group)],
        };
        let answered = move |answer: MembershipAnswer| {
            reply.send(Outcome::AddOffsets(only_answer(answer)));
        };
        self.client_membership(membership, Box::new(answered));
    }

    /// What stands for the group's offsets in a transaction.
    pub(super) fn offsets_partition(&self, group: &str) -> PartitionId {
        offsets_of_shard(self.coordinating_shard(group).0)
    }

    /// Ends transactions past their coordinators.
    pub(super) fn write_markers(self: &Arc<Self>, wanted: &[WriteMarkers], reply: Reply) {
        let total = wanted.iter().map(|each| each.partitions.len()).sum();
        let unsettled = Err(ErrorKind::TimedOut);
        let outcome = Outcome::WriteMarkers;
        let task = Arc::new(Gather::new(total, unsettled, reply, outcome));
        let each = wanted.iter().flat_map(|marker| {
            let partitions = marker.partitions.iter();
            partitions.map(move |partition| (marker, partition))
        });
        for (at, (wanted, (topic, index))) in each.enumerate() {
            let marker = self.route(topic, *index).map(|route| Marker {
                partition: route.partition,
                producer: wanted.producer,
                commit: wanted.commit,
                coordinator_epoch: wanted.coordinator_epoch,
                ordinal: None,
            });
            match marker {
                Ok(marker) => {
                    let task = Arc::clone(&task);
                    let done = move |result| task.settle(at, result);
                    self.mark_here(marker, Box::new(done));
                }
                Err(error) => task.settle(at, Err(error)),
            }
        }
    }

    /// The producers of partitions that this node has a replica of: tools ask the node that they
    /// were told to ask, whoever leads.
    pub(super) fn describe_producers(self: &Arc<Self>, wanted: Vec<(TopicRef, i32)>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut);
        let outcome = Outcome::DescribeProducers;
        let task = Arc::new(Gather::new(wanted.len(), unsettled, reply, outcome));
        for (at, (topic, index)) in wanted.into_iter().enumerate() {
            let task = Arc::clone(&task);
            match self.route(&topic, index) {
                Ok(route) => {
                    let partition = route.partition;
                    self.visit_replica(route.group, move |visited| {
                        let answer = visited.map_err(|_| ErrorKind::NotLeader);
                        let answer = answer.map(|(shard, context)| {
                            let producers = shard.producers(partition, context.now);
                            producers.into_iter().map(described_producer).collect()
                        });
                        task.settle(at, answer);
                    });
                }
                Err(error) => task.settle(at, Err(error)),
            }
        }
    }

    /// Transactional ids that this node coordinates.
    pub(super) fn describe_transactions(self: &Arc<Self>, wanted: Vec<String>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut);
        let outcome = Outcome::DescribeTransactions;
        let task = Arc::new(Gather::new(wanted.len(), unsettled, reply, outcome));
        for (at, id) in wanted.into_iter().enumerate() {
            let (task, node) = (Arc::clone(&task), Arc::clone(self));
            if id.is_empty() {
                task.settle(at, Err(ErrorKind::InvalidRequest));
                continue;
            }
            self.visit_leading(self.coordinating_shard(&id), move |visited| {
                let described = visited.and_then(|(shard, context)| {
                    let described = shard.transactions().describe(&id, context.now);
                    described.ok_or(ErrorKind::TransactionalIdNotFound)
                });
                task.settle(at, described.map(|it| node.described(&it)));
            });
        }
    }

    fn described(&self, described: &Described) -> DescribedTransaction {
        let topology = self.topology.load();
        let named = |partition: &PartitionId| match shard_of_offsets(*partition) {
            Some(shard) => {
                let index = i32::try_from(shard).unwrap_or(i32::MAX);
                Some((OFFSETS_TOPIC.to_owned(), index - 1))
            }
            None => {
                let topic = topology.by_serial(partition.topic_serial())?;
                let index = i32::try_from(partition.index()).ok()?;
                Some((topic.name.as_str().to_owned(), index))
            }
        };
        DescribedTransaction {
            state: described.state,
            producer: described.producer,
            timeout_ms: described.timeout_ms,
            started_ms: described.started.0,
            partitions: described.partitions.iter().filter_map(named).collect(),
        }
    }

    /// The transactional ids of all shards that this node leads.
    pub(super) fn list_transactions(self: &Arc<Self>, wanted: ListTransactions, reply: Reply) {
        let groups = (1..=self.config.shard_count).map(GroupId);
        let led: Vec<GroupId> = groups.filter(|group| self.leads(*group)).collect();
        let outcome = |lists: Vec<Vec<ListedTransaction>>| {
            Outcome::ListTransactions(lists.into_iter().flatten().collect())
        };
        let task = Arc::new(Gather::new(led.len(), Vec::new(), reply, outcome));
        let wanted = Arc::new(wanted);
        for (at, group) in led.into_iter().enumerate() {
            let (task, wanted) = (Arc::clone(&task), Arc::clone(&wanted));
            self.visit_leading(group, move |visited| {
                let listed = visited.map(|(shard, context)| {
                    let now = context.now;
                    let all = shard.transactions().all(now);
                    let fitting = all.filter(|(_, it)| fits(&wanted, it, now));
                    fitting.map(|(id, it)| listed(id, &it)).collect()
                });
                task.settle(at, listed.unwrap_or_default());
            });
        }
    }
}

/// What readers of committed records see.
impl Node {
    /// Where what is decided ends, in a log that ended at `end` before this was called.
    pub(super) fn stable_end(&self, log: &PartitionLog, end: Offset) -> Offset {
        let view = self.env.views.get(log.id());
        let stable = view.map_or(end, |view| view.stable_end(end));
        stable.max(log.start_offset().min(end))
    }

    /// The same, with what was aborted among the records from `from` on and before `up_to`.
    pub(super) fn stable(
        &self,
        log: &PartitionLog,
        end: Offset,
        from: Offset,
        up_to: Offset,
    ) -> Stable {
        let Some(view) = self.env.views.get(log.id()) else {
            return Stable {
                end,
                aborted: Vec::new(),
            };
        };
        view.stable(end, from, up_to)
    }
}

fn fits(wanted: &ListTransactions, described: &Described, now: Millis) -> bool {
    let is_open = match described.state {
        TransactionState::Ongoing
        | TransactionState::PrepareCommit
        | TransactionState::PrepareAbort => true,
        TransactionState::Empty
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => false,
    };
    let is_old = wanted
        .older_than_ms
        .is_none_or(|age_ms| is_open && now.since(described.started) > age_ms);
    let has_state = wanted.states.is_empty() || wanted.states.contains(&described.state);
    let id: ProducerId = described.producer.id;
    is_old && has_state && (wanted.producers.is_empty() || wanted.producers.contains(&id))
}

fn listed(id: &str, described: &Described) -> ListedTransaction {
    ListedTransaction {
        transaction: id.to_owned(),
        producer: described.producer.id,
        state: described.state,
    }
}

fn described_producer(state: ProducerState) -> DescribedProducer {
    DescribedProducer {
        producer: ProducerEpoch {
            id: state.id,
            epoch: state.epoch,
        },
        last_sequence: state.last_sequence,
        last_used_ms: state.last_used.0,
        coordinator_epoch: state.coordinator_epoch,
        open: state.open,
    }
}
