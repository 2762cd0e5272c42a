//! The Kafka door.
