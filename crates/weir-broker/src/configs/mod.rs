//! Settings by Kafka's names: what there is, what a value may be, and what it does here.

pub mod alter;
pub mod broker;
pub mod client_metrics;
pub mod describe;
pub mod group;
pub mod key;
#[cfg(test)]
mod page;
pub mod reset;
pub mod topic;
pub mod value;

pub use key::{ConfigKey, Effect, Kind};
