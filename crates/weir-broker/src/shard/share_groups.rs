//! Share groups of a shard's leader: what becomes of their members' heartbeats.

use std::collections::BTreeSet;

use weir_model::ErrorKind;
use weir_raft::{Context, Input, NotCommitted};

use super::{Shard, ShardCommand};
use crate::{
    api::{DescribedConsumerGroup, GroupPhase, Outcome, Refused, ShareHeartbeat},
    group::{ConsumerChange, GroupCommand, GroupState, ShareAction, StoreId},
    machine::Machine,
    mailbox::Reply,
    outcome::AppliedOutcome,
};

type ShardContext<'a> = Context<'a, AppliedOutcome>;

impl Shard {
    /// A member of a share group says something.
    pub(crate) fn share_heartbeat(
        &mut self,
        beat: ShareHeartbeat,
        reply: Reply,
        context: &mut ShardContext<'_>,
    ) {
        if self.is_of_another_kind(&beat.group) {
            let refused = Refused {
                error: ErrorKind::GroupNotFound,
                reason: format!("Group {} is not a share group.", beat.group),
            };
            return reply.send(Outcome::ConsumerBeat(Err(refused)));
        }
        let (mut actions, metadata) = (Vec::new(), self.metadata());
        let groups = &mut self.share_groups;
        groups.heartbeat(context.elapsed, &metadata, beat, reply, &mut actions);
        self.act_for_shares(actions, context);
    }

    fn is_of_another_kind(&self, id: &str) -> bool {
        self.consumers.contains(id)
            || self.coordinator.state(id) != GroupState::Dead
            || self.offsets.contains(id)
    }

    /// A share group. `GroupNotFound` for any other.
    pub(crate) fn describe_share(&self, id: &str) -> Result<DescribedConsumerGroup, Refused> {
        self.share_groups.describe(id).ok_or_else(|| Refused {
            error: ErrorKind::GroupNotFound,
            reason: match self.is_of_another_kind(id) {
                true => format!("Group {id} is not a share group."),
                false => format!("Group {id} not found."),
            },
        })
    }

    /// Whether the group is a share group.
    pub(crate) fn is_share_group(&self, id: &str) -> bool {
        self.share_groups.contains(id)
    }

    /// `NonEmptyGroup` where it has members.
    pub(crate) fn check_share_members(&self, id: &str) -> Result<(), ErrorKind> {
        match self.share_groups.phase(id) {
            GroupPhase::Empty => Ok(()),
            _ => Err(ErrorKind::NonEmptyGroup),
        }
    }

    /// Serials of the topics that the group reads or has read.
    pub(crate) fn share_group_topics(&self, id: &str) -> impl Iterator<Item = u64> {
        self.share_groups.topics(id).map(|(serial, _)| serial)
    }

    /// The group has nothing of these topics any more.
    pub(crate) fn forget_share_topics(
        &mut self,
        id: &str,
        serials: &BTreeSet<u64>,
        context: &mut ShardContext<'_>,
    ) {
        let (mut actions, metadata) = (Vec::new(), self.metadata());
        let (now, groups) = (context.elapsed, &mut self.share_groups);
        groups.forget_topics(now, &metadata, (id, serials), &mut actions);
        self.act_for_shares(actions, context);
    }

    pub(super) fn give_up_share_members(&mut self, context: &mut ShardContext<'_>) {
        let next = self.share_groups.next_deadline();
        if next.is_some_and(|at| at <= context.elapsed) {
            let (mut actions, metadata) = (Vec::new(), self.metadata());
            self.share_groups
                .handle_timeout(context.elapsed, &metadata, &mut actions);
            self.act_for_shares(actions, context);
        }
    }

    /// Carries out what the coordinator wants, in order.
    pub(super) fn act_for_shares(
        &mut self,
        actions: Vec<ShareAction<Reply>>,
        context: &mut ShardContext<'_>,
    ) {
        for action in actions {
            match action {
                ShareAction::Answer(reply, beat) => reply.send(Outcome::ConsumerBeat(beat)),
                ShareAction::Store { store, mut change } => {
                    // The coordinator goes by a clock of this node alone.
                    change.since = context.now;
                    self.store_share(store, change, context);
                }
            }
        }
    }

    fn store_share(
        &mut self,
        store: StoreId,
        change: ConsumerChange,
        context: &mut ShardContext<'_>,
    ) {
        let group = change.group.clone();
        let command = ShardCommand::group(&GroupCommand::ChangeShare(change));
        let (id, handle) = (self.id, self.env.handle.clone());
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            let result = match outcome {
                Ok(AppliedOutcome::Group(result)) => result,
                Ok(_) => Err(ErrorKind::InvalidRequest),
                Err(error) => Err(error.kind()),
            };
            // It arrives while the state machine applies: the coordinator hears of it in a visit of
            // its own.
            let visit = move |machine: &mut Machine, context: &mut ShardContext<'_>| {
                if let Machine::Shard(shard) = machine {
                    shard.share_stored(&group, store, result, context);
                }
            };
            handle.send(Input::Visit {
                group: id,
                visit: Box::new(visit),
            });
        };
        context.propose(command, Some(Box::new(done)));
    }

    fn share_stored(
        &mut self,
        group: &str,
        store: StoreId,
        result: Result<(), ErrorKind>,
        context: &mut ShardContext<'_>,
    ) {
        let (mut actions, metadata) = (Vec::new(), self.metadata());
        let record = self.groups.share(group);
        self.share_groups.stored(
            context.elapsed,
            &metadata,
            (group, store),
            result,
            record,
            &mut actions,
        );
        self.act_for_shares(actions, context);
    }
}
