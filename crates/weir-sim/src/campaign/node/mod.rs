//! The whole production node of one voter below its doors, with clients that try again.

mod answers;
pub(super) mod batch;
mod books;
mod clients;
mod finish;
mod flip;
mod groups;
mod plan;
mod read;
mod run;
mod served;
mod sweep;

pub use plan::{NodePlan, NodeStep, TopicPlan};
pub use run::run;
