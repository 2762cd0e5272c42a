//! Batches under way.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use weir_model::{
    batch::{BatchHeader, HEADER_BYTES},
    batch_builder::{BatchBuilder, Sequence, set_sequence},
    record::Records,
    reference,
};

use super::{Receipt, numbers::Numbers};

/// Batches from the oldest that has no answer to the newest: as many as a partition recognises a
/// producer's repeats by.
const MAX_FLIGHTS_COUNT: u64 = crate::producer::MAX_BATCHES as u64;

/// A batch that is not known to be stored.
pub(super) struct Flight {
    number: u64,
    record_count: u32,
    batch: Bytes,
    receipts: Vec<Receipt>,
    /// Its answer is awaited.
    is_under_way: bool,
    /// When it was sent the last time, all before it was stored.
    pub(super) was_first: bool,
    /// It was sent, and nobody has said that it is not stored.
    pub(super) may_be_stored: bool,
    /// Bodies that it refers to are gone: it goes with them in it.
    pub(super) wants_bodies: bool,
}

impl Flight {
    pub(super) fn size_bytes(&self) -> usize {
        self.batch.len()
    }

    /// Tells of the first `taken_count` messages that they are stored; the others are not taken.
    pub(super) fn settle(self, mut taken_count: u32) {
        for receipt in self.receipts {
            taken_count -= receipt.settle(taken_count);
        }
    }

    pub(super) fn into_receipts(self) -> Vec<Receipt> {
        self.receipts
    }

    /// Puts bodies in the place of references: the same records otherwise.
    fn take_bodies_in(&mut self) {
        let header = BatchHeader::parse(&self.batch).expect("the lane made it");
        let records = Records::new(&self.batch[HEADER_BYTES..], header.record_count);
        let refers = records
            .map(|record| record.is_ok_and(|it| it.reference().is_ok_and(|it| it.is_some())));
        let messages = self.receipts.iter().flat_map(Receipt::messages);
        let mut absent = refers
            .zip(messages)
            .filter_map(|(refers, message)| refers.then_some(&message.body));
        let whole = reference::whole(&self.batch, |_| absent.next());
        self.batch = whole.expect("the lane knows its messages").into();
        self.wants_bodies = false;
    }
}

/// A lane's batches under way, in order.
#[derive(Default)]
pub(super) struct Flights {
    flights: VecDeque<Flight>,
    next_number: u64,
}

impl Flights {
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Whether one more would be too many. Those that have their answers count while an older one
    /// has none: a partition that has stored too many since then knows that one's repeat no longer,
    /// nor which of its messages it refused.
    pub(super) fn is_full(&self) -> bool {
        let oldest = self.flights.front();
        oldest.is_some_and(|oldest| self.next_number - oldest.number >= MAX_FLIGHTS_COUNT)
    }

    /// Whether answers are awaited.
    pub(super) fn are_under_way(&self) -> bool {
        self.flights.iter().any(|flight| flight.is_under_way)
    }

    /// Whether it is known of all that they are not stored.
    pub(super) fn are_settled(&self) -> bool {
        let is_open = |flight: &Flight| flight.is_under_way || flight.may_be_stored;
        !self.flights.iter().any(is_open)
    }

    pub(super) fn send(
        &mut self,
        builder: BatchBuilder,
        sequence: Sequence,
        receipts: Vec<Receipt>,
    ) -> (u64, Bytes) {
        let number = self.next_number;
        self.next_number += 1;
        let record_count = builder.count();
        let batch = builder.finish(Some(sequence));
        self.flights.push_back(Flight {
            number,
            record_count,
            batch: batch.clone(),
            receipts,
            is_under_way: true,
            was_first: self.flights.is_empty(),
            may_be_stored: false,
            wants_bodies: false,
        });
        (number, batch)
    }

    /// The first batch that waits to be sent again; it is under way now. Says as well by how much it
    /// has grown.
    pub(super) fn next_again(&mut self) -> Option<(u64, Bytes, usize)> {
        let mut flights = self.flights.iter_mut().enumerate();
        let (at, flight) = flights.find(|(_, flight)| !flight.is_under_way)?;
        flight.is_under_way = true;
        flight.was_first = at == 0;
        let before_bytes = flight.size_bytes();
        if flight.wants_bodies {
            flight.take_bodies_in();
        }
        let grown_bytes = flight.size_bytes().saturating_sub(before_bytes);
        Some((flight.number, flight.batch.clone(), grown_bytes))
    }

    /// The batch has its answer.
    pub(super) fn landed(&mut self, number: u64) -> Option<&mut Flight> {
        let mut flights = self.flights.iter_mut();
        let flight = flights.find(|flight| flight.number == number)?;
        flight.is_under_way = false;
        Some(flight)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Flight> {
        let mut flights = self.flights.iter();
        let at = flights.position(|flight| flight.number == number)?;
        self.flights.remove(at)
    }

    /// Gives all batches new numbers, where there are some.
    pub(super) fn renumber(&mut self, numbers: &mut Numbers) {
        if !numbers.is_known() {
            return;
        }
        for flight in &mut self.flights {
            let mut bytes = BytesMut::from(&flight.batch[..]);
            set_sequence(&mut bytes, numbers.take(flight.record_count));
            flight.batch = bytes.freeze();
        }
    }

    #[cfg(test)]
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.flights.iter().map(|flight| flight.number)
    }

    pub(super) fn take_all(&mut self) -> Vec<Receipt> {
        let flights = self.flights.drain(..);
        flights.flat_map(|flight| flight.receipts).collect()
    }
}
