//! Consumers of streams: each reads on as far as its client's limit lets it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use weir_model::{
    ErrorKind, PartitionId,
    fields::{FieldTable, FieldValue, ShortString},
    message::{MessageForm, StoredMessage},
};

use super::{
    filter::Filter,
    read::{ReadAnswer, StreamRecord},
    start::StreamStart,
};
use crate::{
    Node,
    api::queues::{ConsumerTag, Delivered, DeliveryId, QueueSession, Settlement},
};

/// Most bytes of one read.
const READ_BYTES: usize = 256 << 10;
/// How long a read waits for something new where the copy is this node's, in ms.
const READ_WAIT_MS: u64 = 10_000;
/// First pause before another read, in ms; doubles as long as there is nothing.
const MIN_PAUSE_MS: u64 = 10;
/// Longest pause before another read, in ms.
const MAX_PAUSE_MS: u64 = 250;
/// The header that tells a message's place.
const OFFSET: &str = "x-stream-offset";

type ReaderKey = (ConsumerTag, PartitionId);

/// One session's consumers of streams.
///
/// A mutex: taken by one session's requests and its readers.
#[derive(Default)]
pub(in super::super) struct Streams {
    next_serial: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    readers: BTreeMap<ReaderKey, Arc<Reader>>,
    /// What clients hold: by whom it was read.
    held: BTreeMap<(PartitionId, u64), ConsumerTag>,
}

/// What a consumer reads.
pub(super) struct Reading {
    pub(super) tag: ConsumerTag,
    pub(super) partition: PartitionId,
    /// Name of the queue.
    pub(super) queue: ShortString,
    pub(super) filter: Filter,
    pub(super) from: u64,
    /// Most messages that the client holds.
    pub(super) limit_count: u32,
}

/// Reads one partition for one consumer.
///
/// A mutex: taken by whoever brings batches, and by settlements.
struct Reader {
    node: Weak<Node>,
    session: Weak<QueueSession>,
    what: Reading,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    next: u64,
    /// Messages that may follow; negative where the limit has come down.
    credit: i64,
    limit_count: i64,
    ready: VecDeque<StreamRecord>,
    /// A read, a delivery or a pause is under way.
    is_busy: bool,
    /// Somebody drives it.
    is_driven: bool,
    pause_ms: u64,
    is_over: bool,
}

enum Step {
    Deliver(Vec<StreamRecord>),
    Read(u64),
    Rest,
}

impl Streams {
    /// Begins to read.
    pub(super) fn begin(&self, node: &Arc<Node>, session: &Arc<QueueSession>, what: Reading) {
        let key = (what.tag, what.partition);
        let limit_count = i64::from(what.limit_count);
        let progress = Progress {
            next: what.from,
            credit: limit_count,
            limit_count,
            ..Progress::default()
        };
        let reader = Arc::new(Reader {
            node: Arc::downgrade(node),
            session: Arc::downgrade(session),
            what,
            progress: Mutex::new(progress),
        });
        self.lock().readers.insert(key, Arc::clone(&reader));
        reader.drive();
    }

    /// The consumer reads no more.
    pub(in super::super) fn end(&self, tag: ConsumerTag) {
        let ended: Vec<Arc<Reader>> = {
            let mut state = self.lock();
            state.held.retain(|_, holder| *holder != tag);
            let (ended, others) = std::mem::take(&mut state.readers)
                .into_iter()
                .partition(|((of, _), _)| *of == tag);
            state.readers = others;
            let ended: BTreeMap<ReaderKey, Arc<Reader>> = ended;
            ended.into_values().collect()
        };
        ended.iter().for_each(|reader| reader.lock().is_over = true);
    }

    /// Nobody reads any more.
    pub(in super::super) fn end_all(&self) {
        let state = std::mem::take(&mut *self.lock());
        let readers = state.readers.into_values();
        readers.for_each(|reader| reader.lock().is_over = true);
    }

