//! Fetches of one partition, one after the other.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use weir_broker::api::{Fetch, FetchPartition, Outcome, ReadFrom, Request};

use super::{NodeHost, TopicRefs};

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Reads {
    /// Bytes per second.
    pub(crate) fn bytes_per_s(self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64()
    }
}

/// A reader whose chunks are copied once, as a socket's send does.
struct Reader<'a> {
    host: &'a NodeHost,
    topic: &'a TopicRefs,
    read_bytes: usize,
    sink: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(host: &'a NodeHost, topic: &'a TopicRefs, read_bytes: usize) -> Self {
        Self {
            host,
            topic,
            read_bytes,
            sink: Vec::with_capacity(read_bytes),
        }
    }

    /// Bytes read from `offset` on.
    fn read(&mut self, offset: u64) -> Result<u64> {
        let fetch = Fetch {
            committed_only: false,
            min_bytes: 1,
            max_bytes: self.read_bytes,
            max_wait_ms: 0,
            room: None,
            from: ReadFrom::Leader,
            partitions: vec![FetchPartition {
                topic: self.topic.topic.clone(),
                index: 0,
                offset: i64::try_from(offset)?,
                max_bytes: self.read_bytes,
                leader_epoch: -1,
                last_epoch: -1,
            }],
        };
        let Outcome::Fetch(fetched) = self.host.ask(Request::Fetch(fetch))? else {
            bail!("a fetch has another answer");
        };
        let mut bytes = 0;
        for one in fetched {
            let batches = one
                .batches
                .map_err(|error| anyhow::anyhow!("fetch: {error:?}"))?;
            self.take(&batches.chunks);
            bytes += batches.size_bytes as u64;
        }
        ensure!(bytes > 0, "nothing is at offset {offset}");
        Ok(bytes)
    }

    fn take(&mut self, chunks: &[Bytes]) {
        self.sink.clear();
        for chunk in chunks {
            self.sink.extend_from_slice(chunk);
        }
        std::hint::black_box(&self.sink);
    }
}

/// Partition 0 of a topic, filled with equal batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled<'a> {
    pub(crate) topic: &'a TopicRefs,
    pub(crate) batch_bytes: u64,
    pub(crate) record_count: u64,
    pub(crate) batch_count: u64,
}

impl Filled<'_> {
    fn offset_after(self, bytes: u64) -> u64 {
        bytes / self.batch_bytes * self.record_count
    }

    fn size_bytes(self) -> u64 {
        self.batch_bytes * self.batch_count
    }
}

/// Reads the first `limit_bytes`.
pub(crate) fn read_back(
    host: &NodeHost,
    filled: Filled<'_>,
    read_bytes: usize,
    limit_bytes: u64,
) -> Result<Reads> {
    let mut reader = Reader::new(host, filled.topic, read_bytes);
    let start = Instant::now();
    let mut bytes = 0;
    while bytes < limit_bytes.min(filled.size_bytes()) {
        bytes += reader.read(filled.offset_after(bytes))?;
    }
    Ok(Reads {
        bytes,
        time: start.elapsed(),
    })
}

/// Reads the last `tail_bytes` again and again for `time`.
pub(crate) fn read_tail(
    host: &NodeHost,
    filled: Filled<'_>,
    read_bytes: usize,
    tail_bytes: u64,
    time: Duration,
) -> Result<Reads> {
    let mut reader = Reader::new(host, filled.topic, read_bytes);
    let tail_bytes = tail_bytes / filled.batch_bytes * filled.batch_bytes;
    let first = filled.size_bytes().saturating_sub(tail_bytes);
    let start = Instant::now();
    let mut bytes = 0;
    let mut position = first;
    while start.elapsed() < time {
        let read = reader.read(filled.offset_after(position))?;
        bytes += read;
        position += read;
        if position >= filled.size_bytes() {
            position = first;
        }
    }
    Ok(Reads {
        bytes,
        time: start.elapsed(),
    })
}
