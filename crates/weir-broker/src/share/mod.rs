//! What share groups (KIP-932) have of partitions: which records are ready, held by a member, or
//! done with. Replicated state of the group that carries the partition.

mod choose;
mod command;
mod dead;
mod partition;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use choose::{Chosen, Limits, Stretch, choose};
pub(crate) use command::{Acks, ShareCommand, Step, StepPart, Take, Terms};
pub(crate) use dead::{DeadReason, DeadRecord};
pub(crate) use partition::{ComesBack, SharePartition};
pub(crate) use table::{ShareApplied, ShareKey, ShareTable, Stepped};

/// Most share partitions of a shard; further ones are refused as overload.
pub(crate) const MAX_SHARE_PARTITIONS: usize = 100_000;
