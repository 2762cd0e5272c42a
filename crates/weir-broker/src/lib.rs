//! The broker of one node: deterministic state machines and the API that all doors call.
//!
//! Knows neither sockets nor protocols.

pub mod api;
pub mod applied;
pub mod encoding;
pub mod group;
pub mod mailbox;
pub mod metadata;
pub mod producer;

pub use applied::Applied;
pub use mailbox::{Mailbox, Reply, Ticket};
