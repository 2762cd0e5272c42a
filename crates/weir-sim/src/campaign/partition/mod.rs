//! The production partition store under faults: flush, checkpoint, install, read, retention.

pub(super) mod batch;
mod check;
mod compacted;
mod flip;
mod node;
mod plan;
mod run;

pub use plan::{PartitionPlan, PartitionStep};
pub use run::run;
