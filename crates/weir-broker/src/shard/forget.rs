//! What belongs to deleted topics goes: partitions, their files, offsets of groups.

use std::collections::BTreeSet;

use weir_model::PartitionId;
use weir_raft::{Context, Lifetime};

use super::{Shard, ShardCommand};
use crate::{metadata::Topology, outcome::AppliedOutcome};

/// Most topics of one command.
const MAX_FORGOTTEN_COUNT: usize = 10_000;

impl Shard {
    /// Proposes to forget what belongs to topics that `topology` says are deleted; looks at
    /// groups' offsets, which takes longer, only with `include_offsets`. To be repeated: batches
    /// that were under way when a topic was deleted are stored after it.
    pub(crate) fn propose_forget(
        &self,
        topology: &Topology,
        include_offsets: bool,
        context: &mut Context<'_, AppliedOutcome>,
    ) {
        if !context.leads {
            return;
        }
        let stored = self.partitions.keys().map(|id| id.topic_serial());
        let mut serials: BTreeSet<u64> = stored.collect();
        serials.extend(self.shares.topics());
        if include_offsets {
            serials.extend(self.offsets.topics());
        }
        serials.retain(|serial| topology.is_deleted(*serial));
        while serials.len() > MAX_FORGOTTEN_COUNT {
            serials.pop_last();
        }
        if !serials.is_empty() {
            context.propose(ShardCommand::forget(&serials), None);
        }
    }

    pub(super) fn forget_topics(&mut self, index: u64, topics: &BTreeSet<u64>) {
        let mut gone = Vec::new();
        for serial in topics {
            // A command that is no node's own could name a serial out of range.
            let Some(after) = serial.checked_add(1).filter(|s| *s >> SERIAL_BITS == 0) else {
                continue;
            };
            let (first, end) = (PartitionId::new(*serial, 0), PartitionId::new(after, 0));
            gone.extend(self.partitions.extract_if(first..end, |_, _| true));
        }
        self.offsets.forget_topics(topics);
        self.shares.forget_topics(topics);
        for (_, partition) in &mut gone {
            partition.held.forget(&mut self.bodies);
        }
        let logs = gone.into_iter().map(|(_, partition)| partition.log);
        let ids = self.env.close_partitions(logs);
        match self.env.lifetime {
            Lifetime::Durable => self.env.checkpoints.dropped(self.id, index, ids),
            // No checkpoint names them.
            Lifetime::Transient => self.env.checkpoints.remove_partitions(ids),
        }
    }
}

/// Bits of a topic's serial number.
const SERIAL_BITS: u32 = 64 - PartitionId::INDEX_BITS;
