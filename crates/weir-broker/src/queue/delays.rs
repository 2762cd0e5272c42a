//! Messages that wait for their time, and how long each was to wait. When it is due is said by the
//! wall clock, which may have been wrong: then how long is all there is to go by.

use std::collections::BTreeMap;

use weir_log::Millis;
use weir_model::{
    message::{delay_ms, deliver_at_ms},
    record::Record,
};

use super::{Queue, dead::DELAYED};
use crate::encoding::{DecodeError, Reader, Writer};

/// Clocks of two nodes may differ by so much, and a batch be under way for so long, in ms, before a
/// message that was stamped earlier counts as stamped by a clock that is behind.
const MAX_AGE_MS: i64 = 60_000;
/// A clock is not worth doing anything about that is ahead by less, in ms.
const MAX_AHEAD_MS: i64 = 1_000;

/// Stands for when a message came that waits for a time: no clock that is wrong changes that.
const FOR_A_TIME: i64 = i64::MIN;

/// When messages came that wait for their time, by the leader's wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delays {
    came_ms: BTreeMap<u64, i64>,
    /// The latest time at which one came.
    latest_ms: i64,
}

/// A message whose wait began, as the wall clock then said, when it is not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misdated {
    pub(crate) offset: u64,
    pub(crate) serial: u64,
    /// How long it was to wait.
    pub(crate) wait_ms: u64,
}

/// Until when a message waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// As it says, in ms since 1970.
    dated_ms: i64,
    /// How long it was to wait, in ms; `None`: it was to wait for that time, which is not ours to move.
    delay_ms: Option<u64>,
}

impl Due {
    pub(super) fn of(record: &Record<'_>) -> Option<Self> {
        let dated_ms = deliver_at_ms(record)?;
        Some(Self {
            dated_ms,
            delay_ms: delay_ms(record),
        })
    }

    /// By the leader's clock: another node's may have dated it.
    pub(super) fn at_ms(self, now: Millis) -> i64 {
        let Some(delay_ms) = self.delay_ms else {
            return self.dated_ms;
        };
        let stamped_ms = self.dated_ms.saturating_sub_unsigned(delay_ms);
        let age_ms = now.0.saturating_sub(stamped_ms);
        match (0..=MAX_AGE_MS).contains(&age_ms) {
            true => self.dated_ms,
            false => now.plus(delay_ms).0,
        }
    }

    /// From when on it waits for a while, if it does.
    pub(super) fn waits_from(self, now: Millis) -> Option<Millis> {
        self.delay_ms.map(|_| now)
    }
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            came_ms: BTreeMap::new(),
            latest_ms: FOR_A_TIME,
        }
    }
}

impl Delays {
    /// The message waits for a while from then on; `None`: for a time.
    pub(super) fn note(&mut self, offset: u64, from: Option<Millis>) {
        let came_ms = from.map_or(FOR_A_TIME, |from| from.0);
        self.came_ms.insert(offset, came_ms);
        self.latest_ms = came_ms.max(self.latest_ms);
    }

    pub(super) fn forget(&mut self, offset: u64) {
        self.came_ms.remove(&offset);
    }

    /// What is before `start` is gone.
    pub(super) fn trim(&mut self, start: u64) {
        if self
            .came_ms
            .first_key_value()
            .is_some_and(|(first, _)| *first < start)
        {
            self.came_ms = self.came_ms.split_off(&start);
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.i64(self.latest_ms);
        writer.count(self.came_ms.len());
        for (offset, came_ms) in &self.came_ms {
            writer.u64(*offset);
            writer.i64(*came_ms);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let latest_ms = reader.i64()?;
        let mut came_ms = BTreeMap::new();
        for _ in 0..reader.count(8 + 8)? {
            came_ms.insert(reader.u64()?, reader.i64()?);
        }
        Ok(Self { came_ms, latest_ms })
    }
}

impl Queue {
    /// Whether messages may wait here that came later than it is.
    pub(crate) fn may_be_misdated(&self, now: Millis) -> bool {
        let first_wrong_ms = now.0.saturating_add(MAX_AHEAD_MS);
        !self.delays.came_ms.is_empty() && self.delays.latest_ms > first_wrong_ms
    }

    /// Messages that wait here and came later than it is. Looks at all that wait.
    pub(crate) fn misdated(&self, now: Millis) -> impl Iterator<Item = Misdated> {
        let first_wrong_ms = now.0.saturating_add(MAX_AHEAD_MS);
        let all = self.delays.came_ms.iter();
        let wrong = all.filter(move |(_, came_ms)| **came_ms > first_wrong_ms);
        wrong.filter_map(|(offset, came_ms)| {
            let held = self.ledger.held(*offset)?;
            let wait_ms = held.lock.until_ms?.saturating_sub(*came_ms);
            Some(Misdated {
                offset: *offset,
                serial: held.serial,
                wait_ms: u64::try_from(wait_ms).unwrap_or(0),
            })
        })
    }

    /// Whether it is known when each came that waits, and of no other.
    pub(super) fn dates_what_waits(&self) -> bool {
        let waiting = self.ledger.held_by(DELAYED).map(|(offset, _)| offset);
        waiting.eq(self.delays.came_ms.keys().copied())
    }

    /// Whether the message waits for its time, as it did then.
    pub(crate) fn is_waiting(&self, offset: u64, serial: u64) -> bool {
        self.delays.came_ms.contains_key(&offset) && self.is_delivery(offset, serial)
    }

    /// They have waited, whatever the wall clock says.
    pub(super) fn waited(&mut self, messages: &[(u64, u64)]) {
        for (offset, serial) in messages {
            if self.is_delivery(*offset, *serial) {
                self.end_wait(*offset);
            }
        }
    }
}