    /// Changes a consumer's limit. `false`: it reads no stream.
    pub(in super::super) fn limit(&self, tag: ConsumerTag, limit_count: u32) -> bool {
        let readers = self.readers_of(tag);
        for reader in &readers {
            {
                let mut progress = reader.lock();
                progress.credit += i64::from(limit_count) - progress.limit_count;
                progress.limit_count = i64::from(limit_count);
            }
            reader.drive();
        }
        !readers.is_empty()
    }

    fn readers_of(&self, tag: ConsumerTag) -> Vec<Arc<Reader>> {
        let state = self.lock();
        let all = (tag, PartitionId(0))..=(tag, PartitionId(u64::MAX));
        let readers = state.readers.range(all);
        readers.map(|(_, reader)| Arc::clone(reader)).collect()
    }

    /// Takes what was read from streams out of what a client settles: whatever becomes of it, more
    /// may follow.
    pub(in super::super) fn settle(
        &self,
        mut settled: Vec<(DeliveryId, Settlement)>,
    ) -> Vec<(DeliveryId, Settlement)> {
        let mut credited: BTreeMap<ReaderKey, (Arc<Reader>, i64)> = BTreeMap::new();
        {
            let mut state = self.lock();
            if state.held.is_empty() {
                return settled;
            }
            settled.retain(|(id, _)| {
                let Some(tag) = state.held.remove(&(id.partition, id.serial)) else {
                    return true;
                };
                let key = (tag, id.partition);
                if let Some(reader) = state.readers.get(&key) {
                    let new = || (Arc::clone(reader), 0);
                    credited.entry(key).or_insert_with(new).1 += 1;
                }
                false
            });
        }
        for (reader, count) in credited.into_values() {
            reader.lock().credit += count;
            reader.drive();
        }
        settled
    }

