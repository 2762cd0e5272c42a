//! The smallest Kafka client that can send and read: what `weir quickstart` shows itself with.
//! It follows the leader of partition 0, wherever that goes.

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest,
        ProduceResponse, RequestHeader, ResponseHeader, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        metadata_request::MetadataRequestTopic,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable, Encodable, StrBytes},
    records::{
        Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
        TimestampType,
    },
};

/// How long one node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long all tries of one request may take: leaders change meanwhile.
const RETRY_LIMIT: Duration = Duration::from_secs(60);
/// Pause before another try.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const METADATA_VERSION: i16 = 9;
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Kafka's name for a topic whose leader is not known.
const LEADER_NOT_AVAILABLE: i16 = 5;

/// A client of the cluster that has these nodes.
pub(crate) struct Exchange {
    bootstrap: Vec<String>,
    leader: Option<Connection>,
}

impl Exchange {
    /// A client that finds the cluster at any of these addresses (`host:port`).
    pub(crate) fn new(bootstrap: Vec<String>) -> Self {
        Self {
            bootstrap,
            leader: None,
        }
    }

    /// Makes the topic, if it is not there, by asking for it.
    pub(crate) fn create(&mut self, topic: &str) -> anyhow::Result<()> {
        self.retried(topic, |_| Ok(()))
    }

    /// Sends texts as one batch; gives the first one's offset once all are durable. A batch whose
    /// answer was lost is sent again, and may be there twice.
    pub(crate) fn send(&mut self, topic: &str, texts: &[&str]) -> anyhow::Result<i64> {
        let batch = batch(texts)?;
        self.retried(topic, |leader| leader.send(topic, &batch))
    }

    /// Reads offsets and texts from `offset` on; none where nothing comes for a second.
    pub(crate) fn read(&mut self, topic: &str, offset: i64) -> anyhow::Result<Vec<(i64, String)>> {
        self.retried(topic, |leader| leader.read(topic, offset))
    }

    /// Tries with whoever leads, until it works or the time is over.
    fn retried<T>(
        &mut self,
        topic: &str,
        mut attempt: impl FnMut(&mut Connection) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + RETRY_LIMIT;
        loop {
            let tried = self.leader(topic).and_then(&mut attempt);
            match tried {
                Ok(done) => return Ok(done),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => {
                    self.leader = None;
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    }

    fn leader(&mut self, topic: &str) -> anyhow::Result<&mut Connection> {
        if self.leader.is_none() {
            let mut last = None;
            for address in &self.bootstrap {
                let found = Connection::open(address).and_then(|mut node| node.leader_of(topic));
                match found.and_then(|leader| Connection::open(&leader)) {
                    Ok(leader) => {
                        self.leader = Some(leader);
                        break;
                    }
                    Err(error) => last = Some(error),
                }
            }
            if let (None, Some(error)) = (&self.leader, last) {
                return Err(error);
            }
        }
        self.leader.as_mut().context("no address to connect to")
    }
}

/// A connection to one node.
struct Connection {
    stream: TcpStream,
    next_correlation: i32,
}

impl Connection {
    fn open(address: &str) -> anyhow::Result<Self> {
        let resolved = address.to_socket_addrs()?.next();
        let resolved = resolved.with_context(|| format!("{address} has no address"))?;
        let stream = TcpStream::connect_timeout(&resolved, TIMEOUT)
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            next_correlation: 0,
        })
    }

    /// Address of partition 0's leader. The topic is made where it is absent.
    fn leader_of(&mut self, topic: &str) -> anyhow::Result<String> {
        let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![wanted]))
            .with_allow_auto_topic_creation(true);
        let answer: MetadataResponse = self.call(ApiKey::Metadata, METADATA_VERSION, &request)?;
        let topic = answer.topics.first().context("no topic in the answer")?;
        ensure!(
            topic.error_code == 0 || topic.error_code == LEADER_NOT_AVAILABLE,
            "the topic was refused: error {}",
            topic.error_code
        );
        let mut partitions = topic.partitions.iter();
        let first = partitions.find(|partition| partition.partition_index == 0);
        let leader = first.context("no partition in the answer")?.leader_id;
        let mut nodes = answer.brokers.iter();
        let Some(leader) = nodes.find(|node| node.node_id == leader) else {
            bail!("nobody leads the partition");
        };
        if leader.host.contains(':') {
            return Ok(format!("[{}]:{}", leader.host.as_str(), leader.port));
        }
        Ok(format!("{}:{}", leader.host.as_str(), leader.port))
    }

    fn send(&mut self, topic: &str, batch: &Bytes) -> anyhow::Result<i64> {
        let data = PartitionProduceData::default()
            .with_index(0)
            .with_records(Some(batch.clone()));
        let data = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![data]);
        let answer: ProduceResponse = self.call(ApiKey::Produce, PRODUCE_VERSION, &request)?;
        let partition = answer
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first());
        let partition = partition.context("no partition in the answer")?;
        ensure!(
            partition.error_code == 0,
            "sending was refused: error {}",
            partition.error_code
        );
        Ok(partition.base_offset)
    }

    fn read(&mut self, topic: &str, offset: i64) -> anyhow::Result<Vec<(i64, String)>> {
        let partition = FetchPartition::default()
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20);
        let wanted = FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_max_wait_ms(1_000)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![wanted]);
        let answer: FetchResponse = self.call(ApiKey::Fetch, FETCH_VERSION, &request)?;
        let partition = answer
            .responses
            .first()
            .and_then(|topic| topic.partitions.first());
        let partition = partition.context("no partition in the answer")?;
        ensure!(
            partition.error_code == 0,
            "reading was refused: error {}",
            partition.error_code
        );
        let mut batches = partition.records.clone().unwrap_or_default();
        let mut texts = Vec::new();
        while batches.has_remaining() {
            for record in RecordBatchDecoder::decode(&mut batches)?.records {
                // A batch comes as a whole, though somebody asks for its middle.
                if record.offset >= offset {
                    let value = record.value.unwrap_or_default();
                    texts.push((record.offset, String::from_utf8_lossy(&value).into_owned()));
                }
            }
        }
        Ok(texts)
    }

    fn call<Q: Encodable, A: Decodable>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> anyhow::Result<A> {
        self.next_correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.next_correlation)
            .with_client_id(Some(StrBytes::from_static_str("weir-quickstart")));
        let mut frame = BytesMut::from(&[0; 4][..]);
        header.encode(&mut frame, key.request_header_version(version))?;
        request.encode(&mut frame, version)?;
        let length = u32::try_from(frame.len() - 4)?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        ensure!(length <= MAX_ANSWER_BYTES, "an answer of {length} bytes");
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, key.response_header_version(version))?;
        A::decode(&mut answer, version)
    }
}

/// One record batch of texts.
fn batch(texts: &[&str]) -> anyhow::Result<Bytes> {
    let now_ms = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis(),
    )?;
    let records: Vec<Record> = (0_i64..)
        .zip(texts)
        .map(|(at, text)| record(at, now_ms, text))
        .collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, &records, &options)?;
    Ok(batch.freeze())
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn record(at: i64, now_ms: i64, text: &str) -> Record {
    Record {
        transactional: false,
        control: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: at,
        sequence: i32::try_from(at).unwrap_or(-1),
        timestamp: now_ms,
        key: None,
        value: Some(Bytes::copy_from_slice(text.as_bytes())),
        headers: Default::default(),
        delete_horizon: false,
    }
}
