//! The Kafka door from outside.

mod answers;
mod backend;
mod clients;
mod fetch_encoding;
mod hostile;
mod order;
mod outcomes;
mod samples;
mod wire;
