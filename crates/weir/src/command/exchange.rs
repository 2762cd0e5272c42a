//! The smallest Kafka client that can send and read: what `weir quickstart` shows itself with.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
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

const TIMEOUT: Duration = Duration::from_secs(10);
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const METADATA_VERSION: i16 = 9;
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// One connection.
pub(crate) struct Exchange {
    stream: TcpStream,
    next_correlation: i32,
}

impl Exchange {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).context("connecting")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            next_correlation: 0,
        })
    }

    /// Makes the topic, if it is not there, by asking for it.
    pub(crate) fn create(&mut self, topic: &str) -> anyhow::Result<()> {
        let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![wanted]))
            .with_allow_auto_topic_creation(true);
        let answer: MetadataResponse = self.call(ApiKey::Metadata, METADATA_VERSION, &request)?;
        let topic = answer.topics.first().context("no topic in the answer")?;
        ensure!(
            topic.error_code == 0,
            "the topic was refused: error {}",
            topic.error_code
        );
        Ok(())
    }

    /// Sends texts as one batch; gives the first one's offset once all are durable.
    pub(crate) fn send(&mut self, topic: &str, texts: &[&str]) -> anyhow::Result<i64> {
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
        let data = PartitionProduceData::default()
            .with_index(0)
            .with_records(Some(batch.freeze()));
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

    /// Reads offsets and texts from `offset` on.
    pub(crate) fn read(&mut self, topic: &str, offset: i64) -> anyhow::Result<Vec<(i64, String)>> {
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
        let mut batches = partition
            .records
            .clone()
            .context("no records in the answer")?;
        let records = RecordBatchDecoder::decode(&mut batches)?.records;
        let text = |record: Record| {
            let value = record.value.unwrap_or_default();
            (record.offset, String::from_utf8_lossy(&value).into_owned())
        };
        Ok(records.into_iter().map(text).collect())
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
