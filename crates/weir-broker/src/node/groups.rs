//! Consumer groups: every request goes to the shard that coordinates the group.

use std::{collections::BTreeMap, sync::Arc};

use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, NodeId, PartitionId, TopicId, TopicName};
use weir_raft::{Context, Input};

use super::Node;
use crate::{
    api::{
        CommittedOffset, ConsumerHeartbeat, FetchedOffset, Heartbeat, Join, JoinRefused, Leave,
        OffsetCommit, OffsetFetch, Outcome, Sync, TopicRef,
    },
    gather::Gather,
    group::{CommitOffsets, GroupCommand, StoredOffset},
    machine::Machine,
    mailbox::Reply,
    outcome::AppliedOutcome,
    shard::{Shard, ShardCommand},
};

type OffsetsTask = Gather<Result<Vec<FetchedOffset>, ErrorKind>>;
pub(super) type ShardContext<'a> = Context<'a, AppliedOutcome>;
/// What is done on the worker of the shard that coordinates a group.
pub(super) type ShardCall = Box<dyn FnOnce(&mut Shard, &mut ShardContext<'_>) + Send>;

/// Why a node that does not coordinate refuses. Told that a coordinator is loading, clients go on
/// asking this node; told that it is none, they look for one elsewhere.
fn refusal(leader: Option<NodeId>, own: NodeId, is_cut_off: impl Fn() -> bool) -> ErrorKind {
    match leader {
        Some(leader) if leader != own => ErrorKind::NotCoordinator,
        // Others may have elected somebody without this node having heard of it.
        Some(_) | None if is_cut_off() => ErrorKind::NotCoordinator,
        Some(_) | None => ErrorKind::CoordinatorLoading,
    }
}

impl Node {
    /// The shard that coordinates a group: the same for every node and for ever.
    pub(crate) fn coordinating_shard(&self, group: &str) -> GroupId {
        // FNV-1a: fixed by its constants, unlike the standard library's hasher.
        let hash = group.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let shard = hash % u64::from(self.config.shard_count);
        GroupId(1 + u32::try_from(shard).expect("a remainder of a u32 fits"))
    }

    /// Calls into the coordinating shard. `refuse` answers where this node does not lead it.
    pub(super) fn coordinate(
        self: &Arc<Self>,
        group: &str,
        reply: Reply,
        refuse: impl FnOnce(ErrorKind) -> Outcome + Send + 'static,
        call: impl FnOnce(&mut Shard, &mut ShardContext<'_>, Reply) + Send + 'static,
    ) {
        let shard = self.coordinating_shard(group);
        let node = Arc::clone(self);
        let visit = Box::new(
            move |machine: &mut Machine, context: &mut ShardContext<'_>| match machine {
                Machine::Shard(shard) if context.leads => call(shard, context, reply),
                Machine::Shard(_) | Machine::Metadata(_) => {
                    reply.send(refuse(node.not_coordinating(shard)));
                }
            },
        );
        self.handle_of(shard).send(Input::Visit {
            group: shard,
            visit,
        });
    }

    /// Why this node does not answer for groups of the shard.
    pub(super) fn not_coordinating(&self, shard: GroupId) -> ErrorKind {
        let leader = self.leader_of(shard).map(|(leader, _)| leader);
        refusal(leader, self.id(), || self.is_cut_off(&self.topology.load()))
    }

    pub(super) fn join_group(self: &Arc<Self>, join: Join, reply: Reply) {
        let suffix =
            u128::from(self.entropy.next_u64()) << 64 | u128::from(self.entropy.next_u64());
        let member = join.member.clone();
        let refuse = |error| Outcome::Join(Err(JoinRefused { error, member }));
        self.coordinate(
            &join.group.clone(),
            reply,
            refuse,
            move |shard, context, reply| {
                shard.join(join, reply, suffix, context);
            },
        );
    }

    pub(super) fn sync_group(self: &Arc<Self>, sync: Sync, reply: Reply) {
        let refuse = |error| Outcome::Sync(Err(error));
        self.coordinate(
            &sync.group.clone(),
            reply,
            refuse,
            move |shard, context, reply| {
                shard.sync(sync, reply, context);
            },
        );
    }

    pub(super) fn heartbeat(self: &Arc<Self>, heartbeat: Heartbeat, reply: Reply) {
        let refuse = |error| Outcome::Heartbeat(Err(error));
        self.coordinate(
            &heartbeat.group.clone(),
            reply,
            refuse,
            move |shard, context, reply| {
                shard.heartbeat(heartbeat, reply, context);
            },
        );
    }

    /// A consumer without an id gets one.
    pub(super) fn consumer_heartbeat(self: &Arc<Self>, mut beat: ConsumerHeartbeat, reply: Reply) {
        if beat.member.is_empty() && beat.epoch == 0 {
            let bytes =
                u128::from(self.entropy.next_u64()) << 64 | u128::from(self.entropy.next_u64());
            let id = uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid();
            beat.member = id.to_string();
        }
        let refuse = |error: ErrorKind| Outcome::ConsumerBeat(Err(error.into()));
        self.coordinate(
            &beat.group.clone(),
            reply,
            refuse,
            move |shard, context, reply| shard.consumer_heartbeat(beat, reply, context),
        );
    }

    pub(super) fn leave_group(self: &Arc<Self>, leave: Leave, reply: Reply) {
        let refuse = |error| Outcome::Leave(Err(error));
        self.coordinate(
            &leave.group.clone(),
            reply,
            refuse,
            move |shard, context, reply| {
                shard.leave(leave, reply, context);
            },
        );
    }

    pub(super) fn commit_offsets(self: &Arc<Self>, commit: OffsetCommit, reply: Reply) {
        let now = self.clock.now();
        let count = commit.offsets.len();
        let resolved: Vec<Result<(PartitionId, StoredOffset), ErrorKind>> = commit
            .offsets
            .iter()
            .map(|offset| self.to_stored(offset, now))
            .collect();
        let refuse = move |error| Outcome::OffsetCommit(vec![Err(error); count]);
        self.coordinate(
            &commit.group.clone(),
            reply,
            refuse,
            move |shard, context, reply| {
                let allowed = shard.check_commit(context.elapsed, &commit, false);
                let group = commit.group;
                match allowed {
                    Ok(()) if shard.seeded().acks_offsets_early() => {
                        propose_acknowledged(group, resolved, context, reply);
                    }
                    Ok(()) => propose_commit(group, resolved, context, reply),
                    Err(error) => reply.send(Outcome::OffsetCommit(vec![Err(error); count])),
                }
            },
        );
    }

    pub(super) fn to_stored(
        &self,
        offset: &CommittedOffset,
        now: Millis,
    ) -> Result<(PartitionId, StoredOffset), ErrorKind> {
        let partition = self.route(&offset.topic, offset.index)?.partition;
        crate::group::offsets::check_metadata(&offset.metadata)?;
        let stored = StoredOffset {
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata.as_str().into(),
            committed: now,
        };
        Ok((partition, stored))
    }

    pub(super) fn fetch_offsets(self: &Arc<Self>, wanted: Vec<OffsetFetch>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut);
        let task = Arc::new(Gather::new(
            wanted.len(),
            unsettled,
            reply,
            Outcome::OffsetFetch,
        ));
        let mut by_shard: BTreeMap<GroupId, Vec<(usize, OffsetFetch)>> = BTreeMap::new();
        for (at, wanted) in wanted.into_iter().enumerate() {
            let shard = self.coordinating_shard(&wanted.group);
            by_shard.entry(shard).or_default().push((at, wanted));
        }
        for (shard, wanted) in by_shard {
            let (node, task) = (Arc::clone(self), Arc::clone(&task));
            self.after_barrier(shard, move |passed| match passed {
                Ok(()) => node.visit_stored(shard, wanted, &task),
                Err(error) => {
                    let error = match error {
                        ErrorKind::NotLeader => node.not_coordinating(shard),
                        error => error,
                    };
                    for (at, _) in wanted {
                        task.settle(at, Err(error));
                    }
                }
            });
        }
    }

    fn visit_stored(
        self: &Arc<Self>,
        shard: GroupId,
        wanted: Vec<(usize, OffsetFetch)>,
        task: &Arc<OffsetsTask>,
    ) {
        let (task, node) = (Arc::clone(task), Arc::clone(self));
        let visit = Box::new(
            move |machine: &mut Machine, context: &mut ShardContext<'_>| {
                for (at, wanted) in wanted {
                    let answer = match machine {
                        Machine::Shard(shard) if context.leads => node.stored(shard, wanted),
                        Machine::Shard(_) | Machine::Metadata(_) => {
                            Err(node.not_coordinating(shard))
                        }
                    };
                    task.settle(at, answer);
                }
            },
        );
        self.handle_of(shard).send(Input::Visit {
            group: shard,
            visit,
        });
    }

    fn stored(&self, shard: &Shard, wanted: OffsetFetch) -> Result<Vec<FetchedOffset>, ErrorKind> {
        shard.check_fetch(&wanted.group, wanted.member.as_ref())?;
        if self.is_behind(shard, &wanted.group) {
            return Err(ErrorKind::CoordinatorLoading);
        }
        Ok(match wanted.partitions {
            Some(partitions) => partitions
                .into_iter()
                .map(|(topic, index)| {
                    let route = self.route(&topic, index);
                    let error = route.as_ref().err().copied();
                    let partition = route.ok().map(|route| route.partition);
                    let stored = partition.and_then(|id| shard.stored_offset(&wanted.group, id));
                    let mut fetched = fetched(topic, index, stored);
                    let is_unstable = wanted.require_stable
                        && partition
                            .is_some_and(|id| shard.pending().is_pending(&wanted.group, id));
                    fetched.error = match is_unstable {
                        true => Some(ErrorKind::UnstableOffsetCommit),
                        false => error.filter(|error| *error == ErrorKind::UnknownTopicId),
                    };
                    fetched
                })
                .collect(),
            None if wanted.require_stable && shard.pending().has_pending(&wanted.group) => {
                return Err(ErrorKind::UnstableOffsetCommit);
            }
            None => self.all_stored(shard, &wanted),
        })
    }

    /// Whether the group keeps places in topics that this node does not know yet: its replica of
    /// the metadata is behind, and what it cannot name would seem not to be there.
    fn is_behind(&self, shard: &Shard, group: &str) -> bool {
        let topology = self.topology.load();
        shard.stored_offsets(group).any(|(partition, _)| {
            let serial = partition.topic_serial();
            topology.by_serial(serial).is_none() && !topology.is_deleted(serial)
        })
    }

    /// All that a group keeps, sorted by topic and partition.
    fn all_stored(&self, shard: &Shard, wanted: &OffsetFetch) -> Vec<FetchedOffset> {
        let topology = self.topology.load();
        let sorted: BTreeMap<(TopicName, i32), (TopicId, &StoredOffset)> = shard
            .stored_offsets(&wanted.group)
            .filter_map(|(partition, stored)| {
                let topic = topology.by_serial(partition.topic_serial())?;
                let index = i32::try_from(partition.index()).ok()?;
                Some(((topic.name.clone(), index), (topic.id, stored)))
            })
            .collect();
        let answer = |((name, index), (id, stored))| {
            let topic = if wanted.tells_ids {
                TopicRef::Id(id)
            } else {
                TopicRef::Name(name)
            };
            fetched(topic, index, Some(stored))
        };
        sorted.into_iter().map(answer).collect()
    }
}

