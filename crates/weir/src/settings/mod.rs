//! What an operator may set: one table, from which flags, environment variables, the keys of the
//! file, and what `weir config` prints all come.

mod file;
mod flags;
mod layers;
mod serve_config;
pub(crate) mod table;
mod token_config;

pub(crate) use flags::SettingFlags;
pub(crate) use layers::{Effective, Origin};
pub(crate) use serve_config::{ListenAt, ServeConfig};
pub(crate) use token_config::TokenConfig;
