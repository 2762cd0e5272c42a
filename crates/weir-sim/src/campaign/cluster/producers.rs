//! Producers: five batches under way per partition, the same batch again until it is answered.
//! After a refusal for a gap some go on as librdkafka does: with the next epoch, from sequence 0.

use std::collections::BTreeMap;

use weir_broker::api::{
    AckLevel, InitProducer, Produce, ProducePartition, ProduceTransaction, Produced, Request,
};
use weir_model::ErrorKind;

use super::{
    answers::What,
    books::{Batch, Place},
    clients::{Kind, topic_ref},
    run::Cluster,
    transactors::{Transactor, is_told},
};
use crate::{
    campaign::node::batch::Recipe,
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Most batches of a stream from the first without an answer on, as in Kafka's clients.
const MAX_IN_FLIGHT: usize = 5;
/// When every client's clock begins, ms since 1970.
const START_MS: u64 = 1_700_000_000_000;

/// An idempotent producer.
#[derive(Debug, Default)]
pub(super) struct Producer {
    /// Id and epoch.
    pub(super) id: Option<(i64, i16)>,
    pub(super) streams: BTreeMap<Place, Stream>,
    /// Whether a gap makes it take the next epoch; otherwise it sends the same again.
    takes_next_epoch: bool,
    /// Nothing more is sent in this epoch: the next one begins when nothing is under way.
    is_draining: bool,
}

/// What one producer sends to one partition.
#[derive(Debug, Default)]
pub(super) struct Stream {
    batches: Vec<(u64, State)>,
    next_sequence: i32,
}

/// Who sends a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// Without an id.
    Plain,
    /// An idempotent producer, and the batch's number in its stream.
    Stream(usize, usize),
    /// Number of a transaction.
    Transaction(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    UnderWay,
    Stored,
}

impl Producer {
    pub(super) fn new(takes_next_epoch: bool) -> Self {
        Self {
            takes_next_epoch,
            ..Self::default()
        }
    }
}

impl Stream {
    fn first_open(&self) -> usize {
        let open = self.batches.iter();
        let mut open = open.skip_while(|(_, state)| *state == State::Stored);
        self.batches.len() - open.by_ref().count()
    }

    pub(super) fn is_answered(&self) -> bool {
        self.first_open() == self.batches.len()
    }

    /// Batches so far.
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    /// A transaction is over, and with it all that was sent within it.
    pub(super) fn forget_batches(&mut self) {
        self.batches.clear();
    }

    fn is_under_way(&self) -> bool {
        let mut batches = self.batches.iter();
        batches.any(|(_, state)| *state == State::UnderWay)
    }

    /// Batches that were answered with success.
    pub(super) fn stored(&self) -> impl Iterator<Item = u64> {
        let batches = self.batches.iter();
        let stored = batches.filter(|(_, state)| *state == State::Stored);
        stored.map(|(serial, _)| *serial)
    }
}

impl Cluster<'_> {
    pub(super) fn producer_turn(&mut self, client: usize) {
        let Kind::Producer(producer) = &self.clients[client].kind else {
            return;
        };
        let Some(id) = producer.id else {
            let what = What::ProducerId;
            let is_asked = self
                .open
                .values()
                .any(|asked| asked.client == client && matches!(asked.what, What::ProducerId));
            if !is_asked && let Some(machine) = self.any_up() {
                self.ask(
                    machine,
                    client,
                    Request::InitProducerId(InitProducer::idempotent()),
                    what,
                );
            }
            return;
        };
        if producer.is_draining {
            return self.drain(client);
        }
        let waiting: Vec<Place> = producer
            .streams
            .iter()
            .filter(|(_, stream)| !stream.is_answered())
            .map(|(place, _)| *place)
            .collect();
        let place = self.any_place().filter(|_| !self.is_ending);
        for place in waiting.into_iter().chain(place) {
            let new_count = if self.is_ending {
                0
            } else {
                1 + self.rng.index(3)
            };
            self.produce(client, id, place, new_count);
        }
    }

    pub(super) fn produce(
        &mut self,
        client: usize,
        id: (i64, i16),
        place: Place,
        new_count: usize,
    ) {
        let Some(machine) = self.route(client, place) else {
            return;
        };
        let Some(stream) = self.stream(client, place) else {
            return;
        };
        let (first, count) = (stream.first_open(), stream.batches.len());
        let last = (count + new_count).min(first + MAX_IN_FLIGHT);
        for number in first..last {
            if number >= count {
                self.new_batch(client, id, place);
            }
            let Some(stream) = self.stream(client, place) else {
                return;
            };
            let (serial, state) = stream.batches[number];
            if state != State::Idle {
                continue;
            }
            stream.batches[number].1 = State::UnderWay;
            let what = What::Produce {
                serial,
                is_first: number == first,
            };
            if !self.send_batch(machine, client, serial, what) {
                self.batch_failed(client, serial);
            }
        }
    }

    fn stream(&mut self, client: usize, place: Place) -> Option<&mut Stream> {
        match &mut self.clients[client].kind {
            Kind::Producer(producer) => Some(producer.streams.entry(place).or_default()),
            Kind::Transactor(transactor) => Some(transactor.streams.entry(place).or_default()),
            Kind::Plain { .. }
            | Kind::Reader { .. }
            | Kind::Group(_)
            | Kind::Consumer
            | Kind::Member => None,
        }
    }

    /// The transaction that the client's batches are part of.
    fn transaction_of(&self, client: usize) -> Option<(usize, ProduceTransaction)> {
        let Kind::Transactor(transactor) = &self.clients[client].kind else {
            return None;
        };
        let transaction = ProduceTransaction {
            id: transactor.name.clone(),
            adds: transactor.is_newer,
        };
        Some((transactor.current.as_ref()?.number, transaction))
    }

    fn new_batch(&mut self, client: usize, id: (i64, i16), place: Place) {
        let record_count = self.draw_record_count();
        let Some(stream) = self.stream(client, place) else {
            return;
        };
        let (number, sequence) = (stream.batches.len(), stream.next_sequence);
        stream.next_sequence += i32::try_from(record_count).unwrap_or(0);
        let producer = Some((id.0, id.1, sequence));
        let sender = match self.transaction_of(client) {
            Some((transaction, _)) => Sender::Transaction(transaction),
            None => Sender::Stream(client, number),
        };
        let serial = self.make_batch(place, record_count, sender, producer);
        if let Some(stream) = self.stream(client, place) {
            stream.batches.push((serial, State::Idle));
        }
    }

    fn draw_record_count(&mut self) -> u32 {
        u32::try_from(self.rng.between(1, 4)).unwrap_or(1)
    }

    /// Begins the next epoch once nothing of the old one is under way: what has no answer gets
    /// new sequences.
    fn drain(&mut self, client: usize) {
        let Kind::Producer(producer) = &mut self.clients[client].kind else {
            return;
        };
        if producer.streams.values().any(Stream::is_under_way) {
            return;
        }
        let Some((id, epoch)) = &mut producer.id else {
            return;
        };
        *epoch += 1;
        producer.is_draining = false;
        self.counts.add("epochs_raised", 1);
        for stream in producer.streams.values_mut() {
            let first_open = stream.first_open();
            stream.next_sequence = 0;
            for (serial, _) in stream.batches.iter().skip(first_open) {
                let sequence = stream.next_sequence;
                let count = self.books.resend(*serial, (*id, *epoch, sequence));
                stream.next_sequence += i32::try_from(count).unwrap_or(0);
            }
        }
    }

    fn make_batch(
        &mut self,
        place: Place,
        record_count: u32,
        sender: Sender,
        producer: Option<(i64, i16, i32)>,
    ) -> u64 {
        let data_bytes = self.rng.index(self.plan.clients.max_data_bytes);
        let recipe = Recipe {
            serial: self.books.batches.len() as u64,
            time_ms: i64::try_from(START_MS + self.now_ms).unwrap_or(0),
            record_count,
            data_bytes,
            producer,
            is_transactional: matches!(sender, Sender::Transaction(_)),
        };
        let mut batch = Batch::new(place, None, recipe);
        match sender {
            Sender::Plain => {}
            Sender::Stream(client, number) => batch.stream = Some((client, number)),
            Sender::Transaction(number) => {
                batch.transaction = Some(number);
                let transaction = self.books.transactions.get_mut(number);
                transaction.batches.push(recipe.serial);
            }
        }
        self.books.add(batch)
    }

    fn send_batch(&mut self, machine: usize, client: usize, serial: u64, what: What) -> bool {
        let Some(batch) = self.books.batch(serial) else {
            return false;
        };
        let transaction = self.transaction_of(client);
        let produce = Produce {
            transaction: transaction.map(|(_, transaction)| transaction),
            ack: AckLevel::Majority,
            timeout_ms: self.plan.clients.timeout_ms / 2,
            partitions: vec![ProducePartition {
                topic: topic_ref(batch.place.0),
                index: i32::try_from(batch.place.1).unwrap_or(-1),
                batch: batch.bytes().clone(),
            }],
        };
        self.counts.add("sends", 1);
        let words = [serial];
        self.trace
            .event("batch", &words, || format!("{serial}: {}", batch.words()));
        self.ask(machine, client, Request::Produce(produce), what)
    }

    pub(super) fn plain_turn(&mut self, client: usize) {
        let Some(place) = self.any_place() else {
            return;
        };
        let Kind::Plain { under_way, failed } = &mut self.clients[client].kind else {
            return;
        };
        let again = failed.pop();
        let is_full = under_way.len() >= MAX_IN_FLIGHT;
        let serial = match again {
            Some(serial) => serial,
            None if is_full || self.is_ending => return,
            None => {
                let record_count = self.draw_record_count();
                self.make_batch(place, record_count, Sender::Plain, None)
            }
        };
        let place = self.books.batch(serial).map_or(place, |batch| batch.place);
        let what = What::Produce {
            serial,
            is_first: false,
        };
        let machine = self.route(client, place);
        let is_sent = machine.is_some_and(|machine| self.send_batch(machine, client, serial, what));
        if let Kind::Plain { under_way, failed } = &mut self.clients[client].kind {
            if is_sent {
                under_way.insert(serial);
            } else {
                failed.push(serial);
            }
        }
    }

    /// The batch has no answer, or was refused: it goes again.
    pub(super) fn batch_failed(&mut self, client: usize, serial: u64) {
        let place = self.books.batch(serial).map(|batch| batch.place);
        if let Some(place) = place {
            self.clients[client].forget_route(place);
        }
        self.set_state(client, serial, State::Idle);
    }

    fn set_state(&mut self, client: usize, serial: u64, state: State) {
        let place = self.books.batch(serial).map(|batch| batch.place);
        match &mut self.clients[client].kind {
            Kind::Producer(Producer { streams, .. })
            | Kind::Transactor(Transactor { streams, .. }) => {
                let stream = place.and_then(|place| streams.get_mut(&place));
                let batches = stream.map(|stream| &mut stream.batches);
                let mut batches = batches.into_iter().flatten().rev();
                if let Some(batch) = batches.find(|(other, _)| *other == serial)
                    && batch.1 != State::Stored
                {
                    batch.1 = state;
                }
            }
            Kind::Plain { under_way, failed } => {
                if under_way.remove(&serial) && state == State::Idle {
                    failed.push(serial);
                }
            }
            Kind::Reader { .. } | Kind::Group(_) | Kind::Consumer | Kind::Member => {}
        }
    }

    /// To librdkafka an answer to a later batch is one to all before it.
    fn count_earlier_as_stored(&mut self, client: usize, serial: u64, place: Place) {
        let Kind::Producer(producer) = &mut self.clients[client].kind else {
            return;
        };
        if !producer.takes_next_epoch {
            return;
        }
        let Some(stream) = producer.streams.get_mut(&place) else {
            return;
        };
        let place = stream
            .batches
            .iter()
            .position(|(other, _)| *other == serial);
        for (_, state) in &mut stream.batches[..place.unwrap_or(0)] {
            *state = State::Stored;
        }
    }

    pub(super) fn hear_produced(
        &mut self,
        client: usize,
        serial: u64,
        is_first: bool,
        produced: &Produced,
    ) -> Result<(), Broken> {
        let Some(place) = self.books.batch(serial).map(|batch| batch.place) else {
            return Ok(());
        };
        match produced.base_offset {
            Ok(offset) => {
                self.counts.add("acknowledged", 1);
                self.set_state(client, serial, State::Stored);
                self.count_earlier_as_stored(client, serial, place);
                self.books.acknowledge(serial, place, offset.0)
            }
            // Stored so long ago that its place is not known any more: clients take it so.
            Err(ErrorKind::DuplicateSequence) => {
                self.counts.add("known_duplicates", 1);
                self.set_state(client, serial, State::Stored);
                self.count_earlier_as_stored(client, serial, place);
                Ok(())
            }
            // A gap that may close while a new leader settles is asked again.
            Err(ErrorKind::OutOfOrderSequence) if is_first => {
                let detail = format!("{place:?}: all batches before batch {serial} were stored");
                Err(broken(oracle_name::LOST, detail))
            }
            Err(error) => {
                self.counts.add("refused", 1);
                self.batch_failed(client, serial);
                self.refuse_in_transaction(client, serial, error);
                let is_transactional = self.transactor(client).is_some() && is_told(error);
                let raises = error == ErrorKind::OutOfOrderSequence;
                if let Kind::Producer(producer) = &mut self.clients[client].kind {
                    producer.is_draining |= raises && producer.takes_next_epoch;
                }
                // The clock of a broker that was set back a day takes all batches for later ones.
                let is_late = error == ErrorKind::InvalidTimestamp && self.has_clock_behind;
                let is_expected =
                    raises || is_late || is_transactional || error == ErrorKind::SequenceGap;
                self.check_error(error, is_expected, "a batch")
            }
        }
    }
}
