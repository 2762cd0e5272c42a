//! One Kafka connection without I/O.

pub mod connection;
pub mod queue;
