//! The transport over loopback sockets.

mod bad_input;
mod calls;
mod harness;
mod liveness;
mod messages;
mod raw;
mod tls;
