//! What a session is told without having asked: messages, each consumer's in order and each once, no
//! more at a time than its client takes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use weir_model::{GroupId, PartitionId};

use super::lines::Then;
use crate::{
    api::{
        Outcome,
        queues::{ConsumerTag, Delivered, DeliveryId, QueueOutcome, Settlement, Tiding},
    },
    mailbox::{Reply, Sink},
    queue::Attach,
    routing::record::QueueId,
};

/// Bytes of records that a session is told of and its client has not taken: past it, leaders hear
/// late that deliveries have arrived.
const MAX_UNSENT_BYTES: u64 = 2 << 20;
/// Consumers that are gone whose serials are remembered.
const MAX_PAST_COUNT: usize = 1_000;

/// Where replies lie that were never stored.
pub(super) const NO_PARTITION: PartitionId = PartitionId(u64::MAX);

/// A consumer of this session.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    /// What it takes from; `None`: replies.
    pub(super) queue: Option<QueueId>,
    /// Where its messages come from.
    pub(super) partitions: Vec<(GroupId, PartitionId)>,
    /// How it was attached; its limit is that of one partition.
    pub(super) attach: Attach,
    /// Its messages say how often they failed, as those of quorum queues do.
    pub(super) tells_failures: bool,
}

/// One session's ear.
///
/// A mutex: taken by whoever delivers to one session, and by its requests about consumers.
pub(super) struct Told {
    /// `None` in tests of doors.
    sink: Option<Sink>,
    /// Bytes that the door has passed on.
    sent_bytes: AtomicU64,
    /// Somebody waits for room.
    is_awaited: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_over: bool,
    told_bytes: u64,
    consumers: BTreeMap<ConsumerTag, Known>,
    /// Consumers that are gone, oldest first.
    past: VecDeque<(ConsumerTag, Seen)>,
    for_room: Vec<Then>,
}

struct Known {
    consumer: Consumer,
    seen: Seen,
    /// What came before the consumer was told that it is one.
    held_back: Option<Vec<Tiding>>,
}

/// The last serial of each partition.
#[derive(Clone, Debug, Default)]
struct Seen(Vec<(PartitionId, u64)>);

/// What is left to be settled of deliveries that were handed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HandedOver {
    pub(super) settled: Vec<(DeliveryId, Settlement)>,
    /// There is no room for more.
    pub(super) is_full: bool,
    /// A reply was for a consumer that is gone.
    pub(super) is_nobodys: bool,
}

impl Told {
    pub(super) fn new(sink: Option<Sink>) -> Self {
        Self {
            sink,
            sent_bytes: AtomicU64::new(0),
            is_awaited: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// A consumer that is about to be attached.
    pub(super) fn add(&self, tag: ConsumerTag, consumer: Consumer) {
        let known = Known {
            consumer,
            seen: Seen::default(),
            held_back: Some(Vec::new()),
        };
        self.lock().consumers.insert(tag, known);
    }

    /// The consumer is attached: answers, and then tells what it got already. Gives those of it that
    /// are settled by that.
    pub(super) fn begin(&self, tag: ConsumerTag, reply: Reply) -> Vec<(DeliveryId, Settlement)> {
        let mut state = self.lock();
        reply.send(Outcome::Queue(QueueOutcome::Done));
        let mut settled = Vec::new();
        if let Some(known) = state.consumers.get_mut(&tag)
            && let Some(held_back) = known.held_back.take()
        {
            if known.consumer.attach.no_ack {
                settled.extend(held_back.iter().filter_map(sent));
            }
            self.tell(held_back);
        }
        settled
    }

    pub(super) fn consumer(&self, tag: ConsumerTag) -> Option<Consumer> {
        let state = self.lock();
        Some(state.consumers.get(&tag)?.consumer.clone())
    }

    /// Changes how a consumer is attached.
    pub(super) fn set_limit(&self, tag: ConsumerTag, prefetch_count: u32) {
        if let Some(known) = self.lock().consumers.get_mut(&tag) {
            known.consumer.attach.prefetch_count = prefetch_count;
        }
    }

    /// The consumer is no more. Gives what it got and was never told.
    pub(super) fn remove(&self, tag: ConsumerTag) -> Vec<DeliveryId> {
        let mut state = self.lock();
        let Some(known) = state.consumers.remove(&tag) else {
            return Vec::new();
        };
        state.remember(tag, known.seen);
        let mut ids = Vec::new();
        for tiding in known.held_back.into_iter().flatten() {
            match tiding {
                Tiding::Delivered(_, delivered) => {
                    state.told_bytes -= delivered.record.len() as u64;
                    ids.push(delivered.id);
                }
                Tiding::Cancelled(_) | Tiding::Blocked(_) | Tiding::Lost | Tiding::Expelled(_) => {}
            }
        }
        ids
    }

    /// The consumer's queue is gone: tells it, once.
    pub(super) fn cancel(&self, tag: ConsumerTag) {
        let mut state = self.lock();
        let Some(known) = state.consumers.remove(&tag) else {
            return;
        };
        state.remember(tag, known.seen);
        let mut tidings = known.held_back.unwrap_or_default();
        tidings.push(Tiding::Cancelled(tag));
        self.tell(tidings);
    }

    /// The leader of a queue has ended the session: tells it, once.
    pub(super) fn lose(&self) {
        let mut state = self.lock();
        if !state.is_over {
            state.is_over = true;
            self.tell(vec![Tiding::Lost]);
        }
    }

    /// Tells why publishing is to pause; `None`: it may go on.
    pub(super) fn block(&self, alarm: Option<&'static str>) {
        let state = self.lock();
        if !state.is_over {
            self.tell(vec![Tiding::Blocked(alarm)]);
        }
    }

    /// Tells of messages. `None`: the session has ended.
    pub(super) fn deliver(
        &self,
        deliveries: impl Iterator<Item = (ConsumerTag, Delivered)>,
    ) -> Option<HandedOver> {
        let mut state = self.lock();
        if state.is_over {
            return None;
        }
        let mut handed = HandedOver::default();
        let mut tidings = Vec::new();
        for (tag, delivered) in deliveries {
            if delivered.id.partition == NO_PARTITION {
                handed.is_nobodys |= !state.reply(tag, delivered, &mut tidings);
            } else {
                state.sort(tag, delivered, &mut tidings, &mut handed.settled);
            }
        }
        if !tidings.is_empty() {
            self.tell(tidings);
        }
        handed.is_full = self.is_full(&state);
        Some(handed)
    }

    /// Whether the session has this consumer of replies.
    pub(super) fn is_for_replies(&self, tag: ConsumerTag) -> bool {
        self.lock().is_for_replies(tag)
    }

    /// Whether the session has room for more; `None` where it has ended.
    pub(super) fn has_room(&self) -> Option<bool> {
        let state = self.lock();
        (!state.is_over).then(|| !self.is_full(&state))
    }

    /// Calls `then` once there is room for more, or the session has ended.
    pub(super) fn when_room(&self, then: Then) {
        let mut state = self.lock();
        // Before the look at what was sent: who sends looks at it afterwards.
        self.is_awaited.store(true, SeqCst);
        if state.is_over || !self.is_full(&state) {
            drop(state);
            return then();
        }
        state.for_room.push(then);
    }

    pub(super) fn note_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, SeqCst);
        if !self.is_awaited.load(SeqCst) {
            return;
        }
        let mut state = self.lock();
        if self.is_full(&state) {
            return;
        }
        self.is_awaited.store(false, SeqCst);
        let due = std::mem::take(&mut state.for_room);
        drop(state);
        due.into_iter().for_each(|then| then());
    }

