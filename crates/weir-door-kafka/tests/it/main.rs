//! The Kafka door from outside.

mod backend;
mod clients;
