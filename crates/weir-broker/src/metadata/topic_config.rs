//! A topic's settings by Kafka's names, with Kafka's defaults.

use std::collections::BTreeMap;

use weir_model::ErrorKind;

/// Smallest segment, in bytes, as a topic may set it. Kafka asked for 14 before 4.0 and for
/// 1 MiB since; below this a segment's files cost more than its data.
pub const MIN_SEGMENT_BYTES: u32 = 1024;
/// Longest value of a setting, in bytes.
pub const MAX_CONFIG_VALUE_BYTES: usize = 1024;

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
    #[error("setting {name:?} is unknown")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The setting cannot have this value.
    #[error("setting {name:?} cannot be {value:?}")]
    Value {
        /// The name.
        name: String,
        /// The value, or its beginning.
        value: String,
    },
}

impl From<ConfigError> for ErrorKind {
    fn from(_: ConfigError) -> Self {
        Self::InvalidConfig
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;
        Self {
            retention_ms: Some(WEEK_MS),
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            cleanup_policy: CleanupPolicy {
                delete: true,
                compact: false,
            },
            delete_retention_ms: 24 * 60 * 60 * 1000,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX.unsigned_abs(),
            timestamp_after_max_ms: 60 * 60 * 1000,
            compression_type: CompressionType::Producer,
            gzip_level: -1,
            zstd_level: 3,
            min_insync_replicas: 1,
        }
    }
}

impl TopicConfig {
    /// The defaults with `configs` over them.
    pub fn parse(configs: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut parsed = Self::default();
        for (name, value) in configs {
            if !parsed.is_known(name) {
                return Err(ConfigError::Unknown { name: name.clone() });
            }
            if value.len() > MAX_CONFIG_VALUE_BYTES || parsed.set(name, value).is_none() {
                let shown = value.floor_char_boundary(MAX_CONFIG_VALUE_BYTES);
                return Err(ConfigError::Value {
                    name: name.clone(),
                    value: value[..shown].to_owned(),
                });
            }
        }
        Ok(parsed)
    }

    /// All settings by name, as a client would read them.
    pub fn entries(&self) -> [(&'static str, String); 12] {
        let limit = |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |v| v.to_string());
        [
            ("cleanup.policy", self.cleanup_policy.name().to_owned()),
            ("compression.type", self.compression_type.name().to_owned()),
            ("delete.retention.ms", self.delete_retention_ms.to_string()),
            ("max.message.bytes", self.max_message_bytes.to_string()),
            (
                "message.timestamp.after.max.ms",
                self.timestamp_after_max_ms.to_string(),
            ),
            (
                "message.timestamp.before.max.ms",
                self.timestamp_before_max_ms.to_string(),
            ),
            (
                "message.timestamp.type",
                self.timestamp_type.name().to_owned(),
            ),
            ("min.insync.replicas", self.min_insync_replicas.to_string()),
            ("retention.bytes", limit(self.retention_bytes)),
            ("retention.ms", limit(self.retention_ms)),
            ("segment.bytes", self.segment_bytes.to_string()),
            ("segment.ms", self.segment_ms.to_string()),
        ]
    }

    fn is_known(&self, name: &str) -> bool {
        self.entries().iter().any(|(known, _)| *known == name)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "cleanup.policy" => self.cleanup_policy = CleanupPolicy::parse(value)?,
            "compression.type" => self.compression_type = CompressionType::parse(value)?,
            "delete.retention.ms" => self.delete_retention_ms = long(value, 0)?,
            "max.message.bytes" => self.max_message_bytes = int(value, 0)?,
            "message.timestamp.after.max.ms" => self.timestamp_after_max_ms = long(value, 0)?,
            "message.timestamp.before.max.ms" => self.timestamp_before_max_ms = long(value, 0)?,
            "message.timestamp.type" => self.timestamp_type = TimestampType::parse(value)?,
            "min.insync.replicas" => self.min_insync_replicas = int(value, 1)?,
            "retention.bytes" => self.retention_bytes = limit(value)?,
            "retention.ms" => self.retention_ms = limit(value)?,
            "segment.bytes" => self.segment_bytes = int(value, MIN_SEGMENT_BYTES)?,
            "segment.ms" => self.segment_ms = long(value, 1)?,
            _ => return None,
        }
        Some(())
    }
}

