//! A lane: the way of all messages of this node's sessions to one partition. Messages that arrive
//! while batches are under way travel together in the next one.
//!
//! The lane is an idempotent producer of its own: what is sent again is stored once. Up to five
//! batches are under way, one alone as long as the partition may not know the producer: of one that
//! it does not know it takes any batch for the first. Where one fails, no further one is sent until all have their answers;
//! then those that are not stored go again, in order. Where a batch is refused for good, the
//! producer goes on under the next epoch: its numbers have a gap otherwise.

mod budget;
mod flight;
mod numbers;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{
    ErrorKind, GroupId, PartitionId, ProducerId, batch_builder::BatchBuilder, message::MessageForm,
};

pub(crate) use self::budget::Budget;
use self::{
    flight::{Flight, Flights},
    numbers::Numbers,
};
use super::{append::Fate, publish::Publishing};
use crate::Node;

/// Bytes at which a batch is full, its header included. One larger message is a batch as well.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Bytes of batches that wait or are under way: past it messages wait where they are.
const MAX_LANE_BYTES: usize = 16 << 20;
/// Bytes that a lane takes before it says so: all lanes share the count.
const CLAIM_BYTES: usize = 16 << 10;
/// Bytes that every lane may hold whatever the others do: those of a partition without a leader hold
/// theirs until it has one.
const MODEST_BYTES: usize = 64 << 10;
/// First pause before batches are sent again, in ms; doubles with each.
const MIN_PAUSE_MS: u64 = 20;
/// Longest pause before batches are sent again, in ms.
const MAX_PAUSE_MS: u64 = 1_000;
/// A partition knows the producer for this long after it has stored a batch, in ms: far less than
/// [`crate::producer::PRODUCER_EXPIRY_MS`].
const KNOWN_FOR_MS: u64 = 60 * 60 * 1000;

/// One partition's lane.
///
/// A mutex: taken by publishers to one partition, for as long as a message is copied.
pub(crate) struct Lane {
    group: GroupId,
    partition: PartitionId,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    numbers: Numbers,
    /// Takes the next messages.
    open: Option<Filling>,
    /// Full, oldest first.
    filled: VecDeque<Filling>,
    flights: Flights,
    /// Of `open`, `filled` and `flights`.
    size_bytes: usize,
    /// Of those, bytes that the budget does not know of yet.
    unclaimed_bytes: usize,
    budget: Arc<Budget>,
    /// It stands among the lanes that wait for room.
    is_starved: bool,
    /// Messages for which there is no room.
    waiting: VecDeque<(Arc<Publishing>, u32)>,
    phase: Phase,
    /// Somebody sends: others leave it to them, so that batches keep their order.
    is_sending: bool,
    pause_ms: u64,
    /// When the partition last stored a batch of the producer's.
    proven_at: Option<Millis>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Going,
    /// A batch failed: the answers of the others are awaited.
    Draining,
    /// All have answers; those that are not stored wait to be sent again.
    Paused,
}

/// Messages of one publishing that stand together in a batch.
pub(super) struct Receipt {
    publishing: Arc<Publishing>,
    first: u32,
    count: u32,
}

/// A batch that is being filled.
pub(super) struct Filling {
    builder: BatchBuilder,
    receipts: Vec<Receipt>,
}

/// What a lane does next.
enum Step {
    Send(u64, Bytes),
    /// Take a producer's id first.
    Number,
    Rest,
}

impl Filling {
    pub(super) fn new(builder: BatchBuilder) -> Self {
        Self {
            builder,
            receipts: Vec::new(),
        }
    }

    pub(super) fn push(
        &mut self,
        publishing: &Arc<Publishing>,
        message: u32,
        form: &MessageForm,
        now_ms: i64,
    ) {
        let body = &publishing.message(message).body;
        self.builder.push(form, body, now_ms);
        match self.receipts.last_mut() {
            Some(last)
                if Arc::ptr_eq(&last.publishing, publishing)
                    && last.first + last.count == message =>
            {
                last.count += 1;
            }
            Some(_) | None => self.receipts.push(Receipt {
                publishing: Arc::clone(publishing),
                first: message,
                count: 1,
            }),
        }
    }
}

