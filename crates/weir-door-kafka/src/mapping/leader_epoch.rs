//! OffsetForLeaderEpoch 2 to 4 (KIP-320).

use kafka_protocol::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
};
use uuid::Uuid;
use weir_broker::api::{EndOfEpoch, EpochEnd, Request};
use weir_model::ErrorKind;

use super::{
    grouped::{Grouped, by_name},
    plan::{Answer, MapError, Mapped, Plan},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// An epoch or an offset that is not known.
const UNDEFINED: i32 = -1;

/// Maps a request.
pub fn map(head: &Head, request: OffsetForLeaderEpochRequest) -> Result<Mapped, MapError> {
    let mut grouped = Grouped::default();
    let mut wanted = Vec::new();
    for topic in request.topics {
        let asked = by_name(&topic.topic);
        grouped.topic(topic.topic.0, Uuid::nil());
        for partition in topic.partitions {
            grouped.partition(partition.partition, asked.as_ref().err().copied());
            if let Ok(topic) = &asked {
                wanted.push(EndOfEpoch {
                    topic: topic.clone(),
                    index: partition.partition,
                    leader_epoch: partition.current_leader_epoch,
                    epoch: partition.leader_epoch,
                });
            }
        }
    }
    if wanted.is_empty() {
        return Ok(Mapped::Answered(answer(head, grouped, Vec::new())?));
    }
    let plan = Plan::EndOfEpoch(grouped);
    Ok(Mapped::Ask(Request::EndOfEpoch(wanted), plan))
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    grouped: Grouped,
    outcome: Vec<Result<Option<EpochEnd>, ErrorKind>>,
) -> Result<Answer, MapError> {
    let topics = grouped.regroup(outcome, partition, |name, _, partitions| {
        OffsetForLeaderTopicResult::default()
            .with_topic(name.into())
            .with_partitions(partitions)
    });
    let response = OffsetForLeaderEpochResponse::default().with_topics(topics);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn partition(
    index: i32,
    outcome: Result<Result<Option<EpochEnd>, ErrorKind>, i16>,
) -> EpochEndOffset {
    let response = EpochEndOffset::default()
        .with_partition(index)
        .with_leader_epoch(UNDEFINED)
        .with_end_offset(i64::from(UNDEFINED));
    match outcome {
        Ok(Ok(None)) => response,
        Ok(Ok(Some(found))) => response
            .with_leader_epoch(found.epoch)
            .with_end_offset(found.end.wire()),
        Ok(Err(kind)) => response.with_error_code(wire_code::of(kind, Surface::Read)),
        Err(code) => response.with_error_code(code),
    }
}
