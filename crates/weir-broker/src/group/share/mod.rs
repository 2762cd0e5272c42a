//! Share groups (KIP-932): who is in, and who reads what. Members may read the same partitions.
//!
//! [`ShareCoordinator`] is the leader's side, as [`super::ConsumerCoordinator`] is for consumer
//! groups, whose records serve here as well: what a member has is what it was last told, its target
//! what it is told next.

mod assign;
mod coordinator;
mod describe;
mod group;
#[cfg(test)]
mod tests;

pub use coordinator::{ShareAction, ShareCoordinator};
