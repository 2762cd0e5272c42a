//! The idempotent producers of one partition: which sequence numbers are stored.
//!
//! Per producer id the epoch and the last five batches are kept, as in Kafka. Part of the
//! replicated state: the verdict is a function of the table, the batch and the entry's time.
//!
//! Encoded form, version 1: `u8` version, `u32` producers in ascending order of id, each
//! `i64` id, `i16` epoch, `i64` last use in ms, `u32` run, `u8` batches, each `i32` first and
//! last sequence, `u64` base offset.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, Offset, ProducerId, batch::BatchHeader};

use crate::encoding::{DecodeError, Reader, Writer};

/// Batches of a producer that a repeat can be recognised by, as in Kafka. Clients keep at most
/// as many requests in flight.
pub const MAX_BATCHES: usize = 5;
/// A producer that was idle for this long is forgotten, in ms (Kafka's
/// `producer.id.expiration.ms`).
pub const PRODUCER_EXPIRY_MS: u64 = 24 * 60 * 60 * 1000;
/// Most producers that a partition remembers; about 200 bytes each. Past it those that were idle
/// longest are forgotten.
pub const MAX_PRODUCERS: usize = 4096;
/// Forgotten at once when there are too many, so that the search for them is paid rarely.
const EVICTION_COUNT: usize = MAX_PRODUCERS / 16;
/// Sequence numbers run from 0 to 2^31 - 1 and start again.
const SEQUENCE_COUNT: u32 = 1 << 31;
/// Sequences further back than this could as well be ahead.
const MAX_RUN_COUNT: u32 = SEQUENCE_COUNT / 2;
const VERSION: u8 = 1;
const PRODUCER_MIN_BYTES: usize = 8 + 2 + 8 + 4 + 1;

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
    /// Do not store it.
    Refused(ErrorKind),
}

/// One partition's producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: BTreeMap<ProducerId, Producer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    last_used: Millis,
    /// Sequences of this epoch that are stored without a gap, counted back from the next one.
    /// Up to [`MAX_RUN_COUNT`].
    run_count: u32,
    /// Oldest first, 1 to [`MAX_BATCHES`].
    batches: VecDeque<Stored>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    first: i32,
    last: i32,
    base_offset: Offset,
}

impl ProducerTable {
    /// What to do with a batch that arrives at `now`. A batch without a producer id costs
    /// nothing, another one look-up.
    pub fn check(&self, header: &BatchHeader, now: Millis) -> Verdict {
        let Some(id) = header.producer_id else {
            return Verdict::Append;
        };
        if header.base_sequence < 0 || header.producer_epoch < 0 {
            return Verdict::Refused(ErrorKind::InvalidRecord);
        }
        match self.producers.get(&id) {
            Some(producer) if !producer.is_expired(now) => producer.check(header),
            Some(_) | None => Verdict::Append,
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
        match self.producers.get_mut(&id) {
            Some(producer)
                if producer.epoch == header.producer_epoch && !producer.is_expired(now) =>
            {
                producer.push(stored, added_count, now);
            }
            Some(producer) => *producer = Producer::new(header, stored, added_count, now),
            None => {
                self.make_room(now);
                self.producers
                    .insert(id, Producer::new(header, stored, added_count, now));
            }
        }
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

    /// The table as bytes.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(self.producers.len());
        for (id, producer) in &self.producers {
            writer.i64(id.0);
            writer.i16(producer.epoch);
            writer.i64(producer.last_used.0);
            writer.u32(producer.run_count);
            writer.u8(u8::try_from(producer.batches.len()).expect("at most five batches"));
            for batch in &producer.batches {
                writer.i32(batch.first);
                writer.i32(batch.last);
                writer.u64(batch.base_offset.0);
            }
        }
        writer.finish()
    }

    /// The table that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("producer table version", VERSION)?;
        let mut producers = BTreeMap::new();
        for _ in 0..reader.count(PRODUCER_MIN_BYTES)? {
            let id = ProducerId(reader.i64()?);
            let is_ascending = producers
                .last_key_value()
                .is_none_or(|(last, _)| *last < id);
            if id.0 < 0 || !is_ascending {
                return Err(reader.invalid("producer id"));
            }
            producers.insert(id, Producer::decode(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self { producers })
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
            .map(|(id, producer)| (producer.last_used, *id))
            .collect();
        by_use.sort_unstable();
        for (_, id) in by_use.into_iter().take(EVICTION_COUNT) {
            self.producers.remove(&id);
        }
    }
}

impl Producer {
    fn new(header: &BatchHeader, stored: Stored, added_count: u32, now: Millis) -> Self {
        Self {
            epoch: header.producer_epoch,
            last_used: now,
            run_count: added_count.min(MAX_RUN_COUNT),
            batches: VecDeque::from([stored]),
        }
    }

    fn is_expired(&self, now: Millis) -> bool {
        now.since(self.last_used) >= PRODUCER_EXPIRY_MS
    }

    fn check(&self, header: &BatchHeader) -> Verdict {
        if header.producer_epoch < self.epoch {
            return Verdict::Refused(ErrorKind::InvalidProducerEpoch);
        }
        let (first, next) = (header.base_sequence, self.next_sequence());
        let expected = if header.producer_epoch > self.epoch {
            0
        } else {
            next
        };
        if first == expected {
            return Verdict::Append;
        }
        if header.producer_epoch > self.epoch {
            return Verdict::Refused(ErrorKind::OutOfOrderSequence);
        }
        let last = after(first, header.last_offset_delta);
        let repeat = self
            .batches
            .iter()
            .find(|batch| batch.first == first && batch.last == last);
        match repeat {
            Some(batch) => Verdict::Duplicate {
                base_offset: batch.base_offset,
            },
            None if self.is_before_window(header) => Verdict::Refused(ErrorKind::DuplicateSequence),
            None => Verdict::Refused(ErrorKind::OutOfOrderSequence),
        }
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
        let newest = self.batches.back();
        after(newest.expect("a known producer has a batch").last, 1)
    }

    fn push(&mut self, stored: Stored, added_count: u32, now: Millis) {
        assert_eq!(
            stored.first,
            self.next_sequence(),
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

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = reader.i16()?;
        let last_used = Millis(reader.i64()?);
        let run_count = reader.u32()?;
        let batch_count = usize::from(reader.u8()?);
        if epoch < 0 || run_count > MAX_RUN_COUNT || !(1..=MAX_BATCHES).contains(&batch_count) {
            return Err(reader.invalid("producer"));
        }
        let mut batches = VecDeque::new();
        for _ in 0..batch_count {
            let batch = Stored {
                first: reader.i32()?,
                last: reader.i32()?,
                base_offset: Offset(reader.u64()?),
            };
            let follows = batches
                .back()
                .is_none_or(|previous: &Stored| after(previous.last, 1) == batch.first);
            if batch.first < 0 || batch.last < 0 || !follows || batch.base_offset.0 >> 63 != 0 {
                return Err(reader.invalid("producer batch"));
            }
            batches.push_back(batch);
        }
        Ok(Self {
            epoch,
            last_used,
            run_count,
            batches,
        })
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
