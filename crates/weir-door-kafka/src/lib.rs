//! The Kafka door: codec without I/O, session, and mapping to the node's API.
//!
//! Charter: Kafka's wire protocol and nothing below it. What is not served is not told.

pub mod codec;
pub mod door;
pub mod mapping;
pub mod permit;
pub mod session;
pub mod wire_code;

pub use door::{KafkaConfig, KafkaDoor};
pub use session::connection::{KafkaClose, KafkaSession};
