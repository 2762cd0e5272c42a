//! Committed batches of a stream, from this node's copy or its leader's.

use std::{collections::BTreeSet, sync::Arc};

use bytes::{Bytes, BytesMut};
use weir_log::codec::decompress;
use weir_model::{
    ErrorKind, PartitionId, ProducerId, TopicId,
    batch::{BatchHeader, Codec, HEADER_BYTES},
    record::Records,
};

use super::super::wire::{self, Call};
use crate::{
    Node,
    api::{Fetch, FetchPartition, Fetched, Outcome, ReadFrom, TopicRef},
    intake::MAX_INFLATED_BYTES,
    mailbox::Reply,
};

/// A rack that no node has: whichever copy is here may answer.
const NO_RACK: &str = "\0";

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The first offset that is there.
    pub(crate) log_start: u64,
    /// Everything before it is decided.
    pub(crate) end: u64,
    /// Transactions in it that were aborted, ascending by first offset.
    pub(crate) aborted: Vec<(ProducerId, u64)>,
    /// Whole batches; the first may begin before the offset that was asked for.
    pub(crate) batches: Bytes,
}

/// What became of a read.
pub(crate) type ReadAnswer = Result<Chunk, ErrorKind>;
/// Hears once of a read.
pub(in super::super) type ReadDone = Box<dyn FnOnce(ReadAnswer) + Send>;

/// A record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamRecord {
    pub(super) offset: u64,
    pub(super) timestamp_ms: i64,
    /// Its length included.
    pub(super) record: Bytes,
}

impl Node {
    /// The topic of a partition, and its index there.
    pub(super) fn topic_of(&self, partition: PartitionId) -> Option<(TopicId, i32)> {
        let topology = self.topology.load();
        let topic = topology.by_serial(partition.topic_serial())?;
        Some((topic.id, i32::try_from(partition.index()).ok()?))
    }

    /// Whether this node has a copy of the partition that may be read.
    pub(super) fn has_copy(&self, partition: PartitionId) -> bool {
        let group = self.group_of(partition);
        group.is_some_and(|group| self.leads(group) || self.follows(group))
    }

    /// Reads batches from this node's copy: most bytes, and how long to wait for the first, in ms.
    pub(in super::super) fn read_stream_here(
        self: &Arc<Self>,
        partition: PartitionId,
        offset: u64,
        (max_bytes, max_wait_ms): (usize, u64),
        done: ReadDone,
    ) {
        let (Some((topic, index)), Ok(offset)) = (self.topic_of(partition), i64::try_from(offset))
        else {
            return done(Err(ErrorKind::NotLeader));
        };
        let wanted = FetchPartition {
            topic: TopicRef::Id(topic),
            index,
            offset,
            max_bytes,
            leader_epoch: -1,
            last_epoch: -1,
        };
        let fetch = Fetch {
            min_bytes: 1,
            max_bytes,
            max_wait_ms,
            room: None,
            from: ReadFrom::Any {
                rack: NO_RACK.to_owned(),
            },
            committed_only: true,
            partitions: vec![wanted],
        };
        let answered = move |outcome| {
            let fetched = match outcome {
                Outcome::Fetch(mut fetched) => fetched.pop(),
                _ => None,
            };
            done(fetched.map_or(Err(ErrorKind::InvalidRequest), chunk));
        };
        self.fetch(fetch, Reply::call(answered));
    }

    /// Reads batches from the leader's copy.
    pub(super) fn read_stream_there(
        self: &Arc<Self>,
        partition: PartitionId,
        offset: u64,
        max_bytes: usize,
        done: ReadDone,
    ) {
        let group = self.group_of(partition);
        let leader = group.and_then(|group| self.leader_of(group));
        let Some((leader, _)) = leader.filter(|(leader, _)| *leader != self.id()) else {
            return done(Err(ErrorKind::NotLeader));
        };
        let call = Call::StreamRead {
            partition,
            offset,
            max_bytes: u32::try_from(max_bytes).unwrap_or(u32::MAX),
        };
        let answered = move |answer: Result<Bytes, _>| {
            let answer = answer.map_err(|_| ErrorKind::NotLeader);
            done(answer.and_then(|answer| {
                wire::read_chunk(&answer).unwrap_or(Err(ErrorKind::InvalidRequest))
            }));
        };
        self.peers.call(leader, call.encode(), Box::new(answered));
    }
}

fn chunk(fetched: Fetched) -> ReadAnswer {
    let batches = fetched.batches?;
    let batches = match &batches.chunks[..] {
        [] => Bytes::new(),
        [one] => one.clone(),
        several => {
            let mut whole = BytesMut::with_capacity(batches.size_bytes);
            several
                .iter()
                .for_each(|chunk| whole.extend_from_slice(chunk));
            whole.freeze()
        }
    };
    let aborted = fetched.aborted.into_iter();
    Ok(Chunk {
        log_start: fetched.log_start.0,
        end: fetched.last_stable.0,
        aborted: aborted.map(|one| (one.producer, one.first.0)).collect(),
        batches,
    })
}

