//! The volatile part of transactions where this node leads the shard: what is overdue is aborted,
//! and what is decided is told to its partitions.

use std::sync::{Arc, Weak};

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId};
use weir_raft::{Context, Moment, NotCommitted};

use super::{Shard, ShardCommand};
use crate::{
    node::Node,
    outcome::AppliedOutcome,
    producer::ProducerState,
    transaction::{Ending, PendingOffsets, TransactionTable},
};

/// Pause before what is overdue is looked at again, in ms.
const OVERDUE_RETRY_MS: u64 = 1_000;
/// Most transactions that are aborted at once.
const MAX_OVERDUE_COUNT: usize = 1_000;

impl Shard {
    /// The transactional ids that this shard coordinates.
    pub(crate) fn transactions(&self) -> &TransactionTable {
        &self.transactions
    }

    /// Offsets of transactions that are open.
    pub(crate) fn pending(&self) -> &PendingOffsets {
        &self.pending
    }

    /// The producers of a partition, in ascending order of id.
    pub(crate) fn producers(&self, partition: PartitionId, now: Millis) -> Vec<ProducerState> {
        let partition = self.partitions.get(&partition);
        partition.map_or_else(Vec::new, |it| it.producers.states(now).collect())
    }

    /// Errors: `InvalidTxnState` where a later connection has ended a transaction of the id.
    pub(crate) fn hear_end(&mut self, id: &str, connection: u64) -> Result<(), ErrorKind> {
        let [ends, _] = &mut self.conversations;
        ends.hear(id, connection)
    }

    /// Errors: `InvalidTxnState` where a later connection has brought offsets for the id.
    pub(crate) fn hear_offsets(&mut self, id: &str, connection: u64) -> Result<(), ErrorKind> {
        let [_, offsets] = &mut self.conversations;
        offsets.hear(id, connection)
    }

    /// Begins to tell the partitions; `None` where that is under way, or where there is nothing to
    /// tell.
    pub(crate) fn begin_ending(&mut self, id: &str) -> Option<Ending> {
        let ending = self.transactions.ending(id)?;
        self.ending.insert(id.to_owned()).then_some(ending)
    }

    /// A round of telling is over.
    pub(crate) fn over_ending(&mut self, id: &str) {
        self.ending.remove(id);
    }

    pub(super) fn node(&self) -> Option<Arc<Node>> {
        self.env.node.get().and_then(Weak::upgrade)
    }

    pub(super) fn lead_transactions(&mut self, leads: bool) {
        self.leads = leads;
        self.overdue_at = Millis(0);
        self.ending.clear();
        self.let_go();
        if let (true, Some(node)) = (leads, self.node()) {
            for id in self.transactions.all_ending() {
                node.end_in_partitions(self.id, id);
            }
        }
    }

    /// By the clock that never jumps.
    pub(super) fn next_overdue(&self, at: Moment) -> Option<Millis> {
        let wait_ms = self.transactions.next_overdue_in_ms(at.now)?;
        let deadline = at.elapsed().plus(wait_ms);
        self.leads.then(|| deadline.max(self.overdue_at))
    }

    pub(super) fn abort_overdue(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        let is_due = self.leads && self.overdue_at <= context.elapsed;
        let overdue = match is_due {
            true => self.transactions.overdue(context.now, MAX_OVERDUE_COUNT),
            false => Vec::new(),
        };
        let Some(node) = self.node().filter(|_| !overdue.is_empty()) else {
            return;
        };
        self.overdue_at = context.elapsed.plus(OVERDUE_RETRY_MS);
        for command in overdue {
            let (node, shard) = (Arc::clone(&node), self.id);
            let id = command.transaction().to_owned();
            tracing::info!(transaction = id, "open for too long: aborted");
            let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
                node.end_if_decided(shard, &id, &outcome);
            };
            let command = ShardCommand::transaction(&command);
            context.propose(command, Some(Box::new(done)));
        }
    }
}
