//! The end of a transaction, as each of its partitions is told, and as it stands in the log: a
//! control batch with one record in Kafka's own form.
//!
//! Encoded marker: `u64` partition, `i64` producer id, `i16` epoch, `u8` commit, `i32` coordinator
//! epoch, `u64` ordinal or 0.
//!
//! The record: key `i16` version 0, `i16` type (0 abort, 1 commit); value `i16` version 0, `i32`
//! coordinator epoch; big-endian. Source: Kafka's `EndTransactionMarker` and `ControlRecordType`.

use std::num::NonZeroU64;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{
    Offset, PartitionId,
    batch::{HEADER_BYTES, MAGIC, PATCHED_BYTES, patched_head},
    record::write_record,
};

use super::command::{read_flag, read_producer, write_producer};
use crate::{
    api::ProducerEpoch,
    encoding::{DecodeError, Reader, Writer},
};

/// Topic serial of what is no partition: the offsets of all groups of one shard, whose number is
/// the index. No topic has it.
const OFFSETS_SERIAL: u64 = 0;
const TRANSACTIONAL_CONTROL: i16 = 1 << 4 | 1 << 5;

/// Ends a producer's transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Where.
    pub partition: PartitionId,
    /// Whose.
    pub producer: ProducerEpoch,
    /// Commit; else abort.
    pub commit: bool,
    /// The coordinator's term.
    pub coordinator_epoch: i32,
    /// Which of its transactional id's transactions ends; `None` from who has no coordinator's
    /// word, and means whichever is open.
    pub ordinal: Option<NonZeroU64>,
}

impl Marker {
    /// Appends the marker.
    pub fn write(&self, writer: &mut Writer) {
        writer.u64(self.partition.0);
        write_producer(writer, self.producer);
        writer.u8(u8::from(self.commit));
        writer.i32(self.coordinator_epoch);
        writer.u64(self.ordinal.map_or(0, NonZeroU64::get));
    }

    /// Takes what [`Self::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: PartitionId(reader.u64()?),
            producer: read_producer(reader)?,
            commit: read_flag(reader)?,
            coordinator_epoch: reader.i32()?,
            ordinal: NonZeroU64::new(reader.u64()?),
        })
    }

    /// The batch that is stored. Base offset and leader epoch are written when it is served.
    pub fn batch(&self, now: Millis) -> Bytes {
        let mut key = [0; 4];
        key[3] = u8::from(self.commit);
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut bytes = vec![0; HEADER_BYTES];
        write_record(0, 0, Some(&key), Some(&value), &mut bytes);
        let head = patched_head(Offset(0), bytes.len(), -1);
        bytes[..PATCHED_BYTES].copy_from_slice(&head);
        bytes[16] = MAGIC.to_be_bytes()[0];
        bytes[21..23].copy_from_slice(&TRANSACTIONAL_CONTROL.to_be_bytes());
        bytes[27..35].copy_from_slice(&now.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&now.0.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer.id.0.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer.epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&(-1_i32).to_be_bytes());
        bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes.into()
    }
}

/// What stands for the offsets of all groups of shard `shard` in a transaction.
pub fn offsets_of_shard(shard: u32) -> PartitionId {
    PartitionId::new(OFFSETS_SERIAL, shard)
}

/// The shard whose groups' offsets are meant; `None` for a partition.
pub fn shard_of_offsets(partition: PartitionId) -> Option<u32> {
    (partition.topic_serial() == OFFSETS_SERIAL).then(|| partition.index())
}
