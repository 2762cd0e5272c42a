//! `cargo xtask lint`: the habits of this house that a machine can see.

mod doors;
mod edges;
mod external;
mod finding;
mod length;
mod names;
mod no_unsafe;
mod order;
mod report;
mod roots;
mod source;

pub(crate) use report::{Options, run};
