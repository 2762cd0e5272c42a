//! Virtual hosts, exchanges, bindings and queues: group 0's records of them, and where a message
//! goes by them.

mod apply;
mod change;
mod checkpoint;
pub(crate) mod command;
pub(crate) mod consistent;
pub(crate) mod equivalence;
pub(crate) mod fields;
mod headers;
pub(crate) mod index;
pub(crate) mod outcome;
pub(crate) mod policy;
pub(crate) mod record;
pub(crate) mod route;
pub(crate) mod settings;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod topic_trie;
pub(crate) mod vhost_limits;

pub(crate) use apply::check_access;
pub(crate) use command::RoutingCommand;
pub(crate) use outcome::RoutingOutcome;
pub(crate) use state::Routing;
