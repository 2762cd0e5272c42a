//! One module per subcommand.

pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod exchange;
pub(crate) mod quickstart;
pub(crate) mod serve;
