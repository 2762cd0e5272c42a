//! A node's settings as Kafka's tools ask for them. What is set in the node's file is shown and
//! cannot be changed while it runs; defaults of topics can be, for all nodes together.

use super::{
    key::{ConfigKey, Effect, Kind, find},
    topic::topic_key_of_broker,
};

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default,
        effect: Effect::Enforced,
        broker_name: "",
        doc,
    }
}

const fn topic_default(name: &'static str, kind: Kind, default: Option<&'static str>) -> ConfigKey {
    key(
        name,
        kind,
        default,
        "A default for topics; see the topic's setting.",
    )
}

/// A limit on moves that there are none of. Tools take it back after each reassignment.
const fn rate(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey {
        name,
        kind: LONG,
        default: Some(LONG_MAX),
        effect: Effect::Moot("replicas are not moved one by one"),
        broker_name: "",
        doc,
    }
}

const INT: Kind = Kind::Int {
    min: 0,
    max: i32::MAX,
};
const ANY_INT: Kind = Kind::Int {
    min: i32::MIN,
    max: i32::MAX,
};
const LONG: Kind = Kind::Long { min: 0 };
const ANY_LONG: Kind = Kind::Long { min: i64::MIN };
const SHORT: Kind = Kind::Short { min: 1 };
const LIST: Kind = Kind::List(&[]);
const TEXT: Kind = Kind::Text;
const BOOLEAN: Kind = Kind::Boolean;
const LONG_MAX: &str = "9223372036854775807";

