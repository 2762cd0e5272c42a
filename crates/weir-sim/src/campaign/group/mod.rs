//! Production groups of one voter over the production log: proposals, retries, checkpoints,
//! crashes.

mod check;
mod machine;
mod node;
mod plan;
mod run;

pub use plan::{GroupPlan, GroupStep};
pub use run::run;
