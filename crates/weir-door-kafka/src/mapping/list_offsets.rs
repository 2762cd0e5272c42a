//! ListOffsets 1 to 11.

use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse,
    list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
};
use uuid::Uuid;
use weir_broker::api::{ListOffset, ListOffsets, ListedOffset, OffsetSpec, Request};
use weir_model::ErrorKind;

use super::{
    grouped::{Grouped, by_name},
    plan::{Answer, MapError, Mapped, Plan},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// Isolation level `read_committed`.
const READ_COMMITTED: i8 = 1;
/// First version with leader epochs.
const EPOCH_FROM: i16 = 4;
/// First version that says how long the client waits.
const TIMEOUT_FROM: i16 = 10;
/// The version that 11 looks like: it only adds a special timestamp.
pub const LAST_SHAPE: i16 = 10;

/// Maps a request.
pub fn map(head: &Head, request: ListOffsetsRequest) -> Result<Mapped, MapError> {
    let mut grouped = Grouped::default();
    let mut offsets = Vec::new();
    for topic in request.topics {
        let asked = by_name(&topic.name);
        grouped.topic(topic.name.0, Uuid::nil());
        for partition in topic.partitions {
            let entry = asked
                .clone()
                .and_then(|topic| Ok((topic, spec(head.version, partition.timestamp)?)));
            grouped.partition(partition.partition_index, entry.as_ref().err().copied());
            if let Ok((topic, at)) = entry {
                offsets.push(ListOffset {
                    topic,
                    index: partition.partition_index,
                    at,
                    leader_epoch: partition.current_leader_epoch,
                    committed_only: request.isolation_level == READ_COMMITTED,
                });
            }
        }
    }
    if offsets.is_empty() {
        return Ok(Mapped::Answered(answer(head, grouped, Vec::new())?));
    }
    let timeout_ms = (head.version >= TIMEOUT_FROM && request.timeout_ms > 0)
        .then(|| u64::from(request.timeout_ms.unsigned_abs()));
    let request = Request::ListOffsets(ListOffsets {
        wanted: offsets,
        timeout_ms,
    });
    Ok(Mapped::Ask(request, Plan::ListOffsets(grouped)))
}

/// What a timestamp of the wire means, or the code of the answer.
fn spec(version: i16, timestamp: i64) -> Result<OffsetSpec, i16> {
    match timestamp {
        -1 => Ok(OffsetSpec::Latest),
        -2 => Ok(OffsetSpec::Earliest),
        -3 if version >= 7 => Ok(OffsetSpec::MaxTimestamp),
        -4 if version >= 8 => Ok(OffsetSpec::EarliestLocal),
        -5 if version >= 9 => Ok(OffsetSpec::LatestTiered),
        -6 if version >= 11 => Ok(OffsetSpec::EarliestPendingUpload),
        0.. => Ok(OffsetSpec::Timestamp(timestamp)),
        i64::MIN..=-3 => Err(wire_code::UNSUPPORTED_VERSION),
    }
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    grouped: Grouped,
    outcome: Vec<Result<ListedOffset, ErrorKind>>,
) -> Result<Answer, MapError> {
    let topics = grouped.regroup(
        outcome,
        |index, outcome| partition(head, index, outcome),
        |name, _, partitions| {
            ListOffsetsTopicResponse::default()
                .with_name(name.into())
                .with_partitions(partitions)
        },
    );
    let response = ListOffsetsResponse::default().with_topics(topics);
    let frame = head.frame_as(&response, head.version.min(LAST_SHAPE))?;
    Ok(Answer::Frame(vec![frame]))
}

fn partition(
    head: &Head,
    index: i32,
    outcome: Result<Result<ListedOffset, ErrorKind>, i16>,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_offset(-1)
        .with_timestamp(-1);
    match outcome {
        Ok(Ok(listed)) => {
            if let Some(offset) = listed.offset {
                response.offset = offset.wire();
                response.timestamp = listed.timestamp_ms;
                if head.version >= EPOCH_FROM {
                    response.leader_epoch = listed.leader_epoch;
                }
            }
        }
        Ok(Err(kind)) => response.error_code = wire_code::of(kind, Surface::Read),
        Err(code) => response.error_code = code,
    }
    response
}
