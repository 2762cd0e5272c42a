//! The broker of one node: deterministic state machines and the API that all doors call.
//!
//! Knows neither sockets nor protocols.

pub mod api;
pub mod mailbox;

pub use mailbox::{Mailbox, Reply, Ticket};
