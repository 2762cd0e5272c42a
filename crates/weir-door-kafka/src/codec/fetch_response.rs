//! The Fetch answer, versions 4 to 18, encoded by hand so that records are sent as the chunks
//! they are stored in. After the answer header:
//!
//! ```text
//! throttle i32 | v7+: error i16, session i32 | topics [
//!   name (v4-12) or id (v13+) | partitions [
//!     index i32 | error i16 | high watermark i64 | last stable i64 | v5+: log start i64
//!     | aborted [producer id i64 | first offset i64 | v12+: tags] or null
//!     | v11+: preferred replica i32 | records: length, chunks
//!     | v12+: tags 0: diverging epoch i32, end i64; 1: leader i32, its epoch i32
//!   ] | v12+: tags
//! ] | v12+: tags; v16+: 0: nodes [ id i32 | host | port i32 | rack ]
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;
use weir_broker::api::{AbortedTransaction, Broker};

use super::{header::Head, response::EncodeError};

/// First version with a top-level error and session id.
const SESSION_FROM: i16 = 7;
/// First version with the addresses of leaders elsewhere.
const NODES_FROM: i16 = 16;
/// First version with topic ids in place of names.
pub const ID_FROM: i16 = 13;

/// The answer as a whole.
#[derive(Debug)]
pub struct FetchAnswer {
    /// Top-level error code; not on the wire before version 7.
    pub error_code: i16,
    /// The fetch session; 0: none. Not on the wire before version 7.
    pub session_id: i32,
    /// The topics.
    pub topics: Vec<TopicAnswer>,
    /// The nodes that [`PartitionAnswer::leader`] names; not on the wire before version 16.
    pub nodes: Vec<Broker>,
}

/// One topic's part.
#[derive(Debug)]
pub struct TopicAnswer {
    /// Its name, for versions up to 12.
    pub name: StrBytes,
    /// Its id, for versions from 13.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: Vec<PartitionAnswer>,
}

/// One partition's part.
#[derive(Debug)]
pub struct PartitionAnswer {
    /// Its index.
    pub index: i32,
    /// Its error code.
    pub error_code: i16,
    /// The offset after the last committed record.
    pub high_watermark: i64,
    /// The last stable offset.
    pub last_stable: i64,
    /// Its first offset.
    pub log_start: i64,
    /// Aborted transactions, ascending by first offset.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// A replica that the client had better ask; -1: none. Not on the wire before version 11.
    pub preferred: i32,
    /// The largest epoch up to the client's own, and where that ends; not on the wire before
    /// version 12.
    pub diverging: Option<(i32, i64)>,
    /// The leader and its epoch; not on the wire before version 12.
    pub leader: Option<(i32, i32)>,
    /// The records.
    pub chunks: Vec<Bytes>,
}

/// The chunks to send, in order. No record byte is copied.
pub fn encode(head: &Head, answer: FetchAnswer) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer {
        head: *head,
        fixed: head.begin(room_bytes(&answer)),
        cuts: Vec::new(),
        chunk_bytes: 0,
    };
    writer.answer(answer)?;
    writer.finish()
}

fn room_bytes(answer: &FetchAnswer) -> usize {
    let topic = |topic: &TopicAnswer| 32 + topic.name.len() + 56 * topic.partitions.len();
    32 + answer.topics.iter().map(topic).sum::<usize>()
}

struct Writer {
    head: Head,
    fixed: BytesMut,
    /// Chunks with the position in `fixed` that they go in at.
    cuts: Vec<(usize, Vec<Bytes>)>,
    chunk_bytes: usize,
}

impl Writer {
    fn answer(&mut self, answer: FetchAnswer) -> Result<(), EncodeError> {
        self.fixed.put_i32(self.head.throttle_ms);
        if self.head.version >= SESSION_FROM {
            self.fixed.put_i16(answer.error_code);
            self.fixed.put_i32(answer.session_id);
        }
        self.length(answer.topics.len())?;
        for topic in answer.topics {
            self.topic(topic)?;
        }
        self.nodes(&answer.nodes)
    }

    fn topic(&mut self, topic: TopicAnswer) -> Result<(), EncodeError> {
        if self.head.version >= ID_FROM {
            self.fixed.put_slice(topic.id.as_bytes());
        } else {
            if self.head.flexible {
                self.length(topic.name.len())?;
            } else {
                let length = i16::try_from(topic.name.len())
                    .map_err(|_| self.head.misfit(format!("name of {}", topic.name.len())))?;
                self.fixed.put_i16(length);
            }
            self.fixed.put_slice(topic.name.as_bytes());
        }
        self.length(topic.partitions.len())?;
        for partition in topic.partitions {
            self.partition(partition)?;
        }
        self.no_tags();
        Ok(())
    }