impl Receipt {
    /// Tells of the first `taken_count` messages that they are stored. Gives how many those were.
    fn settle(self, taken_count: u32) -> u32 {
        let count = self.count.min(taken_count);
        if count > 0 {
            self.publishing.stored(self.first, count);
        }
        count
    }

    fn lose(self) {
        self.publishing.lost(self.first, self.count);
    }
}

impl Lane {
    pub(super) fn new(group: GroupId, partition: PartitionId, budget: &Arc<Budget>) -> Arc<Self> {
        let state = State {
            budget: Arc::clone(budget),
            ..State::default()
        };
        Arc::new(Self {
            group,
            partition,
            budget: Arc::clone(budget),
            state: Mutex::new(state),
        })
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.size_bytes == 0 && state.waiting.is_empty()
    }

    /// Takes a message whose form is known. Sent by [`Self::drive`].
    pub(super) fn push(
        self: &Arc<Self>,
        publishing: &Arc<Publishing>,
        message: u32,
        form: &MessageForm,
        now_ms: i64,
    ) {
        let mut state = self.lock();
        let record_bytes = form.max_record_bytes(&publishing.message(message).body);
        if !state.has_room(MAX_LANE_BYTES, record_bytes) || !state.waiting.is_empty() {
            let waiting = (Arc::clone(publishing), message);
            state.waiting.push_back(waiting);
            return self.wait_for_room(&mut state);
        }
        state.push(publishing, message, form, now_ms);
    }

    /// Messages wait: other lanes may have to make room for them.
    fn wait_for_room(self: &Arc<Self>, state: &mut State) {
        if !state.waiting.is_empty() && !std::mem::replace(&mut state.is_starved, true) {
            self.budget.wait(Arc::downgrade(self));
        }
    }

    /// There may be room again.
    fn feed(self: &Arc<Self>, node: &Arc<Node>) {
        let mut state = self.lock();
        state.is_starved = false;
        state.let_in(node.clock.now().0);
        self.wait_for_room(&mut state);
        drop(state);
        self.drive(node);
    }

    /// Lets lanes go on that wait for room, as far as there is some.
    fn feed_others(&self, node: &Arc<Node>) {
        let mut fed: Vec<Arc<Self>> = Vec::new();
        while let Some(lane) = self.budget.next_starved() {
            let Some(lane) = lane.upgrade() else {
                continue;
            };
            // It has come round: its own batches have to land first.
            if fed.iter().any(|before| Arc::ptr_eq(before, &lane)) {
                self.budget.wait(Arc::downgrade(&lane));
                break;
            }
            lane.feed(node);
            fed.push(lane);
        }
    }

    /// Takes messages that go in one batch.
    pub(super) fn push_whole(&self, filling: Filling) {
        let mut state = self.lock();
        state.grow(filling.builder.size_bytes());
        let open = state.open.take();
        state.filled.extend(open);
        state.filled.push_back(filling);
    }

    /// Sends what may be sent.
    pub(super) fn drive(self: &Arc<Self>, node: &Arc<Node>) {
        if std::mem::replace(&mut self.lock().is_sending, true) {
            return;
        }
        loop {
            let step = {
                let mut state = self.lock();
                let step = state.next(node.elapsed());
                state.is_sending = matches!(step, Step::Send(..));
                step
            };
            match step {
                Step::Send(flight, batch) => self.send(node, flight, batch),
                Step::Number => return self.number(node),
                Step::Rest => return,
            }
        }
    }

    fn send(self: &Arc<Self>, node: &Arc<Node>, flight: u64, batch: Bytes) {
        let (lane, sender) = (Arc::clone(self), Arc::clone(node));
        let done = move |appended| lane.answered(&sender, flight, Fate::of(appended));
        node.append_anywhere(self.group, self.partition, batch, Box::new(done));
    }

    /// Takes a producer's id.
    fn number(self: &Arc<Self>, node: &Arc<Node>) {
        let (lane, asker) = (Arc::clone(self), Arc::clone(node));
        node.with_producer_id(move |id| lane.numbered(&asker, id));
    }

