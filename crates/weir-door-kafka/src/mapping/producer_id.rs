//! InitProducerId 0 to 5, for idempotent producers: there are no transactions.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use weir_broker::api::Request;
use weir_model::{ErrorKind, ProducerId};

use super::plan::{Answer, MapError, Mapped, Plan};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// Maps a request. An idempotent producer that brings its old id gets a new one, which Kafka
/// allows: it begins at sequence 0 either way.
pub fn map(head: &Head, request: &InitProducerIdRequest) -> Result<Mapped, MapError> {
    match &request.transactional_id {
        None => Ok(Mapped::Ask(Request::InitProducerId, Plan::ProducerId)),
        Some(id) if id.is_empty() => Ok(Mapped::Answered(reply(
            head,
            Err(wire_code::INVALID_REQUEST),
        )?)),
        Some(_) => Ok(Mapped::Answered(reply(
            head,
            Err(wire_code::NO_TRANSACTIONS),
        )?)),
    }
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    outcome: Result<(ProducerId, i16), ErrorKind>,
) -> Result<Answer, MapError> {
    let code = |kind: ErrorKind| {
        if kind.retriable() {
            // The only code that both Java and librdkafka try again without a transactional id.
            wire_code::COORDINATOR_LOAD_IN_PROGRESS
        } else {
            wire_code::of(kind, Surface::Write)
        }
    };
    reply(head, outcome.map_err(code))
}

fn reply(head: &Head, outcome: Result<(ProducerId, i16), i16>) -> Result<Answer, MapError> {
    let mut response = InitProducerIdResponse::default()
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    match outcome {
        Ok((id, epoch)) => {
            response.producer_id = id.0.into();
            response.producer_epoch = epoch;
        }
        Err(code) => response.error_code = code,
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
