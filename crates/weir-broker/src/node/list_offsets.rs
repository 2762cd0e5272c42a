//! Offsets by name or by time.

use std::{collections::BTreeMap, sync::Arc};

use weir_log::partition::{Lookup, ReadError, TimestampOffset};
use weir_model::{ErrorKind, GroupId, Offset};
use weir_raft::{Input, NotCommitted};

use super::Node;
use crate::{
    api::{ListOffset, ListOffsets, ListedOffset, OffsetSpec, Outcome},
    gather::Gather,
    limited::Limited,
    mailbox::Reply,
};

/// Longest time that is watched, in ms: a client that waits longer has no limit.
const MAX_TIMEOUT_MS: u64 = 60 * 60 * 1000;

type Listing = Limited<Result<ListedOffset, ErrorKind>>;

impl Node {
    pub(super) fn list_offsets(self: &Arc<Self>, asked: ListOffsets, reply: Reply) {
        let ListOffsets { wanted, timeout_ms } = asked;
        let unsettled = Err(ErrorKind::TimedOut);
        let answers = Gather::new(wanted.len(), unsettled, reply, Outcome::ListOffsets);
        let task = match timeout_ms.filter(|limit_ms| *limit_ms <= MAX_TIMEOUT_MS) {
            Some(limit_ms) => {
                Listing::until(answers, &self.purgatory, self.elapsed().plus(limit_ms))
            }
            None => Listing::endless(answers),
        };
        let mut by_group: BTreeMap<GroupId, Vec<(usize, ListOffset)>> = BTreeMap::new();
        for (at, wanted) in wanted.into_iter().enumerate() {
            let route = self.route(&wanted.topic, wanted.index);
            match (wanted.at, route) {
                // The log's start may lag: it only ever moves on.
                (
                    OffsetSpec::Earliest
                    | OffsetSpec::EarliestLocal
                    | OffsetSpec::LatestTiered
                    | OffsetSpec::EarliestPendingUpload,
                    _,
                )
                | (_, Err(_)) => self.list_offset(&wanted, &task, at),
                (
                    OffsetSpec::Latest | OffsetSpec::MaxTimestamp | OffsetSpec::Timestamp(_),
                    Ok(route),
                ) => by_group.entry(route.group).or_default().push((at, wanted)),
            }
        }
        for (group, wanted) in by_group {
            let (node, task) = (Arc::clone(self), task.clone());
            self.after_barrier(group, move |passed| {
                for (at, wanted) in wanted {
                    match passed {
                        Ok(()) => node.list_offset(&wanted, &task, at),
                        Err(error) => task.settle(at, Err(error)),
                    }
                }
            });
        }
    }

    /// Calls `then` once everything that was committed before now is applied here, or it is clear
    /// that this node does not lead. With one voter that is so at once.
    pub(super) fn after_barrier(
        &self,
        group: GroupId,
        then: impl FnOnce(Result<(), ErrorKind>) + Send + 'static,
    ) {
        let members = &self.status(group).view().members;
        if members.voters.len() <= 1 && members.voters_outgoing.is_empty() {
            return then(Ok(()));
        }
        self.handle_of(group).send(Input::ReadBarrier {
            group,
            done: Box::new(move |passed| then(passed.map_err(NotCommitted::kind))),
        });
    }

    fn list_offset(self: &Arc<Self>, wanted: &ListOffset, task: &Listing, at: usize) {
        let log = match self.readable(&wanted.topic, wanted.index, wanted.leader_epoch) {
            Ok(log) => log,
            Err(error) => return task.settle(at, Err(error)),
        };
        let leader_epoch = self.leader_epoch(&wanted.topic, wanted.index);
        let special = |offset: Offset| {
            Ok(ListedOffset {
                offset: Some(offset),
                timestamp_ms: -1,
                leader_epoch,
            })
        };
        let lookup = match wanted.at {
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => {
                return task.settle(at, special(log.start_offset()));
            }
            // Nothing is tiered.
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => {
                return task.settle(at, Ok(listed(None)));
            }
            OffsetSpec::Latest if wanted.committed_only => {
                let end = log.end_offset();
                return task.settle(at, special(self.stable_end(&log, end)));
            }
            OffsetSpec::Latest => return task.settle(at, special(log.end_offset())),
            OffsetSpec::MaxTimestamp => log.max_timestamp(),
            OffsetSpec::Timestamp(time_ms) => log.lookup_timestamp(time_ms),
        };
        // As Kafka: what is not decided is not found.
        let (node, only, looked_in) = (Arc::clone(self), wanted.committed_only, Arc::clone(&log));
        let listed = move |found: Option<TimestampOffset>| {
            let end = looked_in.end_offset();
            let is_told =
                |found: &TimestampOffset| !only || found.offset < node.stable_end(&looked_in, end);
            listed(found.filter(is_told))
        };
        match lookup {
            Lookup::Found(found) => task.settle(at, Ok(listed(Some(found)))),
            Lookup::NotFound => task.settle(at, Ok(listed(None))),
            Lookup::Cold(cold) => {
                let task = task.clone();
                let (offers, log) = (Arc::clone(&self.offers), Arc::clone(&log));
                let done = move |result: Result<_, ReadError>| {
                    if let Err(ReadError::Corrupt { path, .. }) = &result {
                        offers.found_damage(&log, path);
                    }
                    task.settle(at, result.map(listed).map_err(|error| kind_of(&error)));
                };
                self.env.store.lookup_cold(cold, Box::new(done));
            }
        }
    }
}

fn listed(found: Option<TimestampOffset>) -> ListedOffset {
    match found {
        Some(found) => ListedOffset {
            offset: Some(found.offset),
            timestamp_ms: found.timestamp_ms,
            leader_epoch: found.leader_epoch,
        },
        None => ListedOffset {
            offset: None,
            timestamp_ms: -1,
            leader_epoch: -1,
        },
    }
}

fn kind_of(error: &ReadError) -> ErrorKind {
    match error {
        ReadError::Busy => ErrorKind::Overloaded,
        ReadError::Closed => ErrorKind::ShuttingDown,
        ReadError::OutOfRange { .. } => ErrorKind::OffsetOutOfRange,
        ReadError::Corrupt { .. } | ReadError::Failed { .. } => {
            tracing::error!(%error, "stored data cannot be read");
            ErrorKind::StorageFailed
        }
    }
}
