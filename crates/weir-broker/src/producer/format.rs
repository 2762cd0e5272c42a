//! The table's bytes.
//!
//! Version 3: `u8` version, `u32` producers in ascending order of id, each `i64` id, `i16` epoch,
//! `i64` last use in ms, `u32` run, `i32` coordinator epoch, `u64` highest ordinal that
//! ended, `u64` entry that ended the last transaction, `i64` first offset of the open transaction or -1, `u8` batches, each `i32` first
//! and last sequence, `u64` base offset.

use std::collections::VecDeque;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{Offset, ProducerId};

use super::{MAX_BATCHES, MAX_RUN_COUNT, Producer, ProducerTable, Stored, after};
use crate::encoding::{DecodeError, Reader, Writer};

const VERSION: u8 = 3;
const PRODUCER_MIN_BYTES: usize = 8 + 2 + 8 + 4 + 4 + 8 + 8 + 8 + 1;

impl ProducerTable {
    /// The table as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(self.producers.len());
        for (id, producer) in &self.producers {
            writer.i64(id.0);
            producer.write(&mut writer);
        }
        writer.finish()
    }

    /// The table that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("producer table version", VERSION)?;
        let mut table = Self::default();
        for _ in 0..reader.count(PRODUCER_MIN_BYTES)? {
            let id = ProducerId(reader.i64()?);
            let last = table.producers.last_key_value();
            let is_ascending = last.is_none_or(|(last, _)| *last < id);
            if id.0 < 0 || !is_ascending {
                return Err(reader.invalid("producer id"));
            }
            let producer = Producer::read(&mut reader)?;
            if let Some(first) = producer.open {
                table.open.insert((first, id));
            }
            table.producers.insert(id, producer);
        }
        reader.finish()?;
        Ok(table)
    }
}

impl Producer {
    fn write(&self, writer: &mut Writer) {
        writer.i16(self.epoch);
        writer.i64(self.last_used.0);
        writer.u32(self.run_count);
        writer.i32(self.coordinator_epoch);
        writer.u64(self.ended_ordinal);
        writer.u64(self.ended_at);
        writer.i64(self.open.map_or(-1, Offset::wire));
        writer.u8(u8::try_from(self.batches.len()).expect("at most five batches"));
        for batch in &self.batches {
            writer.i32(batch.first);
            writer.i32(batch.last);
            writer.u64(batch.base_offset.0);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = reader.i16()?;
        let last_used = Millis(reader.i64()?);
        let run_count = reader.u32()?;
        let coordinator_epoch = reader.i32()?;
        let ended_ordinal = reader.u64()?;
        let ended_at = reader.u64()?;
        let open = reader.i64()?;
        let batch_count = usize::from(reader.u8()?);
        if epoch < 0 || run_count > MAX_RUN_COUNT || open < -1 || batch_count > MAX_BATCHES {
            return Err(reader.invalid("producer"));
        }
        let mut batches: VecDeque<Stored> = VecDeque::new();
        for _ in 0..batch_count {
            let batch = Stored {
                first: reader.i32()?,
                last: reader.i32()?,
                base_offset: Offset(reader.u64()?),
            };
            let follows = batches
                .back()
                .is_none_or(|previous| after(previous.last, 1) == batch.first);
            if batch.first < 0 || batch.last < 0 || !follows || batch.base_offset.0 >> 63 != 0 {
                return Err(reader.invalid("producer batch"));
            }
            batches.push_back(batch);
        }
        Ok(Self {
            epoch,
            last_used,
            run_count,
            batches,
            coordinator_epoch,
            ended_ordinal,
            ended_at,
            open: Offset::from_wire(open),
        })
    }
}
