//! A topic's settings as the broker works with them.

use std::collections::BTreeMap;

use weir_model::ErrorKind;

pub use crate::configs::{topic::MIN_SEGMENT_BYTES, value::MAX_CONFIG_VALUE_BYTES};
use crate::configs::{topic::topic_key, value::items};

/// Whose time a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, when it stores the batch.
    LogAppendTime,
}

/// What batches are stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// What the producer chose.
    Producer,
    /// Nothing.
    Uncompressed,
    /// `gzip`.
    Gzip,
    /// `snappy`.
    Snappy,
    /// `lz4`.
    Lz4,
    /// `zstd`.
    Zstd,
}

/// What becomes of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted by time and size.
    pub delete: bool,
    /// The last record of each key is kept.
    pub compact: bool,
}

/// A topic's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `retention.ms`; `None`: no limit.
    pub retention_ms: Option<u64>,
    /// `retention.bytes` a partition; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `delete.retention.ms`: how long a tombstone stays.
    pub delete_retention_ms: u64,
    /// `min.cleanable.dirty.ratio`, in percent.
    pub min_dirty_percent: u8,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: u64,
    /// `max.message.bytes`: largest batch, in bytes.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: u64,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// `compression.gzip.level`: 1 to 9; -1: the library's default.
    pub gzip_level: i32,
    /// `compression.zstd.level`.
    pub zstd_level: i32,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("Unknown topic config name: {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The setting cannot have this value.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    Value {
        /// The name.
        name: String,
        /// The value, or its beginning.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<ConfigError> for ErrorKind {
    fn from(_: ConfigError) -> Self {
        Self::InvalidConfig
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        let none = BTreeMap::new();
        Self::resolve(&none, &none)
    }
}

impl TopicConfig {
    /// How old a segment gets that is written to. What must be compacted by some age has to leave
    /// that segment before: nothing else is compacted (KIP-354).
    pub fn roll_ms(&self) -> u64 {
        match self.cleanup_policy.compact {
            true => self.segment_ms.min(self.max_compaction_lag_ms),
            false => self.segment_ms,
        }
    }

    /// The defaults with `configs` over them.
    pub fn parse(configs: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        for (name, value) in configs {
            check(name, value)?;
        }
        Ok(Self::resolve(configs, &BTreeMap::new()))
    }

    /// The defaults with the cluster's settings for brokers over them, and `configs` over those.
    /// What a checked value cannot be is left at its default.
    pub fn resolve(configs: &BTreeMap<String, String>, brokers: &BTreeMap<String, String>) -> Self {
        let values = Values { configs, brokers };
        Self {
            retention_ms: values.limit("retention.ms"),
            retention_bytes: values.limit("retention.bytes"),
            segment_bytes: values.size("segment.bytes"),
            segment_ms: values.long("segment.ms"),
            cleanup_policy: CleanupPolicy::of(values.text("cleanup.policy")),
            delete_retention_ms: values.long("delete.retention.ms"),
            min_dirty_percent: percent(values.text("min.cleanable.dirty.ratio")),
            min_compaction_lag_ms: values.long("min.compaction.lag.ms"),
            max_compaction_lag_ms: values.long("max.compaction.lag.ms"),
            max_message_bytes: values.size("max.message.bytes"),
            timestamp_type: TimestampType::of(values.text("message.timestamp.type")),
            timestamp_before_max_ms: values.long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.long("message.timestamp.after.max.ms"),
            compression_type: CompressionType::of(values.text("compression.type")),
            gzip_level: values.level("compression.gzip.level"),
            zstd_level: values.level("compression.zstd.level"),
            min_insync_replicas: values.size("min.insync.replicas"),
        }
    }
}

/// Whether a topic can have this setting.
pub fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let known = topic_key(name).ok_or_else(|| ConfigError::Unknown {
        name: name.to_owned(),
    })?;
    match known.refusal(value) {
        None => Ok(()),
        Some(reason) => {
            let shown = value.floor_char_boundary(MAX_SHOWN_BYTES);
            Err(ConfigError::Value {
                name: name.to_owned(),
                value: value[..shown].to_owned(),
                reason,
            })
        }
    }
}

/// Most of a refused value that is repeated, in bytes.
const MAX_SHOWN_BYTES: usize = 256;

/// Checked values in layers.
struct Values<'a> {
    configs: &'a BTreeMap<String, String>,
    brokers: &'a BTreeMap<String, String>,
}

impl<'a> Values<'a> {
    fn text(&self, name: &str) -> &'a str {
        let key = topic_key(name).expect("only keys of the table are asked for");
        let set = self
            .configs
            .get(name)
            .or_else(|| self.brokers.get(key.broker_name));
        let default = key.default.unwrap_or_default();
        let fits = |value: &&String| key.refusal(value).is_none();
        set.filter(fits).map_or(default, |value| value.trim())
    }

    /// A number that is not negative.
    fn long(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(u64::MAX)
    }

    fn limit(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    fn size(&self, name: &str) -> u32 {
        self.text(name).parse().unwrap_or(u32::MAX)
    }

    fn level(&self, name: &str) -> i32 {
        self.text(name).parse().unwrap_or(-1)
    }
}

fn percent(ratio: &str) -> u8 {
    let ratio: f64 = ratio.parse().unwrap_or(0.5);
    (ratio * 100.0).round().clamp(0.0, 100.0) as u8
}

impl CleanupPolicy {
    fn of(text: &str) -> Self {
        Self {
            delete: items(text).any(|item| item == "delete"),
            compact: items(text).any(|item| item == "compact"),
        }
    }
}

impl TimestampType {
    fn of(text: &str) -> Self {
        match text {
            "LogAppendTime" => Self::LogAppendTime,
            _ => Self::CreateTime,
        }
    }
}

