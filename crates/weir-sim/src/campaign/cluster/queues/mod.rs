//! Queues in a cluster: publishers, consumers, and the books that say what they may see.

mod answers;
mod books;
mod clients;
mod consumers;
mod declare;
mod drain;
mod judge;
mod overflow;
mod plan;
mod publishers;
mod settled;
mod state;
mod tidings;
mod tries;

pub use plan::{OverflowPlan, QueuePlan, QueuesPlan};
pub(super) use state::Queues;