    fn hold(&self, id: DeliveryId, tag: ConsumerTag) {
        self.lock().held.insert((id.partition, id.serial), tag);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Goes on as far as it goes. Whoever comes while somebody drives leaves it to them.
    fn drive(self: &Arc<Self>) {
        if std::mem::replace(&mut self.lock().is_driven, true) {
            return;
        }
        loop {
            let step = {
                let mut progress = self.lock();
                let step = progress.next_step();
                progress.is_driven = !matches!(step, Step::Rest);
                step
            };
            match step {
                Step::Deliver(records) => self.deliver(records),
                Step::Read(from) => self.read(from),
                Step::Rest => return,
            }
        }
    }

    /// What was under way is over.
    fn go_on(self: &Arc<Self>) {
        self.lock().is_busy = false;
        self.drive();
    }

    fn stop(&self) {
        self.lock().is_over = true;
    }

    fn deliver(self: &Arc<Self>, records: Vec<StreamRecord>) {
        let Some(session) = self.session.upgrade() else {
            return self.stop();
        };
        let (tag, partition) = (self.what.tag, self.what.partition);
        let mut form = MessageForm::default();
        let deliveries = records.into_iter().filter_map(|read| {
            let serial = session.streams.next_serial.fetch_add(1, Relaxed) + 1;
            let id = DeliveryId::of(partition, read.offset, serial);
            let record = with_offset(&read, &self.what.queue, &mut form)?;
            session.streams.hold(id, tag);
            let delivered = Delivered {
                id,
                is_redelivered: false,
                failed_count: 0,
                record,
                timestamp_ms: read.timestamp_ms,
            };
            Some((tag, delivered))
        });
        match session.told.deliver(deliveries) {
            Some(handed) if handed.settled.is_empty() => {
                let reader = Arc::clone(self);
                match handed.is_full {
                    true => session.told.when_room(Box::new(move || reader.go_on())),
                    false => self.lock().is_busy = false,
                }
            }
            // The consumer is gone, or the session.
            Some(_) | None => session.streams.end(tag),
        }
    }

    fn read(self: &Arc<Self>, from: u64) {
        let (node, session) = (self.node.upgrade(), self.session.upgrade());
        let (Some(node), Some(session)) = (node, session) else {
            return self.stop();
        };
        if session.told.consumer(self.what.tag).is_none() || node.is_closing() {
            return self.stop();
        }
        let (reader, partition) = (Arc::clone(self), self.what.partition);
        let is_here = node.has_copy(partition);
        let read = move |answer: ReadAnswer| reader.brought(from, answer, is_here);
        match is_here {
            true => {
                let limits = (READ_BYTES, READ_WAIT_MS);
                node.read_stream_here(partition, from, limits, Box::new(read));
            }
            false => node.read_stream_there(partition, from, READ_BYTES, Box::new(read)),
        }
    }

    fn brought(self: &Arc<Self>, from: u64, answer: ReadAnswer, has_waited: bool) {
        match answer {
            Ok(chunk) => {
                let (mut records, next) = chunk.records(from);
                records.retain(|record| self.what.filter.lets_pass(&record.record));
                let is_empty = next == from;
                let mut progress = self.lock();
                progress.ready.extend(records);
                progress.next = next;
                if !is_empty {
                    progress.pause_ms = 0;
                }
                drop(progress);
                match is_empty && !has_waited {
                    true => self.pause(),
                    false => self.go_on(),
                }
            }
            Err(ErrorKind::OffsetOutOfRange) => self.begin_anew(from),
            Err(_) => self.pause(),
        }
    }

    /// What was to be read is gone, or not there yet: goes on with the first message that is there.
    fn begin_anew(self: &Arc<Self>, from: u64) {
        let Some(node) = self.node.upgrade() else {
            return self.stop();
        };
        let reader = Arc::clone(self);
        let found = move |first: Result<u64, ErrorKind>| {
            if let Ok(first) = first {
                let mut progress = reader.lock();
                progress.next = from.max(first);
            }
            reader.pause();
        };
        node.stream_start(self.what.partition, StreamStart::First, Box::new(found));
    }

    fn pause(self: &Arc<Self>) {
        let Some(node) = self.node.upgrade() else {
            return self.stop();
        };
        let pause_ms = {
            let mut progress = self.lock();
            let pause_ms = progress.pause_ms.max(MIN_PAUSE_MS);
            progress.pause_ms = (pause_ms * 2).min(MAX_PAUSE_MS);
            pause_ms
        };
        let reader = Arc::clone(self);
        let due = node.elapsed().plus(pause_ms);
        node.purgatory.at(due, Box::new(move || reader.go_on()));
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn next_step(&mut self) -> Step {
        let credit = usize::try_from(self.credit).unwrap_or(0);
        if self.is_over || self.is_busy || credit == 0 {
            return Step::Rest;
        }
        self.is_busy = true;
        if self.ready.is_empty() {
            return Step::Read(self.next);
        }
        let count = credit.min(self.ready.len());
        self.credit -= i64::try_from(count).expect("a credit fits");
        Step::Deliver(self.ready.drain(..count).collect())
    }
}

/// The record with its offset among its headers.
fn with_offset(read: &StreamRecord, queue: &ShortString, form: &mut MessageForm) -> Option<Bytes> {
    let message = StoredMessage::read(&read.record, read.timestamp_ms, queue).ok()?;
    let mut properties = message.properties().ok()?;
    let headers = properties.headers.get_or_insert_with(FieldTable::default);
    headers.0.retain(|(name, _)| name.as_str() != OFFSET);
    let offset = i64::try_from(read.offset).unwrap_or(i64::MAX);
    let name = ShortString::new(OFFSET).expect("it is short");
    headers.0.push((name, FieldValue::Int64(offset)));
    form.set(&message.exchange, &message.routing_key, &properties);
    let mut record = Vec::with_capacity(form.max_record_bytes(&message.body));
    form.write(&message.body, 0, 0, &mut record);
    Some(record.into())
}