impl Chunk {
    /// The records from `from` on, and the offset after the last batch; `from` where there is none.
    /// What is damaged ends them early.
    pub(super) fn records(&self, from: u64) -> (Vec<StreamRecord>, u64) {
        let mut rest = self.batches.clone();
        let (mut records, mut next) = (Vec::new(), from);
        let mut aborted = self.aborted.iter().peekable();
        let mut open = BTreeSet::new();
        while let Ok(header) = BatchHeader::parse(&rest) {
            let batch = rest.split_to(header.size_bytes);
            let Ok(base) = u64::try_from(header.base_offset) else {
                break;
            };
            let end = base + header.offset_count();
            while let Some((producer, _)) = aborted.next_if(|(_, first)| *first < end) {
                open.insert(*producer);
            }
            let producer = header.producer_id;
            let is_aborted = header.is_transactional()
                && producer.is_some_and(|producer| open.contains(&producer));
            if header.is_control() {
                producer.iter().for_each(|producer| {
                    open.remove(producer);
                });
            } else if !is_aborted {
                take_records(&batch, &header, from, &mut records);
            }
            next = next.max(end);
        }
        (records, next)
    }
}

fn take_records(batch: &Bytes, header: &BatchHeader, from: u64, out: &mut Vec<StreamRecord>) {
    let body = match header.codec {
        Codec::None => batch.slice(HEADER_BYTES..),
        codec => match decompress(codec, &batch[HEADER_BYTES..], MAX_INFLATED_BYTES) {
            Ok(body) => body.into(),
            Err(error) => {
                tracing::warn!(%error, base = header.base_offset, "a batch cannot be read");
                return;
            }
        },
    };
    for record in Records::new(&body, header.record_count) {
        let Ok(record) = record else {
            return;
        };
        let base = header.base_offset.unsigned_abs();
        let offset = base + u64::from(record.offset_delta);
        if offset >= from {
            let timestamp_ms = match header.is_log_append_time() {
                true => header.max_timestamp_ms,
                false => header.base_timestamp_ms + record.timestamp_delta_ms,
            };
            out.push(StreamRecord {
                offset,
                timestamp_ms,
                record: body.slice_ref(record.raw),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{
        Offset,
        batch::{PATCHED_BYTES, mend_crc, patched_head},
        batch_builder::{BatchBuilder, Sequence},
    };

    use super::*;

    fn batch(base: u64, count: u32, producer: Option<i64>, attributes: i16) -> Vec<u8> {
        let mut builder = BatchBuilder::new(0);
        for _ in 0..count {
            builder.push_plain(None, Some(b"v"), 7);
        }
        let sequence = producer.map(|producer| Sequence {
            producer: ProducerId(producer),
            epoch: 0,
            first: 0,
        });
        let mut bytes = builder.finish(sequence).to_vec();
        let head = patched_head(Offset(base), bytes.len(), 0);
        bytes[..PATCHED_BYTES].copy_from_slice(&head);
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        mend_crc(&mut bytes);
        bytes
    }

    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;

    #[test]
    fn records_are_those_from_an_offset_on_without_markers_and_what_was_aborted() {
        let batches = [
            batch(10, 3, None, 0),
            batch(13, 2, Some(1), TRANSACTIONAL),
            batch(15, 1, Some(2), TRANSACTIONAL),
            batch(16, 1, Some(1), TRANSACTIONAL | CONTROL),
            batch(17, 1, Some(1), TRANSACTIONAL),
        ];
        let chunk = Chunk {
            batches: batches.concat().into(),
            aborted: vec![(ProducerId(1), 13)],
            ..Chunk::default()
        };
        let (records, next) = chunk.records(11);
        let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
        assert_eq!((offsets, next), (vec![11, 12, 15, 17], 18));
        assert!(records.iter().all(|record| record.timestamp_ms == 7));
        assert_eq!(Chunk::default().records(5), (Vec::new(), 5));
    }

    #[test]
    fn a_chunk_that_is_cut_ends_with_its_last_whole_batch() {
        let batches = [batch(0, 1, None, 0), batch(1, 1, None, 0)].concat();
        for cut in batches.len() / 2..batches.len() {
            let chunk = Chunk {
                batches: Bytes::copy_from_slice(&batches[..cut]),
                ..Chunk::default()
            };
            assert_eq!(chunk.records(0).1, 1, "cut at {cut}");
        }
    }
}
