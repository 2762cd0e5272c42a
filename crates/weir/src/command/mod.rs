//! One module per subcommand.

pub(crate) mod binding;
pub(crate) mod client_arguments;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod exchange;
pub(crate) mod group;
pub(crate) mod policy;
pub(crate) mod produce;
pub(crate) mod progress;
pub(crate) mod queue;
mod queueing;
pub(crate) mod quickstart;
pub(crate) mod serve;
pub(crate) mod table;
pub(crate) mod topic;
pub(crate) mod vhost;