    fn partition(&mut self, partition: PartitionAnswer) -> Result<(), EncodeError> {
        self.fixed.put_i32(partition.index);
        self.fixed.put_i16(partition.error_code);
        self.fixed.put_i64(partition.high_watermark);
        self.fixed.put_i64(partition.last_stable);
        if self.head.version >= 5 {
            self.fixed.put_i64(partition.log_start);
        }
        match (partition.aborted, self.head.flexible) {
            (Some(aborted), _) => self.aborted(&aborted)?,
            (None, true) => self.fixed.put_u8(0),
            (None, false) => self.fixed.put_i32(-1),
        }
        if self.head.version >= 11 {
            self.fixed.put_i32(partition.preferred);
        }
        let record_bytes = partition.chunks.iter().map(Bytes::len).sum();
        self.length(record_bytes)?;
        if record_bytes > 0 {
            self.chunk_bytes += record_bytes;
            self.cuts.push((self.fixed.len(), partition.chunks));
        }
        self.partition_tags(partition.diverging, partition.leader);
        Ok(())
    }

    fn partition_tags(&mut self, diverging: Option<(i32, i64)>, leader: Option<(i32, i32)>) {
        if !self.head.flexible {
            return;
        }
        let count = u8::from(diverging.is_some()) + u8::from(leader.is_some());
        self.fixed.put_u8(count);
        if let Some((epoch, end)) = diverging {
            self.fixed.put_slice(&[0, 4 + 8 + 1]);
            self.fixed.put_i32(epoch);
            self.fixed.put_i64(end);
            self.fixed.put_u8(0);
        }
        if let Some((node, epoch)) = leader {
            self.fixed.put_slice(&[1, 4 + 4 + 1]);
            self.fixed.put_i32(node);
            self.fixed.put_i32(epoch);
            self.fixed.put_u8(0);
        }
    }

    fn nodes(&mut self, nodes: &[Broker]) -> Result<(), EncodeError> {
        if self.head.version < NODES_FROM || nodes.is_empty() {
            self.no_tags();
            return Ok(());
        }
        // The tag's size goes before it: it is written elsewhere first.
        let whole = std::mem::take(&mut self.fixed);
        self.length(nodes.len())?;
        for node in nodes {
            self.fixed.put_i32(node.node);
            self.length(node.host.len())?;
            self.fixed.put_slice(node.host.as_bytes());
            self.fixed.put_i32(i32::from(node.port));
            match &node.rack {
                Some(rack) => {
                    self.length(rack.len())?;
                    self.fixed.put_slice(rack.as_bytes());
                }
                None => self.fixed.put_u8(0),
            }
            self.fixed.put_u8(0);
        }
        let tag = std::mem::replace(&mut self.fixed, whole);
        self.fixed.put_slice(&[1, 0]);
        self.varint(u32::try_from(tag.len()).map_err(|_| self.head.misfit("nodes".to_owned()))?);
        self.fixed.put_slice(&tag);
        Ok(())
    }

    fn aborted(&mut self, aborted: &[AbortedTransaction]) -> Result<(), EncodeError> {
        self.length(aborted.len())?;
        for transaction in aborted {
            self.fixed.put_i64(transaction.producer.0);
            self.fixed.put_i64(transaction.first.wire());
            self.no_tags();
        }
        Ok(())
    }

    /// The length of a list or of bytes.
    fn length(&mut self, length: usize) -> Result<(), EncodeError> {
        let wire = i32::try_from(length).map_err(|_| self.head.misfit(format!("{length} long")))?;
        if !self.head.flexible {
            self.fixed.put_i32(wire);
            return Ok(());
        }
        self.varint(wire.cast_unsigned() + 1);
        Ok(())
    }

    fn varint(&mut self, mut rest: u32) {
        while rest >= 0x80 {
            self.fixed.put_u8((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.fixed.put_u8(rest as u8);
    }

    fn no_tags(&mut self) {
        if self.head.flexible {
            self.fixed.put_u8(0);
        }
    }

    fn finish(mut self) -> Result<Vec<Bytes>, EncodeError> {
        self.head.close(&mut self.fixed, self.chunk_bytes)?;
        let fixed = self.fixed.freeze();
        let records_count: usize = self.cuts.iter().map(|(_, chunks)| chunks.len()).sum();
        let mut chunks = Vec::with_capacity(records_count + self.cuts.len() + 1);
        let mut from = 0;
        for (at, records) in self.cuts {
            chunks.push(fixed.slice(from..at));
            chunks.extend(records);
            from = at;
        }
        if from < fixed.len() {
            chunks.push(fixed.slice(from..));
        }
        Ok(chunks)
    }
}
