//! The rules for single records.

use weir_log::Millis;
use weir_model::{
    ErrorKind,
    batch::{BatchHeader, Codec},
    record::{Record, RecordError, Records},
};

use super::Refused;
use crate::{
    api::{MAX_REFUSED_RECORDS, RefusedRecord},
    metadata::{TopicConfig, topic_config::TimestampType},
};

/// The time of a record that has none.
const NO_TIMESTAMP: i64 = -1;

/// What the records of one batch must be.
pub(super) struct Rules {
    count: u32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    codec: Codec,
    /// Whether every record needs a key.
    keyed: bool,
    /// Earliest and latest time; `None`: the broker's own time counts.
    times: Option<(i64, i64)>,
}

impl Rules {
    pub(super) fn new(config: &TopicConfig, header: &BatchHeader, now: Millis) -> Self {
        let around = |range_ms: u64| i64::try_from(range_ms).unwrap_or(i64::MAX);
        let earliest_ms = now.0.saturating_sub(around(config.timestamp_before_max_ms));
        let latest_ms = now.0.saturating_add(around(config.timestamp_after_max_ms));
        Self {
            count: header.record_count,
            base_timestamp_ms: header.base_timestamp_ms,
            max_timestamp_ms: header.max_timestamp_ms,
            codec: header.codec,
            keyed: config.cleanup_policy.compact,
            times: match config.timestamp_type {
                TimestampType::CreateTime => Some((earliest_ms, latest_ms)),
                TimestampType::LogAppendTime => None,
            },
        }
    }

    /// Whether the header is not enough to know.
    pub(super) fn look_inside(&self) -> bool {
        // The header has the latest time, not the earliest one.
        self.keyed || self.times.is_some_and(|(earliest_ms, _)| earliest_ms >= 0)
    }

    /// What the header alone tells of records that stay closed.
    pub(super) fn check_header(&self) -> Result<(), Refused> {
        debug_assert!(self.codec != Codec::None, "what is open is looked at");
        match self.time_error(self.max_timestamp_ms, self.count.saturating_sub(1)) {
            None => Ok(()),
            Some(message) => Err(Refused::batch(ErrorKind::InvalidTimestamp, message)),
        }
    }

    /// Checks decompressed records; gives the latest time among them. Allocates nothing as long as
    /// all are good.
    pub(super) fn check(&self, body: &[u8]) -> Result<i64, Refused> {
        let mut max_timestamp_ms = NO_TIMESTAMP;
        let mut blamed = Blamed::default();
        for (at, record) in (0..).zip(Records::new(body, self.count)) {
            let record = record.map_err(|error| malformed(&error))?;
            if record.offset_delta != at {
                let delta = record.offset_delta;
                return Err(malformed(&RecordError::Delta { at, delta }));
            }
            let time_ms = self
                .base_timestamp_ms
                .saturating_add(record.timestamp_delta_ms);
            max_timestamp_ms = max_timestamp_ms.max(time_ms);
            self.check_one(&record, time_ms, &mut blamed);
        }
        if blamed.count > 0 {
            return Err(blamed.refused());
        }
        // Without records of a time of their own there is nothing that the header could belie.
        Ok(match self.times {
            Some(_) => max_timestamp_ms,
            None => self.max_timestamp_ms,
        })
    }

    fn check_one(&self, record: &Record<'_>, time_ms: i64, blamed: &mut Blamed) {
        if self.keyed && record.key.is_none() {
            blamed.add(ErrorKind::InvalidRecord, record.offset_delta, || {
                "Compacted topic cannot accept message without key.".to_owned()
            });
        } else if let Some(message) = self.time_error(time_ms, record.offset_delta) {
            blamed.add(ErrorKind::InvalidTimestamp, record.offset_delta, || message);
        }
    }

    fn time_error(&self, time_ms: i64, at: u32) -> Option<String> {
        let (earliest_ms, latest_ms) = self.times?;
        let is_good = time_ms == NO_TIMESTAMP || (earliest_ms..=latest_ms).contains(&time_ms);
        (!is_good).then(|| {
            format!(
                "Timestamp {time_ms} of message with offset {at} is out of range. The timestamp \
                 should be within [{earliest_ms}, {latest_ms}]"
            )
        })
    }
}

/// Records that are to blame.
#[derive(Default)]
struct Blamed {
    count: usize,
    has_bad_time: bool,
    records: Vec<RefusedRecord>,
}

impl Blamed {
    fn add(&mut self, error: ErrorKind, at: u32, message: impl FnOnce() -> String) {
        self.count += 1;
        self.has_bad_time |= error == ErrorKind::InvalidTimestamp;
        if self.records.len() < MAX_REFUSED_RECORDS {
            let message = message();
            self.records.push(RefusedRecord { at, message });
        }
    }

    fn refused(self) -> Refused {
        if self.has_bad_time {
            let message = "One or more records have been rejected due to invalid timestamp";
            return Refused::records(ErrorKind::InvalidTimestamp, message, self.records);
        }
        let message = format!(
            "One or more records have been rejected due to {} record errors in total",
            self.count
        );
        Refused::records(ErrorKind::InvalidRecord, message, self.records)
    }
}

fn malformed(error: &RecordError) -> Refused {
    Refused::batch(ErrorKind::InvalidRecord, error.to_string())
}