fn fetched(topic: TopicRef, index: i32, stored: Option<&StoredOffset>) -> FetchedOffset {
    match stored {
        Some(stored) => FetchedOffset {
            topic,
            index,
            offset: Some(stored.offset),
            leader_epoch: stored.leader_epoch,
            metadata: stored.metadata.to_string(),
            error: None,
        },
        None => FetchedOffset {
            topic,
            index,
            offset: None,
            leader_epoch: -1,
            metadata: String::new(),
            error: None,
        },
    }
}

/// Replicates the offsets that could be resolved, and answers for all.
fn propose_commit(
    group: String,
    resolved: Vec<Result<(PartitionId, StoredOffset), ErrorKind>>,
    context: &mut ShardContext<'_>,
    reply: Reply,
) {
    let command = |offsets| {
        let commit = CommitOffsets { group, offsets };
        ShardCommand::group(&GroupCommand::CommitOffsets(commit))
    };
    propose_offsets(command, resolved, context, reply);
}

/// The seeded bug: answers for all, and then replicates what could be resolved.
fn propose_acknowledged(
    group: String,
    resolved: Vec<Result<(PartitionId, StoredOffset), ErrorKind>>,
    context: &mut ShardContext<'_>,
    reply: Reply,
) {
    let answers = resolved.iter().map(|it| it.as_ref().map(drop));
    let answers = answers.map(|it| it.map_err(|error| *error));
    reply.send(Outcome::OffsetCommit(answers.collect()));
    let offsets = resolved.into_iter().flatten().collect();
    let commit = GroupCommand::CommitOffsets(CommitOffsets { group, offsets });
    context.propose(ShardCommand::group(&commit), None);
}

