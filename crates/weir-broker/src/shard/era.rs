//! How long the group's leader has led, and when its last command was made.

use weir_log::Millis;
use weir_model::Term;
use weir_raft::{Applied, Stamp};

use crate::{
    encoding::{DecodeError, Reader, Writer},
    producer::{Arrival, SETTLE_MS},
};

/// The newest term whose commands were applied, since when by the group's clock, which never
/// jumps: with the wall clock set forward, a leader of a moment would have led for long. Replicated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Era {
    term: Term,
    since: Millis,
    last: Stamp,
}

impl Era {
    /// A command of a new term begins a new era.
    pub(super) fn pass(&mut self, at: &Applied) {
        if at.term != self.term {
            (self.term, self.since) = (at.term, at.elapsed);
        }
        self.last = at.stamp();
    }

    /// When the last command was made; `None`: there was none.
    pub(super) fn stamp(self) -> Option<Stamp> {
        (self.term > Term(0)).then_some(self.last)
    }

    /// A batch that arrives in this era.
    pub(super) fn arrival(self, at: &Applied, verified: Option<u64>) -> Arrival {
        Arrival {
            now: at.now,
            is_settling: at.elapsed.since(self.since) < SETTLE_MS,
            verified,
        }
    }

    pub(super) fn write(self, writer: &mut Writer) {
        writer.u64(self.term.0);
        writer.i64(self.since.0);
        writer.i64(self.last.now.0);
        writer.i64(self.last.elapsed.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            term: Term(reader.u64()?),
            since: Millis(reader.i64()?),
            last: Stamp {
                now: Millis(reader.i64()?),
                elapsed: Millis(reader.i64()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use weir_model::GroupId;

    use super::*;

    fn at(term: u64, elapsed_ms: i64) -> Applied {
        Applied {
            group: GroupId(1),
            index: 1,
            term: Term(term),
            now: Millis(1),
            elapsed: Millis(elapsed_ms),
        }
    }

    #[test]
    fn an_era_begins_with_a_terms_first_command_and_settles_in_time() {
        let settle_ms = i64::try_from(SETTLE_MS).unwrap();
        let mut era = Era::default();
        era.pass(&at(3, 1_000));
        era.pass(&at(3, 2_000));
        let is_settling = |era: Era, elapsed_ms| era.arrival(&at(3, elapsed_ms), None).is_settling;
        assert!(is_settling(era, 1_000) && is_settling(era, 999 + settle_ms));
        assert!(!is_settling(era, 1_000 + settle_ms));
        era.pass(&at(4, 5_000 + settle_ms));
        assert!(is_settling(era, 4_999 + 2 * settle_ms));
        let mut writer = Writer::new();
        era.write(&mut writer);
        assert_eq!(Era::read(&mut Reader::new(&writer.finish())), Ok(era));
    }

    #[test]
    fn a_wall_clock_that_jumps_neither_ends_nor_prolongs_the_settling() {
        let settle_ms = i64::try_from(SETTLE_MS).unwrap();
        let mut era = Era::default();
        era.pass(&at(3, 1_000));
        let jumped = |elapsed_ms, now_ms| Applied {
            now: Millis(now_ms),
            ..at(3, elapsed_ms)
        };
        let is_settling = |applied| era.arrival(&applied, None).is_settling;
        assert!(is_settling(jumped(1_001, 10 * settle_ms)));
        assert!(!is_settling(jumped(1_000 + settle_ms, -10 * settle_ms)));
    }
}