    fn numbered(self: &Arc<Self>, node: &Arc<Node>, id: Result<ProducerId, ErrorKind>) {
        {
            let state = &mut *self.lock();
            match id {
                Ok(id) => {
                    state.numbers.begin(id);
                    state.proven_at = None;
                    state.flights.renumber(&mut state.numbers);
                }
                Err(_) => {
                    state.numbers.forget();
                    state.phase = Phase::Paused;
                }
            }
        }
        match id {
            Ok(_) => self.drive(node),
            Err(_) => self.pause(node),
        }
    }

    fn answered(self: &Arc<Self>, node: &Arc<Node>, flight: u64, fate: Fate) {
        let now = (node.elapsed(), node.clock.now().0);
        let mut state = self.lock();
        let done = state.answered(flight, fate, now);
        let is_drained = state.phase == Phase::Draining && !state.flights.are_under_way();
        if is_drained {
            state.phase = match state.flights.is_empty() {
                true => Phase::Going,
                false => Phase::Paused,
            };
        }
        let is_paused = is_drained && state.phase == Phase::Paused;
        drop(state);
        if let Some((flight, taken_count)) = done {
            flight.settle(taken_count);
        }
        match is_paused {
            true => self.pause(node),
            false => self.drive(node),
        }
        self.feed_others(node);
    }

    /// Goes on after a while.
    fn pause(self: &Arc<Self>, node: &Arc<Node>) {
        let pause_ms = {
            let mut state = self.lock();
            let pause_ms = state.pause_ms.max(MIN_PAUSE_MS);
            state.pause_ms = (pause_ms * 2).min(MAX_PAUSE_MS);
            pause_ms
        };
        let (lane, sender) = (Arc::clone(self), Arc::clone(node));
        let again = move || lane.go_on(&sender);
        let due = node.elapsed().plus(pause_ms);
        node.purgatory.at(due, Box::new(again));
    }

