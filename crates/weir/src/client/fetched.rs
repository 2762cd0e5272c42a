//! Sending batches to leaders, and reading from them.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::{
    BrokerId, FetchRequest, InitProducerIdRequest, ProduceRequest, ProducerId,
    fetch_request::{FetchPartition, FetchTopic},
    produce_request::{PartitionProduceData, TopicProduceData},
};

use super::{
    Client, ClientError, To, cluster::topic_name, error::check, offsets::Place, records::Signature,
};

/// The last versions that name topics by their names.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 12;
const INIT_PRODUCER_ID_VERSION: i16 = 4;
/// How long a node may take to store a batch, in ms.
const PRODUCE_LIMIT_MS: i32 = 20_000;
/// Most bytes of one answer, and of one partition in it.
const MAX_FETCH_BYTES: i32 = 8 << 20;
const MAX_PARTITION_BYTES: i32 = 1 << 20;

/// What one partition answered.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) place: Place,
    /// Batches, or why there are none.
    pub(crate) batches: Result<Bytes, ClientError>,
}

impl Client {
    /// A producer's number, with which what is sent again is stored once.
    pub(crate) fn producer(&mut self) -> Result<Signature, ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        self.retried(|client| {
            let answer = client.ask(To::Any, &request, INIT_PRODUCER_ID_VERSION)?;
            check(answer.error_code, "a producer's number", None)?;
            Ok(Signature {
                producer: answer.producer_id.0,
                epoch: answer.producer_epoch,
                sequence: 0,
            })
        })
    }

    /// Sends one batch to its partition; gives the first message's offset, -1 where `acks` is 0.
    /// Tried again until it is stored: a batch without a signature whose answer was lost may be
    /// there twice.
    pub(crate) fn produce(
        &mut self,
        (topic, index): (&str, i32),
        batch: &Bytes,
        acks: i16,
    ) -> Result<i64, ClientError> {
        let data = PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(batch.clone()));
        let data = TopicProduceData::default()
            .with_name(topic_name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(PRODUCE_LIMIT_MS)
            .with_topic_data(vec![data]);
        let places = [(topic.to_owned(), index)];
        self.retried(|client| {
            let leader = client.leaders(&places)?.keys().next().copied();
            let leader = leader.unwrap_or(-1);
            if acks == 0 {
                client.tell(leader, &request, PRODUCE_VERSION)?;
                return Ok(-1);
            }
            let answer = client.ask(To::Node(leader), &request, PRODUCE_VERSION)?;
            let mut offset = -1;
            for answer in answer
                .responses
                .iter()
                .flat_map(|it| &it.partition_responses)
            {
                let what = format!("partition {index} of topic {topic}");
                check(answer.error_code, &what, answer.error_message.as_deref())?;
                offset = answer.base_offset;
            }
            Ok(offset)
        })
    }

    /// Reads from partitions that one node leads, from these offsets on. Waits `wait_ms` at most
    /// for the first bytes. Asks once.
    pub(crate) fn fetch(
        &mut self,
        leader: i32,
        from: &BTreeMap<Place, i64>,
        wait_ms: i32,
    ) -> Result<Vec<Fetched>, ClientError> {
        let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
        for ((topic, index), offset) in from {
            let partition = FetchPartition::default()
                .with_partition(*index)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(MAX_PARTITION_BYTES);
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            FetchTopic::default()
                .with_topic(topic_name(name))
                .with_partitions(partitions)
        });
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(MAX_FETCH_BYTES)
            .with_session_epoch(-1)
            .with_topics(topics.collect());
        let answer = self.ask(To::Node(leader), &request, FETCH_VERSION)?;
        check(answer.error_code, "reading", None)?;
        let mut fetched = Vec::new();
        for topic in answer.responses {
            for partition in topic.partitions {
                let place = (topic.topic.0.to_string(), partition.partition_index);
                let what = format!("partition {} of topic {}", place.1, place.0);
                let batches = check(partition.error_code, &what, None)
                    .map(|()| partition.records.unwrap_or_default());
                fetched.push(Fetched { place, batches });
            }
        }
        Ok(fetched)
    }
}
