//! The production write-ahead log and checkpoint store under faults.

mod checkpoints;
mod flip;
mod log;
mod plan;
mod run;

pub use plan::{WalPlan, WalStep};
pub use run::run;
