//! Settings of a subscription of client metrics (KIP-714). Kept and shown; clients are asked for
//! metrics only where a receiver for them is configured, of which this broker has none, as Kafka
//! has none without a plug-in.

use super::key::{ConfigKey, Effect, Kind, find};

const NO_RECEIVER: &str = "there is no receiver of clients' metrics";

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default: Some(default),
        effect: Effect::Moot(NO_RECEIVER),
        broker_name: "",
        doc,
    }
}

/// All of them, by name.
pub static CLIENT_METRICS_KEYS: [ConfigKey; 3] = [
    key(
        "interval.ms",
        Kind::Int {
            min: 100,
            max: 3_600_000,
        },
        "300000",
        "Time between two pushes, in ms.",
    ),
    key(
        "match",
        Kind::List(&[]),
        "",
        "Which clients: selectors of name and pattern.",
    ),
    key(
        "metrics",
        Kind::List(&[]),
        "",
        "Which metrics: prefixes of their names.",
    ),
];

/// The key called `name`.
pub fn client_metrics_key(name: &str) -> Option<&'static ConfigKey> {
    find(&CLIENT_METRICS_KEYS, name)
}
