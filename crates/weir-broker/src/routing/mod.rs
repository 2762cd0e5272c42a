//! Virtual hosts, exchanges, bindings and queues: group 0's records of them, and where a message
//! goes by them.

mod apply;
mod change;
mod checkpoint;
pub(crate) mod command;
mod consistent;
mod equivalence;
pub(crate) mod fields;
mod headers;
mod index;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod route;
pub(crate) mod settings;
mod state;
#[cfg(test)]
mod tests;
mod topic_trie;

pub use command::RoutingCommand;
pub use outcome::RoutingOutcome;
pub(crate) use state::Routing;