    /// Nothing is told any more. Gives the consumers that there were.
    pub(super) fn end(&self) -> Vec<Consumer> {
        let mut state = self.lock();
        state.is_over = true;
        let due = std::mem::take(&mut state.for_room);
        let consumers = std::mem::take(&mut state.consumers);
        state.past.clear();
        drop(state);
        due.into_iter().for_each(|then| then());
        let consumers = consumers.into_values();
        consumers.map(|known| known.consumer).collect()
    }

    fn is_full(&self, state: &State) -> bool {
        let sent_bytes = self.sent_bytes.load(SeqCst);
        state.told_bytes.saturating_sub(sent_bytes) >= MAX_UNSENT_BYTES
    }

    fn tell(&self, tidings: Vec<Tiding>) {
        if let Some(sink) = &self.sink {
            sink.tell(Outcome::Queue(QueueOutcome::Told(tidings)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives a consumer of replies one of them. `false`: there is no such consumer.
    fn reply(&mut self, tag: ConsumerTag, reply: Delivered, tidings: &mut Vec<Tiding>) -> bool {
        let is_there = self.is_for_replies(tag);
        if is_there {
            self.told_bytes += reply.record.len() as u64;
            tidings.push(Tiding::Delivered(tag, reply));
        }
        is_there
    }

    fn is_for_replies(&self, tag: ConsumerTag) -> bool {
        let known = self.consumers.get(&tag);
        known.is_some_and(|known| known.consumer.queue.is_none())
    }

    /// Puts a delivery where it belongs.
    fn sort(
        &mut self,
        tag: ConsumerTag,
        mut delivered: Delivered,
        tidings: &mut Vec<Tiding>,
        settled: &mut Vec<(DeliveryId, Settlement)>,
    ) {
        let id = delivered.id;
        let Some(known) = self.consumers.get_mut(&tag) else {
            let mut past = self.past.iter_mut();
            let past = past.find_map(|(past, seen)| (*past == tag).then_some(seen));
            if past.is_none_or(|seen| seen.is_new(id)) {
                settled.push((id, Settlement::Requeue));
            }
            return;
        };
        if !known.seen.is_new(id) {
            return;
        }
        self.told_bytes += delivered.record.len() as u64;
        // What is held back may never be told.
        if known.consumer.attach.no_ack && known.held_back.is_none() {
            settled.push((id, Settlement::Ack));
        }
        if !known.consumer.tells_failures {
            delivered.failed_count = 0;
        }
        let tiding = Tiding::Delivered(tag, delivered);
        match &mut known.held_back {
            Some(held_back) => held_back.push(tiding),
            None => tidings.push(tiding),
        }
    }

    fn remember(&mut self, tag: ConsumerTag, seen: Seen) {
        if self.past.len() == MAX_PAST_COUNT {
            self.past.pop_front();
        }
        self.past.push_back((tag, seen));
    }
}

/// A delivery that is settled as it goes.
fn sent(tiding: &Tiding) -> Option<(DeliveryId, Settlement)> {
    match tiding {
        Tiding::Delivered(_, delivered) => Some((delivered.id, Settlement::Ack)),
        Tiding::Cancelled(_) | Tiding::Blocked(_) | Tiding::Lost | Tiding::Expelled(_) => None,
    }
}

impl Seen {
    /// Whether the delivery was not seen yet; it is now.
    fn is_new(&mut self, id: DeliveryId) -> bool {
        let mut seen = self.0.iter_mut();
        match seen.find(|(partition, _)| *partition == id.partition) {
            Some((_, last)) if *last >= id.serial => false,
            Some((_, last)) => {
                *last = id.serial;
                true
            }
            None => {
                self.0.push((id.partition, id.serial));
                true
            }
        }
    }
}
