//! What a lane holds, and what it does next.

use std::sync::Arc;

use weir_log::Millis;
use weir_model::{batch_builder::BatchBuilder, message::MessageForm};

use super::super::{append::Fate, publish::Publishing, sharing::Form, wire::Landed};
use super::{
    CLAIM_BYTES, Filling, KNOWN_FOR_MS, MAX_BATCH_BYTES, MAX_LANE_BYTES, MODEST_BYTES, Phase,
    State, Step, Waiting, filling::Receipt, flight::Flight, record_bytes,
};

impl State {
    /// How a message is written; `None`: its body is on its way.
    pub(super) fn form(&self, publishing: &Publishing, message: u32) -> Option<Form> {
        match self.place {
            _ if self.has_bodies => Some(Form::Body),
            None => Some(Form::Whole),
            Some(place) => {
                let body = &publishing.message(message).body;
                publishing.sharing.form(message, body, place)
            }
        }
    }

    /// Whether a message waits for room.
    pub(super) fn wants_room(&self) -> bool {
        match self.waiting.front() {
            Some(Waiting::Message(publishing, at)) => self.form(publishing, *at).is_some(),
            Some(Waiting::Together(_)) | None => false,
        }
    }

    /// Takes messages that go in one batch, whether there is room or not.
    pub(super) fn push_together(&mut self, filling: Filling) {
        self.grow(filling.builder.size_bytes());
        let open = self.open.take();
        self.filled.extend(open);
        self.filled.push_back(filling);
    }

    pub(super) fn push(
        &mut self,
        publishing: &Arc<Publishing>,
        message: u32,
        (own, form): (&MessageForm, Form),
        now_ms: i64,
    ) {
        let record_bytes = record_bytes(publishing, message, (own, form));
        let whole_bytes = own.max_record_bytes(&publishing.message(message).body);
        let is_full = |open: &Filling| open.whole_bytes() + whole_bytes > MAX_BATCH_BYTES;
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
        open.push(publishing, message, (own, form), now_ms);
        let grown_bytes = open.builder.size_bytes() - before_bytes;
        self.grow(grown_bytes);
    }

    pub(super) fn grow(&mut self, bytes: usize) {
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
    pub(super) fn has_room(&self, max_bytes: usize, record_bytes: usize) -> bool {
        let is_modest = self.size_bytes + record_bytes <= MODEST_BYTES;
        self.size_bytes < max_bytes && (is_modest || !self.budget.is_full())
    }

    pub(super) fn next(&mut self, now: Millis) -> Step {
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
        if let Some((flight, batch, grown_bytes)) = self.flights.next_again() {
            self.grow(grown_bytes);
            self.claim();
            return Step::Send(flight, batch);
        }
        if !has_new || self.flights.is_full() || self.numbers.is_stale() {
            return Step::Rest;
        }
        let Some(filling) = self.filled.pop_front().or_else(|| self.open.take()) else {
            return Step::Rest;
        };
        self.claim();
        let Filling {
            builder, receipts, ..
        } = filling;
        let sequence = self.numbers.take(builder.count());
        let (flight, batch) = self.flights.send(builder, sequence, receipts);
        Step::Send(flight, batch)
    }

    /// Puts an answer where it belongs. Gives a batch that is done, and what became of it.
    pub(super) fn answered(
        &mut self,
        number: u64,
        fate: Fate,
        (now, now_ms): (Millis, i64),
    ) -> Option<(Flight, Landed)> {
        let flight = self.flights.landed(number)?;
        match fate {
            Fate::Stored(landed) => {
                self.pause_ms = 0;
                self.proven_at = Some(now);
                return self.remove(number, landed, now_ms);
            }
            Fate::NotSent => {}
            Fate::Unknown => flight.may_be_stored = true,
            Fate::Gap => {
                // Nothing that is still to come closes the gap. Else what was before it may have: then an
                // earlier copy of this one, which is on its way still, is stored after all.
                if flight.was_first {
                    self.numbers.set_stale();
                }
                if self.numbers.is_stale() {
                    flight.may_be_stored = false;
                }
            }
            Fate::Fenced => {
                flight.may_be_stored = false;
                self.proven_at = None;
                self.numbers.set_stale();
            }
            Fate::Bodiless => {
                flight.may_be_stored = false;
                flight.wants_bodies = true;
                self.numbers.set_stale();
            }
            Fate::Refused => {
                self.numbers.set_stale();
                self.phase = Phase::Draining;
                let nothing = Landed {
                    base_offset: None,
                    refused_from: Some(0),
                };
                return self.remove(number, nothing, now_ms);
            }
        }
        self.phase = Phase::Draining;
        None
    }

    fn remove(&mut self, number: u64, landed: Landed, now_ms: i64) -> Option<(Flight, Landed)> {
        let flight = self.flights.remove(number)?;
        self.size_bytes -= flight.size_bytes();
        self.budget.give(flight.size_bytes());
        self.let_in(now_ms);
        Some((flight, landed))
    }

    /// Takes messages that wait for room.
    pub(super) fn let_in(&mut self, now_ms: i64) {
        let mut form = MessageForm::default();
        while let Some(first) = self.waiting.pop_front() {
            let (publishing, at) = match first {
                Waiting::Message(publishing, at) => (publishing, at),
                Waiting::Together(filling) => {
                    self.push_together(filling);
                    continue;
                }
            };
            publishing.give_form(at, &mut form);
            let written = self.form(&publishing, at).filter(|written| {
                let record_bytes = record_bytes(&publishing, at, (&form, *written));
                self.has_room(MAX_LANE_BYTES / 2, record_bytes)
            });
            let Some(written) = written else {
                self.waiting.push_front(Waiting::Message(publishing, at));
                break;
            };
            self.push(&publishing, at, (&form, written), now_ms);
        }
    }

    /// Everything that is in the lane: nothing of it will be stored.
    pub(super) fn take_all(&mut self) -> Vec<Receipt> {
        let mut receipts = self.flights.take_all();
        let filled = self.filled.drain(..).chain(self.open.take());
        receipts.extend(filled.flat_map(|filling| filling.receipts));
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Message(publishing, first) => receipts.push(Receipt {
                    publishing,
                    first,
                    count: 1,
                }),
                Waiting::Together(filling) => receipts.extend(filling.receipts),
            }
        }
        self.claim();
        self.budget.give(std::mem::take(&mut self.size_bytes));
        self.phase = Phase::Going;
        self.numbers.set_stale();
        receipts
    }
}
