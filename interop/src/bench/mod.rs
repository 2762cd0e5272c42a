//! `cargo xtask bench cluster`: what three nodes give beside one, how fast an empty node catches
//! up, what idle groups cost, what it costs a queue that much waits in it, and a message that many
//! bindings may match.

mod backlog;
mod bindings;
mod catch_up;
mod idle;
mod perf_test;
mod producer;
mod report;
mod suite;
mod throughput;
mod usage;

pub(crate) use suite::{Options, run};
