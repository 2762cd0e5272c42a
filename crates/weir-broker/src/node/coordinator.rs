//! Questions to a transaction's coordinator, whichever node leads its shard.

use std::sync::Arc;

use weir_model::{ErrorKind, GroupId, PartitionId};
use weir_raft::{Context, Input, NotCommitted};

use super::{Node, transaction_calls};
use crate::{
    api::{PartitionAnswers, ProducerEpoch},
    machine::Machine,
    outcome::AppliedOutcome,
    shard::{Shard, ShardCommand},
    transaction::{TransactionCommand, table::MAX_TRANSACTIONAL_ID_BYTES},
};

type ShardContext<'a> = Context<'a, AppliedOutcome>;

/// Whether partitions are part of a transaction, or the wish that they become so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) transaction: String,
    pub(crate) producer: ProducerEpoch,
    pub(crate) adds: bool,
    pub(crate) partitions: Vec<PartitionId>,
}

/// One answer a partition, or one for all.
pub(crate) type MembershipAnswer = Result<PartitionAnswers, ErrorKind>;
pub(crate) type MembershipDone = Box<dyn FnOnce(MembershipAnswer) + Send>;

impl Node {
    /// Asks the coordinator. `CoordinatorUnreachable` where it does not answer, or is none any
    /// more.
    pub(super) fn ask_coordinator(self: &Arc<Self>, membership: Membership, done: MembershipDone) {
        let shard = self.coordinating_shard(&membership.transaction);
        let done: MembershipDone = Box::new(move |answer| {
            done(answer.map_err(|error| match error {
                ErrorKind::NotLeader
                | ErrorKind::NotCoordinator
                | ErrorKind::CoordinatorLoading
                | ErrorKind::ShuttingDown
                | ErrorKind::StorageFull
                | ErrorKind::TimedOut => ErrorKind::CoordinatorUnreachable,
                error => error,
            }));
        });
        match self.leader_of(shard) {
            Some((leader, _)) if leader == self.id() => self.membership_here(membership, done),
            Some((leader, _)) => transaction_calls::ask(self, leader, &membership, done),
            None => done(Err(ErrorKind::CoordinatorUnreachable)),
        }
    }

    /// Answers as the coordinator. What only asks does so after a round with a majority: an
    /// earlier leader would tell of a transaction that is over.
    pub(super) fn membership_here(self: &Arc<Self>, membership: Membership, done: MembershipDone) {
        if membership.transaction.len() > MAX_TRANSACTIONAL_ID_BYTES {
            return done(Err(ErrorKind::InvalidRequest));
        }
        let shard = self.coordinating_shard(&membership.transaction);
        if membership.adds {
            return self.visit_membership(shard, membership, done);
        }
        let node = Arc::clone(self);
        self.after_barrier(shard, move |passed| match passed {
            Ok(()) => node.visit_membership(shard, membership, done),
            Err(error) => done(Err(error)),
        });
    }

    fn visit_membership(
        self: &Arc<Self>,
        shard: GroupId,
        membership: Membership,
        done: MembershipDone,
    ) {
        let node = Arc::clone(self);
        self.visit_leading(shard, move |visited| match visited {
            Ok((shard, context)) => node.member(shard, context, membership, done),
            Err(error) => done(Err(error)),
        });
    }

    fn member(
        self: &Arc<Self>,
        shard: &Shard,
        context: &mut ShardContext<'_>,
        membership: Membership,
        done: MembershipDone,
    ) {
        let Membership {
            transaction,
            producer,
            adds,
            partitions,
        } = membership;
        let table = shard.transactions();
        let known = table.verify(&transaction, producer, &partitions);
        let is_part = |answers: &PartitionAnswers| answers.iter().all(Result::is_ok);
        if !adds || known.as_ref().is_ok_and(is_part) {
            return done(known);
        }
        let count = partitions.len();
        let command = ShardCommand::transaction(&TransactionCommand::Add {
            transaction,
            producer,
            partitions,
        });
        let answered = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            done(transaction_result(&outcome).map(|_| vec![Ok(()); count]));
        };
        context.propose(command, Some(Box::new(answered)));
    }

    /// Calls into a shard that this node leads, on its worker; says why not otherwise.
    pub(super) fn visit_leading(
        self: &Arc<Self>,
        group: GroupId,
        call: impl FnOnce(Result<(&mut Shard, &mut ShardContext<'_>), ErrorKind>) + Send + 'static,
    ) {
        self.visit_where(group, |_, context| context.leads, call);
    }

    /// The same for every replica, whoever leads: what it shows may be a moment old.
    pub(super) fn visit_replica(
        self: &Arc<Self>,
        group: GroupId,
        call: impl FnOnce(Result<(&mut Shard, &mut ShardContext<'_>), ErrorKind>) + Send + 'static,
    ) {
        let has_replica = move |node: &Self, _: &ShardContext<'_>| {
            let members = &node.view_of(group).members;
            members.voters.contains(&node.id()) || members.learners.contains(&node.id())
        };
        self.visit_where(group, has_replica, call);
    }

    fn visit_where(
        self: &Arc<Self>,
        group: GroupId,
        is_fit: impl FnOnce(&Self, &ShardContext<'_>) -> bool + Send + 'static,
        call: impl FnOnce(Result<(&mut Shard, &mut ShardContext<'_>), ErrorKind>) + Send + 'static,
    ) {
        let node = Arc::clone(self);
        let visit = Box::new(
            move |machine: &mut Machine, context: &mut ShardContext<'_>| match machine {
                Machine::Shard(shard) if is_fit(&node, context) => call(Ok((shard, context))),
                Machine::Shard(_) | Machine::Metadata(_) => {
                    call(Err(node.not_coordinating(group)));
                }
            },
        );
        self.handle_of(group).send(Input::Visit { group, visit });
    }
}

/// What became of a transaction's command.
pub(super) fn transaction_result(
    outcome: &Result<AppliedOutcome, NotCommitted>,
) -> Result<ProducerEpoch, ErrorKind> {
    match outcome {
        Ok(AppliedOutcome::Transaction(answer)) => answer.result,
        Ok(
            AppliedOutcome::Metadata(_)
            | AppliedOutcome::Appended(_)
            | AppliedOutcome::Offsets(_)
            | AppliedOutcome::Marked(_)
            | AppliedOutcome::Group(_)
            | AppliedOutcome::Queue(_)
            | AppliedOutcome::Share(_)
            | AppliedOutcome::Done,
        ) => Err(ErrorKind::InvalidRequest),
        Err(error) => Err(error.kind()),
    }
}
