//! Where a group begins in a partition of which it has nothing yet.

use std::sync::Arc;

use weir_log::partition::{Lookup, PartitionLog, ReadError, TimestampOffset};
use weir_model::ErrorKind;
use weir_raft::NotCommitted;

use super::task::Run;
use crate::{
    configs::reset::OffsetReset,
    node::groups::ShardContext,
    outcome::AppliedOutcome,
    shard::{Shard, ShardCommand},
    share::{ShareApplied, ShareCommand},
};

/// A place in which the group has not begun.
pub(super) struct Unbegun {
    at: usize,
    log: Arc<PartitionLog>,
    /// Where it begins, once that is known.
    start: Option<u64>,
}

impl Unbegun {
    pub(super) fn of(at: usize, log: Arc<PartitionLog>) -> Self {
        Self {
            at,
            log,
            start: None,
        }
    }
}

impl Run {
    /// Lets the group begin in these places, then looks again in the same shard.
    pub(super) fn begin(
        self: Box<Self>,
        mut unbegun: Vec<Unbegun>,
        shard: &mut Shard,
        context: &mut ShardContext<'_>,
    ) {
        let now = context.now;
        for each in &mut unbegun {
            each.start = match self.task.asker.begins {
                OffsetReset::Earliest => Some(shard.start_of(each.log.id())),
                OffsetReset::Latest => Some(each.log.end_offset().0),
                OffsetReset::ByDuration(ms) => {
                    let since_ms = now.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX));
                    match each.log.lookup_timestamp(since_ms) {
                        Lookup::Found(found) => Some(found.offset.0),
                        Lookup::NotFound => Some(each.log.end_offset().0),
                        Lookup::Cold(cold) => {
                            let node = Arc::clone(&self.task.node);
                            let done = move |result| self.looked_up(unbegun, &result);
                            return node.env.store.lookup_cold(cold, Box::new(done));
                        }
                    }
                }
            };
        }
        self.propose_begins(unbegun, context);
    }

    /// One was looked up on the disk; the others are found again with their shard.
    fn looked_up(
        mut self: Box<Self>,
        mut unbegun: Vec<Unbegun>,
        result: &Result<Option<TimestampOffset>, ReadError>,
    ) {
        let waits = unbegun.iter_mut().find(|each| each.start.is_none());
        let Some(waits) = waits else {
            return self.visit();
        };
        match result {
            Ok(found) => {
                let end = waits.log.end_offset().0;
                waits.start = Some(found.as_ref().map_or(end, |found| found.offset.0));
            }
            Err(_) => {
                self.places[waits.at].fail(ErrorKind::StorageFailed);
                return self.visit();
            }
        }
        unbegun.retain(|each| each.start.is_some());
        let (node, shard) = (Arc::clone(&self.task.node), self.shards[self.at].0);
        node.visit_leading(shard, move |visited| match visited {
            Ok((_, context)) => self.propose_begins(unbegun, context),
            // The next look says why.
            Err(_) => self.visit(),
        });
    }

    /// Proposes them; the last one's outcome says that all are applied.
    fn propose_begins(
        mut self: Box<Self>,
        mut unbegun: Vec<Unbegun>,
        context: &mut ShardContext<'_>,
    ) {
        let Some(last) = unbegun.pop() else {
            return self.visit();
        };
        for each in unbegun {
            context.propose(self.beginning(&each), None);
        }
        let command = self.beginning(&last);
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            let error = match outcome {
                Ok(AppliedOutcome::Share(ShareApplied::TooMany)) => Some(ErrorKind::Overloaded),
                Ok(_) => None,
                Err(error) => Some(error.kind()),
            };
            if let Some(error) = error {
                self.places[last.at].fail(error);
            }
            self.visit();
        };
        context.propose(command, Some(Box::new(done)));
    }

    fn beginning(&self, unbegun: &Unbegun) -> weir_raft::Command {
        ShardCommand::share(&ShareCommand::Begin {
            group: self.task.asker.group.clone(),
            partition: unbegun.log.id(),
            start: unbegun.start.unwrap_or(0),
            is_first: true,
        })
    }
}
