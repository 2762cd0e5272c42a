//! The producers of one partition: which sequence numbers are stored, and whose transactions are
//! open.
//!
//! Per producer id the epoch and the last five batches are kept, as in Kafka. Part of the
//! replicated state: the verdict is a function of the table, the batch and its [`Arrival`].

mod format;
mod transactions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_log::Millis;
use weir_model::{ErrorKind, Offset, ProducerId, batch::BatchHeader};

pub use self::transactions::{MAX_OPEN_TRANSACTIONS, ProducerState};

/// Batches of a producer that a repeat can be recognised by, as in Kafka. Clients keep at most
/// as many requests in flight.
pub const MAX_BATCHES: usize = 5;
/// A producer that was idle for this long is forgotten, in ms (Kafka's
/// `producer.id.expiration.ms`). One whose transaction is open is not.
pub const PRODUCER_EXPIRY_MS: u64 = 24 * 60 * 60 * 1000;
/// Most producers that a partition remembers; about 200 bytes each. Past it those that were idle
/// longest are forgotten.
pub const MAX_PRODUCERS: usize = 4096;
/// How long after a change of leadership a gap in a producer's sequences may close by itself, in
/// ms: the longest that clients wait for requests which an earlier leader left unanswered.
pub const SETTLE_MS: u64 = 60_000;
/// Forgotten at once when there are too many, so that the search for them is paid rarely.
const EVICTION_COUNT: usize = MAX_PRODUCERS / 16;
/// Sequence numbers run from 0 to 2^31 - 1 and start again.
const SEQUENCE_COUNT: u32 = 1 << 31;
/// Sequences further back than this could as well be ahead.
const MAX_RUN_COUNT: u32 = SEQUENCE_COUNT / 2;

/// How a batch arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The entry's time.
    pub now: Millis,
    /// Leadership has changed less than [`SETTLE_MS`] ago. What an earlier leader refused, or left
    /// unanswered, is on its way again then, and may come after what followed it. A gap is no
    /// error of the client's until this is over: librdkafka would take up a new epoch, under which
    /// it sends again what an earlier leader may have stored.
    pub is_settling: bool,
    /// The transaction's coordinator has said that the partition is part of it, at a time when the
    /// producer's last transaction here had been ended by this entry of the log.
    pub verified: Option<u64>,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Store it, then [`ProducerTable::record`] it.
    Append,
    /// It is stored already: answer as the first time.
    Duplicate {
        /// Offset of its first record.
        base_offset: Offset,
    },
    /// It would begin a transaction of which the coordinator has not said that it is open.
    Unverified {
        /// Entry that ended the producer's last transaction here: see [`Arrival::verified`].
        ended_at: u64,
    },
    /// Do not store it.
    Refused(ErrorKind),
}

/// One partition's producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: BTreeMap<ProducerId, Producer>,
    /// First offsets of the transactions that are open.
    open: BTreeSet<(Offset, ProducerId)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    last_used: Millis,
    /// Sequences of this epoch that are stored without a gap, counted back from the next one.
    /// Up to [`MAX_RUN_COUNT`].
    run_count: u32,
    /// Oldest first, up to [`MAX_BATCHES`]; none where a transaction's end began the epoch.
    batches: VecDeque<Stored>,
    /// Epoch of the coordinator that ended its last transaction here; -1: none did.
    coordinator_epoch: i32,
    /// The highest ordinal of its transactions that ended here; 0: none with one did.
    ended_ordinal: u64,
    /// Entry of the log that ended its last transaction here; 0: none did.
    ended_at: u64,
    /// First offset of its transaction that is open here.
    open: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    first: i32,
    last: i32,
    base_offset: Offset,
}

impl ProducerTable {
    /// What to do with a batch. One without a producer id costs nothing, another one look-up.
    pub fn check(&self, header: &BatchHeader, arrival: Arrival) -> Verdict {
        let Some(id) = header.producer_id else {
            return Verdict::Append;
        };
        if header.base_sequence < 0 || header.producer_epoch < 0 {
            return Verdict::Refused(ErrorKind::InvalidRecord);
        }
        let known = self.known(id, arrival.now);
        let verdict = match known {
            Some(producer) => producer.check(header, arrival.is_settling),
            // Some of its batches may still be on their way, and must come first.
            None if arrival.is_settling && header.base_sequence > 0 => {
                Verdict::Refused(ErrorKind::SequenceGap)
            }
            None => Verdict::Append,
        };
        match verdict {
            Verdict::Append => self.check_transaction(known, header, arrival),
            other => other,
        }
    }

    /// Remembers a batch that [`Self::check`] let pass at the same `now` and that is stored at
    /// `base_offset`.
    ///
    /// # Panics
    /// Where the batch does not follow the producer's last one.
    pub fn record(&mut self, header: &BatchHeader, base_offset: Offset, now: Millis) {
        let Some(id) = header.producer_id else {
            return;
        };
        assert!(
            header.base_sequence >= 0 && header.producer_epoch >= 0,
            "a batch is checked before it is recorded"
        );
        let stored = Stored {
            first: header.base_sequence,
            last: after(header.base_sequence, header.last_offset_delta),
            base_offset,
        };
        let added_count = u32::try_from(header.offset_count()).unwrap_or(u32::MAX);
        let producer = self.producer_at(id, header.producer_epoch, now);
        producer.push(stored, added_count, now);
        if header.is_transactional() && producer.open.is_none() {
            producer.open = Some(base_offset);
            self.open.insert((base_offset, id));
        }
    }

