//! The seeded simulator: production code of the log and the node over a simulated disk and
//! clock, single-threaded, from one seed. Same seed, same trace hash, always.

mod artefacts;
pub mod campaign;
mod fault_plan;
mod many;
mod options;
mod oracle;
mod panic_catch;
mod plan;
mod replay;
mod shrink;
mod verdict;
pub mod world;

pub use artefacts::write_artefacts;
pub use many::{Progress, Totals, run_seeds};
pub use options::{Bug, Options};
pub use plan::{Campaign, Plan};
pub use replay::run_plan;
pub use shrink::shrink;
pub use verdict::{Failure, Outcome, Verdict, oracle_name};
