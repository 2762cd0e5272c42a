//! A topic's settings.

use super::key::{ConfigKey, Effect, Kind, find};

/// Smallest segment, in bytes, as a topic may set it. Kafka asked for 14 before 4.0 and for
/// 1 MiB since; below this a segment's files cost more than its data.
pub const MIN_SEGMENT_BYTES: i32 = 1024;

const LONG_MAX: &str = "9223372036854775807";
const NO_TIERS: &str = "there is no remote storage of segments here";
const SYNCED: &str =
    "every acknowledged batch is on a majority's stable storage before it is acknowledged";
const NO_MOVES: &str =
    "partitions do not move one by one; catch-up of replicas has a limit of its own";

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    broker_name: &'static str,
    effect: Effect,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default: Some(default),
        effect,
        broker_name,
        doc,
    }
}

const fn at_least(min: i64) -> Kind {
    Kind::Long { min }
}

const fn int(min: i32, max: i32) -> Kind {
    Kind::Int { min, max }
}

/// All of them, by name.
pub static TOPIC_KEYS: [ConfigKey; 34] = [
    key(
        "cleanup.policy",
        Kind::List(&["compact", "delete"]),
        "delete",
        "log.cleanup.policy",
        Effect::Enforced,
        "What becomes of old records: delete removes old segments by time and size, compact keeps the last record of each key.",
    ),
    key(
        "compression.gzip.level",
        int(-1, 9),
        "-1",
        "compression.gzip.level",
        Effect::Enforced,
        "The level where compression.type is gzip; -1 is the library's default.",
    ),
    key(
        "compression.lz4.level",
        int(1, 17),
        "9",
        "compression.lz4.level",
        Effect::Moot("lz4 is compressed at the library's one level"),
        "The level where compression.type is lz4.",
    ),
    key(
        "compression.type",
        Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "producer",
        "compression.type",
        Effect::Enforced,
        "The codec that batches are stored with; producer keeps what the producer chose.",
    ),
    key(
        "compression.zstd.level",
        int(-131_072, 22),
        "3",
        "compression.zstd.level",
        Effect::Enforced,
        "The level where compression.type is zstd.",
    ),
    key(
        "delete.retention.ms",
        at_least(0),
        "86400000",
        "log.cleaner.delete.retention.ms",
        Effect::Enforced,
        "How long a tombstone of a compacted topic stays, in ms.",
    ),
    key(
        "errors.deadletterqueue.group.enable",
        Kind::Boolean,
        "false",
        "",
        Effect::Enforced,
        "Whether share groups may have their dead letters written to the topic.",
    ),
    key(
        "file.delete.delay.ms",
        at_least(0),
        "60000",
        "log.segment.delete.delay.ms",
        Effect::Moot("files go as soon as no checkpoint names them and nobody reads them"),
        "How long a deleted segment's files stay, in ms.",
    ),
    key(
        "flush.messages",
        at_least(1),
        LONG_MAX,
        "log.flush.interval.messages",
        Effect::Moot(SYNCED),
        "Messages after which a log is synced.",
    ),
    key(
        "flush.ms",
        at_least(0),
        LONG_MAX,
        "log.flush.interval.ms",
        Effect::Moot(SYNCED),
        "Time after which a log is synced, in ms.",
    ),
    key(
        "follower.replication.throttled.replicas",
        Kind::List(&[]),
        "",
        "",
        Effect::Moot(NO_MOVES),
        "Replicas whose replication is throttled on followers.",
    ),
    key(
        "index.interval.bytes",
        int(0, i32::MAX),
        "4096",
        "log.index.interval.bytes",
        Effect::Moot("indexes have an interval of their own"),
        "Bytes between two entries of an index.",
    ),
    key(
        "leader.replication.throttled.replicas",
        Kind::List(&[]),
        "",
        "",
        Effect::Moot(NO_MOVES),
        "Replicas whose replication is throttled on leaders.",
    ),
    key(
        "local.retention.bytes",
        at_least(-2),
        "-2",
        "log.local.retention.bytes",
        Effect::Moot(NO_TIERS),
        "How much of a partition stays local with remote storage; -2: retention.bytes.",
    ),
    key(
        "local.retention.ms",
        at_least(-2),
        "-2",
        "log.local.retention.ms",
        Effect::Moot(NO_TIERS),
        "How long segments stay local with remote storage, in ms; -2: retention.ms.",
    ),
    key(
        "max.compaction.lag.ms",
        at_least(1),
        LONG_MAX,
        "log.cleaner.max.compaction.lag.ms",
        Effect::Enforced,
        "A sealed segment with older records is compacted whatever the share of new ones, in ms.",
    ),
    key(
        "max.message.bytes",
        int(0, i32::MAX),
        "1048588",
        "message.max.bytes",
        Effect::Enforced,
        "Largest batch that is taken, compressed, in bytes.",
    ),
    key(
        "message.timestamp.after.max.ms",
        at_least(0),
        "3600000",
        "log.message.timestamp.after.max.ms",
        Effect::Enforced,
        "How far a record's time may be ahead of the broker's, in ms.",
    ),
    key(
        "message.timestamp.before.max.ms",
        at_least(0),
        LONG_MAX,
        "log.message.timestamp.before.max.ms",
        Effect::Enforced,
        "How far a record's time may be behind the broker's, in ms.",
    ),
    key(
        "message.timestamp.type",
        Kind::Choice(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
        "log.message.timestamp.type",
        Effect::Enforced,
        "Whose time records carry: the producer's or the broker's.",
    ),
    key(
        "min.cleanable.dirty.ratio",
        Kind::Double { min: 0.0, max: 1.0 },
        "0.5",
        "log.cleaner.min.cleanable.ratio",
        Effect::Enforced,
        "Share of a log that must be new before it is compacted; kept to a hundredth.",
    ),
    key(
        "min.compaction.lag.ms",
        at_least(0),
        "0",
        "log.cleaner.min.compaction.lag.ms",
        Effect::Enforced,
        "Segments with younger records are not compacted, in ms.",
    ),
    key(
        "min.insync.replicas",
        int(1, i32::MAX),
        "1",
        "min.insync.replicas",
        Effect::Enforced,
        "Replicas that must be in sync for acks=all; a majority always must be.",
    ),
    key(
        "preallocate",
        Kind::Boolean,
        "false",
        "log.preallocate",
        Effect::Moot("segments are written in large pieces that need no room made before"),
        "Whether segment files get their whole length when they are made.",
    ),
    key(
        "remote.log.copy.disable",
        Kind::Boolean,
        "false",
        "",
        Effect::Fixed(NO_TIERS),
        "Whether nothing more is copied to remote storage.",
    ),
    key(
        "remote.log.delete.on.disable",
        Kind::Boolean,
        "false",
        "",
        Effect::Fixed(NO_TIERS),
        "Whether remote data goes when remote storage is switched off.",
    ),
    key(
        "remote.storage.enable",
        Kind::Boolean,
        "false",
        "",
        Effect::Fixed(NO_TIERS),
        "Whether segments are copied to remote storage.",
    ),
    key(
        "retention.bytes",
        at_least(-1),
        "-1",
        "log.retention.bytes",
        Effect::Enforced,
        "How much of a partition is kept, in bytes; -1: everything.",
    ),
    key(
        "retention.ms",
        at_least(-1),
        "604800000",
        "log.retention.ms",
        Effect::Enforced,
        "How long records are kept, in ms; -1: for ever.",
    ),
    key(
        "segment.bytes",
        int(MIN_SEGMENT_BYTES, i32::MAX),
        "1073741824",
        "log.segment.bytes",
        Effect::Enforced,
        "Length at which a segment is followed by a new one, in bytes.",
    ),
    key(
        "segment.index.bytes",
        int(4, i32::MAX),
        "10485760",
        "log.index.size.max.bytes",
        Effect::Moot("an index grows with its segment"),
        "Largest index of a segment, in bytes.",
    ),
    key(
        "segment.jitter.ms",
        at_least(0),
        "0",
        "log.roll.jitter.ms",
        Effect::Moot(
            "one flusher writes all partitions, so that segments that end together cost nothing",
        ),
        "Random time that segment.ms is shortened by, in ms.",
    ),
    key(
        "segment.ms",
        at_least(1),
        "604800000",
        "log.roll.ms",
        Effect::Enforced,
        "Age at which a segment is followed by a new one, in ms.",
    ),
    key(
        "unclean.leader.election.enable",
        Kind::Boolean,
        "false",
        "unclean.leader.election.enable",
        Effect::Fixed("only a replica that has everything acknowledged is ever elected"),
        "Whether a replica that lacks acknowledged records may lead.",
    ),
];

/// The key called `name`.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    find(&TOPIC_KEYS, name)
}

/// The topic's setting whose default the broker's setting `name` gives.
pub fn topic_key_of_broker(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS
        .iter()
        .find(|key| !key.broker_name.is_empty() && key.broker_name == name)
}
