//! Consumer groups of a shard's leader: what they know of the cluster, and what becomes of their
//! changes. A group is classic or not at any time; an empty one becomes what its first member is, and
//! one with members what their protocols make of it.

use std::sync::Arc;

use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, TopicName};
use weir_raft::{Context, Handle, Input, NotCommitted};

use super::{Shard, ShardCommand};
use crate::{
    api::{
        ConsumerHeartbeat, DescribedConsumerGroup, GroupPhase, Heartbeat, Join, JoinRefused, Leave,
        OffsetCommit, Outcome, Refused, Sync,
    },
    configs::group::GroupSettings,
    group::{
        Catalogue, ConsumerAction, ConsumerAnswer, GroupCommand, GroupState, GroupTopic, StoreId,
    },
    machine::Machine,
    mailbox::Reply,
    metadata::{TopicRecord, Topology},
    metadata_host::MetadataView,
    outcome::AppliedOutcome,
};

type ShardContext<'a> = Context<'a, AppliedOutcome>;

/// The metadata on this node, as groups see it.
pub(super) struct Metadata {
    revision: u64,
    topology: Arc<Topology>,
}

impl Metadata {
    pub(super) fn of(view: &MetadataView) -> Self {
        // In this order: a later state under an earlier number is only looked at twice.
        let revision = view.revision();
        Self {
            revision,
            topology: view.load_full(),
        }
    }
}

fn group_topic(topic: &TopicRecord) -> GroupTopic {
    GroupTopic {
        id: topic.id,
        name: topic.name.as_str().to_owned(),
        partition_count: u32::try_from(topic.partitions.len())
            .expect("a topic's partitions are few"),
        is_read: true,
    }
}

impl Catalogue for Metadata {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn by_name(&self, name: &str) -> Option<(u64, GroupTopic)> {
        let name = TopicName::new(name).ok()?;
        let topic = self.topology.by_name(&name)?;
        Some((topic.serial, group_topic(topic)))
    }

    fn by_serial(&self, serial: u64) -> Option<GroupTopic> {
        self.topology
            .by_serial(serial)
            .map(|topic| group_topic(topic))
    }

    fn is_behind(&self, serial: u64) -> bool {
        self.topology.by_serial(serial).is_none() && !self.topology.is_deleted(serial)
    }

    fn each(&self, show: &mut dyn FnMut(u64, &str)) {
        for topic in self.topology.topics() {
            show(topic.serial, topic.name.as_str());
        }
    }

    fn settings(&self, group: &str) -> GroupSettings {
        self.topology.group_settings(group)
    }
}

impl Shard {
    pub(super) fn metadata(&self) -> Metadata {
        Metadata::of(&self.env.topology)
    }

