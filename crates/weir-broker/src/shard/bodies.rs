//! Bodies that are stored once for all queues of the group: which are referred to, and when those go
//! that are not.

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_log::{Millis, compaction::Live};
use weir_model::{Offset, PartitionId};
use weir_raft::{Context, Moment};

use super::{Partition, Shard, ShardCommand};
use crate::{
    bodies::{Chunks, HeldChunks, bodies_of},
    encoding::{DecodeError, Reader, Writer},
    outcome::AppliedOutcome,
};

/// Pause between two commands that let bodies go, in ms.
const SWEEP_PAUSE_MS: u64 = 1_000;

impl Shard {
    /// Lets bodies go that nobody has referred to for a while.
    pub(super) fn sweep_bodies(&mut self, now: Millis) {
        self.bodies.sweep(now);
        if let Some(partition) = self.partitions.get_mut(&bodies_of(self.id)) {
            let start = self.bodies.start(partition.log.end_offset());
            partition.trim(start, &mut self.bodies);
        }
    }

    /// Bodies that are not dead; `None`: there never were any.
    pub(crate) fn live_bodies(&self) -> Option<(PartitionId, Live)> {
        let id = bodies_of(self.id);
        let live = Live {
            ranges: self.bodies.live(),
            end: self.partitions.get(&id)?.log.end_offset(),
        };
        Some((id, live))
    }

    /// When bodies may go, by the clock that never jumps, where this node leads.
    pub(super) fn next_body_sweep(&self, at: Moment) -> Option<Millis> {
        let wait_ms = self.bodies.next_sweep_in_ms(at.now)?;
        let deadline = at.elapsed().plus(wait_ms);
        self.leads.then(|| deadline.max(self.sweep_bodies_at))
    }

    pub(super) fn sweep_bodies_if_due(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        let is_due = self.bodies.next_sweep_in_ms(context.now) == Some(0);
        if self.leads && is_due && self.sweep_bodies_at <= context.elapsed {
            self.sweep_bodies_at = context.elapsed.plus(SWEEP_PAUSE_MS);
            context.propose(ShardCommand::sweep_bodies(), None);
        }
    }
}

impl Partition {
    /// A batch that ends with offset `last` is about to be appended, and refers to these chunks.
    pub(super) fn refer(&mut self, chunks: BTreeSet<u64>, last: Offset, bodies: &mut Chunks) {
        self.held.refer(chunks, last, bodies);
        // Before the append: whoever reads the batch knows.
        self.log.set_refers(true);
    }
}

pub(super) fn encode_bodies(bodies: &Chunks) -> Bytes {
    let mut writer = Writer::new();
    bodies.encode(&mut writer);
    writer.finish()
}

pub(super) fn decode_bodies(bytes: &[u8]) -> Result<Chunks, DecodeError> {
    let mut reader = Reader::new(bytes);
    let bodies = Chunks::decode(&mut reader)?;
    reader.finish()?;
    Ok(bodies)
}

pub(super) fn encode_held(held: &HeldChunks) -> Bytes {
    let mut writer = Writer::new();
    held.encode(&mut writer);
    writer.finish()
}

/// Takes the chunks in `bodies`.
pub(super) fn decode_held(bytes: &[u8], bodies: &mut Chunks) -> Result<HeldChunks, DecodeError> {
    let mut reader = Reader::new(bytes);
    let held = HeldChunks::decode(&mut reader, bodies)?;
    reader.finish()?;
    Ok(held)
}
