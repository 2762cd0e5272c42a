//! The binary from outside: start, refusal, signals, restart, and several as one cluster.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod admin;
mod audit;
mod client;
mod cluster;
mod commands;
mod http;
mod http_client;
mod http_permissions;
mod lifecycle;
mod process;
mod settings;
mod tls;
mod tokens;
mod trio;
mod users;
