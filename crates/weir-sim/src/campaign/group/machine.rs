//! A state machine that keeps what idempotent producers sent, each record once.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::Millis;
use weir_raft::{Applied, ApplyError, Command, Context, Moment, StateMachine};

/// Bytes of a command's head and of a record in a checkpoint: producer, sequence, checksum.
const RECORD_BYTES: usize = 16;

/// One record as the machine keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) producer: u32,
    pub(super) sequence: u64,
    /// Of the payload.
    pub(super) sum: u32,
}

impl Record {
    fn bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&self.producer.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[12..].copy_from_slice(&self.sum.to_le_bytes());
        bytes
    }

    fn read(bytes: [u8; RECORD_BYTES]) -> Self {
        let [a, b, c, d, rest @ ..] = bytes;
        let [e, f, g, h, i, j, k, l, sum @ ..] = rest;
        Self {
            producer: u32::from_le_bytes([a, b, c, d]),
            sequence: u64::from_le_bytes([e, f, g, h, i, j, k, l]),
            sum: u32::from_le_bytes(sum),
        }
    }
}

/// What a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The record stands at this offset, from now or from an earlier try.
    At(u64),
    /// A record before it is missing.
    Gap,
}

/// The state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) records: Vec<Record>,
    /// Offsets of each producer's records, by sequence.
    offsets: BTreeMap<u32, Vec<u64>>,
}

impl Journal {
    pub(super) fn command(record: Record, payload: Bytes) -> Command {
        Command {
            head: Bytes::copy_from_slice(&record.bytes()),
            payload,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let records = self.records.iter().copied();
        Bytes::from(records.map(Record::bytes).collect::<Vec<_>>().concat())
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut journal = Self::default();
        let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
        for record in records {
            journal.push(Record::read(*record));
        }
        journal
    }

    fn push(&mut self, record: Record) -> Answer {
        let offsets = self.offsets.entry(record.producer).or_default();
        let place = usize::try_from(record.sequence).unwrap_or(usize::MAX);
        match offsets.get(place) {
            Some(offset) => Answer::At(*offset),
            None if place > offsets.len() => Answer::Gap,
            None => {
                let offset = self.records.len() as u64;
                offsets.push(offset);
                self.records.push(record);
                Answer::At(offset)
            }
        }
    }
}

impl StateMachine for Journal {
    type Outcome = Answer;

    fn apply(&mut self, at: &Applied, command: Bytes) -> Result<Answer, ApplyError> {
        let refused = |reason: &str| ApplyError {
            group: at.group,
            index: at.index,
            reason: reason.to_owned(),
        };
        let (head, payload) = command
            .split_first_chunk::<RECORD_BYTES>()
            .ok_or_else(|| refused("the command is cut"))?;
        let record = Record::read(*head);
        if crc32c::crc32c(payload) != record.sum {
            return Err(refused("the payload is not what was proposed"));
        }
        Ok(self.push(record))
    }

    fn restore(&mut self, body: Bytes) -> Result<(), String> {
        *self = Self::decode(&body);
        Ok(())
    }

    fn retire(&mut self) {
        *self = Self::default();
    }

    fn leadership(&mut self, _context: &mut Context<'_, Answer>) {}

    fn next_deadline(&self, _at: Moment) -> Option<Millis> {
        None
    }

    fn handle_timeout(&mut self, _context: &mut Context<'_, Answer>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_answers_with_the_first_offset_and_a_checkpoint_keeps_it() {
        let record = |sequence| Record {
            producer: 1,
            sequence,
            sum: 0,
        };
        let mut journal = Journal::default();
        assert_eq!(journal.push(record(0)), Answer::At(0));
        assert_eq!(journal.push(record(1)), Answer::At(1));
        assert_eq!(journal.push(record(0)), Answer::At(0));
        assert_eq!(journal.push(record(3)), Answer::Gap);
        assert_eq!(Journal::decode(&journal.encode()), journal);
    }
}
