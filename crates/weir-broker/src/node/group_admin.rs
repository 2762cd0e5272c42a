//! Groups as administrators ask for them: list, describe, delete.

use std::sync::Arc;

use weir_model::{ErrorKind, GroupId, PartitionId};
use weir_raft::{Input, NotCommitted};

use super::{
    Node,
    groups::{ShardCall, ShardContext},
};
use crate::{
    api::{DeleteOffsets, DescribedGroup, ListGroups, ListedGroup, Outcome, Refused},
    gather::Gather,
    group::GroupCommand,
    machine::Machine,
    mailbox::Reply,
    outcome::AppliedOutcome,
    shard::{Shard, ShardCommand, place},
};

type Listing = Gather<Result<Vec<ListedGroup>, ErrorKind>>;
type Described = Result<DescribedGroup, Refused>;

impl Node {
    /// The groups of the shards that this node leads. A shard that nobody leads is said to be
    /// loading: its groups would seem to be gone.
    pub(super) fn list_groups(self: &Arc<Self>, wanted: ListGroups, reply: Reply) {
        let shards = (1..=self.config.shard_count).map(GroupId);
        let (own, others): (Vec<_>, Vec<_>) = shards.partition(|shard| self.leads(*shard));
        if others.iter().any(|shard| self.leader_of(*shard).is_none()) {
            return reply.send(Outcome::ListGroups(Err(ErrorKind::CoordinatorLoading)));
        }
        let unsettled = Err(ErrorKind::TimedOut);
        let task: Arc<Listing> = Arc::new(Gather::new(own.len(), unsettled, reply, merged));
        let wanted = Arc::new(wanted);
        for (at, shard) in own.into_iter().enumerate() {
            let (task, wanted) = (Arc::clone(&task), Arc::clone(&wanted));
            let visit = Box::new(
                move |machine: &mut Machine, context: &mut ShardContext<'_>| {
                    let listed = match machine {
                        Machine::Shard(shard) if context.leads => Ok(shard.list_groups(&wanted)),
                        // It went to another node meanwhile, which lists it.
                        Machine::Shard(_) | Machine::Metadata(_) => Ok(Vec::new()),
                    };
                    task.settle(at, listed);
                },
            );
            self.handle_of(shard).send(Input::Visit {
                group: shard,
                visit,
            });
        }
    }

    pub(super) fn describe_groups(self: &Arc<Self>, groups: Vec<String>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut.into());
        let count = groups.len();
        let task = Arc::new(Gather::new(
            count,
            unsettled,
            reply,
            Outcome::DescribeGroups,
        ));
        for (at, id) in groups.into_iter().enumerate() {
            let refuse = Arc::clone(&task);
            let task = Arc::clone(&task);
            self.visit_group(
                &id.clone(),
                move |error| refuse.settle(at, Err(error.into())),
                Box::new(move |shard, context| {
                    let described: Described = shard.describe_group(context.elapsed, &id);
                    task.settle(at, described);
                }),
            );
        }
    }

    pub(super) fn describe_consumer_groups(self: &Arc<Self>, groups: Vec<String>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut.into());
        let task = Arc::new(Gather::new(
            groups.len(),
            unsettled,
            reply,
            Outcome::DescribeConsumerGroups,
        ));
        for (at, id) in groups.into_iter().enumerate() {
            let refuse = Arc::clone(&task);
            let task = Arc::clone(&task);
            self.visit_group(
                &id.clone(),
                move |error| refuse.settle(at, Err(error.into())),
                Box::new(move |shard, _| task.settle(at, shard.describe_consumers(&id))),
            );
        }
    }

    pub(super) fn delete_groups(self: &Arc<Self>, groups: Vec<String>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut);
        let count = groups.len();
        let task = Arc::new(Gather::new(count, unsettled, reply, Outcome::DeleteGroups));
        for (at, id) in groups.into_iter().enumerate() {
            let (node, refuse) = (Arc::clone(self), Arc::clone(&task));
            let task = Arc::clone(&task);
            self.visit_group(
                &id.clone(),
                move |error| refuse.settle(at, Err(error)),
                Box::new(move |shard, context| match begin_delete(shard, &id) {
                    Ok(true) => node.delete_share_group(id, move |deleted| {
                        task.settle(at, deleted);
                    }),
                    Ok(false) => propose(&GroupCommand::DeleteGroup(id), context, move |deleted| {
                        task.settle(at, deleted);
                    }),
                    Err(error) => task.settle(at, Err(error)),
                }),
            );
        }
    }

    /// What the group has of partitions goes first: what is left where that fails is found again.
    fn delete_share_group(
        self: &Arc<Self>,
        id: String,
        then: impl FnOnce(Result<(), ErrorKind>) + Send + 'static,
    ) {
        let node = Arc::clone(self);
        let group = id.clone();
        self.forget_share_group(&group, move |forgotten| match forgotten {
            Err(error) => then(Err(error)),
            Ok(()) => {
                let shard = node.coordinating_shard(&id);
                node.visit_leading(shard, move |visited| match visited {
                    Err(error) => then(Err(error)),
                    Ok((shard, context)) => match shard.begin_delete(&id) {
                        Err(error) => then(Err(error)),
                        Ok(()) => propose(&GroupCommand::DeleteGroup(id), context, then),
                    },
                });
            }
        });
    }

    pub(super) fn delete_offsets(self: &Arc<Self>, delete: DeleteOffsets, reply: Reply) {
        let DeleteOffsets { group, partitions } = delete;
        let topology = self.topology.load_full();
        let places = partitions
            .iter()
            .map(|(topic, index)| place(&topology, topic, *index));
        let places: Vec<_> = places.collect();
        let refuse = |error| Outcome::DeleteOffsets(Err(error));
        self.coordinate(
            &group.clone(),
            reply,
            refuse,
            move |shard, context, reply| match shard.deletable_offsets(
                context.elapsed,
                &group,
                &places,
            ) {
                Err(error) => reply.send(refuse(error)),
                Ok(answers) => forget(shard, group, answers, context, reply),
            },
        );
    }

    /// Calls into the shard that coordinates the group; `refuse` hears where this node does not
    /// lead it.
    pub(in crate::node) fn visit_group(
        self: &Arc<Self>,
        group: &str,
        refuse: impl FnOnce(ErrorKind) + Send + 'static,
        call: ShardCall,
    ) {
        let shard = self.coordinating_shard(group);
        let node = Arc::clone(self);
        let visit = Box::new(
            move |machine: &mut Machine, context: &mut ShardContext<'_>| match machine {
                Machine::Shard(shard) if context.leads => call(shard, context),
                Machine::Shard(_) | Machine::Metadata(_) => refuse(node.not_coordinating(shard)),
            },
        );
        self.handle_of(shard).send(Input::Visit {
            group: shard,
            visit,
        });
    }
}

