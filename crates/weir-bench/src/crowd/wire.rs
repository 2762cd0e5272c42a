//! As much of a Kafka client as a crowd needs: one connection, requests of fixed versions that
//! may be sent ahead of their answers.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsRequest, CreateTopicsRequest, FetchRequest, ProduceRequest,
        RequestHeader, ResponseHeader, TopicName,
        create_topics_request::CreatableTopic,
        fetch_request::{FetchPartition, FetchTopic},
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// The same as requests tell it, in ms.
const REQUEST_LIMIT_MS: i32 = 120_000;
/// The topic that everything is about, where nothing else is said.
pub(crate) const TOPIC: &str = "crowd";
/// Most bytes that a reader asks for at once (a consumer's `fetch.max.bytes`).
const FETCH_BYTES: i32 = 50 << 20;
/// How long a reader waits where there is nothing, in ms.
const FETCH_WAIT_MS: i32 = 500;

const API_VERSIONS_VERSION: i16 = 0;
const CREATE_TOPICS_VERSION: i16 = 4;
const PRODUCE_VERSION: i16 = 3;
const FETCH_VERSION: i16 = 4;

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
}

pub(crate) fn text(words: &str) -> StrBytes {
    StrBytes::from_string(words.to_owned())
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// An error code as a failure.
pub(crate) fn check(code: i16, what: &str) -> Result<()> {
    ensure!(code == 0, "{what}: refused with code {code}");
    Ok(())
}

impl Wire {
    /// Connects, and sees that it is served.
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut wire = Self { stream };
        wire.ask(&ApiVersionsRequest::default(), API_VERSIONS_VERSION)?;
        Ok(wire)
    }

    /// Sends a request and leaves its answer where it is.
    pub(crate) fn send<Q: Request>(&mut self, request: &Q, version: i16) -> Result<()> {
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(1)
            .with_client_id(Some(StrBytes::from_static_str("crowd")));
        let key = ApiKey::try_from(Q::KEY).ok().context("a known request")?;
        let mut frame = BytesMut::from(&[0; 4][..]);
        header.encode(&mut frame, key.request_header_version(version))?;
        request.encode(&mut frame, version)?;
        let size = i32::try_from(frame.len() - 4)?;
        frame[..4].copy_from_slice(&size.to_be_bytes());
        Ok(self.stream.write_all(&frame)?)
    }

    /// The next answer, which must be to a `Q`.
    pub(crate) fn receive<Q: Request>(&mut self, version: i16) -> Result<Q::Response> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).context("no answer")?;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(size))?];
        self.stream.read_exact(&mut body)?;
        let mut body = Bytes::from(body);
        ResponseHeader::decode(&mut body, Q::Response::header_version(version))?;
        Q::Response::decode(&mut body, version)
    }

    /// One request and its answer.
    pub(crate) fn ask<Q: Request>(&mut self, request: &Q, version: i16) -> Result<Q::Response> {
        self.send(request, version)?;
        self.receive::<Q>(version)
    }

    /// Makes a topic.
    pub(crate) fn make_topic(&mut self, name: &str, partition_count: usize) -> Result<()> {
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(i32::try_from(partition_count)?)
            .with_replication_factor(-1);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(REQUEST_LIMIT_MS);
        let made = self.ask(&request, CREATE_TOPICS_VERSION)?;
        check(
            made.topics.first().context("an answer")?.error_code,
            "a topic",
        )
    }

    /// Sends a batch to be appended.
    pub(crate) fn send_batch(&mut self, topic: &str, index: usize, batch: &Bytes) -> Result<()> {
        let partition = PartitionProduceData::default()
            .with_index(i32::try_from(index)?)
            .with_records(Some(batch.clone()));
        let topic = TopicProduceData::default()
            .with_name(topic_name(topic))
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(REQUEST_LIMIT_MS)
            .with_topic_data(vec![topic]);
        self.send(&request, PRODUCE_VERSION)
    }

    /// The answer to [`Wire::send_batch`]: it is stored.
    pub(crate) fn receive_stored(&mut self) -> Result<()> {
        let answer = self.receive::<ProduceRequest>(PRODUCE_VERSION)?;
        let topic = answer.responses.first().context("a topic")?;
        let partition = topic.partition_responses.first().context("a partition")?;
        check(partition.error_code, "a batch")
    }

    /// Appends a batch and waits until it is stored.
    pub(crate) fn produce(&mut self, topic: &str, index: usize, batch: &Bytes) -> Result<()> {
        self.send_batch(topic, index, batch)?;
        self.receive_stored()
    }

    /// Asks for all of [`TOPIC`] from `offset` on; the answer is left where it is.
    pub(crate) fn ask_for_records(&mut self, offset: i64) -> Result<()> {
        let partition = FetchPartition::default()
            .with_fetch_offset(offset)
            .with_partition_max_bytes(FETCH_BYTES);
        let topic = FetchTopic::default()
            .with_topic(topic_name(TOPIC))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_wait_ms(FETCH_WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_topics(vec![topic]);
        self.send(&request, FETCH_VERSION)
    }

    /// Reads the answer to [`Wire::ask_for_records`].
    pub(crate) fn fetched(&mut self) -> Result<Bytes> {
        let answer = self.receive::<FetchRequest>(FETCH_VERSION)?;
        let topic = answer.responses.into_iter().next().context("a topic")?;
        let partition = topic.partitions.into_iter().next().context("a partition")?;
        check(partition.error_code, "a read")?;
        Ok(partition.records.unwrap_or_default())
    }
}
