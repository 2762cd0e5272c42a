//! The Kafka door from outside.

// The lint's own exception for tests covers test functions, not what they call.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod access;
mod access_samples;
mod admin_samples;
mod answers;
mod backend;
mod certificates;
mod clients;
mod fetch_encoding;
mod fetch_sessions;
mod group_samples;
mod hostile;
mod logins;
mod operations;
mod order;
mod outcomes;
mod permissions;
mod quotas;
mod rules;
mod samples;
mod share;
mod share_samples;
mod throttling;
mod tokens;
mod transactions;
mod wire;
