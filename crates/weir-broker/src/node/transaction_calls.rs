//! Transactions between nodes.
//!
//! Calls: tag `TRANSACTION`, then `u8` kind. Kind 1, a question to a coordinator: text transactional
//! id, `i64` producer id, `i16` epoch, `u8` whether the partitions are added, `u32` count and a
//! `u64` for each partition. Its answer: `u16` 0, `u32` count and for each partition the `u16` code
//! of its error or 0; or the code of the error of all. Kind 2, a transaction's end: a marker. Its
//! answer: the `u16` code of an error, or 0.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{ErrorKind, NodeId};

use super::{
    Node,
    coordinator::{Membership, MembershipAnswer, MembershipDone},
    endings::MarkDone,
};
use crate::{
    api::PartitionAnswers,
    call::TRANSACTION,
    encoding::{DecodeError, Reader, Writer},
    peer::Answer,
    transaction::{
        Marker,
        command::{read_flag, read_partitions, read_producer, write_partitions, write_producer},
    },
};

// Kinds are never used again for something else.
const ASK: u8 = 1;
const MARK: u8 = 2;
const NO_ERROR: u16 = 0;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    Ask(Membership),
    Mark(Marker),
}

impl Call {
    fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(TRANSACTION);
        match self {
            Self::Ask(membership) => {
                writer.u8(ASK);
                writer.text(&membership.transaction);
                write_producer(&mut writer, membership.producer);
                writer.u8(u8::from(membership.adds));
                write_partitions(&mut writer, &membership.partitions);
            }
            Self::Mark(marker) => {
                writer.u8(MARK);
                marker.write(&mut writer);
            }
        }
        writer.finish()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let call = match reader.u8()? {
            ASK => Self::Ask(Membership {
                transaction: reader.text()?.to_owned(),
                producer: read_producer(&mut reader)?,
                adds: read_flag(&mut reader)?,
                partitions: read_partitions(&mut reader)?,
            }),
            MARK => Self::Mark(Marker::read(&mut reader)?),
            kind => return Err(reader.unknown_tag("transaction call", kind)),
        };
        reader.finish()?;
        Ok(call)
    }
}

/// Asks another node as the coordinator.
pub(super) fn ask(node: &Arc<Node>, to: NodeId, membership: &Membership, done: MembershipDone) {
    let request = Call::Ask(membership.clone()).encode();
    let answered = move |answer: Result<Bytes, _>| {
        done(match answer {
            Ok(answer) => read_answers(&answer).unwrap_or(Err(ErrorKind::InvalidRequest)),
            Err(_) => Err(ErrorKind::CoordinatorUnreachable),
        });
    };
    node.peers.call(to, request, Box::new(answered));
}

/// Ends a transaction in a partition that another node leads.
pub(super) fn mark(node: &Arc<Node>, to: NodeId, marker: &Marker, done: MarkDone) {
    let request = Call::Mark(*marker).encode();
    let answered = move |answer: Result<Bytes, _>| {
        done(match answer {
            Ok(answer) => read_result(&answer).unwrap_or(Err(ErrorKind::InvalidRequest)),
            Err(_) => Err(ErrorKind::NotLeader),
        });
    };
    node.peers.call(to, request, Box::new(answered));
}

/// Answers calls about transactions. Nobody but members asks.
pub(crate) fn serve(node: &Arc<Node>, from: NodeId, request: &Bytes, answer: Answer) {
    match Call::decode(request) {
        Ok(_) if from.0 == 0 => tracing::warn!("a call about transactions from no member"),
        Ok(Call::Ask(membership)) => {
            let done = move |answers: MembershipAnswer| answer(write_answers(&answers));
            node.membership_here(membership, Box::new(done));
        }
        Ok(Call::Mark(marker)) => {
            let done = move |result| answer(write_result(result));
            node.mark_here(marker, Box::new(done));
        }
        Err(error) => tracing::warn!(%from, %error, "a call that is damaged or unknown"),
    }
}

fn code_of(result: Result<(), ErrorKind>) -> u16 {
    result.map_or_else(ErrorKind::code, |()| NO_ERROR)
}

fn read_code(reader: &mut Reader<'_>) -> Result<Result<(), ErrorKind>, DecodeError> {
    match reader.u16()? {
        NO_ERROR => Ok(Ok(())),
        code => match ErrorKind::from_code(code) {
            Some(error) => Ok(Err(error)),
            None => Err(reader.invalid("error code")),
        },
    }
}

fn write_result(result: Result<(), ErrorKind>) -> Bytes {
    let mut writer = Writer::new();
    writer.u16(code_of(result));
    writer.finish()
}

fn read_result(bytes: &[u8]) -> Result<Result<(), ErrorKind>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let result = read_code(&mut reader)?;
    reader.finish()?;
    Ok(result)
}

fn write_answers(answers: &MembershipAnswer) -> Bytes {
    let mut writer = Writer::new();
    match answers {
        Ok(answers) => {
            writer.u16(NO_ERROR);
            writer.count(answers.len());
            answers
                .iter()
                .for_each(|answer| writer.u16(code_of(*answer)));
        }
        Err(error) => writer.u16(error.code()),
    }
    writer.finish()
}

fn read_answers(bytes: &[u8]) -> Result<MembershipAnswer, DecodeError> {
    let mut reader = Reader::new(bytes);
    let answers = match read_code(&mut reader)? {
        Err(error) => Err(error),
        Ok(()) => {
            let count = reader.count(2)?;
            let answers: Result<PartitionAnswers, DecodeError> =
                (0..count).map(|_| read_code(&mut reader)).collect();
            Ok(answers?)
        }
    };
    reader.finish()?;
    Ok(answers)
}

/// The body of a call as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    Call::decode(body).ok().map(|call| call.encode())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use weir_model::{PartitionId, ProducerId};

    use super::*;
    use crate::{api::ProducerEpoch, encoding::trial};

    #[test]
    fn calls_come_back_and_damage_is_an_error() {
        let producer = ProducerEpoch {
            id: ProducerId(7),
            epoch: 3,
        };
        let ask = Call::Ask(Membership {
            transaction: "tx".to_owned(),
            producer,
            adds: true,
            partitions: vec![PartitionId(5), PartitionId(1)],
        });
        let mark = Call::Mark(Marker {
            partition: PartitionId(5),
            producer,
            commit: true,
            coordinator_epoch: 9,
            ordinal: NonZeroU64::new(4),
        });
        for call in [ask, mark] {
            let bytes = call.encode();
            assert_eq!(bytes[0], TRANSACTION);
            assert_eq!(Call::decode(&bytes[1..]), Ok(call));
            trial::damage(&bytes[1..], Call::decode);
        }
    }

    #[test]
    fn answers_come_back_and_damage_is_an_error() {
        let some = Ok(vec![Ok(()), Err(ErrorKind::TransactionAbortable)]);
        for answers in [some, Err(ErrorKind::ProducerFenced)] {
            let bytes = write_answers(&answers);
            assert_eq!(read_answers(&bytes), Ok(answers));
            trial::damage(&bytes, read_answers);
        }
        for result in [Ok(()), Err(ErrorKind::NotLeader)] {
            assert_eq!(read_result(&write_result(result)), Ok(result));
        }
    }
}