impl CompressionType {
    fn of(text: &str) -> Self {
        match text {
            "uncompressed" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => Self::Producer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configs::topic::TOPIC_KEYS;

    fn parse(name: &str, value: &str) -> Result<TopicConfig, ConfigError> {
        TopicConfig::parse(&map(&[(name, value)]))
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let entries = entries.iter();
        entries
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    // Table: one line a setting.
    fn settings_take_their_limits_and_nothing_past_them() {
        let cases: [(&str, &[&str], &[&str]); 15] = [
            (
                "cleanup.policy",
                &["delete", "compact", "compact,delete", "delete, compact", ""],
                &["archive", "compact,", "delete,delete"],
            ),
            (
                "compression.type",
                &["producer", "gzip", "uncompressed"],
                &["none", ""],
            ),
            ("compression.zstd.level", &["-131072", "22"], &["23", "x"]),
            (
                "delete.retention.ms",
                &["0", "9223372036854775807"],
                &["-1", "x"],
            ),
            (
                "max.message.bytes",
                &["0", "2147483647"],
                &["-1", "2147483648"],
            ),
            (
                "message.timestamp.type",
                &["CreateTime", "LogAppendTime"],
                &["createtime", ""],
            ),
            (
                "min.cleanable.dirty.ratio",
                &["0", "1", "0.25"],
                &["-0.1", "1.1", "NaN"],
            ),
            ("min.insync.replicas", &["1", "2147483647"], &["0", "-1"]),
            (
                "retention.bytes",
                &["-1", "0", "9223372036854775807"],
                &["-2", "1.5"],
            ),
            (
                "retention.ms",
                &["-1", "0", "1000"],
                &["-2", "9223372036854775808", "", "1s"],
            ),
            (
                "segment.bytes",
                &["1024", "2147483647"],
                &["1023", "-1", "2147483648"],
            ),
            ("segment.ms", &["1"], &["0", "-1"]),
            ("preallocate", &["true", "FALSE"], &["yes"]),
            ("remote.storage.enable", &["false"], &["true"]),
            ("unclean.leader.election.enable", &["false"], &["true"]),
        ];
        for (name, good, bad) in cases {
            for value in good {
                assert!(parse(name, value).is_ok(), "{name}={value}");
            }
            for value in bad {
                assert!(
                    matches!(parse(name, value), Err(ConfigError::Value { .. })),
                    "{name}={value}"
                );
            }
        }
    }

    #[test]
    fn settings_read_back_as_they_were_parsed() {
        let parsed = TopicConfig::parse(&map(&[
            ("cleanup.policy", "compact"),
            ("compression.type", "zstd"),
            ("delete.retention.ms", "1"),
            ("max.compaction.lag.ms", "8"),
            ("max.message.bytes", "2"),
            ("message.timestamp.before.max.ms", "7"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("min.insync.replicas", "3"),
            ("retention.bytes", "4"),
            ("retention.ms", "-1"),
            ("segment.bytes", "5000"),
            ("segment.ms", "6"),
        ]));
        let expected = TopicConfig {
            retention_ms: None,
            retention_bytes: Some(4),
            segment_bytes: 5000,
            segment_ms: 6,
            cleanup_policy: CleanupPolicy {
                delete: false,
                compact: true,
            },
            delete_retention_ms: 1,
            min_dirty_percent: 1,
            max_compaction_lag_ms: 8,
            max_message_bytes: 2,
            timestamp_type: TimestampType::LogAppendTime,
            timestamp_before_max_ms: 7,
            compression_type: CompressionType::Zstd,
            min_insync_replicas: 3,
            ..TopicConfig::default()
        };
        assert_eq!(parsed, Ok(expected));
    }

    #[test]
    fn a_topics_own_setting_stands_before_the_clusters_and_that_before_the_default() {
        let brokers = map(&[("log.retention.ms", "5"), ("message.max.bytes", "9")]);
        let resolved = TopicConfig::resolve(&map(&[("retention.ms", "7")]), &brokers);
        assert_eq!(resolved.retention_ms, Some(7));
        assert_eq!(resolved.max_message_bytes, 9);
        assert_eq!(resolved.segment_bytes, 1 << 30);
    }

    #[test]
    fn an_unknown_setting_is_an_invalid_config() {
        let refused = parse("retention.mss", "1").unwrap_err();
        assert_eq!(ErrorKind::from(refused), ErrorKind::InvalidConfig);
        let long = "1".repeat(MAX_CONFIG_VALUE_BYTES + 1);
        assert!(matches!(
            parse("segment.ms", &long),
            Err(ConfigError::Value { .. })
        ));
    }

    #[test]
    fn the_table_is_sorted_and_its_defaults_fit() {
        assert!(TOPIC_KEYS.is_sorted_by_key(|key| key.name));
        for key in &TOPIC_KEYS {
            assert_eq!(key.refusal(key.default.unwrap()), None, "{}", key.name);
        }
    }

    #[test]
    fn defaults_are_kafkas() {
        let week_ms = 7 * 24 * 60 * 60 * 1000;
        let expected = TopicConfig {
            retention_ms: Some(week_ms),
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment_ms: week_ms,
            cleanup_policy: CleanupPolicy {
                delete: true,
                compact: false,
            },
            delete_retention_ms: 24 * 60 * 60 * 1000,
            min_dirty_percent: 50,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX.cast_unsigned(),
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX.cast_unsigned(),
            timestamp_after_max_ms: 60 * 60 * 1000,
            compression_type: CompressionType::Producer,
            gzip_level: -1,
            zstd_level: 3,
            min_insync_replicas: 1,
        };
        assert_eq!(TopicConfig::default(), expected);
    }
}
