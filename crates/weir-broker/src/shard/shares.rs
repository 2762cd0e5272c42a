//! Share groups' parts of the shard's partitions: what is applied, and what its leader looks at.

use std::ops::Range;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::PartitionId;
use weir_raft::{Applied, Context};

use super::{Shard, ShardCommand};
use crate::{
    node::share::SharePlace,
    outcome::AppliedOutcome,
    share::{Chosen, Limits, ShareApplied, ShareCommand, ShareKey, choose},
};

/// Pause between two commands that end locks, in ms.
const REPEAT_MS: u64 = 20;

/// What a leader finds of a share partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The group has nothing of it yet.
    NotBegun,
    /// There is nothing to take now.
    Nothing,
    /// There may be: nobody else takes until this is over.
    Read {
        /// From where on to read.
        from: u64,
        /// For how many records there are locks.
        room_count: u64,
    },
}

impl Shard {
    pub(super) fn apply_share(&mut self, at: &Applied, command: ShareCommand) -> ShareApplied {
        let takes: Vec<PartitionId> = match &command {
            ShareCommand::Step(step) => {
                let takes = step.parts.iter().filter(|part| part.take.is_some());
                takes.map(|part| part.partition).collect()
            }
            ShareCommand::Release { .. }
            | ShareCommand::Expire
            | ShareCommand::Begin { .. }
            | ShareCommand::Forget { .. }
            | ShareCommand::Copied { .. } => Vec::new(),
        };
        let (partitions, mut stirred) = (&self.partitions, Vec::new());
        let log_start = |id| partitions.get(&id).map_or(0, |partition| partition.start.0);
        let applied = self
            .shares
            .apply(at.elapsed, command, log_start, &mut stirred);
        for key in stirred {
            self.note_share_letters(&key);
            match takes.contains(&key.0) {
                true => self.sharing.free(&key),
                false => self.sharing.wake(&key),
            }
        }
        applied
    }

    /// Where the group stands in the shard's partitions.
    pub(crate) fn share_places(&self, group: &str) -> Vec<SharePlace> {
        let places = self.shares.of_group(group).map(|(id, place)| {
            let log = self.partitions.get(&id).map(|partition| &partition.log);
            let (start, end) = (self.start_of(id), log.map_or(0, |log| log.end_offset().0));
            SharePlace {
                partition: id,
                start: place.start().max(start),
                lag: place.lag(end),
            }
        });
        places.collect()
    }

    /// Where the partition's log begins.
    pub(crate) fn start_of(&self, id: PartitionId) -> u64 {
        self.partitions.get(&id).map_or(0, |it| it.start.0)
    }

    /// Looks for records, in a log where everything before `end` may be taken. `acked_count`: so
    /// many locks are about to be given up.
    pub(crate) fn look_at_share(
        &mut self,
        key: &ShareKey,
        end: u64,
        max_locks: u32,
        acked_count: u64,
    ) -> Look {
        let start = self.start_of(key.0);
        let Some(partition) = self.shares.get(key) else {
            return Look::NotBegun;
        };
        let from = partition.next_fetch().max(start);
        let held_count = partition.held_count().saturating_sub(acked_count);
        let room_count = u64::from(max_locks).saturating_sub(held_count);
        if from >= end || room_count == 0 || !self.sharing.keep(key) {
            return Look::Nothing;
        }
        Look::Read { from, room_count }
    }

    /// Chooses from batches that were read after a [`Look::Read`].
    pub(crate) fn choose_share(
        &self,
        key: &ShareKey,
        batches: Vec<Bytes>,
        range: Range<u64>,
        limits: Limits,
        committed_only: bool,
    ) -> Chosen {
        let Some(partition) = self.shares.get(key) else {
            return Chosen::default();
        };
        choose(
            batches,
            range,
            limits,
            |offset| partition.is_ready(offset),
            |header| {
                let base = u64::try_from(header.base_offset).unwrap_or(0);
                let withholds = committed_only && !self.env.seeded.shares_aborted();
                withholds && self.is_aborted(key.0, header, base)
            },
        )
    }

    /// Something was appended, or decided.
    pub(super) fn stir_shares(&mut self, id: PartitionId) {
        self.sharing.wake_all_of(id);
    }

    /// All who wait look again: they find who leads now.
    pub(super) fn lead_shares(&mut self) {
        self.sharing.dismiss();
        let dead: Vec<ShareKey> = self.shares.with_dead().cloned().collect();
        dead.iter().for_each(|key| self.note_share_letters(key));
    }

    /// By this node's clock that never jumps.
    pub(super) fn next_lock_end(&self) -> Option<Millis> {
        if !self.leads || self.env.seeded.keeps_share_locks() {
            return None;
        }
        let at = self.pump.times.by_own_clock(self.shares.next_end()?);
        Some(at.max(self.sharing.not_before))
    }

    /// Ends locks that are over.
    pub(super) fn end_locks(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        let next = self.shares.next_end();
        let is_due = next.is_some_and(|at| at <= context.group_elapsed);
        let ends = context.leads && !self.env.seeded.keeps_share_locks();
        if ends && is_due && self.sharing.not_before <= context.elapsed {
            self.sharing.not_before = context.elapsed.plus(REPEAT_MS);
            context.propose(ShardCommand::share(&ShareCommand::Expire), None);
        }
    }

    /// Somebody who took from the share partition does so no more.
    pub(crate) fn free_share(&mut self, key: &ShareKey) {
        self.sharing.free(key);
    }

    /// Who was woken does not need this one.
    pub(crate) fn pass_share_on(&mut self, key: &ShareKey) {
        self.sharing.wake(key);
    }
}
