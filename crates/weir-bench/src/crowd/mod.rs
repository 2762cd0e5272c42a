//! Much of everything on one node: what it costs in memory, and what a lone client notices.

mod connections;
mod groups;
mod measured;
mod run;
mod topics;
mod wire;

pub(crate) use run::run;
