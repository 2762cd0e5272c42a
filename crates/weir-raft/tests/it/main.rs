//! Groups driven turn by turn over a write-ahead log in memory, without threads.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod catch_up;
mod cluster;
mod harness;
mod membership;
mod one_voter;
mod random;
#[cfg(feature = "seeded-bugs")]
mod seeded;
mod sleep;
mod sole_voter;
mod three_voters;
mod transient;
