//! Which segments are too old or too many.

use weir_model::Offset;

use crate::{
    clock::Millis,
    partition::{PartitionManifest, SegmentMeta},
};

/// How much of a partition is kept. Kafka's `retention.ms` and `retention.bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Segments whose latest record is older than this go.
    pub retention_ms: Option<u64>,
    /// The oldest segments go while the others alone have at least this length, in bytes.
    pub retention_bytes: Option<u64>,
}

/// Where the log should start, if further on than at `start`, its start at the moment. Whole
/// segments go: by time up to the active one included, by length never the active one. Data that
/// is not flushed yet stays and is not counted.
pub fn new_start(
    manifest: &PartitionManifest,
    start: Offset,
    policy: RetentionPolicy,
    now: Millis,
) -> Option<Offset> {
    let kept = &manifest.segments[manifest.segment_at(start)..];
    let by_time = policy.retention_ms.map_or(0, |retention_ms| {
        kept.iter()
            .take_while(|segment| now.since(last_written(segment)) > retention_ms)
            .count()
    });
    let by_size = policy
        .retention_bytes
        .map_or(0, |retention_bytes| over_count(kept, retention_bytes));
    kept[..by_time.max(by_size)]
        .last()
        .map(|segment| segment.next_offset)
}

/// The latest record's time; the file's age where records tell no time.
pub(crate) fn last_written(segment: &SegmentMeta) -> Millis {
    if segment.max_timestamp_ms < 0 {
        Millis(segment.created_ms)
    } else {
        Millis(segment.max_timestamp_ms)
    }
}

/// How many of the oldest segments can go so that at least `retention_bytes` stay.
fn over_count(segments: &[SegmentMeta], retention_bytes: u64) -> usize {
    let Some((_active, sealed)) = segments.split_last() else {
        return 0;
    };
    let total: u64 = segments.iter().map(|segment| segment.size_bytes).sum();
    let mut excess_bytes = total.saturating_sub(retention_bytes);
    sealed
        .iter()
        .take_while(|segment| {
            let fits = segment.size_bytes <= excess_bytes;
            excess_bytes = excess_bytes.saturating_sub(segment.size_bytes);
            fits
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(segments: &[(u64, i64)]) -> PartitionManifest {
        let mut base = 0;
        let mut manifest = PartitionManifest::default();
        for (size_bytes, max_timestamp_ms) in segments {
            let mut segment = SegmentMeta::empty(Offset(base), 0, 500);
            base += 10;
            segment.next_offset = Offset(base);
            segment.size_bytes = *size_bytes;
            segment.max_timestamp_ms = *max_timestamp_ms;
            manifest.segments.push(segment);
        }
        manifest
    }

    fn by_ms(retention_ms: u64) -> RetentionPolicy {
        RetentionPolicy {
            retention_ms: Some(retention_ms),
            retention_bytes: None,
        }
    }

    fn by_bytes(retention_bytes: u64) -> RetentionPolicy {
        RetentionPolicy {
            retention_ms: None,
            retention_bytes: Some(retention_bytes),
        }
    }

    #[test]
    fn nothing_goes_without_a_limit() {
        let manifest = manifest(&[(100, 1), (100, 2)]);
        let kept = new_start(
            &manifest,
            Offset(0),
            RetentionPolicy::default(),
            Millis(i64::MAX),
        );
        assert_eq!(kept, None);
    }

    #[test]
    fn segments_go_by_time_oldest_first_and_a_young_one_shields_those_behind() {
        let manifest = manifest(&[(100, 1_000), (100, 2_000), (100, 900)]);
        let at = |now| new_start(&manifest, Offset(0), by_ms(100), Millis(now));
        assert_eq!(at(1_100), None);
        assert_eq!(at(1_101), Some(Offset(10)));
        assert_eq!(at(2_100), Some(Offset(10)));
    }

    #[test]
    fn the_active_segment_goes_by_time_too() {
        let manifest = manifest(&[(100, 1_000), (100, 2_000)]);
        let start = new_start(&manifest, Offset(0), by_ms(100), Millis(2_101));
        assert_eq!(start, Some(Offset(20)));
        assert_eq!(
            new_start(&manifest, Offset(20), by_ms(100), Millis(9_999)),
            None
        );
    }

    #[test]
    fn records_without_time_age_with_their_file() {
        let manifest = manifest(&[(100, -1), (100, i64::MIN)]);
        assert_eq!(
            new_start(&manifest, Offset(0), by_ms(100), Millis(600)),
            None
        );
        let start = new_start(&manifest, Offset(0), by_ms(100), Millis(601));
        assert_eq!(start, Some(Offset(20)));
    }

    #[test]
    fn segments_go_by_length_as_long_as_the_limit_stays_filled() {
        let manifest = manifest(&[(100, 1), (100, 2), (100, 3), (50, 4)]);
        let at = |limit| new_start(&manifest, Offset(0), by_bytes(limit), Millis(0));
        assert_eq!(at(350), None);
        assert_eq!(at(251), None);
        assert_eq!(at(250), Some(Offset(10)));
        assert_eq!(at(150), Some(Offset(20)));
        assert_eq!(at(0), Some(Offset(30)));
    }

    #[test]
    fn what_is_trimmed_already_is_not_counted() {
        let manifest = manifest(&[(100, 1), (100, 2), (100, 3)]);
        let start = new_start(&manifest, Offset(15), by_bytes(200), Millis(0));
        assert_eq!(start, None);
    }
}