/// All of them, by name.
pub static BROKER_KEYS: [ConfigKey; 79] = [
    key(
        "advertised.listeners",
        LIST,
        None,
        "Where clients reach the node.",
    ),
    key(
        "auto.create.topics.enable",
        BOOLEAN,
        Some("true"),
        "Whether naming an absent topic creates it, where the client asks for that.",
    ),
    key(
        "auto.leader.rebalance.enable",
        BOOLEAN,
        Some("true"),
        "Leaders are spread evenly all the time.",
    ),
    key("broker.id", ANY_INT, Some("-1"), "The node's id."),
    key("broker.rack", TEXT, None, "Where the node stands."),
    topic_default(
        "compression.gzip.level",
        Kind::Int { min: -1, max: 9 },
        Some("-1"),
    ),
    topic_default(
        "compression.lz4.level",
        Kind::Int { min: 1, max: 17 },
        Some("9"),
    ),
    topic_default(
        "compression.type",
        Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        Some("producer"),
    ),
    topic_default(
        "compression.zstd.level",
        Kind::Int {
            min: -131_072,
            max: 22,
        },
        Some("3"),
    ),
    key(
        "connections.max.idle.ms",
        ANY_LONG,
        Some("600000"),
        "Idle connections are closed after this long, in ms.",
    ),
    key(
        "controller.listener.names",
        LIST,
        Some("PEER"),
        "The listener of the metadata group.",
    ),
    key(
        "default.replication.factor",
        INT,
        Some("3"),
        "Copies of a topic that does not say, where there are as many nodes.",
    ),
    key(
        "delete.topic.enable",
        BOOLEAN,
        Some("true"),
        "Topics can be deleted.",
    ),
    key(
        "fetch.max.bytes",
        INT,
        Some("57671680"),
        "Most bytes of one answer to a fetch.",
    ),
    rate(
        "follower.replication.throttled.rate",
        "Bytes a second of throttled replicas on followers.",
    ),
    key(
        "group.consumer.assignors",
        LIST,
        Some("uniform,range"),
        "Assignors of consumer groups, the default first.",
    ),
    key(
        "group.consumer.heartbeat.interval.ms",
        INT,
        Some("5000"),
        "Time between two heartbeats of a consumer group's member, in ms.",
    ),
    key(
        "group.consumer.max.heartbeat.interval.ms",
        INT,
        Some("15000"),
        "Longest such time that a group may set, in ms.",
    ),
    key(
        "group.consumer.max.session.timeout.ms",
        INT,
        Some("60000"),
        "Longest session timeout that a group may set, in ms.",
    ),
    key(
        "group.consumer.max.size",
        INT,
        Some("10000"),
        "Most members of a consumer group.",
    ),
    key(
        "group.consumer.migration.policy",
        TEXT,
        Some("disabled"),
        "Whether members of classic and of consumer groups can be in one group.",
    ),
    key(
        "group.consumer.min.heartbeat.interval.ms",
        INT,
        Some("5000"),
        "Shortest time between two heartbeats that a group may set, in ms.",
    ),
    key(
        "group.consumer.min.session.timeout.ms",
        INT,
        Some("45000"),
        "Shortest session timeout that a group may set, in ms.",
    ),
    key(
        "group.consumer.session.timeout.ms",
        INT,
        Some("45000"),
        "A consumer group's member without a heartbeat for this long is removed, in ms.",
    ),
    key(
        "group.coordinator.rebalance.protocols",
        LIST,
        Some("classic,consumer"),
        "Group protocols that are served.",
    ),
    key(
        "group.initial.rebalance.delay.ms",
        INT,
        Some("3000"),
        "How long an empty group waits for more members, in ms.",
    ),
    key(
        "group.max.session.timeout.ms",
        INT,
        Some("1800000"),
        "Longest session timeout, in ms.",
    ),
    key(
        "group.max.size",
        INT,
        Some("10000"),
        "Most members of a group.",
    ),
    key(
        "group.min.session.timeout.ms",
        INT,
        Some("6000"),
        "Shortest session timeout, in ms.",
    ),
    key(
        "inter.broker.listener.name",
        TEXT,
        Some("PEER"),
        "The listener between nodes.",
    ),
    rate(
        "leader.replication.throttled.rate",
        "Bytes a second of throttled replicas on leaders.",
    ),
    key(
        "listener.security.protocol.map",
        LIST,
        None,
        "Which security each listener has.",
    ),
    key("listeners", LIST, None, "Where the node listens."),
    topic_default("log.cleaner.delete.retention.ms", LONG, Some("86400000")),
    key(
        "log.cleaner.enable",
        BOOLEAN,
        Some("true"),
        "Compacted topics are compacted.",
    ),
    topic_default(
        "log.cleaner.max.compaction.lag.ms",
        Kind::Long { min: 1 },
        Some(LONG_MAX),
    ),
    topic_default(
        "log.cleaner.min.cleanable.ratio",
        Kind::Double { min: 0.0, max: 1.0 },
        Some("0.5"),
    ),
    topic_default("log.cleaner.min.compaction.lag.ms", LONG, Some("0")),
    topic_default(
        "log.cleanup.policy",
        Kind::List(&["compact", "delete"]),
        Some("delete"),
    ),
    key("log.dir", TEXT, None, "Where data is."),
    key("log.dirs", LIST, None, "Where data is."),
    topic_default(
        "log.flush.interval.messages",
        Kind::Long { min: 1 },
        Some(LONG_MAX),
    ),
    topic_default("log.flush.interval.ms", ANY_LONG, None),
    topic_default("log.index.interval.bytes", INT, Some("4096")),
    topic_default(
        "log.index.size.max.bytes",
        Kind::Int {
            min: 4,
            max: i32::MAX,
        },
        Some("10485760"),
    ),
    topic_default(
        "log.local.retention.bytes",
        Kind::Long { min: -2 },
        Some("-2"),
    ),
    topic_default("log.local.retention.ms", Kind::Long { min: -2 }, Some("-2")),
    topic_default("log.message.timestamp.after.max.ms", LONG, Some("3600000")),
    topic_default("log.message.timestamp.before.max.ms", LONG, Some(LONG_MAX)),
    topic_default(
        "log.message.timestamp.type",
        Kind::Choice(&["CreateTime", "LogAppendTime"]),
        Some("CreateTime"),
    ),
    topic_default("log.preallocate", BOOLEAN, Some("false")),
    topic_default("log.retention.bytes", ANY_LONG, Some("-1")),
    key(
        "log.retention.check.interval.ms",
        LONG,
        Some("300000"),
        "Time between two looks at retention and compaction, in ms.",
    ),
    key(
        "log.retention.hours",
        ANY_INT,
        Some("168"),
        "How long records are kept, in hours, where log.retention.ms is not set.",
    ),
    key(
        "log.retention.minutes",
        ANY_INT,
        None,
        "How long records are kept, in minutes, where log.retention.ms is not set.",
    ),
    topic_default("log.retention.ms", ANY_LONG, None),
    key(
        "log.roll.hours",
        INT,
        Some("168"),
        "Age at which a segment is followed by a new one, in hours, where log.roll.ms is not set.",
    ),
    topic_default("log.roll.jitter.ms", ANY_LONG, None),
    topic_default("log.roll.ms", ANY_LONG, None),
    topic_default(
        "log.segment.bytes",
        Kind::Int {
            min: 1024,
            max: i32::MAX,
        },
        Some("1073741824"),
    ),
    topic_default("log.segment.delete.delay.ms", LONG, Some("60000")),
    topic_default("message.max.bytes", INT, Some("1048588")),
    topic_default(
        "min.insync.replicas",
        Kind::Int {
            min: 1,
            max: i32::MAX,
        },
        Some("1"),
    ),
    key("node.id", INT, None, "The node's id."),
    key(
        "num.io.threads",
        INT,
        Some("8"),
        "Requests are served by the threads of the machine; the number is not used.",
    ),
    key(
        "num.network.threads",
        INT,
        Some("3"),
        "Sockets are served by the threads of the machine; the number is not used.",
    ),
    key(
        "num.partitions",
        INT,
        Some("1"),
        "Partitions of a topic that does not say.",
    ),
    key(
        "offsets.retention.minutes",
        INT,
        Some("10080"),
        "How long offsets of an empty group are kept, in minutes.",
    ),
    key(
        "offsets.topic.num.partitions",
        INT,
        Some("50"),
        "Groups are spread over the shards; there is no topic of offsets.",
    ),
    key(
        "offsets.topic.replication.factor",
        SHORT,
        Some("3"),
        "Offsets have the copies that their shard has.",
    ),
    key(
        "process.roles",
        LIST,
        Some("broker,controller"),
        "Every node is both.",
    ),
    rate(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        "Bytes a second of moves between directories.",
    ),
    key(
        "socket.request.max.bytes",
        INT,
        Some("104857600"),
        "Largest request.",
    ),
    key(
        "transaction.max.timeout.ms",
        INT,
        Some("900000"),
        "Longest time of a transaction, in ms.",
    ),
    key(
        "transaction.state.log.min.isr",
        INT,
        Some("2"),
        "A majority of the shard's copies.",
    ),
    key(
        "transaction.state.log.num.partitions",
        INT,
        Some("50"),
        "Transactions are spread over the shards; there is no topic of them.",
    ),
    key(
        "transaction.state.log.replication.factor",
        SHORT,
        Some("3"),
        "Transactions have the copies that their shard has.",
    ),
    key(
        "transactional.id.expiration.ms",
        INT,
        Some("604800000"),
        "How long an idle transactional id is kept, in ms.",
    ),
    topic_default("unclean.leader.election.enable", BOOLEAN, Some("false")),
];

