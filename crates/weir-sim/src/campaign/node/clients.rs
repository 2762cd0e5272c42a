//! Producers: five batches under way per partition, the same batch again until it is answered.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::api::{
    AckLevel, InitProducer, Produce, ProducePartition, Produced, Request, TopicRef,
};
use weir_model::{ErrorKind, TopicName};

use super::{
    answers::Asked,
    batch::{Recipe, client_batch},
    books::{Place, Sent},
    run::Run,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Most batches of a stream from the first without an answer on, as in Kafka's clients.
const MAX_IN_FLIGHT: usize = 5;

/// What one producer sends to one partition.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Serial numbers.
    pub(super) batches: Vec<u64>,
    pub(super) answered: BTreeSet<usize>,
    in_flight: BTreeSet<usize>,
    next_sequence: i32,
}

impl Stream {
    fn first_unanswered(&self) -> usize {
        (0..).find(|n| !self.answered.contains(n)).unwrap_or(0)
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.len() == self.batches.len()
    }

    pub(super) fn forget_in_flight(&mut self) {
        self.in_flight.clear();
    }

    /// The first batch without an answer that is not under way; the one after the last where
    /// there is none and room.
    fn next(&self) -> Option<usize> {
        let first = self.first_unanswered();
        let open = |n: &usize| !self.answered.contains(n) && !self.in_flight.contains(n);
        (first..first + MAX_IN_FLIGHT).find(open)
    }
}

/// All producers.
#[derive(Debug, Default)]
pub(super) struct Producers {
    /// Ids with epochs, by producer.
    pub(super) ids: BTreeMap<usize, (i64, i16)>,
    /// Ids that were ever given.
    pub(super) given: BTreeSet<i64>,
    pub(super) streams: BTreeMap<(usize, Place), Stream>,
}

/// How large a new batch is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) record_count: u32,
    pub(super) data_bytes: usize,
}

pub(super) fn topic_ref(topic: usize) -> TopicRef {
    let name = TopicName::new(&format!("topic-{topic}"));
    TopicRef::Name(name.expect("letters, a dash and digits are a name"))
}

impl Run<'_> {
    /// Sends one batch, where the producer may. An idempotent one asks for its id first.
    pub(super) fn produce(&mut self, producer: Option<usize>, place: Place, size: Size) {
        let Some(producer) = producer else {
            let serial = self.new_batch(place, None, None, size);
            self.submit(place, serial);
            return;
        };
        let Some((id, epoch)) = self.producers.ids.get(&producer).copied() else {
            self.ask(
                Request::InitProducerId(InitProducer::idempotent()),
                Asked::ProducerId { producer },
            );
            return;
        };
        let stream = self.producers.streams.entry((producer, place)).or_default();
        let Some(number) = stream.next() else {
            return;
        };
        if number == stream.batches.len() {
            let sequence = stream.next_sequence;
            stream.next_sequence += i32::try_from(size.record_count).unwrap_or(0);
            let serial = self.new_batch(
                place,
                Some((producer, number)),
                Some((id, epoch, sequence)),
                size,
            );
            let stream = self.producers.streams.entry((producer, place)).or_default();
            stream.batches.push(serial);
        } else {
            self.host.counts.add("retries", 1);
        }
        let stream = self.producers.streams.entry((producer, place)).or_default();
        stream.in_flight.insert(number);
        let serial = stream.batches[number];
        self.submit(place, serial);
    }

    fn new_batch(
        &mut self,
        place: Place,
        stream: Option<(usize, usize)>,
        producer: Option<(i64, i16, i32)>,
        size: Size,
    ) -> u64 {
        let time_ms = self.host.clock.now_ms();
        let bytes = client_batch(Recipe {
            serial: self.books.sent.len() as u64,
            time_ms,
            record_count: size.record_count,
            data_bytes: size.data_bytes,
            producer,
            is_transactional: false,
        });
        self.books.add(Sent {
            place,
            stream,
            bytes,
            record_count: size.record_count,
            time_ms,
            offset: None,
            epoch: None,
            is_absent: false,
        })
    }

    fn submit(&mut self, place: Place, serial: u64) {
        let Some(sent) = self.books.send_again(serial) else {
            return;
        };
        self.host.counts.add("sends", 1);
        let produce = Produce {
            transaction: None,
            ack: AckLevel::Majority,
            timeout_ms: u64::MAX,
            partitions: vec![ProducePartition {
                topic: topic_ref(place.0),
                index: i32::try_from(place.1).unwrap_or(-1),
                batch: sent.bytes,
            }],
        };
        self.ask(Request::Produce(produce), Asked::Produce { serial });
    }

    /// An answer to one batch.
    pub(super) fn hear_produced(&mut self, serial: u64, produced: &Produced) -> Result<(), Broken> {
        let Some(sent) = self.books.sent(serial).cloned() else {
            return Ok(());
        };
        let place = sent.place;
        if let Some((producer, number)) = sent.stream {
            let stream = self.producers.streams.entry((producer, place)).or_default();
            stream.in_flight.remove(&number);
            if produced.base_offset.is_ok() {
                stream.answered.insert(number);
            }
        }
        match produced.base_offset {
            Ok(offset) => {
                self.host.counts.add("acknowledged", 1);
                self.books.learn(serial, place, offset.0)
            }
            Err(error) => {
                self.host.counts.add("refused", 1);
                self.check_refusal(&sent, error)
            }
        }
    }

    fn check_refusal(&mut self, sent: &Sent, error: ErrorKind) -> Result<(), Broken> {
        let topic_is_there = self.created.contains(&sent.place.0);
        match error {
            // An earlier batch of the stream was refused, and comes again first.
            ErrorKind::OutOfOrderSequence | ErrorKind::SequenceGap if self.has_gap_before(sent) => {
                Ok(())
            }
            ErrorKind::UnknownTopicOrPartition if !topic_is_there => Ok(()),
            ErrorKind::StorageFull if !self.has_roomy_log() => Ok(()),
            _ => self.explained(error, "a batch"),
        }
    }

    fn has_gap_before(&self, sent: &Sent) -> bool {
        let Some((producer, number)) = sent.stream else {
            return false;
        };
        let stream = self.producers.streams.get(&(producer, sent.place));
        stream.is_some_and(|stream| stream.first_unanswered() < number)
    }

    /// Whether the log never refuses for its own length.
    pub(super) fn has_roomy_log(&self) -> bool {
        self.plan.max_total_bytes >= 64 * self.plan.file_size_bytes
    }

    /// A producer's new id was nobody's before.
    pub(super) fn hear_producer_id(
        &mut self,
        producer: usize,
        id: i64,
        epoch: i16,
    ) -> Result<(), Broken> {
        if !self.producers.given.insert(id) {
            let detail = format!("producer id {id} was given out twice");
            return Err(broken(oracle_name::INVENTED, detail));
        }
        self.producers.ids.entry(producer).or_insert((id, epoch));
        Ok(())
    }
}
