//! Messages that arrive, and transactions that end.

use std::ops::Range;

use weir_log::Millis;
use weir_model::{
    ProducerId,
    batch::{BatchHeader, Codec, HEADER_BYTES},
    message::{Envelope, Hop},
    record::Records,
};
use weir_raft::Stamp;

use super::{Assignment, LogRange, Overflow, Queue, dead::Reason, delays::Due};

/// Most batches that a queue remembers not to have taken as a whole: more than are repeated, which
/// are the last five of each node.
const MAX_REFUSALS_COUNT: usize = 1_024;

/// Messages of a transaction that is open: ranges of offsets, first and last, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Undecided(pub(super) Vec<(u64, u64)>);

impl Undecided {
    pub(super) fn first(&self) -> Option<u64> {
        self.0.first().map(|(first, _)| *first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, first: u64, last: u64) {
        match self.0.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            Some(_) | None => self.0.push((first, last)),
        }
    }

    /// What is before `start` is gone.
    pub(super) fn trim(&mut self, start: u64) {
        self.0.retain_mut(|(first, last)| {
            *first = start.max(*first);
            *first <= *last
        });
    }

    fn offsets(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

/// A batch that was appended to the partition's log.
pub(crate) struct Arrived<'a> {
    pub(crate) batch: &'a [u8],
    pub(crate) header: &'a BatchHeader,
    pub(crate) base_offset: u64,
}

/// What a queue has to know of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Look<'a> {
    priority: u8,
    body_bytes: u32,
    ttl_ms: Option<u64>,
    due: Option<Due>,
    hop: Option<Hop>,
    /// The message's own name, as a place in the batch.
    id: Option<&'a str>,
}

impl Queue {
    /// Whether the queue takes a whole batch of so many records, or nothing of it.
    pub(crate) fn takes_whole(&self, record_count: u32) -> bool {
        if self.is_closed() {
            return false;
        }
        let ready = self.ledger.counts().ready;
        match (self.settings.overflow, self.settings.max_length_count) {
            (Overflow::DropHead, _) => true,
            (_, Some(limit)) if ready + u64::from(record_count) > limit => false,
            (Overflow::RejectPublish | Overflow::RejectPublishDeadLetter, _) => {
                !self.refuses_more()
            }
        }
    }

    /// Takes what was appended; gives the first record that it does not take, and none after it.
    /// A batch that [`Self::takes_whole`] was asked for is taken as a whole.
    pub(crate) fn arrived(
        &mut self,
        at: Stamp,
        arrived: &Arrived<'_>,
        may_refuse: bool,
        out: &mut Vec<Assignment>,
    ) -> Option<u32> {
        let (base, header) = (arrived.base_offset, arrived.header);
        let end = base + header.offset_count();
        if self.is_behind {
            return None;
        }
        if header.is_control() {
            self.ledger.extend(end);
            self.withhold_all(base..end);
            return None;
        }
        let transaction = header.producer_id.filter(|_| header.is_transactional());
        if let Some(producer) = transaction {
            self.ledger.extend(end);
            self.withhold_all(base..end);
            self.undecided
                .entry(producer)
                .or_default()
                .push(base, end - 1);
            return None;
        }
        let mut refused_from = None;
        let mut fleeting = Vec::new();
        for (delta, look) in (0..).zip(looks(arrived)) {
            if refused_from.is_none() && may_refuse && (self.is_closed() || self.refuses_more()) {
                refused_from = Some(delta);
            }
            let offset = base + u64::from(delta);
            self.ledger.extend(offset + 1);
            if refused_from.is_some() {
                self.refuse(offset);
            } else {
                self.take(at, offset, &look);
                fleeting.extend((look.ttl_ms == Some(0)).then_some(offset));
            }
            if may_refuse && self.settings.overflow != Overflow::DropHead {
                self.serve(at.now, out);
            }
        }
        self.ledger.extend(end);
        self.serve(at.now, out);
        // Nobody waited for them.
        for offset in fleeting {
            self.bury_ready(offset, Reason::Expired);
        }
        if let Some(from) = refused_from {
            if self.refusals.len() == MAX_REFUSALS_COUNT {
                self.refusals.pop_front();
            }
            self.refusals.push_back((base, from));
        }
        refused_from
    }

    fn withhold_all(&mut self, offsets: Range<u64>) {
        for offset in offsets {
            self.ledger.withhold(offset);
        }
    }

