//! A consumer group's settings (KIP-848, KIP-932, KIP-1071).

use super::key::{ConfigKey, Effect, Kind, find};
use crate::api::admin::ConfigMap;

const NOT_SERVED: &str = "groups of this kind are not served yet";

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
        effect: Effect::Moot(NOT_SERVED),
        broker_name: "",
        doc,
    }
}

const fn enforced(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        effect: Effect::Enforced,
        ..key(name, kind, default, doc)
    }
}

const fn ms(min: i32, max: i32) -> Kind {
    Kind::Int { min, max }
}

/// All of them, by name, with the ranges of Kafka's `group.*.min/max` defaults.
pub static GROUP_KEYS: [ConfigKey; 10] = [
    enforced(
        "consumer.heartbeat.interval.ms",
        ms(5_000, 15_000),
        "5000",
        "Time between two heartbeats of a member, in ms.",
    ),
    enforced(
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

/// What a group's settings say to its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: u32,
    /// `consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: u32,
}

impl GroupSettings {
    /// The defaults with checked `configs` over them.
    pub fn resolve(configs: &ConfigMap) -> Self {
        let number = |name: &str, default: u32| {
            let set = configs.get(name).and_then(|value| value.parse().ok());
            set.unwrap_or(default)
        };
        Self {
            consumer_session_timeout_ms: number("consumer.session.timeout.ms", 45_000),
            consumer_heartbeat_interval_ms: number("consumer.heartbeat.interval.ms", 5_000),
        }
    }
}

/// The key called `name`.
pub fn group_key(name: &str) -> Option<&'static ConfigKey> {
    find(&GROUP_KEYS, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_settings_stand_over_the_tables_defaults() {
        let defaults = GroupSettings::resolve(&ConfigMap::new());
        for (name, value) in [
            (
                "consumer.session.timeout.ms",
                defaults.consumer_session_timeout_ms,
            ),
            (
                "consumer.heartbeat.interval.ms",
                defaults.consumer_heartbeat_interval_ms,
            ),
        ] {
            let key = group_key(name).unwrap();
            assert_eq!(key.default, Some(value.to_string().as_str()));
        }
        let own = ("consumer.session.timeout.ms".to_owned(), "50000".to_owned());
        let set = GroupSettings::resolve(&ConfigMap::from([own]));
        assert_eq!(set.consumer_session_timeout_ms, 50_000);
    }

    #[test]
    fn the_table_is_sorted_and_its_defaults_fit() {
        assert!(GROUP_KEYS.is_sorted_by_key(|key| key.name));
        for key in &GROUP_KEYS {
            assert_eq!(key.refusal(key.default.unwrap()), None, "{}", key.name);
        }
    }
}
