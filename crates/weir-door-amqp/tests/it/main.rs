//! The AMQP door from outside.

// The lint's own exception for tests covers test functions, not what they call.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod alarm;
mod channels;
mod client;
mod consuming;
mod handshake;
mod hostile;
mod order;
mod publishing;
mod quotas;
mod random;
mod timeouts;
mod tokens;
mod transactions;
