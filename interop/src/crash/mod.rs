//! `cargo xtask crash`: kill -9 and power cuts under load, and a check of what was acknowledged.

mod campaign;
mod load;
mod queues;

pub(crate) use campaign::{Options, run};
