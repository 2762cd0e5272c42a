//! The group's clock: it never jumps, and goes on where it stood when another node leads.
//!
//! Every bundle carries what it showed to its leader. Who leads next goes on from the last bundle, by
//! what has passed since it applied that, as its own clock says that never jumps. Where this node was
//! not up when that bundle was made, nobody here knows but the wall clocks, and they are believed.
//! So the clock loses a moment at each change of leader, and gains none.

use raft::{
    GetEntriesContext,
    eraftpb::{Entry, EntryType},
};

use super::Group;
use crate::{Moment, StateMachine, bundle::BundleReader, machine::Stamp};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct GroupClock {
    /// What the last bundle carries that was applied.
    last: Option<Stamp>,
    /// When that was, by this node's clock that never jumps; `None`: the bundle is older than the run.
    applied_ms: Option<i64>,
    /// The term that this node leads, and what it adds to its own clock there.
    ahead: Option<(u64, i64)>,
    /// Index of the last entry that was there when the run began.
    found: u64,
}

/// What the last bundle carries that is not applied yet.
struct Unapplied {
    stamp: Stamp,
    /// It was there when the run began.
    was_found: bool,
}

impl GroupClock {
    /// Of a log that ends at `found`, and of a state that `last` was the last bundle of.
    pub(super) fn new(found: u64, last: Option<Stamp>) -> Self {
        Self {
            last,
            found,
            ..Self::default()
        }
    }

    /// A state from elsewhere is taken over.
    pub(super) fn restore(&mut self, last: Option<Stamp>) {
        (self.last, self.applied_ms) = (last, None);
    }

    /// Entries from `index` on are new, whatever was there when the run began.
    pub(super) fn written_from(&mut self, index: u64) {
        self.found = self.found.min(index.saturating_sub(1));
    }

    /// A bundle is applied.
    pub(super) fn hear(&mut self, index: u64, stamp: Stamp, at: Moment) {
        self.last = Some(stamp);
        self.applied_ms = (index > self.found).then(|| at.elapsed().0);
    }

    /// What the clock shows, as far as this node knows.
    pub(super) fn shows_ms(&self, term: u64, at: Moment) -> i64 {
        let own_ms = at.elapsed().0;
        match self.ahead {
            Some((led, ahead_ms)) if led == term => own_ms.saturating_add(ahead_ms),
            Some(_) | None => self.goes_on_ms(None, at),
        }
    }

    fn goes_on_ms(&self, unapplied: Option<&Unapplied>, at: Moment) -> i64 {
        let by_walls = |stamp: Stamp| at.now.0.saturating_sub(stamp.now.0).max(0);
        let (stamp, passed_ms) = match (unapplied, self.last) {
            (Some(last), _) if last.was_found => (last.stamp, by_walls(last.stamp)),
            (Some(last), _) => (last.stamp, 0),
            (None, Some(stamp)) => {
                let own_ms = at.elapsed().0;
                let passed_ms = match self.applied_ms {
                    Some(applied_ms) => own_ms.saturating_sub(applied_ms),
                    None => by_walls(stamp),
                };
                (stamp, passed_ms)
            }
            (None, None) => return at.elapsed().0,
        };
        stamp.elapsed.0.saturating_add(passed_ms)
    }

    fn begin(&mut self, term: u64, unapplied: Option<&Unapplied>, at: Moment) {
        let ahead_ms = self
            .goes_on_ms(unapplied, at)
            .saturating_sub(at.elapsed().0);
        self.ahead = Some((term, ahead_ms));
    }

    fn leads_in(&self, term: u64) -> bool {
        self.ahead.is_some_and(|(led, _)| led == term)
    }
}

impl<S: StateMachine> Group<S> {
    /// What a bundle carries that this node, which leads, makes now.
    pub(super) fn stamp(&mut self, at: Moment) -> Stamp {
        let term = self.raw.raft.term;
        if !self.clock.leads_in(term) {
            let unapplied = self.last_unapplied();
            self.clock.begin(term, unapplied.as_ref(), at);
        }
        Stamp {
            now: at.now,
            elapsed: weir_log::Millis(self.clock.shows_ms(term, at)),
        }
    }

