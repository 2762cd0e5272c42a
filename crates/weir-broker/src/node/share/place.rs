//! A partition of a member's request, and what is known of its answer.

use std::sync::Arc;

use weir_log::partition::{PartitionLog, ReadBatches};
use weir_model::{ErrorKind, GroupId, Offset};

use super::sessions::PartKey;
use crate::{
    Node,
    api::{
        FetchedBatches,
        share::{AckRefused, AcquiredRange, SharedPartition},
    },
    share::{Acks, Chosen, StepPart, Stepped},
};

/// What was read of a place, to be chosen from.
pub(super) struct Found {
    pub(super) from: u64,
    pub(super) room_count: u64,
    pub(super) end: Offset,
    pub(super) batches: ReadBatches,
}

/// A partition on its way through a request.
pub(super) struct Place {
    pub(super) key: PartKey,
    pub(super) at: Result<(GroupId, Arc<PartitionLog>), ErrorKind>,
    /// Whether records are wanted of it.
    pub(super) wants: bool,
    /// What is still to be acknowledged.
    pub(super) acks: Vec<Acks>,
    /// Acknowledgements are on their way in a step, and may come to nothing.
    is_acknowledging: bool,
    /// Whether it keeps others from taking.
    pub(super) is_kept: bool,
    was_named: bool,
    acknowledged: Result<(), AckRefused>,
    /// Read and whole.
    pub(super) found: Option<Found>,
    /// About to be taken.
    pub(super) chosen: Option<Chosen>,
    pub(super) batches: FetchedBatches,
    pub(super) acquired: Vec<AcquiredRange>,
    error: Option<ErrorKind>,
}

impl Place {
    pub(super) fn new(key: PartKey, at: Result<(GroupId, Arc<PartitionLog>), ErrorKind>) -> Self {
        Self {
            key,
            error: at.as_ref().err().copied(),
            at,
            wants: false,
            acks: Vec::new(),
            is_acknowledging: false,
            is_kept: false,
            was_named: false,
            acknowledged: Ok(()),
            found: None,
            chosen: None,
            batches: FetchedBatches::default(),
            acquired: Vec::new(),
        }
    }

    pub(super) fn acknowledge(&mut self, acks: Result<Vec<Acks>, AckRefused>) {
        match acks {
            Ok(acks) if acks.is_empty() => {}
            Ok(acks) => {
                self.was_named = true;
                match self.error {
                    Some(error) => self.acknowledged = Err(error.into()),
                    None => self.acks = acks,
                }
            }
            Err(refused) => {
                self.was_named = true;
                self.acknowledged = Err(refused);
            }
        }
    }

    pub(super) fn shard(&self) -> Option<GroupId> {
        self.at.as_ref().ok().map(|(shard, _)| *shard)
    }

    pub(super) fn log(&self) -> Option<&Arc<PartitionLog>> {
        self.at.as_ref().ok().map(|(_, log)| log)
    }

    /// Whether it could still take records.
    pub(super) fn is_open(&self) -> bool {
        self.wants && self.error.is_none() && self.acquired.is_empty()
    }

    /// Whether its answer is worth telling at once.
    pub(super) fn has_news(&self) -> bool {
        self.error.is_some() || self.acknowledged.is_err() || !self.acquired.is_empty()
    }

    /// How many locks are about to be given up.
    pub(super) fn acked_count(&self) -> u64 {
        let each = self.acks.iter();
        each.map(|acks| (acks.last - acks.first).saturating_add(1))
            .fold(0, u64::saturating_add)
    }

    pub(super) fn fail(&mut self, error: ErrorKind) {
        self.found = None;
        self.chosen = None;
        let has_acks = !std::mem::take(&mut self.acks).is_empty();
        if std::mem::take(&mut self.is_acknowledging) || has_acks {
            self.acknowledged = Err(error.into());
        }
        if self.acquired.is_empty() {
            self.error = Some(error);
        }
    }

    /// Its part of a step, where there is something to do.
    pub(super) fn step(&mut self) -> Option<StepPart> {
        let acks = std::mem::take(&mut self.acks);
        self.is_acknowledging = !acks.is_empty();
        let take = self.chosen.as_ref().map(|chosen| chosen.take.clone());
        let partition = self.log()?.id();
        (!acks.is_empty() || take.is_some()).then_some(StepPart {
            partition,
            acks,
            take,
        })
    }

    /// What became of it.
    pub(super) fn stepped(&mut self, stepped: Stepped) {
        self.is_acknowledging = false;
        if stepped.acknowledged.is_err() {
            self.acknowledged = Err(AckRefused::NotHeld);
        }
        let chosen = self.chosen.take();
        if let Some(chosen) = chosen.filter(|_| !stepped.acquired.is_empty()) {
            if let Some(log) = self.log() {
                log.traffic().fetched(chosen.size_bytes as u64);
            }
            self.batches = FetchedBatches {
                chunks: chosen.chunks,
                size_bytes: chosen.size_bytes,
            };
            self.acquired = stepped.acquired;
        }
    }

    /// Its answer; nothing where there is nothing to tell.
    pub(super) fn answer(self, node: &Node, tells_all: bool) -> Option<SharedPartition> {
        if !tells_all && !self.was_named && !self.has_news() {
            return None;
        }
        let (topic, index) = self.key;
        let failed_ack = match self.acknowledged {
            Err(AckRefused::Failed(error)) => Some(error),
            Err(AckRefused::NotHeld | AckRefused::Invalid) | Ok(()) => None,
        };
        let shard = self.shard();
        let error = self.error.or(failed_ack);
        let leader = error.and_then(|error| node.leader_instead(shard?, error));
        Some(SharedPartition {
            topic,
            index,
            acknowledged: self.acknowledged,
            batches: match self.error {
                Some(error) => Err(error),
                None => Ok(self.batches),
            },
            acquired: self.acquired,
            leader,
        })
    }
}
