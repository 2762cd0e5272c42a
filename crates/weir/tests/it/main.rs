//! The binary from outside: start, refusal, signals, restart.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod lifecycle;
mod process;
