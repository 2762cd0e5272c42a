//! Hostile peers: each kind of bad input, in one piece, a byte at a time and from a crowd, against
//! a node that serves well-behaved clients meanwhile.
//!
//! A peer must get its protocol's own error or lose its connection; the node's memory must stay
//! where it was, its well-behaved clients must be served, and nothing may panic. How long those
//! clients wait is told as figures, beside those of crowds that do nothing wrong: the crowd lives on the node's
//! machine, and what it computes there the node has no part in. It goes behind everybody else for a processor.

mod amqp;
mod amqp_much;
mod batch;
mod campaign;
mod flood;
mod half_open;
mod http;
mod idle;
mod kafka;
mod memory;
mod peer;
mod readers;
mod row;
mod sasl;
mod shape;
mod stand;
mod usual;
mod wire;
mod witness;

pub(crate) use campaign::{Options, run};
