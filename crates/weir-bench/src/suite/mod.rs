//! What is measured in which order, and what must hold.

mod appends;
mod groups;
mod log;
mod partitions;

pub(crate) use log::log;