    fn go_on(self: &Arc<Self>, node: &Arc<Node>) {
        let serial = self.partition.topic_serial();
        let is_gone = node.topology.load().is_deleted(serial);
        let mut state = self.lock();
        if is_gone || node.is_closing() {
            let rest = state.take_all();
            drop(state);
            if is_gone {
                rest.into_iter().for_each(Receipt::lose);
            }
            return;
        }
        state.phase = Phase::Going;
        drop(state);
        self.drive(node);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(
        &mut self,
        publishing: &Arc<Publishing>,
        message: u32,
        form: &MessageForm,
        now_ms: i64,
    ) {
        let record_bytes = form.max_record_bytes(&publishing.message(message).body);
        let is_full = |open: &Filling| open.builder.size_bytes() + record_bytes > MAX_BATCH_BYTES;
        if self.open.as_ref().is_some_and(is_full) {
            self.filled.extend(self.open.take());
        }
        let before_bytes = self
            .open
            .as_ref()
            .map_or(0, |open| open.builder.size_bytes());
        let open = self
            .open
            .get_or_insert_with(|| Filling::new(BatchBuilder::new(record_bytes)));
        open.push(publishing, message, form, now_ms);
        let grown_bytes = open.builder.size_bytes() - before_bytes;
        self.grow(grown_bytes);
    }

    fn grow(&mut self, bytes: usize) {
        self.size_bytes += bytes;
        self.unclaimed_bytes += bytes;
        if self.unclaimed_bytes >= CLAIM_BYTES {
            self.claim();
        }
    }

    fn claim(&mut self) {
        self.budget.take(std::mem::take(&mut self.unclaimed_bytes));
    }

    /// Whether a record may come in, where the lane is to hold so many bytes.
    fn has_room(&self, max_bytes: usize, record_bytes: usize) -> bool {
        let is_modest = self.size_bytes + record_bytes <= MODEST_BYTES;
        self.size_bytes < max_bytes && (is_modest || !self.budget.is_full())
    }

    fn next(&mut self, now: Millis) -> Step {
        if self.phase != Phase::Going {
            return Step::Rest;
        }
        if self.numbers.is_stale() && self.flights.are_settled() {
            self.numbers.renew();
            self.flights.renumber(&mut self.numbers);
        }
        let has_new = !self.filled.is_empty() || self.open.is_some();
        if !self.numbers.is_known() {
            let is_wanted = has_new || !self.flights.is_empty();
            return match is_wanted && self.numbers.ask() {
                true => Step::Number,
                false => Step::Rest,
            };
        }
        let is_proven = self
            .proven_at
            .is_some_and(|at| now.since(at) < KNOWN_FOR_MS);
        if !is_proven && self.flights.are_under_way() {
            return Step::Rest;
        }
        if let Some((flight, batch)) = self.flights.next_again() {
            return Step::Send(flight, batch);
        }
        if !has_new || self.flights.is_full() || self.numbers.is_stale() {
            return Step::Rest;
        }
        let Some(filling) = self.filled.pop_front().or_else(|| self.open.take()) else {
            return Step::Rest;
        };
        self.claim();
        let Filling { builder, receipts } = filling;
        let sequence = self.numbers.take(builder.count());
        let (flight, batch) = self.flights.send(builder, sequence, receipts);
        Step::Send(flight, batch)
    }

    /// Puts an answer where it belongs. Gives a batch that is done, and how many of its messages
    /// are taken.
    fn answered(
        &mut self,
        number: u64,
        fate: Fate,
        (now, now_ms): (Millis, i64),
    ) -> Option<(Flight, u32)> {
        let is_first = self.flights.is_first(number);
        let flight = self.flights.landed(number)?;
        match fate {
            Fate::Stored(refused_from) => {
                self.pause_ms = 0;
                self.proven_at = Some(now);
                let taken_count = refused_from.unwrap_or(u32::MAX);
                return self.remove(number, taken_count, now_ms);
            }
            Fate::NotSent => {}
            Fate::Unknown => flight.may_be_stored = true,
            Fate::Gap => {
                flight.may_be_stored = false;
                // Nothing that is still to come closes the gap.
                if is_first {
                    self.numbers.set_stale();
                }
            }
            Fate::Fenced => {
                flight.may_be_stored = false;
                self.proven_at = None;
                self.numbers.set_stale();
            }
            Fate::Refused => {
                self.numbers.set_stale();
                self.phase = Phase::Draining;
                return self.remove(number, 0, now_ms);
            }
        }
        self.phase = Phase::Draining;
        None
    }

    fn remove(&mut self, number: u64, taken_count: u32, now_ms: i64) -> Option<(Flight, u32)> {
        let flight = self.flights.remove(number)?;
        self.size_bytes -= flight.size_bytes();
        self.budget.give(flight.size_bytes());
        self.let_in(now_ms);
        Some((flight, taken_count))
    }

    /// Takes messages that wait for room.
    fn let_in(&mut self, now_ms: i64) {
        let mut form = MessageForm::default();
        while let Some((publishing, at)) = self.waiting.front() {
            publishing.give_form(*at, &mut form);
            let record_bytes = form.max_record_bytes(&publishing.message(*at).body);
            if !self.has_room(MAX_LANE_BYTES / 2, record_bytes) {
                break;
            }
            if let Some((publishing, at)) = self.waiting.pop_front() {
                self.push(&publishing, at, &form, now_ms);
            }
        }
    }

    /// Everything that is in the lane: nothing of it will be stored.
    fn take_all(&mut self) -> Vec<Receipt> {
        let mut receipts = self.flights.take_all();
        let filled = self.filled.drain(..).chain(self.open.take());
        receipts.extend(filled.flat_map(|filling| filling.receipts));
        let waiting = self.waiting.drain(..).map(|(publishing, first)| Receipt {
            publishing,
            first,
            count: 1,
        });
        receipts.extend(waiting);
        self.claim();
        self.budget.give(std::mem::take(&mut self.size_bytes));
        self.phase = Phase::Going;
        self.numbers.set_stale();
        receipts
    }
}
