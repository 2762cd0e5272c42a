//! Produce 3 to 13.

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        ProduceRequest, ProduceResponse,
        produce_response::{
            BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
            TopicProduceResponse,
        },
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{
    AckLevel, Produce, ProducePartition, ProduceTransaction, Produced, RefusedRecord, Request,
};
use weir_model::{
    ErrorKind,
    batch::{LENGTH_PREFIX_BYTES, MAGIC},
};

use super::{
    grouped::{Grouped, by_id, by_name},
    plan::{Answer, MapError, Mapped, Plan},
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// First version with topic ids in place of names.
const ID_FROM: i16 = 13;
/// First version that tells the broker's time of the records.
const APPEND_TIME_FROM: i16 = 2;
/// First version that takes batches in zstd (KIP-110).
const ZSTD_FROM: i16 = 7;
/// First version that says what is wrong with which record (KIP-467).
const RECORD_ERRORS_FROM: i16 = 8;
/// First version that tells who leads instead (KIP-951).
const LEADER_FROM: i16 = 10;
/// Where a batch has its format version.
const MAGIC_AT: usize = 16;
/// Where a batch has the lower byte of its attributes, and which bits of it are the codec.
const CODEC_AT: usize = 22;
const CODEC_BITS: u8 = 0b111;
const ZSTD: u8 = 4;
/// First version that makes partitions part of the transaction (KIP-890).
const ADD_FROM: i16 = 12;
/// First version whose clients know that a transaction can only be aborted.
const ABORTABLE_FROM: i16 = 11;
/// First version that tells the partition's first offset.
const LOG_START_FROM: i16 = 5;

/// Maps a request. Records stay slices of the receive buffer.
pub fn map(head: &Head, request: ProduceRequest) -> Result<Mapped, MapError> {
    let refused = if !(-1..=1).contains(&request.acks) {
        Some(wire_code::INVALID_REQUIRED_ACKS)
    } else {
        None
    };
    let mut grouped = Grouped::default();
    let mut partitions = Vec::new();
    for topic in request.topic_data {
        let asked = if head.version >= ID_FROM {
            by_id(topic.topic_id)
        } else {
            by_name(&topic.name)
        };
        grouped.topic(topic.name.0, topic.topic_id);
        for partition in topic.partition_data {
            let batch = match refused {
                Some(code) => Err(code),
                None => single_batch(head, partition.records),
            };
            let entry = asked.clone().and_then(|topic| Ok((topic, batch?)));
            grouped.partition(partition.index, entry.as_ref().err().copied());
            if let Ok((topic, batch)) = entry {
                partitions.push(ProducePartition {
                    topic,
                    index: partition.index,
                    batch,
                });
            }
        }
    }
    let silent = request.acks == 0;
    if partitions.is_empty() {
        return Ok(Mapped::Answered(answer(head, grouped, silent, Vec::new())?));
    }
    let ack = match request.acks {
        0 => AckLevel::None,
        1 => AckLevel::Majority,
        _ => AckLevel::InSync,
    };
    let transaction = request.transactional_id.map(|id| ProduceTransaction {
        id: id.to_string(),
        adds: head.version >= ADD_FROM,
    });
    let request = Request::Produce(Produce {
        transaction,
        ack,
        timeout_ms: u64::try_from(request.timeout_ms).unwrap_or(0),
        partitions,
    });
    Ok(Mapped::Ask(request, Plan::Produce { grouped, silent }))
}

/// The records where their length says that they are one batch. What is in it, the node checks.
fn single_batch(head: &Head, records: Option<Bytes>) -> Result<Bytes, i16> {
    let records = records.filter(|records| !records.is_empty());
    let records = records.ok_or(wire_code::INVALID_RECORD)?;
    if records
        .get(MAGIC_AT)
        .is_some_and(|magic| *magic != MAGIC.to_be_bytes()[0])
    {
        return Err(wire_code::UNSUPPORTED_FOR_MESSAGE_FORMAT);
    }
    let is_zstd = records
        .get(CODEC_AT)
        .is_some_and(|bits| bits & CODEC_BITS == ZSTD);
    if is_zstd && head.version < ZSTD_FROM {
        return Err(wire_code::UNSUPPORTED_COMPRESSION_TYPE);
    }
    let field = records
        .get(LENGTH_PREFIX_BYTES - 4..)
        .and_then(|rest| rest.first_chunk::<4>())
        .ok_or(wire_code::CORRUPT_MESSAGE)?;
    let length = usize::try_from(i32::from_be_bytes(*field));
    let length = length.map_err(|_| wire_code::CORRUPT_MESSAGE)?;
    match (records.len() - LENGTH_PREFIX_BYTES).cmp(&length) {
        std::cmp::Ordering::Equal => Ok(records),
        std::cmp::Ordering::Less => Err(wire_code::CORRUPT_MESSAGE),
        std::cmp::Ordering::Greater => Err(wire_code::INVALID_RECORD),
    }
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    grouped: Grouped,
    silent: bool,
    outcome: Vec<Produced>,
) -> Result<Answer, MapError> {
    let mut failed = None;
    let nodes = nodes_instead(head, &outcome);
    let responses = grouped.regroup(
        outcome,
        |index, outcome| {
            let response = partition(head, index, outcome);
            if response.error_code != wire_code::NONE {
                failed = Some(response.error_code);
            }
            response
        },
        |name, id, partitions| topic(head, name, id, partitions),
    );
    match (silent, failed) {
        (true, None) => Ok(Answer::Silent),
        (true, Some(code)) => Ok(Answer::Close { code }),
        (false, _) => {
            let response = ProduceResponse::default()
                .with_responses(responses)
                .with_throttle_time_ms(head.throttle_ms)
                .with_node_endpoints(nodes);
            Ok(Answer::Frame(vec![head.frame(&response)?]))
        }
    }
}

fn partition(head: &Head, index: i32, outcome: Result<Produced, i16>) -> PartitionProduceResponse {
    let mut response = PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(-1);
    match outcome {
        Ok(produced) => {
            match produced.base_offset {
                Ok(offset) => response.base_offset = offset.wire(),
                Err(ErrorKind::TransactionAbortable) if head.version < ABORTABLE_FROM => {
                    response.error_code = wire_code::INVALID_TXN_STATE;
                }
                Err(kind) => response.error_code = wire_code::of(kind, Surface::Write),
            }
            if head.version >= LOG_START_FROM {
                response.log_start_offset = produced.log_start.wire();
            }
            if head.version >= APPEND_TIME_FROM {
                response.log_append_time_ms = produced.append_time_ms.unwrap_or(-1);
            }
            if head.version >= RECORD_ERRORS_FROM
                && let Some(refusal) = produced.refusal
            {
                response.error_message = Some(StrBytes::from_string(refusal.message));
                response.record_errors = refusal.records.into_iter().map(record).collect();
            }
            if head.version >= LEADER_FROM
                && let Some(leader) = produced.leader
            {
                response.current_leader = LeaderIdAndEpoch::default()
                    .with_leader_id(leader.broker.node.into())
                    .with_leader_epoch(leader.epoch);
            }
        }
        Err(code) => response.error_code = code,
    }
    response
}

fn record(refused: RefusedRecord) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default()
        .with_batch_index(i32::try_from(refused.at).unwrap_or(i32::MAX))
        .with_batch_index_error_message(Some(StrBytes::from_string(refused.message)))
}

/// The addresses of those that lead instead.
fn nodes_instead(head: &Head, outcome: &[Produced]) -> Vec<NodeEndpoint> {
    let mut nodes: Vec<NodeEndpoint> = Vec::new();
    if head.version < LEADER_FROM {
        return nodes;
    }
    for leader in outcome.iter().filter_map(|each| each.leader.as_deref()) {
        let broker = &leader.broker;
        if nodes.iter().all(|node| node.node_id != broker.node) {
            let rack = broker.rack.clone().map(StrBytes::from_string);
            nodes.push(
                NodeEndpoint::default()
                    .with_node_id(broker.node.into())
                    .with_host(StrBytes::from_string(broker.host.clone()))
                    .with_port(broker.port.into())
                    .with_rack(rack),
            );
        }
    }
    nodes
}

fn topic(
    head: &Head,
    name: StrBytes,
    id: Uuid,
    partitions: Vec<PartitionProduceResponse>,
) -> TopicProduceResponse {
    let response = TopicProduceResponse::default().with_partition_responses(partitions);
    if head.version >= ID_FROM {
        response.with_topic_id(id)
    } else {
        response.with_name(name.into())
    }
}
