//! One module per subcommand.

mod accessing;
pub(crate) mod acl;
pub(crate) mod binding;
pub(crate) mod client_arguments;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod consume;
pub(crate) mod exchange;
pub(crate) mod group;
mod node_arguments;
mod password;
pub(crate) mod policy;
pub(crate) mod produce;
pub(crate) mod progress;
pub(crate) mod queue;
mod queueing;
pub(crate) mod quickstart;
pub(crate) mod quota;
pub(crate) mod serve;
pub(crate) mod table;
pub(crate) mod token;
pub(crate) mod topic;
pub(crate) mod user;
pub(crate) mod vhost;
