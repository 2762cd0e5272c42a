//! Consumer groups whose assignment the broker makes (KIP-848). Members may speak the classic
//! protocol: a classic group becomes such a group when a first member of the other kind joins, and
//! is classic again when the last one is gone.
//!
//! [`ConsumerCoordinator`] is the leader's side: it takes heartbeats, and what they change becomes
//! one [`ConsumerChange`] at a time in each group's log. Answers wait until it is applied.

mod admission;
pub mod assign;
mod classic;
pub mod config;
mod coordinator;
mod describe;
mod group;
mod migration;
mod partitions;
mod pattern;
mod reconcile;
pub mod record;
mod resolve;
#[cfg(test)]
mod tests;
mod turn;

pub use coordinator::{ConsumerAction, ConsumerCoordinator, StoreId};
pub use record::{ClassicMember, ConsumerChange, ConsumerMember, ConsumerRecord, GroupTopic};
pub use resolve::Catalogue;
pub use turn::ConsumerAnswer;
