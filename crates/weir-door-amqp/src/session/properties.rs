//! What server and client say of themselves.

use bytes::Bytes;
use weir_model::fields::{FieldTable, FieldValue};

use super::outbox::word;
use crate::AmqpConfig;

/// What the server can do: clients refuse to use what is not named.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// What the server says of itself.
pub(super) fn of_server(config: &AmqpConfig) -> FieldTable {
    let text = |text: &str| FieldValue::LongString(Bytes::copy_from_slice(text.as_bytes()));
    let can = CAPABILITIES.iter();
    let can = can.map(|name| (word(name), FieldValue::Boolean(true)));
    FieldTable(vec![
        (
            word("capabilities"),
            FieldValue::Table(FieldTable(can.collect())),
        ),
        (word("cluster_name"), text("weir")),
        (word("copyright"), text("The authors of WeirMQ")),
        (
            word("information"),
            text("Licensed under the Apache License 2.0"),
        ),
        (word("platform"), text("Rust")),
        // Clients compare it.
        (word("product"), text("RabbitMQ")),
        (word("version"), text(&config.version)),
        (word("weir_version"), text(env!("CARGO_PKG_VERSION"))),
    ])
}

/// What the client can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// It understands a close during the handshake.
    pub(super) authentication_failure_close: bool,
    /// It wants to hear that its consumers are cancelled.
    pub(super) consumer_cancel_notify: bool,
    /// It wants to hear that it may not publish.
    pub(super) connection_blocked: bool,
}

impl Capabilities {
    pub(super) fn of_client(properties: &FieldTable) -> Self {
        let Some(FieldValue::Table(capabilities)) = properties.get("capabilities") else {
            return Self::default();
        };
        let has = |name| capabilities.get(name) == Some(&FieldValue::Boolean(true));
        Self {
            authentication_failure_close: has("authentication_failure_close"),
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
        }
    }
}