/// Whether the group, which can be deleted, is a share group.
fn begin_delete(shard: &mut Shard, id: &str) -> Result<bool, ErrorKind> {
    if shard.is_share_group(id) {
        return shard.check_share_members(id).map(|()| true);
    }
    shard.begin_delete(id).map(|()| false)
}

fn merged(listed: Vec<Result<Vec<ListedGroup>, ErrorKind>>) -> Outcome {
    let all: Result<Vec<_>, ErrorKind> = listed.into_iter().collect();
    Outcome::ListGroups(all.map(|groups| groups.into_iter().flatten().collect()))
}

fn propose(
    command: &GroupCommand,
    context: &mut ShardContext<'_>,
    then: impl FnOnce(Result<(), ErrorKind>) + Send + 'static,
) {
    let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
        then(outcome.map(drop).map_err(NotCommitted::kind));
    };
    context.propose(ShardCommand::group(command), Some(Box::new(done)));
}

fn forget(
    shard: &Shard,
    group: String,
    answers: Vec<Result<PartitionId, ErrorKind>>,
    context: &mut ShardContext<'_>,
    reply: Reply,
) {
    let partitions = answers.iter().filter_map(|answer| answer.ok());
    let places = shard.committed(&group, partitions);
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.map(drop)).collect();
    if places.is_empty() {
        return reply.send(Outcome::DeleteOffsets(Ok(answers)));
    }
    let command = GroupCommand::ForgetOffsets { group, places };
    propose(&command, context, move |forgotten| {
        reply.send(Outcome::DeleteOffsets(forgotten.map(|()| answers)));
    });
}
