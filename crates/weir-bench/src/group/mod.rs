//! Groups of one voter on the write-ahead log, with partitions behind them.

mod checkpoints;
mod machine;
mod rig;

pub(crate) use machine::Batches;
pub(crate) use rig::{PartitionWriters, Rig, RigConfig};