    /// The producer with that epoch: as it is, or new.
    fn producer_at(&mut self, id: ProducerId, epoch: i16, now: Millis) -> &mut Producer {
        if self.known(id, now).is_none() {
            self.producers.remove(&id);
            self.make_room(now);
        }
        let producer = self
            .producers
            .entry(id)
            .or_insert_with(|| Producer::new(epoch, now));
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
            producer.run_count = 0;
        }
        producer
    }

    fn known(&self, id: ProducerId, now: Millis) -> Option<&Producer> {
        let producer = self.producers.get(&id);
        producer.filter(|producer| !producer.is_expired(now))
    }

    /// Forgets producers that were idle for [`PRODUCER_EXPIRY_MS`]. Only frees memory:
    /// [`Self::check`] ignores them anyway.
    pub fn expire(&mut self, now: Millis) {
        self.producers
            .retain(|_, producer| !producer.is_expired(now));
    }

    /// Number of producers remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    fn make_room(&mut self, now: Millis) {
        if self.producers.len() < MAX_PRODUCERS {
            return;
        }
        self.expire(now);
        if self.producers.len() < MAX_PRODUCERS {
            return;
        }
        let mut by_use: Vec<(Millis, ProducerId)> = self
            .producers
            .iter()
            .filter(|(_, producer)| producer.open.is_none())
            .map(|(id, producer)| (producer.last_used, *id))
            .collect();
        by_use.sort_unstable();
        for (_, id) in by_use.into_iter().take(EVICTION_COUNT) {
            self.producers.remove(&id);
        }
    }
}

impl Producer {
    fn new(epoch: i16, now: Millis) -> Self {
        Self {
            epoch,
            last_used: now,
            run_count: 0,
            batches: VecDeque::new(),
            coordinator_epoch: -1,
            ended_ordinal: 0,
            ended_at: 0,
            open: None,
        }
    }

    fn is_expired(&self, now: Millis) -> bool {
        self.open.is_none() && now.since(self.last_used) >= PRODUCER_EXPIRY_MS
    }

    fn check(&self, header: &BatchHeader, is_settling: bool) -> Verdict {
        if header.producer_epoch < self.epoch {
            return Verdict::Refused(ErrorKind::InvalidProducerEpoch);
        }
        let gap = if is_settling {
            ErrorKind::SequenceGap
        } else {
            ErrorKind::OutOfOrderSequence
        };
        let first = header.base_sequence;
        if header.producer_epoch > self.epoch {
            return match first {
                0 => Verdict::Append,
                _ => Verdict::Refused(gap),
            };
        }
        let ahead_count = distance(self.next_sequence(), first);
        if ahead_count == 0 {
            // Also where nothing of this epoch is stored yet, or the producer's first batch.
            return Verdict::Append;
        }
        let last = after(first, header.last_offset_delta);
        let repeat = self
            .batches
            .iter()
            .find(|batch| batch.first == first && batch.last == last);
        match repeat {
            Some(batch) if header.is_transactional() && !self.has_open(batch.base_offset) => {
                Verdict::Refused(ErrorKind::UnknownProducer)
            }
            Some(batch) => Verdict::Duplicate {
                base_offset: batch.base_offset,
            },
            None if self.is_before_window(header) => Verdict::Refused(ErrorKind::DuplicateSequence),
            None if ahead_count < MAX_RUN_COUNT => Verdict::Refused(gap),
            None => Verdict::Refused(ErrorKind::OutOfOrderSequence),
        }
    }

    /// Whether what lies at an offset of the producer's is part of its open transaction.
    ///
    /// Nobody ends a transaction before its batches have their answers, so that none of them is
    /// sent again by right. librdkafka drops what waits to be sent again when it aborts, and gives
    /// its sequences to other messages, without a new epoch: as repeats these would be lost. Told
    /// that its producer is not known, it aborts and takes the next epoch.
    fn has_open(&self, offset: Offset) -> bool {
        self.open.is_some_and(|first| offset >= first)
    }

    /// Whether all of the batch's sequences are stored, before the remembered batches. Clients
    /// take the answer to that for success, so a sequence from before the producer became known
    /// here, which may never have been stored, must not get it.
    fn is_before_window(&self, header: &BatchHeader) -> bool {
        let back_count = distance(header.base_sequence, self.next_sequence());
        let window_count = self
            .batches
            .front()
            .map_or(0, |oldest| distance(oldest.first, self.next_sequence()));
        back_count <= self.run_count
            && u64::from(back_count) >= u64::from(window_count) + header.offset_count()
    }

    fn next_sequence(&self) -> i32 {
        self.batches
            .back()
            .map_or(0, |newest| after(newest.last, 1))
    }

    fn push(&mut self, stored: Stored, added_count: u32, now: Millis) {
        assert!(
            self.batches.is_empty() || stored.first == self.next_sequence(),
            "a recorded batch follows the producer's last one"
        );
        if self.batches.len() == MAX_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(stored);
        self.run_count = self
            .run_count
            .saturating_add(added_count)
            .min(MAX_RUN_COUNT);
        self.last_used = self.last_used.max(now);
    }
}

/// The sequence `count` after `sequence`, which is not negative.
fn after(sequence: i32, count: u32) -> i32 {
    let sum = sequence.unsigned_abs().wrapping_add(count) % SEQUENCE_COUNT;
    i32::try_from(sum).expect("a sequence is below 2^31")
}

/// How far `to` is ahead of `from`, both not negative.
fn distance(from: i32, to: i32) -> u32 {
    to.unsigned_abs().wrapping_sub(from.unsigned_abs()) % SEQUENCE_COUNT
}

#[cfg(test)]
mod tests;
