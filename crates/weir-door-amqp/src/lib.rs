//! The AMQP 0-9-1 door: RabbitMQ's dialect of the protocol.
//!
//! Charter: AMQP's wire protocol and nothing below it. Source: AMQP 0-9-1 (`amqp0-9-1.xml`) with
//! RabbitMQ's extensions and its field table dialect.

pub mod codec;
pub mod door;
pub mod session;
pub mod wire_code;

pub use door::{AmqpConfig, AmqpDoor};
pub use session::connection::{AmqpClose, AmqpSession};
