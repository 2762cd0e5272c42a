//! The table's bytes.
//!
//! Version 2: `u8` version, `u32` ids in ascending order, each text id, `i64` producer, `i16`
//! epoch and `i16` last epoch, `i64` previous and `i64` next producer or -1, `i32` timeout in ms,
//! `u8` state, `u64` ordinal, `u8` whether the last end gave another epoch, `i64` begun and `i64` changed in ms,
//! `u32` partitions in ascending order, each `u64`.

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{PartitionId, ProducerId};

use super::{
    command::{read_flag, read_partitions, read_producer, write_partitions, write_producer},
    table::TransactionTable,
    transition::{NO_EPOCH, Transaction},
};
use crate::{
    api::TransactionState,
    encoding::{DecodeError, Reader, Writer},
};

const VERSION: u8 = 2;
const ID_MIN_BYTES: usize = 4 + 8 + 2 + 2 + 8 + 8 + 4 + 1 + 8 + 1 + 8 + 8 + 4;

impl TransactionTable {
    /// The table as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(self.ids.len());
        for (id, transaction) in &self.ids {
            writer.text(id);
            transaction.write(&mut writer);
        }
        writer.finish()
    }

    /// The table that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("transaction table version", VERSION)?;
        let mut table = Self::default();
        for _ in 0..reader.count(ID_MIN_BYTES)? {
            let id = reader.text()?.to_owned();
            let last = table.ids.last_key_value();
            if last.is_some_and(|(last, _)| *last >= id) {
                return Err(reader.invalid("transactional id's order"));
            }
            let transaction = Transaction::read(&mut reader)?;
            if let Some(deadline) = transaction.deadline() {
                table.deadlines.insert((deadline, id.clone()));
            }
            table.ids.insert(id, transaction);
        }
        reader.finish()?;
        Ok(table)
    }
}

impl Transaction {
    fn write(&self, writer: &mut Writer) {
        write_producer(writer, self.producer);
        writer.i16(self.last_epoch);
        for id in [self.previous, self.next] {
            writer.i64(id.map_or(-1, |id| id.0));
        }
        writer.i32(self.timeout_ms);
        writer.u8(state_code(self.state));
        writer.u64(self.ordinal);
        writer.u8(u8::from(self.has_bumped));
        writer.i64(self.started.0);
        writer.i64(self.updated.0);
        let partitions: Vec<PartitionId> = self.partitions.iter().copied().collect();
        write_partitions(writer, &partitions);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let producer = read_producer(reader)?;
        let last_epoch = reader.i16()?;
        let mut optional = || {
            let id = reader.i64()?;
            Ok::<_, DecodeError>((id >= 0).then_some(ProducerId(id)))
        };
        let (previous, next) = (optional()?, optional()?);
        let timeout_ms = reader.i32()?;
        let state = state_of(reader.u8()?).ok_or_else(|| reader.invalid("transaction state"))?;
        let transaction = Self {
            producer,
            last_epoch,
            previous,
            next,
            timeout_ms,
            state,
            ordinal: reader.u64()?,
            has_bumped: read_flag(reader)?,
            started: Millis(reader.i64()?),
            updated: Millis(reader.i64()?),
            partitions: read_partitions(reader)?.into_iter().collect(),
        };
        if transaction.last_epoch < NO_EPOCH || transaction.timeout_ms < 0 {
            return Err(reader.invalid("transaction"));
        }
        Ok(transaction)
    }
}

// Numbers are never used again for something else.
fn state_code(state: TransactionState) -> u8 {
    match state {
        TransactionState::Empty => 0,
        TransactionState::Ongoing => 1,
        TransactionState::PrepareCommit => 2,
        TransactionState::PrepareAbort => 3,
        TransactionState::CompleteCommit => 4,
        TransactionState::CompleteAbort => 5,
    }
}

fn state_of(code: u8) -> Option<TransactionState> {
    Some(match code {
        0 => TransactionState::Empty,
        1 => TransactionState::Ongoing,
        2 => TransactionState::PrepareCommit,
        3 => TransactionState::PrepareAbort,
        4 => TransactionState::CompleteCommit,
        5 => TransactionState::CompleteAbort,
        _ => return None,
    })
}
