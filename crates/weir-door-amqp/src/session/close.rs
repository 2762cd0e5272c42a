//! Why connections end.

use crate::wire_code::Failure;

/// Why an AMQP connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmqpClose {
    /// What came first was not AMQP 0-9-1.
    #[error("another protocol")]
    Protocol,
    /// The client was told of this.
    #[error("{0}")]
    Failed(Failure),
    /// It did not become a connection in time.
    #[error("no handshake in time")]
    Handshake,
    /// The client is silent.
    #[error("missed heartbeats from the client")]
    Heartbeat,
}