    /// What [`Self::arrived`] said of a batch that comes again.
    pub(crate) fn refused_before(&self, base_offset: u64) -> Option<u32> {
        let found = self
            .refusals
            .binary_search_by_key(&base_offset, |(base, _)| *base);
        found.ok().map(|at| self.refusals[at].1)
    }

    fn take(&mut self, at: Stamp, offset: u64, look: &Look<'_>) {
        if self.came_before(at.now, look) {
            self.ledger.withhold(offset);
            return;
        }
        let level = look.priority.min(self.settings.highest_priority);
        if level > 0 {
            self.ledger.withhold(offset);
            self.ledger.admit(offset, level);
        }
        self.has_expirations |= look.ttl_ms.is_some();
        if self.settings.max_length_bytes.is_some() {
            self.sizes.arrived(offset, look.body_bytes);
        }
        if let Some(due) = look.due {
            self.delay(at, offset, due);
        }
    }

    /// The message is ready at its time.
    fn delay(&mut self, at: Stamp, offset: u64, due: Due) {
        let Some(until) = due.until(at) else {
            return;
        };
        if self.ledger.acquire_at(offset, until.lock()).is_some() {
            self.delays.note(offset, until);
            self.sizes.taken(offset);
        }
    }

    /// Whether the same message is here already, or was.
    fn came_before(&mut self, now: Millis, look: &Look<'_>) -> bool {
        let is_repeat = |hop: Hop| !self.hops.note(hop);
        if look.hop.is_some_and(is_repeat) {
            return true;
        }
        let window_ms = self.settings.dedup_ms;
        let named = window_ms.zip(look.id);
        named.is_some_and(|(window_ms, id)| !self.ids.note(now, window_ms, id))
    }

    fn refuse(&mut self, offset: u64) {
        let overflow = self.settings.overflow;
        if overflow == Overflow::RejectPublishDeadLetter && !self.is_closed() {
            if self.settings.max_length_bytes.is_some() {
                self.sizes.arrived(offset, 0);
            }
            self.bury_ready(offset, Reason::MaxLength);
        } else {
            self.ledger.withhold(offset);
        }
    }

    /// A transaction has ended: its messages are ready, or nobody's.
    pub(crate) fn ended(
        &mut self,
        now: Millis,
        producer: ProducerId,
        is_committed: bool,
        out: &mut Vec<Assignment>,
    ) {
        let Some(undecided) = self.undecided.remove(&producer).filter(|_| is_committed) else {
            return;
        };
        for offset in undecided.offsets() {
            self.ledger.admit(offset, 0);
        }
        self.serve(now, out);
    }

    /// The log ends there, and is decided up to there: to be told after each batch and each end of
    /// a transaction.
    pub(crate) fn decided(&mut self, now: Millis, log: LogRange, out: &mut Vec<Assignment>) {
        if self.is_behind {
            self.ledger.extend(log.stable_end);
            self.is_behind = log.stable_end < log.end;
            self.serve(now, out);
        }
    }
}

/// What records that are not compressed say of themselves. Messages of our own doors are never
/// compressed; others have neither priority nor time to live.
fn looks<'a>(arrived: &Arrived<'a>) -> impl Iterator<Item = Look<'a>> + use<'a> {
    let header = arrived.header;
    let is_open = header.codec == Codec::None;
    let body = arrived.batch.get(HEADER_BYTES..).filter(|_| is_open);
    let mut records = Records::new(body.unwrap_or_default(), header.record_count);
    let evenly = arrived.batch.len() / usize::try_from(header.record_count.max(1)).unwrap_or(1);
    (0..header.record_count).map(move |_| {
        let record = records.next().and_then(Result::ok);
        let reference = record.filter(|_| header.has_references());
        let reference = reference.and_then(|record| record.reference().ok().flatten());
        let body_bytes = match (&record, reference) {
            (_, Some(reference)) => usize::try_from(reference.length_bytes).unwrap_or(usize::MAX),
            (Some(record), None) => record.value.map_or(0, <[u8]>::len),
            (None, None) => evenly,
        };
        let glance = record.as_ref().and_then(Envelope::of).map(|own| own.glance);
        Look {
            priority: glance.and_then(|own| own.priority).unwrap_or(0),
            body_bytes: u32::try_from(body_bytes).unwrap_or(u32::MAX),
            ttl_ms: glance.and_then(|own| own.expiration?.parse().ok()),
            due: record.as_ref().and_then(Due::of),
            hop: record.as_ref().and_then(Hop::of),
            id: glance.and_then(|own| own.message_id),
        }
    })
}
