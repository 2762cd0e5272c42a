//! Fetch 4 to 18. Sessions are not kept: every answer has session id 0, which tells the client
//! to name all its partitions again.

use kafka_protocol::messages::FetchRequest;
use weir_broker::api::{Fetch, FetchPartition, Fetched, Request};

use super::{
    grouped::{Grouped, by_id, by_name},
    plan::{Answer, Client, MapError, Mapped, Plan},
};
use crate::{
    codec::{
        fetch_response::{self, FetchAnswer, ID_FROM, PartitionAnswer, TopicAnswer},
        header::Head,
    },
    wire_code::{self, Surface},
};

/// Isolation level `read_committed`.
const READ_COMMITTED: i8 = 1;

/// Maps a request.
pub fn map(head: &Head, request: FetchRequest, client: &Client) -> Result<Mapped, MapError> {
    if request.session_id != 0 || request.session_epoch > 0 {
        return refuse(head, wire_code::FETCH_SESSION_ID_NOT_FOUND);
    }
    let mut grouped = Grouped::default();
    let mut partitions = Vec::new();
    for topic in request.topics {
        let asked = if head.version >= ID_FROM {
            by_id(topic.topic_id)
        } else {
            by_name(&topic.topic)
        };
        grouped.topic(topic.topic.0, topic.topic_id);
        for partition in topic.partitions {
            grouped.partition(partition.partition, asked.as_ref().err().copied());
            if let Ok(topic) = &asked {
                partitions.push(FetchPartition {
                    topic: topic.clone(),
                    index: partition.partition,
                    offset: partition.fetch_offset,
                    max_bytes: limited(partition.partition_max_bytes, client),
                    leader_epoch: partition.current_leader_epoch,
                });
            }
        }
    }
    let lists_aborted = request.isolation_level == READ_COMMITTED;
    if partitions.is_empty() {
        let answer = answer(head, grouped, lists_aborted, Vec::new())?;
        return Ok(Mapped::Answered(answer));
    }
    let asked = Fetch {
        min_bytes: limited(request.min_bytes, client),
        max_bytes: limited(request.max_bytes, client),
        max_wait_ms: u64::try_from(request.max_wait_ms).unwrap_or(0),
        committed_only: lists_aborted,
        partitions,
    };
    let plan = Plan::Fetch {
        grouped,
        lists_aborted,
    };
    Ok(Mapped::Ask(Request::Fetch(asked), plan))
}

fn limited(bytes: i32, client: &Client) -> usize {
    usize::try_from(bytes)
        .unwrap_or(0)
        .min(client.max_fetch_bytes)
}

fn refuse(head: &Head, error_code: i16) -> Result<Mapped, MapError> {
    let answer = FetchAnswer {
        error_code,
        topics: Vec::new(),
    };
    let chunks = fetch_response::encode(head, answer)?;
    Ok(Mapped::Answered(Answer::Frame(chunks)))
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    grouped: Grouped,
    lists_aborted: bool,
    outcome: Vec<Fetched>,
) -> Result<Answer, MapError> {
    let topics = grouped.regroup(
        outcome,
        |index, outcome| partition(index, lists_aborted, outcome),
        |name, id, partitions| TopicAnswer {
            name,
            id,
            partitions,
        },
    );
    let answer = FetchAnswer {
        error_code: wire_code::NONE,
        topics,
    };
    Ok(Answer::Frame(fetch_response::encode(head, answer)?))
}

fn partition(index: i32, lists_aborted: bool, outcome: Result<Fetched, i16>) -> PartitionAnswer {
    let mut answer = PartitionAnswer {
        index,
        error_code: wire_code::NONE,
        high_watermark: -1,
        log_start: -1,
        last_stable: -1,
        aborted: lists_aborted.then(Vec::new),
        chunks: Vec::new(),
    };
    match outcome {
        Ok(fetched) => match fetched.batches {
            Ok(batches) => {
                answer.high_watermark = fetched.high_watermark.wire();
                answer.log_start = fetched.log_start.wire();
                answer.last_stable = fetched.last_stable.wire();
                answer.aborted = lists_aborted.then_some(fetched.aborted);
                answer.chunks = batches.chunks;
            }
            Err(kind) => answer.error_code = wire_code::of(kind, Surface::Read),
        },
        Err(code) => answer.error_code = code,
    }
    answer
}