    /// A member of a consumer group says something.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        beat: ConsumerHeartbeat,
        reply: Reply,
        context: &mut ShardContext<'_>,
    ) {
        let id = &beat.group;
        if self.share_groups.contains(id) {
            let refused = Refused {
                error: ErrorKind::GroupNotFound,
                reason: format!("Group {id} is not a consumer group."),
            };
            return reply.send(Outcome::ConsumerBeat(Err(refused)));
        }
        if !self.consumers.contains(id) && self.coordinator.state(id) != GroupState::Dead {
            return self.upgrade(beat, reply, context);
        }
        let mut actions = Vec::new();
        let metadata = self.metadata();
        let record = self.groups.consumer(&beat.group);
        self.consumers.heartbeat(
            context.elapsed,
            &metadata,
            record,
            beat,
            reply,
            &mut actions,
        );
        self.act_for_consumers(actions, context);
    }

    /// A classic group becomes a consumer group, with the members that it has.
    fn upgrade(&mut self, beat: ConsumerHeartbeat, reply: Reply, context: &mut ShardContext<'_>) {
        let (now, metadata) = (context.elapsed, self.metadata());
        let upgraded = if beat.epoch == 0 {
            let stored = self.groups.consumer(&beat.group);
            self.coordinator
                .upgraded(now, &metadata, &beat.group, stored)
        } else {
            Err(Refused {
                error: ErrorKind::GroupNotFound,
                reason: format!("Group {} is not a consumer group.", beat.group),
            })
        };
        let checked = upgraded.and_then(|record| {
            self.consumers
                .check_upgrade(now, &metadata, &record, &beat)
                .map(|()| record)
        });
        let record = match checked {
            Ok(record) => record,
            Err(refused) => return reply.send(Outcome::ConsumerBeat(Err(refused))),
        };
        let mut dismissed = Vec::new();
        self.coordinator.hand_over(&beat.group, &mut dismissed);
        self.act(dismissed, context);
        let mut actions = Vec::new();
        self.consumers
            .upgrade(now, &metadata, record, (beat, reply), &mut actions);
        self.act_for_consumers(actions, context);
    }

    /// A member joins by the classic protocol; a consumer group without members gives way.
    pub(crate) fn join(
        &mut self,
        join: Join,
        reply: Reply,
        new_member_suffix: u128,
        context: &mut ShardContext<'_>,
    ) {
        let now = context.elapsed;
        if self.share_groups.contains(&join.group) {
            let (error, member) = (ErrorKind::InconsistentGroupProtocol, join.member);
            return reply.send(Outcome::Join(Err(JoinRefused { error, member })));
        }
        if self.consumers.forget(&join.group) {
            let mut actions = Vec::new();
            let coordinator = &mut self.coordinator;
            coordinator.join(now, join, reply, new_member_suffix, &mut actions);
            return self.act(actions, context);
        }
        if self.consumers.phase(&join.group) == GroupPhase::Empty {
            // Its last member is about to be gone.
            let (error, member) = (ErrorKind::CoordinatorLoading, join.member);
            return reply.send(Outcome::Join(Err(JoinRefused { error, member })));
        }
        let (mut actions, metadata) = (Vec::new(), self.metadata());
        let asked = (join, new_member_suffix);
        self.consumers
            .join(now, &metadata, asked, reply, &mut actions);
        self.act_for_consumers(actions, context);
    }

    /// A member asks for its assignment by the classic protocol.
    pub(crate) fn sync(&mut self, sync: Sync, reply: Reply, context: &mut ShardContext<'_>) {
        let now = context.elapsed;
        if self.consumers.contains(&sync.group) {
            let (mut actions, metadata) = (Vec::new(), self.metadata());
            self.consumers
                .sync(now, &metadata, sync, reply, &mut actions);
            return self.act_for_consumers(actions, context);
        }
        let mut actions = Vec::new();
        self.coordinator.sync(now, sync, reply, &mut actions);
        self.act(actions, context);
    }

    /// A member lives by the classic protocol.
    pub(crate) fn heartbeat(
        &mut self,
        heartbeat: Heartbeat,
        reply: Reply,
        context: &mut ShardContext<'_>,
    ) {
        let now = context.elapsed;
        if self.consumers.contains(&heartbeat.group) {
            let (mut actions, metadata) = (Vec::new(), self.metadata());
            self.consumers
                .classic_heartbeat(now, &metadata, heartbeat, reply, &mut actions);
            return self.act_for_consumers(actions, context);
        }
        let answer = self.coordinator.heartbeat(now, &heartbeat);
        reply.send(Outcome::Heartbeat(answer));
    }

    /// Members leave a group of either kind.
    pub(crate) fn leave(&mut self, leave: Leave, reply: Reply, context: &mut ShardContext<'_>) {
        if self.consumers.contains(&leave.group) {
            let mut actions = Vec::new();
            let metadata = self.metadata();
            self.consumers
                .leave(context.elapsed, &metadata, leave, reply, &mut actions);
            return self.act_for_consumers(actions, context);
        }
        let mut actions = Vec::new();
        let answer = self
            .coordinator
            .leave(context.elapsed, &leave, &mut actions);
        reply.send(Outcome::Leave(answer));
        self.act(actions, context);
    }

    /// Whether offsets may be committed.
    pub(crate) fn check_commit(
        &mut self,
        now: Millis,
        commit: &OffsetCommit,
        is_transactional: bool,
    ) -> Result<(), ErrorKind> {
        let OffsetCommit {
            group,
            generation,
            member,
            ..
        } = commit;
        if self.share_groups.contains(group) {
            return Err(ErrorKind::GroupNotFound);
        }
        if self.consumers.contains(group) {
            self.consumers.check_commit(group, member, *generation)?;
            let is_classic = self.consumers.is_classic(group, member);
            let knows_epochs = commit.knows_epochs || is_classic;
            return match knows_epochs || is_transactional || *generation < 0 {
                true => Ok(()),
                false => Err(ErrorKind::UnsupportedVersion),
            };
        }
        let instance = commit.instance.as_deref();
        let coordinator = &mut self.coordinator;
        let allowed = coordinator.check_commit(now, group, *generation, member, instance);
        match allowed {
            Err(ErrorKind::IllegalGeneration)
                if commit.knows_epochs
                    && !is_transactional
                    && self.coordinator.state(group) == GroupState::Dead =>
            {
                Err(ErrorKind::GroupNotFound)
            }
            allowed => allowed,
        }
    }

    /// Whether a member may read offsets under its epoch.
    pub(crate) fn check_fetch(
        &self,
        group: &str,
        member: Option<&(String, i32)>,
    ) -> Result<(), ErrorKind> {
        match member {
            Some((member, epoch)) if self.consumers.contains(group) => {
                self.consumers.check_fetch(group, member, *epoch)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A consumer group. `GroupNotFound` for any other.
    pub(crate) fn describe_consumers(&self, id: &str) -> Result<DescribedConsumerGroup, Refused> {
        self.consumers.describe(id).ok_or_else(|| {
            let is_classic =
                self.coordinator.state(id) != GroupState::Dead || self.offsets.contains(id);
            Refused {
                error: ErrorKind::GroupNotFound,
                reason: match is_classic {
                    true => format!("Group {id} is not a consumer group."),
                    false => format!("Group {id} not found."),
                },
            }
        })
    }

    pub(super) fn give_up_consumers(&mut self, context: &mut ShardContext<'_>) {
        let is_due = self
            .consumers
            .next_deadline()
            .is_some_and(|at| at <= context.elapsed);
        if is_due {
            let mut actions = Vec::new();
            let metadata = self.metadata();
            self.consumers
                .handle_timeout(context.elapsed, &metadata, &mut actions);
            self.act_for_consumers(actions, context);
        }
    }

    /// Carries out what the coordinator wants, in order.
    pub(super) fn act_for_consumers(
        &mut self,
        actions: Vec<ConsumerAction<Reply>>,
        context: &mut ShardContext<'_>,
    ) {
        for action in actions {
            match action {
                ConsumerAction::Answer(reply, answer) => {
                    reply.send(match answer {
                        ConsumerAnswer::Beat(beat) => Outcome::ConsumerBeat(beat),
                        ConsumerAnswer::Left(left) => Outcome::Leave(left),
                        ConsumerAnswer::Joined(joined) => Outcome::Join(joined),
                        ConsumerAnswer::Synced(synced) => Outcome::Sync(synced),
                        ConsumerAnswer::Lives(lives) => Outcome::Heartbeat(lives),
                    });
                }
                ConsumerAction::Store { store, mut change } => {
                    // The coordinator goes by a clock of this node alone.
                    change.since = context.now;
                    let group = change.group.clone();
                    self.store(
                        store,
                        group,
                        &GroupCommand::ChangeConsumers(change),
                        context,
                    );
                }
                ConsumerAction::Downgrade { store, mut record } => {
                    record.since = context.now;
                    let group = record.group.clone();
                    self.store(store, group, &GroupCommand::PutGroup(record), context);
                }
            }
        }
    }

    /// A group that is no consumer group any more, or did not become one, is what is stored.
    fn take_up_classic(&mut self, group: &str, context: &ShardContext<'_>) {
        let is_known =
            self.consumers.contains(group) || self.coordinator.state(group) != GroupState::Dead;
        if let (false, true, Some(record)) = (is_known, context.leads, self.groups.get(group)) {
            self.coordinator.adopt(context.elapsed, record);
        }
    }

    fn store(
        &mut self,
        store: StoreId,
        group: String,
        command: &GroupCommand,
        context: &mut ShardContext<'_>,
    ) {
        let command = ShardCommand::group(command);
        let (shard, handle) = (self.id, self.env.handle.clone());
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            let result = match outcome {
                Ok(AppliedOutcome::Group(result)) => result,
                Ok(AppliedOutcome::Done) => Ok(()),
                Ok(_) => Err(ErrorKind::InvalidRequest),
                Err(error) => Err(error.kind()),
            };
            tell_stored(&handle, shard, group, store, result);
        };
        context.propose(command, Some(Box::new(done)));
    }
}

/// The outcome arrives while the state machine applies: the coordinator hears of it in a visit
/// of its own.
fn tell_stored(
    handle: &Handle<Machine>,
    shard: GroupId,
    group: String,
    store: StoreId,
    result: Result<(), ErrorKind>,
) {
    let visit = Box::new(
        move |machine: &mut Machine, context: &mut ShardContext<'_>| {
            if let Machine::Shard(shard) = machine {
                let mut actions = Vec::new();
                let metadata = shard.metadata();
                let record = shard.groups.consumer(&group);
                shard.consumers.stored(
                    context.elapsed,
                    &metadata,
                    (&group, store),
                    result,
                    record,
                    &mut actions,
                );
                shard.act_for_consumers(actions, context);
                shard.take_up_classic(&group, context);
            }
        },
    );
    handle.send(Input::Visit {
        group: shard,
        visit,
    });
}
