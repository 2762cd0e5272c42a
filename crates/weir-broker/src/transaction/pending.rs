//! Offsets that transactions have brought for the groups of one shard, until the transactions end.
//!
//! Encoded, version 1: `u8` version, bytes producer table, `u32` producers in ascending order of
//! id, each `i64` id, `u32` groups in ascending order, each text group and its offsets.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, ProducerId};

use super::Marker;
use crate::{
    api::ProducerEpoch,
    encoding::{DecodeError, Reader, Writer},
    group::{
        CommitOffsets, StoredOffset,
        offsets::{check_metadata, read_offsets, write_offsets},
    },
    producer::{MAX_OPEN_TRANSACTIONS, ProducerTable},
};

/// Most partitions whose offsets one transaction may bring to the groups of one shard.
pub const MAX_PENDING_OFFSETS: usize = 200_000;
const VERSION: u8 = 1;
const PRODUCER_MIN_BYTES: usize = 8 + 4;
const GROUP_MIN_BYTES: usize = 4 + 4;

type Groups = BTreeMap<String, BTreeMap<PartitionId, StoredOffset>>;

/// Offsets of transactions that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingOffsets {
    /// As of a partition: epochs, and whose transaction is open.
    producers: ProducerTable,
    waiting: BTreeMap<ProducerId, Groups>,
}

/// Offsets of one group that a transaction brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BringOffsets {
    /// Whose transaction.
    pub producer: ProducerEpoch,
    /// See [`crate::producer::Arrival::verified`].
    pub verified: Option<u64>,
    /// The group and its places.
    pub commit: CommitOffsets,
}

impl PendingOffsets {
    /// Entry that ended the producer's last transaction here, and whether another one is open;
    /// an error where the epoch is older than the one on record.
    pub fn standing(&self, producer: ProducerEpoch, now: Millis) -> Result<(u64, bool), ErrorKind> {
        self.producers.standing(producer.id, producer.epoch, now)
    }

    /// Keeps offsets until the transaction ends; one answer an offset.
    pub fn bring(&mut self, bring: BringOffsets, now: Millis) -> Vec<Result<(), ErrorKind>> {
        let count = bring.commit.offsets.len();
        let producer = bring.producer;
        if let Err(error) = self.check(producer, bring.verified, now) {
            return vec![Err(error); count];
        }
        self.producers.open_at(producer.id, producer.epoch, now);
        let groups = self.waiting.entry(producer.id).or_default();
        let mut kept_count: usize = groups.values().map(BTreeMap::len).sum();
        let kept = groups.entry(bring.commit.group).or_default();
        let answers = bring.commit.offsets.into_iter().map(|(partition, stored)| {
            check_metadata(&stored.metadata)?;
            if kept_count >= MAX_PENDING_OFFSETS && !kept.contains_key(&partition) {
                return Err(ErrorKind::Overloaded);
            }
            kept_count += usize::from(kept.insert(partition, stored).is_none());
            Ok(())
        });
        answers.collect()
    }

    fn check(
        &self,
        producer: ProducerEpoch,
        verified: Option<u64>,
        now: Millis,
    ) -> Result<(), ErrorKind> {
        let (ended_at, is_open) = self.standing(producer, now)?;
        if !is_open && verified != Some(ended_at) {
            return Err(ErrorKind::InvalidTxnState);
        }
        if !is_open && self.waiting.len() >= MAX_OPEN_TRANSACTIONS {
            return Err(ErrorKind::Overloaded);
        }
        Ok(())
    }

    /// Ends the transaction, by entry `at` of the log; gives what is committed now.
    pub fn end(
        &mut self,
        marker: &Marker,
        at: u64,
        now: Millis,
    ) -> Result<Vec<CommitOffsets>, ErrorKind> {
        if !self.producers.check_end(marker)? {
            return Ok(Vec::new());
        }
        self.producers.end(marker, at, now);
        let groups = self.waiting.remove(&marker.producer.id).unwrap_or_default();
        if !marker.commit {
            return Ok(Vec::new());
        }
        let commits = groups.into_iter().map(|(group, offsets)| CommitOffsets {
            group,
            offsets: offsets.into_iter().collect(),
        });
        Ok(commits.collect())
    }

    /// Whether a transaction that is open has brought an offset of the group for the partition.
    pub fn is_pending(&self, group: &str, partition: PartitionId) -> bool {
        let mut groups = self.waiting.values().filter_map(|groups| groups.get(group));
        groups.any(|offsets| offsets.contains_key(&partition))
    }

    /// Whether a transaction that is open has brought offsets of the group.
    pub fn has_pending(&self, group: &str) -> bool {
        self.waiting
            .values()
            .any(|groups| groups.contains_key(group))
    }

    /// All of it as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.bytes(&self.producers.encode());
        writer.count(self.waiting.len());
        for (id, groups) in &self.waiting {
            writer.i64(id.0);
            writer.count(groups.len());
            for (group, offsets) in groups {
                writer.text(group);
                let places = offsets.iter().map(|(id, stored)| (*id, stored));
                write_offsets(&mut writer, offsets.len(), places);
            }
        }
        writer.finish()
    }

    /// What [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("pending offsets' version", VERSION)?;
        let producers = ProducerTable::decode(reader.bytes()?)?;
        let mut waiting: BTreeMap<ProducerId, Groups> = BTreeMap::new();
        for _ in 0..reader.count(PRODUCER_MIN_BYTES)? {
            let id = ProducerId(reader.i64()?);
            let last = waiting.last_key_value();
            if last.is_some_and(|(last, _)| *last >= id) {
                return Err(reader.invalid("producer's order"));
            }
            let mut groups = Groups::new();
            for _ in 0..reader.count(GROUP_MIN_BYTES)? {
                let group = reader.text()?.to_owned();
                let last = groups.last_key_value();
                if last.is_some_and(|(last, _)| *last >= group) {
                    return Err(reader.invalid("group's order"));
                }
                let offsets = read_offsets(&mut reader)?;
                groups.insert(group, offsets.into_iter().collect());
            }
            waiting.insert(id, groups);
        }
        reader.finish()?;
        Ok(Self { producers, waiting })
    }
}

impl BringOffsets {
    /// Appends the command's content: `i64` producer id, `i16` epoch, `i64` entry verified at or
    /// -1, text group, offsets.
    pub fn write(&self, writer: &mut Writer) {
        super::command::write_producer(writer, self.producer);
        let verified = self.verified.and_then(|at| i64::try_from(at).ok());
        writer.i64(verified.unwrap_or(-1));
        writer.text(&self.commit.group);
        let offsets = self.commit.offsets.iter();
        let offsets = offsets.map(|(id, stored)| (*id, stored));
        write_offsets(writer, self.commit.offsets.len(), offsets);
    }

    /// Takes what [`Self::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            producer: super::command::read_producer(reader)?,
            verified: u64::try_from(reader.i64()?).ok(),
            commit: CommitOffsets {
                group: reader.text()?.to_owned(),
                offsets: read_offsets(reader)?,
            },
        })
    }
}
