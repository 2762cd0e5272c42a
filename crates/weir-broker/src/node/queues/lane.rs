//! A lane: the way of all messages of this node's sessions to one partition. Messages that arrive
//! while batches are under way travel together in the next one.
//!
//! The lane is an idempotent producer of its own: what is sent again is stored once. Up to five
//! batches are under way, one alone as long as the partition may not know the producer: of one that
//! it does not know it takes any batch for the first. Where one fails, no further one is sent until all have their answers;
//! then those that are not stored go again, in order. Where a batch is refused for good, the
//! producer goes on under the next epoch: its numbers have a gap otherwise.

mod budget;
mod filling;
mod flight;
mod numbers;
#[cfg(test)]
mod shared_tests;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{
    ErrorKind, GroupId, Offset, PartitionId, ProducerId, message::MessageForm,
    reference::REFERENCE_BYTES,
};

pub(crate) use self::budget::Budget;
pub(super) use self::filling::Filling;
use self::{filling::Receipt, flight::Flights, numbers::Numbers};
use super::{append::Fate, publish::Publishing, sharing::Form};
use crate::{Node, bodies::group_of_bodies};

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
    /// Messages for which there is no room, or no body, and what comes after them.
    waiting: VecDeque<Waiting>,
    phase: Phase,
    /// Somebody sends: others leave it to them, so that batches keep their order.
    is_sending: bool,
    pause_ms: u64,
    /// When the partition last stored a batch of the producer's.
    proven_at: Option<Millis>,
    /// The partition is that of the group's bodies.
    has_bodies: bool,
    place: Place,
}

/// What waits before a lane.
enum Waiting {
    Message(Arc<Publishing>, u32),
    /// Messages that go in one batch.
    Together(Filling),
}

/// Where a lane leads.
type Place = Option<(GroupId, PartitionId)>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Going,
    /// A batch failed: the answers of the others are awaited.
    Draining,
    /// All have answers; those that are not stored wait to be sent again.
    Paused,
}

/// What a lane does next.
enum Step {
    Send(u64, Bytes),
    /// Take a producer's id first.
    Number,
    Rest,
}

impl Lane {
    pub(super) fn new(group: GroupId, partition: PartitionId, budget: &Arc<Budget>) -> Arc<Self> {
        let state = State {
            budget: Arc::clone(budget),
            has_bodies: group_of_bodies(partition).is_some(),
            place: Some((group, partition)),
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
        let written = state.form(publishing, message);
        let has_room = |written| {
            let record_bytes = record_bytes(publishing, message, (form, written));
            state.has_room(MAX_LANE_BYTES, record_bytes)
        };
        match written.filter(|written| state.waiting.is_empty() && has_room(*written)) {
            Some(written) => state.push(publishing, message, (form, written), now_ms),
            None => {
                let waiting = Waiting::Message(Arc::clone(publishing), message);
                state.waiting.push_back(waiting);
                self.wait_for_room(&mut state);
            }
        }
    }

    /// Messages wait: other lanes may have to make room for them.
    fn wait_for_room(self: &Arc<Self>, state: &mut State) {
        // What waits for its body is seen to when that is there.
        if state.wants_room() && !std::mem::replace(&mut state.is_starved, true) {
            self.budget.wait(Arc::downgrade(self));
        }
    }

    /// Bodies may be there that messages have waited for.
    fn resume(self: &Arc<Self>, node: &Arc<Node>) {
        let mut state = self.lock();
        state.let_in(node.clock.now().0);
        self.wait_for_room(&mut state);
        drop(state);
        self.drive(node);
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
        match state.waiting.is_empty() {
            true => state.push_together(filling),
            false => state.waiting.push_back(Waiting::Together(filling)),
        }
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
        if let Some((flight, landed)) = done {
            match group_of_bodies(self.partition) {
                Some(_) => self.tell_bodies(node, flight.into_receipts(), landed.base_offset),
                None => flight.settle(landed.refused_from.unwrap_or(u32::MAX)),
            }
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
        let is_gone = node.topology.load().is_deleted(serial) || node.is_transient_over(self.group);
        let mut state = self.lock();
        if is_gone || node.is_closing() {
            let rest = state.take_all();
            drop(state);
            if group_of_bodies(self.partition).is_some() {
                self.tell_bodies(node, rest, None);
            } else if is_gone {
                rest.into_iter().for_each(Receipt::lose);
            }
            return;
        }
        state.phase = Phase::Going;
        drop(state);
        self.drive(node);
    }

    /// Tells lanes where bodies lie, of which the first is at `base`; `None`: nobody knows.
    fn tell_bodies(&self, node: &Arc<Node>, receipts: Vec<Receipt>, base: Option<Offset>) {
        let mut lanes: BTreeMap<PartitionId, Arc<Self>> = BTreeMap::new();
        let mut at = base;
        for receipt in receipts {
            for message in receipt.first..receipt.first + receipt.count {
                let sharing = &receipt.publishing.sharing;
                let waiting = sharing.settle(message, self.group, at);
                lanes.extend(waiting.into_iter().map(|lane| (lane.partition, lane)));
                at = at.map(|at| at.plus(1));
            }
        }
        lanes.values().for_each(|lane| lane.resume(node));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most bytes that a message takes in a lane's batch.
fn record_bytes(publishing: &Publishing, message: u32, (own, form): (&MessageForm, Form)) -> usize {
    match form {
        Form::Whole | Form::Body => own.max_record_bytes(&publishing.message(message).body),
        Form::Reference(_) => own.max_record_bytes(&[0; REFERENCE_BYTES]),
    }
}