/// The key called `name`.
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    find(&BROKER_KEYS, name)
}

/// The key whose range a change of the setting `name` must keep to; `None`: it cannot be changed
/// while the node runs.
pub fn dynamic_key(name: &str) -> Option<&'static ConfigKey> {
    let key = broker_key(name)?;
    // A topic's default can be changed to what the topic's own setting could be.
    let effect = topic_key_of_broker(name).map(|topic| topic.effect);
    match (effect, key.effect) {
        (Some(Effect::Enforced | Effect::Moot(_)), _) | (None, Effect::Moot(_)) => Some(key),
        (Some(Effect::Fixed(_)), _) | (None, Effect::Enforced | Effect::Fixed(_)) => None,
    }
}

/// Names that give the same value, the one that counts first.
pub fn same_as(name: &'static str) -> &'static [&'static str] {
    match name {
        "log.retention.ms" => &[
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ],
        "log.roll.ms" => &["log.roll.ms", "log.roll.hours"],
        "log.flush.interval.ms" => &["log.flush.interval.ms"],
        "log.dirs" => &["log.dirs", "log.dir"],
        "node.id" => &["node.id", "broker.id"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::{super::topic::TOPIC_KEYS, *};

    #[test]
    fn the_table_is_sorted_and_its_defaults_fit() {
        assert!(BROKER_KEYS.is_sorted_by_key(|key| key.name));
        for key in &BROKER_KEYS {
            let refused = key.default.and_then(|default| key.refusal(default));
            assert_eq!(refused, None, "{}", key.name);
        }
    }

    #[test]
    fn every_default_of_a_topic_is_a_brokers_setting() {
        for key in TOPIC_KEYS.iter().filter(|key| !key.broker_name.is_empty()) {
            let broker = broker_key(key.broker_name);
            assert!(broker.is_some(), "{}", key.broker_name);
        }
    }
}