    fn last_unapplied(&self) -> Option<Unapplied> {
        let log = &self.raw.raft.raft_log;
        let entries = log.entries(self.applied.0 + 1, None, GetEntriesContext::empty(false));
        let is_bundle =
            |entry: &&Entry| entry.entry_type == EntryType::EntryNormal && !entry.data.is_empty();
        let entries = entries.unwrap_or_default();
        let last = entries.iter().rev().find(is_bundle)?;
        let reader = BundleReader::new(last.data.clone()).ok()?;
        Some(Unapplied {
            stamp: reader.stamp(),
            was_found: last.index <= self.clock.found,
        })
    }
}

#[cfg(test)]
mod tests {
    use weir_log::Millis;

    use super::*;

    fn stamp(now: i64, elapsed: i64) -> Stamp {
        Stamp {
            now: Millis(now),
            elapsed: Millis(elapsed),
        }
    }

    fn at(now: i64, elapsed_ms: u64) -> Moment {
        Moment {
            now: Millis(now),
            elapsed_ms,
        }
    }

    #[test]
    fn who_leads_next_goes_on_by_what_has_passed_here_whatever_wall_clocks_say() {
        let mut clock = GroupClock::new(3, None);
        clock.hear(4, stamp(1_000, 70_000), at(500, 200));
        for now in [-90_000_000, 0, 90_000_000] {
            assert_eq!(clock.shows_ms(7, at(now, 250)), 70_050);
            clock.begin(7, None, at(now, 250));
            assert_eq!(clock.shows_ms(7, at(now, 251)), 70_051);
        }
        assert!(clock.leads_in(7) && !clock.leads_in(8));
    }

    #[test]
    fn what_was_there_when_the_run_began_is_as_old_as_wall_clocks_say() {
        let mut clock = GroupClock::new(4, Some(stamp(1_000, 70_000)));
        assert_eq!(clock.shows_ms(1, at(4_000, 9)), 73_000);
        clock.hear(4, stamp(2_000, 71_000), at(4_000, 10));
        assert_eq!(clock.shows_ms(1, at(4_000, 10)), 73_000);
        assert_eq!(clock.shows_ms(1, at(1_999, 12)), 71_000);
        clock.hear(5, stamp(9_000, 74_000), at(4_001, 13));
        clock.restore(Some(stamp(2_000, 71_000)));
        assert_eq!(clock.shows_ms(1, at(2_500, 99)), 71_500);
    }

    #[test]
    fn an_entry_that_another_has_taken_the_place_of_is_no_older_than_the_run() {
        let mut clock = GroupClock::new(4, None);
        clock.written_from(9);
        clock.hear(4, stamp(1_000, 70_000), at(9_000, 10));
        assert_eq!(clock.shows_ms(1, at(9_000, 30)), 78_000);
        clock.written_from(4);
        clock.hear(4, stamp(1_000, 70_000), at(9_000, 10));
        assert_eq!(clock.shows_ms(1, at(9_000, 30)), 70_020);
    }

    #[test]
    fn no_stamp_is_too_far_away() {
        for elapsed in [i64::MIN, i64::MAX] {
            let mut clock = GroupClock::new(0, None);
            clock.hear(1, stamp(0, elapsed), at(0, 10));
            clock.begin(1, None, at(0, 20));
            assert_eq!(clock.shows_ms(1, at(0, 20)) > 0, elapsed > 0);
        }
    }

    #[test]
    fn nothing_that_is_in_the_log_is_later_than_what_a_leader_says() {
        let mut clock = GroupClock::new(4, None);
        clock.hear(5, stamp(1_000, 70_000), at(1_000, 10));
        let last = |was_found| Unapplied {
            stamp: stamp(1_500, 70_400),
            was_found,
        };
        clock.begin(2, Some(&last(false)), at(9_000, 20));
        assert_eq!(clock.shows_ms(2, at(9_000, 21)), 70_401);
        clock.begin(3, Some(&last(true)), at(1_800, 20));
        assert_eq!(clock.shows_ms(3, at(1_800, 20)), 70_700);
    }

    #[test]
    fn a_group_that_has_nothing_yet_begins_with_the_clock_of_its_first_leader() {
        let clock = GroupClock::new(0, None);
        assert_eq!(clock.shows_ms(1, at(4_000, 9)), 9);
    }
}
