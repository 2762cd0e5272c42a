//! Recent batches in memory: one queue per partition, one byte budget per node.

mod budget;
mod queue;

pub use budget::{TailBudget, TailPin};
pub use queue::TailBatch;
pub(crate) use queue::{Picked, TailQueue};