/// Proposes a command with the offsets that could be resolved, and answers for all.
pub(super) fn propose_offsets(
    command: impl FnOnce(Vec<(PartitionId, StoredOffset)>) -> weir_raft::Command,
    resolved: Vec<Result<(PartitionId, StoredOffset), ErrorKind>>,
    context: &mut ShardContext<'_>,
    reply: Reply,
) {
    let mut answers: Vec<Result<(), ErrorKind>> = Vec::with_capacity(resolved.len());
    let mut offsets = Vec::with_capacity(resolved.len());
    for resolved in resolved {
        answers.push(resolved.map(|offset| offsets.push(offset)));
    }
    if offsets.is_empty() {
        return reply.send(Outcome::OffsetCommit(answers));
    }
    let done = move |outcome: Result<AppliedOutcome, weir_raft::NotCommitted>| {
        let mut kept = match outcome {
            Ok(AppliedOutcome::Offsets(kept)) => Ok(kept.into_iter()),
            Ok(
                AppliedOutcome::Metadata(_)
                | AppliedOutcome::Appended(_)
                | AppliedOutcome::Transaction(_)
                | AppliedOutcome::Marked(_)
                | AppliedOutcome::Group(_)
                | AppliedOutcome::Queue(_)
                | AppliedOutcome::Share(_)
                | AppliedOutcome::Done,
            ) => Err(ErrorKind::InvalidRequest),
            Err(error) => Err(error.kind()),
        };
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = match &mut kept {
                Ok(kept) => kept.next().unwrap_or(Err(ErrorKind::InvalidRequest)),
                Err(error) => Err(*error),
            };
        }
        reply.send(Outcome::OffsetCommit(answers));
    };
    context.propose(command(offsets), Some(Box::new(done)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_cut_off_does_not_keep_clients_waiting_for_a_coordinator() {
        let (own, other) = (NodeId(1), NodeId(2));
        let cases = [
            (Some(other), false, ErrorKind::NotCoordinator),
            (Some(other), true, ErrorKind::NotCoordinator),
            (None, false, ErrorKind::CoordinatorLoading),
            (None, true, ErrorKind::NotCoordinator),
            (Some(own), false, ErrorKind::CoordinatorLoading),
            (Some(own), true, ErrorKind::NotCoordinator),
        ];
        for (leader, is_cut_off, expected) in cases {
            assert_eq!(refusal(leader, own, || is_cut_off), expected, "{leader:?}");
        }
    }
}
