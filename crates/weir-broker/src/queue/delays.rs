//! Messages that wait. Those that are to wait for a while do so by the group's clock, which never jumps:
//! no wall clock makes them early or late. Those that are to wait for a time wait for the wall
//! clock, which says what the time is.

use std::collections::{BTreeMap, BTreeSet};

use weir_ledger::Lock;
use weir_log::Millis;
use weir_model::{
    message::{delay_ms, deliver_at_ms},
    record::Record,
};
use weir_raft::Stamp;

use super::{Queue, dead::DELAYED};
use crate::encoding::{DecodeError, Reader, Writer};

/// Commands of one turn share its moment, which a message that came in that turn may be stamped after by
/// so much at most, in ms: what is stamped later has a clock that is ahead.
const MAX_TURN_MS: i64 = 1_000;

/// Messages that wait for a while: until when, by the group's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delays {
    until: BTreeMap<u64, Millis>,
    order: BTreeSet<(Millis, u64)>,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// A time, in ms since 1970.
    At(i64),
    /// A while, in ms, and when it had passed by the clock of the node that took it, ms since 1970.
    In { delay_ms: u64, dated_ms: i64 },
}

/// Until when a message waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Wall(Millis),
    Group(Millis),
}

impl Due {
    pub(super) fn of(record: &Record<'_>) -> Option<Self> {
        let dated_ms = deliver_at_ms(record)?;
        Some(match delay_ms(record) {
            Some(delay_ms) => Self::In { delay_ms, dated_ms },
            None => Self::At(dated_ms),
        })
    }

    /// `None`: it has waited already.
    pub(super) fn until(self, at: Stamp) -> Option<Until> {
        match self {
            Self::At(at_ms) => (at_ms > at.now.0).then_some(Until::Wall(Millis(at_ms))),
            Self::In { delay_ms, dated_ms } => {
                let taken_ms = dated_ms.saturating_sub_unsigned(delay_ms);
                let later_ms = taken_ms.saturating_sub(at.now.0);
                let in_turn_ms = match (0..=MAX_TURN_MS).contains(&later_ms) {
                    true => later_ms.unsigned_abs(),
                    false => 0,
                };
                let wait_ms = delay_ms.saturating_add(in_turn_ms);
                (wait_ms > 0).then(|| Until::Group(at.elapsed.after(wait_ms)))
            }
        }
    }
}

impl Until {
    /// What holds the message: the ledger tells when, where that is by the wall clock.
    pub(super) fn lock(self) -> Lock {
        Lock {
            owner: DELAYED,
            until_ms: match self {
                Self::Wall(until) => Some(until.0),
                Self::Group(_) => None,
            },
        }
    }
}

impl Delays {
    pub(super) fn note(&mut self, offset: u64, until: Until) {
        if let Until::Group(until) = until {
            self.until.insert(offset, until);
            self.order.insert((until, offset));
        }
    }

    pub(super) fn forget(&mut self, offset: u64) {
        if let Some(until) = self.until.remove(&offset) {
            self.order.remove(&(until, offset));
        }
    }

    /// What is before `start` is gone.
    pub(super) fn trim(&mut self, start: u64) {
        while let Some((first, _)) = self.until.first_key_value()
            && *first < start
        {
            self.forget(*first);
        }
    }

    /// Those that have waited at `elapsed`, the longest overdue first.
    pub(super) fn ended(&self, elapsed: Millis) -> impl Iterator<Item = u64> {
        let ended = self.order.range(..=(elapsed, u64::MAX));
        ended.map(|(_, offset)| *offset)
    }

    fn next_end(&self) -> Option<Millis> {
        self.order.first().map(|(until, _)| *until)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.count(self.until.len());
        for (offset, until) in &self.until {
            writer.u64(*offset);
            writer.i64(until.0);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut delays = Self::default();
        for _ in 0..reader.count(8 + 8)? {
            let offset = reader.u64()?;
            delays.note(offset, Until::Group(Millis(reader.i64()?)));
        }
        Ok(delays)
    }
}

impl Queue {
    /// When a message that waits for a time is ready, or the queue is closed no longer, by the wall
    /// clock.
    pub(crate) fn next_wake(&self) -> Option<Millis> {
        let due = self.ledger.next_end_ms().map(Millis);
        due.into_iter().chain(self.closers.values().copied()).min()
    }

    /// When the next message has waited for as long as it was to, by the group's clock.
    pub(crate) fn next_end_of_wait(&self) -> Option<Millis> {
        self.delays.next_end()
    }

    /// Whether it is known until when each waits that waits for a while, and of no other.
    pub(super) fn dates_what_waits(&self) -> bool {
        let waiting = self.ledger.held_by(DELAYED);
        let for_a_while = waiting.filter(|(_, held)| held.lock.until_ms.is_none());
        let offsets = for_a_while.map(|(offset, _)| offset);
        offsets.eq(self.delays.until.keys().copied())
    }
}
