//! The volatile part of a shard's leader: the coordinator's actions carried out.

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId};
use weir_raft::{Context, Handle, Input, Moment};

use super::{Shard, ShardCommand};
use crate::{
    api::Outcome,
    group::{Action, GroupCommand, GroupRecord, OffsetTable, PersistId, StoredOffset},
    machine::Machine,
    mailbox::Reply,
    outcome::AppliedOutcome,
};

type ShardContext<'a> = Context<'a, AppliedOutcome>;

impl Shard {
    /// What groups have committed.
    pub(crate) fn offsets(&self) -> &OffsetTable {
        &self.offsets
    }

    /// What the group keeps of the partition.
    pub(crate) fn stored_offset(
        &self,
        group: &str,
        partition: PartitionId,
    ) -> Option<&StoredOffset> {
        self.offsets.fetch(group, partition)
    }

    /// All that the group keeps, in ascending order of partition.
    pub(crate) fn stored_offsets(
        &self,
        group: &str,
    ) -> impl Iterator<Item = (PartitionId, &StoredOffset)> {
        self.offsets.fetch_all(group)
    }

    pub(crate) fn leadership(&mut self, context: &mut ShardContext<'_>) {
        let mut actions = Vec::new();
        self.coordinator.unload(&mut actions);
        let mut of_consumers = Vec::new();
        self.consumers.unload(&mut of_consumers);
        let mut of_shares = Vec::new();
        self.share_groups.unload(&mut of_shares);
        self.lead_transactions(context.leads);
        self.lead_queues(context.leads);
        self.pump.times.lead(context);
        self.lead_shares();
        if context.leads {
            self.coordinator
                .restore(context.elapsed, self.groups.records());
            let metadata = self.metadata();
            self.consumers
                .restore(context.elapsed, &metadata, self.groups.consumers());
            let groups = self.groups.share_groups();
            self.share_groups
                .restore(context.elapsed, &metadata, groups);
        }
        self.begin_sweeps(context);
        self.act(actions, context);
        self.act_for_consumers(of_consumers, context);
        self.act_for_shares(of_shares, context);
    }

    pub(crate) fn next_deadline(&self, at: Moment) -> Option<Millis> {
        let (sweep, overdue) = (self.next_sweep(), self.next_overdue(at));
        let (queues, bodies) = (self.pump.next_deadline(at), self.next_body_sweep(at));
        let shares = self.next_lock_end();
        self.coordinator
            .next_deadline()
            .into_iter()
            .chain(self.consumers.next_deadline())
            .chain(self.share_groups.next_deadline())
            .chain(sweep)
            .chain(overdue)
            .chain(queues)
            .chain(bodies)
            .chain(shares)
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, context: &mut ShardContext<'_>) {
        let mut actions = Vec::new();
        self.coordinator
            .handle_timeout(context.elapsed, &mut actions);
        self.act(actions, context);
        self.give_up_consumers(context);
        self.give_up_share_members(context);
        self.sweep_if_due(context);
        self.abort_overdue(context);
        self.sweep_bodies_if_due(context);
        self.pass_queue_time(context);
        self.end_locks(context);
        self.watch_sessions(context);
        self.post_again(context);
        self.run_pump(context);
    }

    /// Carries out what the coordinator wants, in order.
    pub(crate) fn act(&mut self, actions: Vec<Action<Reply>>, context: &mut ShardContext<'_>) {
        for action in actions {
            match action {
                Action::AnswerJoin(reply, answer) => reply.send(Outcome::Join(answer)),
                Action::AnswerSync(reply, answer) => reply.send(Outcome::Sync(answer)),
                Action::Persist { persist, record } => self.persist(persist, record, context),
            }
        }
    }

    fn persist(
        &mut self,
        persist: PersistId,
        mut record: GroupRecord,
        context: &mut ShardContext<'_>,
    ) {
        // The coordinator goes by a clock of this node alone.
        record.since = context.now;
        let group = record.group.clone();
        let command = ShardCommand::group(&GroupCommand::PutGroup(record));
        let (shard, handle) = (self.id, self.env.handle.clone());
        let done = move |outcome: Result<AppliedOutcome, weir_raft::NotCommitted>| {
            let result = outcome.map(drop).map_err(weir_raft::NotCommitted::kind);
            tell_persisted(&handle, shard, group, persist, result);
        };
        context.propose(command, Some(Box::new(done)));
    }
}

/// The outcome arrives while the state machine applies: the coordinator hears of it in a visit
/// of its own.
fn tell_persisted(
    handle: &Handle<Machine>,
    shard: weir_model::GroupId,
    group: String,
    persist: PersistId,
    result: Result<(), ErrorKind>,
) {
    let visit = Box::new(
        move |machine: &mut Machine, context: &mut ShardContext<'_>| {
            if let Machine::Shard(shard) = machine {
                let mut actions = Vec::new();
                let coordinator = &mut shard.coordinator;
                coordinator.persisted(context.elapsed, &group, persist, result, &mut actions);
                shard.act(actions, context);
            }
        },
    );
    handle.send(Input::Visit {
        group: shard,
        visit,
    });
}
