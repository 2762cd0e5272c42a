//! A consumer group's settings (KIP-848, KIP-932, KIP-1071).

use super::{
    key::{ConfigKey, Effect, Kind, find},
    reset::OffsetReset,
};
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

const COPIES_DEAD: &str = "errors.deadletterqueue.copy.record.enable";

/// The names of isolation levels.
const READ_COMMITTED: &str = "read_committed";

/// Longest lock of a record that a share group delivers, in ms.
pub(crate) const MAX_SHARE_LOCK_MS: i32 = 60_000;

/// Longest wait of a record before another delivery: a day.
const MAX_RETRY_MS: i32 = 86_400_000;

/// All of them, by name, with the ranges of Kafka's `group.*.min/max` defaults.
pub static GROUP_KEYS: [ConfigKey; 17] = [
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
    enforced(
        COPIES_DEAD,
        Kind::Boolean,
        "false",
        "Whether a share group's dead letters have the records' keys and values, and not only where they lie.",
    ),
    enforced(
        "errors.deadletterqueue.topic.name",
        Kind::DeadLetterTopic,
        "",
        "The topic for a share group's dead letters: records that were rejected or came back too often.",
    ),
    enforced(
        "share.auto.offset.reset",
        Kind::OffsetReset,
        "latest",
        "Where a share group begins: earliest, latest or by_duration:DURATION.",
    ),
    enforced(
        "share.delivery.count.limit",
        Kind::Int { min: 2, max: 10 },
        "5",
        "A record that comes back after so many deliveries is put away.",
    ),
    enforced(
        "share.heartbeat.interval.ms",
        ms(5_000, 15_000),
        "5000",
        "Time between two heartbeats of a share group's member, in ms.",
    ),
    enforced(
        "share.isolation.level",
        Kind::Choice(&[READ_COMMITTED, "read_uncommitted"]),
        "read_uncommitted",
        "Whether records of open transactions are delivered.",
    ),
    enforced(
        "share.partition.max.record.locks",
        Kind::Int {
            min: 100,
            max: 10_000,
        },
        "2000",
        "Most records of a partition that a share group's members may have at a time.",
    ),
    enforced(
        "share.record.lock.duration.ms",
        ms(15_000, MAX_SHARE_LOCK_MS),
        "30000",
        "How long a delivered record is locked, in ms.",
    ),
    enforced(
        "share.renew.acknowledge.enable",
        Kind::Boolean,
        "true",
        "Whether members may keep records for another while.",
    ),
    enforced(
        "share.retry.delay.max.ms",
        ms(0, MAX_RETRY_MS),
        "0",
        "How long a record waits at most before another delivery, in ms; less than the first wait: it does not grow.",
    ),
    enforced(
        "share.retry.delay.ms",
        ms(0, MAX_RETRY_MS),
        "0",
        "How long a record that comes back waits after its first delivery, in ms, and twice as long after each further one.",
    ),
    enforced(
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
    /// Of a share group.
    pub share: ShareSettings,
}

/// What a share group's settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareSettings {
    /// `share.session.timeout.ms`.
    pub session_timeout_ms: u32,
    /// `share.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: u32,
    /// `share.record.lock.duration.ms`.
    pub lock_ms: u32,
    /// `share.delivery.count.limit`.
    pub delivery_limit: u16,
    /// `share.retry.delay.ms`.
    pub retry_ms: u32,
    /// `share.retry.delay.max.ms`.
    pub retry_max_ms: u32,
    /// `share.partition.max.record.locks`.
    pub max_locks: u32,
    /// `errors.deadletterqueue.topic.name` is set.
    pub has_dead_letters: bool,
    /// `errors.deadletterqueue.copy.record.enable`.
    pub copies_dead: bool,
    /// `share.isolation.level`.
    pub committed_only: bool,
    /// `share.renew.acknowledge.enable`.
    pub may_renew: bool,
    /// `share.auto.offset.reset`.
    pub begins: OffsetReset,
}

impl GroupSettings {
    /// The defaults with checked `configs` over them.
    pub fn resolve(configs: &ConfigMap) -> Self {
        let number = |name: &str, default: u32| {
            let set = configs.get(name);
            let set = set.and_then(|value| value.trim().parse().ok());
            set.unwrap_or(default)
        };
        let text = |name: &str| configs.get(name).map(|value| value.trim());
        Self {
            consumer_session_timeout_ms: number("consumer.session.timeout.ms", 45_000),
            consumer_heartbeat_interval_ms: number("consumer.heartbeat.interval.ms", 5_000),
            share: ShareSettings {
                session_timeout_ms: number("share.session.timeout.ms", 45_000),
                heartbeat_interval_ms: number("share.heartbeat.interval.ms", 5_000),
                lock_ms: number("share.record.lock.duration.ms", 30_000),
                delivery_limit: u16::try_from(number("share.delivery.count.limit", 5))
                    .unwrap_or(u16::MAX),
                retry_ms: number("share.retry.delay.ms", 0),
                retry_max_ms: number("share.retry.delay.max.ms", 0),
                max_locks: number("share.partition.max.record.locks", 2_000),
                has_dead_letters: dead_letter_topic(configs).is_some(),
                copies_dead: text(COPIES_DEAD).is_some_and(|it| it.eq_ignore_ascii_case("true")),
                committed_only: text("share.isolation.level") == Some(READ_COMMITTED),
                may_renew: text("share.renew.acknowledge.enable")
                    .is_none_or(|value| value.eq_ignore_ascii_case("true")),
                begins: text("share.auto.offset.reset")
                    .and_then(OffsetReset::parse)
                    .unwrap_or(OffsetReset::Latest),
            },
        }
    }
}

/// Where a share group's dead letters go, if anywhere.
pub fn dead_letter_topic(configs: &ConfigMap) -> Option<&str> {
    let name = configs.get("errors.deadletterqueue.topic.name")?.trim();
    (!name.is_empty()).then_some(name)
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
