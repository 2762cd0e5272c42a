//! A consumer group's settings (KIP-848, KIP-932, KIP-1071).

use super::key::{ConfigKey, Effect, Kind, find};

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
        effect: Effect::Enforced,
        broker_name: "",
        doc,
    }
}

const fn ms(min: i32, max: i32) -> Kind {
    Kind::Int { min, max }
}

/// All of them, by name, with the ranges of Kafka's `group.*.min/max` defaults.
pub static GROUP_KEYS: [ConfigKey; 10] = [
    key(
        "consumer.heartbeat.interval.ms",
        ms(5_000, 15_000),
        "5000",
        "Time between two heartbeats of a member, in ms.",
    ),
    key(
        "consumer.session.timeout.ms",
        ms(45_000, 60_000),
        "45000",
        "A member without a heartbeat for this long is removed, in ms.",
    ),
    key(
        "share.auto.offset.reset",
        Kind::Text,
        "latest",
        "Where a share group begins: earliest, latest or by_duration:DURATION.",
    ),
    key(
        "share.heartbeat.interval.ms",
        ms(5_000, 15_000),
        "5000",
        "Time between two heartbeats of a share group's member, in ms.",
    ),
    key(
        "share.isolation.level",
        Kind::Choice(&["read_committed", "read_uncommitted"]),
        "read_uncommitted",
        "Whether records of open transactions are delivered.",
    ),
    key(
        "share.record.lock.duration.ms",
        ms(15_000, 60_000),
        "30000",
        "How long a delivered record is locked, in ms.",
    ),
    key(
        "share.session.timeout.ms",
        ms(45_000, 60_000),
        "45000",
        "A share group's member without a heartbeat for this long is removed, in ms.",
    ),
    key(
        "streams.heartbeat.interval.ms",
        ms(5_000, 15_000),
        "5000",
        "Time between two heartbeats of a Streams group's member, in ms.",
    ),
    key(
        "streams.num.standby.replicas",
        Kind::Int { min: 0, max: 2 },
        "0",
        "Standby replicas of each Streams task.",
    ),
    key(
        "streams.session.timeout.ms",
        ms(45_000, 60_000),
        "45000",
        "A Streams group's member without a heartbeat for this long is removed, in ms.",
    ),
];

/// The key called `name`.
pub fn group_key(name: &str) -> Option<&'static ConfigKey> {
    find(&GROUP_KEYS, name)
}