impl CleanupPolicy {
    fn parse(text: &str) -> Option<Self> {
        let mut policy = Self {
            delete: false,
            compact: false,
        };
        for word in text.split(',') {
            match word.trim() {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return None,
            }
        }
        Some(policy)
    }

    fn name(self) -> &'static str {
        match (self.delete, self.compact) {
            (true, true) => "compact,delete",
            (false, true) => "compact",
            (true, false) => "delete",
            (false, false) => "",
        }
    }
}

impl CompressionType {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "producer" => Self::Producer,
            "uncompressed" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Uncompressed => "uncompressed",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl TimestampType {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "CreateTime" => Some(Self::CreateTime),
            "LogAppendTime" => Some(Self::LogAppendTime),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}

/// A Java `long` of at least `min`.
fn long(text: &str, min: i64) -> Option<u64> {
    let value: i64 = text.trim().parse().ok()?;
    u64::try_from(value).ok().filter(|_| value >= min)
}

/// A Java `int` of at least `min`.
fn int(text: &str, min: u32) -> Option<u32> {
    let value: i32 = text.trim().parse().ok()?;
    u32::try_from(value).ok().filter(|value| *value >= min)
}

/// A Java `long` of at least -1, which stands for no limit.
fn limit(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "-1" => Some(None),
        text => long(text, 0).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<TopicConfig, ConfigError> {
        TopicConfig::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn every_setting_takes_its_limits_and_nothing_past_them() {
        let cases: [(&str, &[&str], &[&str]); 12] = [
            (
                "cleanup.policy",
                &["delete", "compact", "compact,delete", "delete, compact"],
                &["", "archive", "compact,"],
            ),
            (
                "compression.type",
                &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
                &["none", "GZIP", ""],
            ),
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
            ("message.timestamp.after.max.ms", &["0", "1"], &["-1", "x"]),
            ("message.timestamp.before.max.ms", &["0", "1"], &["-1", "x"]),
            (
                "message.timestamp.type",
                &["CreateTime", "LogAppendTime"],
                &["createtime", ""],
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
        ];
        let names: Vec<&str> = TopicConfig::default()
            .entries()
            .map(|(name, _)| name)
            .to_vec();
        assert_eq!(names, cases.map(|(name, ..)| name));
        for (name, good, bad) in cases {
            for value in good {
                assert!(parse(name, value).is_ok(), "{name}={value}");
            }
            for value in bad {
                let refused = ConfigError::Value {
                    name: name.to_owned(),
                    value: (*value).to_owned(),
                };
                assert_eq!(parse(name, value), Err(refused), "{name}={value}");
            }
        }
    }

    #[test]
    fn settings_read_back_as_they_were_parsed() {
        let mut changed = BTreeMap::new();
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", "1"),
            ("max.message.bytes", "2"),
            ("message.timestamp.after.max.ms", "7"),
            ("message.timestamp.before.max.ms", "8"),
            ("compression.type", "lz4"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "3"),
            ("retention.bytes", "4"),
            ("retention.ms", "-1"),
            ("segment.bytes", "5000"),
            ("segment.ms", "6"),
        ] {
            changed.insert(name.to_owned(), value.to_owned());
        }
        let parsed = TopicConfig::parse(&changed).unwrap();
        let read: BTreeMap<_, _> = parsed
            .entries()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        assert_eq!(read, changed);
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
    fn defaults_are_kafkas() {
        let expected = [
            ("cleanup.policy", "delete"),
            ("compression.type", "producer"),
            ("delete.retention.ms", "86400000"),
            ("max.message.bytes", "1048588"),
            ("message.timestamp.after.max.ms", "3600000"),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
            ("message.timestamp.type", "CreateTime"),
            ("min.insync.replicas", "1"),
            ("retention.bytes", "-1"),
            ("retention.ms", "604800000"),
            ("segment.bytes", "1073741824"),
            ("segment.ms", "604800000"),
        ];
        let entries = TopicConfig::default().entries();
        assert_eq!(
            entries,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }
}
