//! `cargo xtask clients`: a real corpus, real clients, every codec, and a node that is killed.

mod campaign;
mod trial;

pub(crate) use campaign::{Options, run};
