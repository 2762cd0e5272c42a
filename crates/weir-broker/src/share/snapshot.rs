//! What share groups have, as a checkpoint has it.
//!
//! Version 2: `u8` version, `u32` share partitions, ascending by partition and group, each `u64`
//! partition, text group, `u16` delivery limit, `u32` first and `u32` longest wait before another
//! delivery in ms, `u8` whether dead letters are kept, `u64` number of the next owner, `u32` members that hold something, ascending, each
//! text id and `u64` owner, bytes ledger. What waits is held by owner
//! 2^64-1, what was rejected and dead by 2^64-2, what came back too often by 2^64-3.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_ledger::{Ledger, OwnerId};
use weir_model::PartitionId;

use super::{
    ShareKey, SharePartition, ShareTable,
    command::{read_comes_back, write_comes_back},
    partition::WAITING,
};
use crate::encoding::{DecodeError, Reader, Writer};

const VERSION: u8 = 2;
const PARTITION_MIN_BYTES: usize = 8 + 4 + 2 + 4 + 4 + 1 + 8 + 4 + 4;
const OWNER_MIN_BYTES: usize = 4 + 8;

impl ShareTable {
    /// The table as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(self.partitions.len());
        for ((id, group), partition) in &self.partitions {
            writer.u64(id.0);
            writer.text(group);
            partition.write(&mut writer);
        }
        writer.finish()
    }

    /// The table that [`Self::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("share table version", VERSION)?;
        let mut partitions: BTreeMap<ShareKey, SharePartition> = BTreeMap::new();
        for _ in 0..reader.count(PARTITION_MIN_BYTES)? {
            let key = (PartitionId(reader.u64()?), reader.text()?.to_owned());
            if partitions
                .last_key_value()
                .is_some_and(|(last, _)| *last >= key)
            {
                return Err(reader.invalid("order of share partitions"));
            }
            partitions.insert(key, SharePartition::read(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self::of(partitions))
    }
}

impl SharePartition {
    fn write(&self, writer: &mut Writer) {
        write_comes_back(writer, self.comes_back);
        writer.u64(self.next_owner);
        writer.count(self.owners.len());
        for (member, owner) in &self.owners {
            writer.text(member);
            writer.u64(owner.0);
        }
        writer.bytes(&self.ledger.encode());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (comes_back, next_owner) = (read_comes_back(reader)?, reader.u64()?);
        let mut owners: BTreeMap<String, OwnerId> = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for _ in 0..reader.count(OWNER_MIN_BYTES)? {
            let (member, owner) = (reader.text()?.to_owned(), reader.u64()?);
            let is_next = owners
                .last_key_value()
                .is_none_or(|(last, _)| *last < member);
            if !is_next || owner >= next_owner || !numbers.insert(owner) {
                return Err(reader.invalid("member of a share partition"));
            }
            owners.insert(member, OwnerId(owner));
        }
        let ledger = Ledger::decode(reader.bytes()?).map_err(|_| reader.invalid("ledger"))?;
        let held: usize = owners.values().map(|owner| ledger.count_of(*owner)).sum();
        let held = held + ledger.count_of(WAITING);
        let partition = Self {
            ledger,
            owners,
            next_owner,
            comes_back,
        };
        if (held + partition.dead_count()) as u64 != partition.ledger.counts().acquired {
            return Err(reader.invalid("records that nobody holds"));
        }
        Ok(partition)
    }
}
