//! The transport over loopback sockets.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bad_input;
mod calls;
mod deaf;
mod harness;
mod liveness;
mod messages;
mod raw;
mod tls;
