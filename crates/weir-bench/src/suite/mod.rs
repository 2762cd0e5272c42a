//! What is measured in which order, and what must hold.

mod appends;
mod log;
mod node;

pub(crate) use log::log;
