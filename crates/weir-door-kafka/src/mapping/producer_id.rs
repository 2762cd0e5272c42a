//! InitProducerId 0 to 5.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use weir_broker::api::{InitProducer, InitTransactional, ProducerEpoch, Request};
use weir_model::{ErrorKind, ProducerId};

use super::{
    plan::{Answer, MapError, Mapped, Plan},
    transactions,
};
use crate::{
    codec::header::Head,
    wire_code::{self, Surface},
};

/// Maps a request. An idempotent producer that brings its old id gets a new one, as from Kafka:
/// it begins at sequence 0 either way. Half an old id is no request.
pub fn map(head: &Head, request: &InitProducerIdRequest) -> Result<Mapped, MapError> {
    let known = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => Ok(None),
        (id @ 0.., epoch @ 0..) => Ok(Some(ProducerEpoch {
            id: ProducerId(id),
            epoch,
        })),
        (_, _) => Err(()),
    };
    let transactional = request.transactional_id.as_ref();
    match known {
        Ok(known) if transactional.is_none_or(|id| !id.is_empty()) => {
            let init = InitProducer {
                transactional: transactional.map(|id| InitTransactional {
                    id: id.to_string(),
                    timeout_ms: request.transaction_timeout_ms,
                }),
                known,
            };
            let plan = Plan::ProducerId {
                transactional: transactional.is_some(),
            };
            Ok(Mapped::Ask(Request::InitProducerId(init), plan))
        }
        Ok(_) | Err(()) => {
            let refused = reply(head, Err(wire_code::INVALID_REQUEST))?;
            Ok(Mapped::Answered(refused))
        }
    }
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    transactional: bool,
    outcome: Result<(ProducerId, i16), ErrorKind>,
) -> Result<Answer, MapError> {
    let code = |kind: ErrorKind| {
        if transactional {
            transactions::code(head, kind)
        } else if kind.retriable() {
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
