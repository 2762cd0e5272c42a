//! Consumer groups whose assignment the broker makes (KIP-848).
//!
//! [`ConsumerCoordinator`] is the leader's side: it takes heartbeats, and what they change becomes
//! one [`ConsumerChange`] at a time in each group's log. Answers wait until it is applied.

mod admission;
pub mod assign;
pub mod config;
mod coordinator;
mod describe;
mod group;
mod partitions;
mod pattern;
mod reconcile;
pub mod record;
mod resolve;
#[cfg(test)]
mod tests;

pub use coordinator::{ConsumerAction, ConsumerAnswer, ConsumerCoordinator, StoreId};
pub use record::{ConsumerChange, ConsumerMember, ConsumerRecord, GroupTopic};
pub use resolve::Catalogue;
