//! Where a consumer of a stream begins.

use std::sync::Arc;

use weir_model::{
    ErrorKind, PartitionId,
    batch::BatchHeader,
    fields::{FieldTable, FieldValue},
};

use crate::{
    Node,
    api::{ListOffset, ListOffsets, ListedOffset, OffsetSpec, Outcome, TopicRef},
    mailbox::Reply,
    routing::settings,
};

/// Where to begin, when nothing is said: after what is there.
const DEFAULT: StreamStart = StreamStart::Next;

/// A place in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamStart {
    /// The first message that is there.
    First,
    /// The last batch that is there.
    Last,
    /// After the last message that is there.
    Next,
    /// This offset, or the first one that is there.
    Offset(u64),
    /// The first message of this time, in ms since 1970, or later.
    Time(i64),
}

/// Hears an offset once.
pub(super) type Started = Box<dyn FnOnce(Result<u64, ErrorKind>) + Send>;

impl StreamStart {
    /// From a consumer's `x-stream-offset`. `None` where that is no place.
    pub(super) fn of(arguments: &FieldTable, now_ms: i64) -> Option<Self> {
        let Some(value) = arguments.get("x-stream-offset") else {
            return Some(DEFAULT);
        };
        if let Some(offset) = value.as_int() {
            return u64::try_from(offset).ok().map(Self::Offset);
        }
        match value {
            FieldValue::Timestamp(seconds) => {
                let ms = i64::try_from(*seconds).ok()?.checked_mul(1_000)?;
                Some(Self::Time(ms))
            }
            FieldValue::LongString(text) => match &text[..] {
                b"first" => Some(Self::First),
                b"last" => Some(Self::Last),
                b"next" => Some(Self::Next),
                interval => {
                    let ms = settings::age_ms(std::str::from_utf8(interval).ok()?)?;
                    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
                    Some(Self::Time(now_ms.saturating_sub(ms)))
                }
            },
            _ => None,
        }
    }
}

impl Node {
    /// Finds a place where this node leads the partition.
    pub(in super::super) fn stream_start_here(
        self: &Arc<Self>,
        partition: PartitionId,
        start: StreamStart,
        done: Started,
    ) {
        match start {
            StreamStart::Offset(offset) => done(Ok(offset)),
            StreamStart::First => self.offset_at(partition, OffsetSpec::Earliest, done),
            StreamStart::Next => self.offset_at(partition, OffsetSpec::Latest, done),
            StreamStart::Time(ms) => self.offset_at(partition, OffsetSpec::Timestamp(ms), done),
            StreamStart::Last => {
                let node = Arc::clone(self);
                let ended = move |end: Result<u64, ErrorKind>| match end {
                    Ok(end) if end > 0 => node.last_batch(partition, end, done),
                    end => done(end),
                };
                self.offset_at(partition, OffsetSpec::Latest, Box::new(ended));
            }
        }
    }

    /// The first offset of the batch before `end`.
    fn last_batch(self: &Arc<Self>, partition: PartitionId, end: u64, done: Started) {
        let read = move |chunk: super::ReadAnswer| match chunk {
            Ok(chunk) => {
                let header = BatchHeader::parse(&chunk.batches).ok();
                let base = header.and_then(|header| u64::try_from(header.base_offset).ok());
                done(Ok(base.unwrap_or(end)));
            }
            // All of it is gone meanwhile.
            Err(ErrorKind::OffsetOutOfRange) => done(Ok(end)),
            Err(error) => done(Err(error)),
        };
        self.read_stream_here(partition, end - 1, (1, 0), Box::new(read));
    }

    fn offset_at(self: &Arc<Self>, partition: PartitionId, at: OffsetSpec, done: Started) {
        let Some((topic, index)) = self.topic_of(partition) else {
            return done(Err(ErrorKind::NotLeader));
        };
        let node = Arc::clone(self);
        let answered = move |outcome| {
            let Outcome::ListOffsets(mut answers) = outcome else {
                return done(Err(ErrorKind::InvalidRequest));
            };
            match answers.pop() {
                Some(Ok(ListedOffset {
                    offset: Some(offset),
                    ..
                })) => done(Ok(offset.0)),
                // Nothing is as late: what comes next is.
                Some(Ok(_)) if at != OffsetSpec::Latest => {
                    node.offset_at(partition, OffsetSpec::Latest, done);
                }
                Some(Err(error)) => done(Err(error)),
                Some(Ok(_)) | None => done(Err(ErrorKind::InvalidRequest)),
            }
        };
        let wanted = ListOffset {
            topic: TopicRef::Id(topic),
            index,
            at,
            leader_epoch: -1,
            committed_only: true,
        };
        let asked = ListOffsets {
            wanted: vec![wanted],
            timeout_ms: None,
        };
        self.list_offsets(asked, Reply::call(answered));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_model::fields::ShortString;

    use super::*;

    fn start(value: FieldValue) -> Option<StreamStart> {
        let name = ShortString::new("x-stream-offset").unwrap();
        StreamStart::of(&FieldTable(vec![(name, value)]), 10_000_000)
    }

    fn text(text: &'static str) -> Option<StreamStart> {
        start(FieldValue::LongString(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn a_place_is_a_word_an_offset_a_time_or_an_age() {
        let none = StreamStart::of(&FieldTable::default(), 0);
        assert_eq!(none, Some(StreamStart::Next));
        assert_eq!(text("first"), Some(StreamStart::First));
        assert_eq!(text("last"), Some(StreamStart::Last));
        assert_eq!(text("next"), Some(StreamStart::Next));
        assert_eq!(start(FieldValue::Int32(7)), Some(StreamStart::Offset(7)));
        let time = start(FieldValue::Timestamp(1_700_000_000));
        assert_eq!(time, Some(StreamStart::Time(1_700_000_000_000)));
        assert_eq!(text("1h"), Some(StreamStart::Time(10_000_000 - 3_600_000)));
        assert_eq!(start(FieldValue::Int8(-1)), None);
        assert_eq!(text("yesterday"), None);
        assert_eq!(start(FieldValue::Boolean(true)), None);
    }
}
