//! Groups driven turn by turn over a write-ahead log in memory, without threads.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod cluster;
mod harness;
mod one_voter;
mod three_voters;
