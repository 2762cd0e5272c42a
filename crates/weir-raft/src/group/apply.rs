//! Committed entries of a group, in order, to its state machine and to those who wait.

use raft::eraftpb::{Entry, EntryType};
use weir_model::Term;

use super::{Group, Waiters, settle_all};
use crate::{Applied, ApplyError, Moment, NotCommitted, StateMachine, bundle::BundleReader};

impl<S: StateMachine> Group<S> {
    pub(super) fn apply_all(
        &mut self,
        at: Moment,
        committed: Vec<Entry>,
    ) -> Result<(), ApplyError> {
        let Some(last) = committed.last().map(|entry| entry.index) else {
            self.pass_barriers();
            return Ok(());
        };
        for entry in committed {
            assert_eq!(
                entry.index,
                self.applied.0 + 1,
                "entries are applied in order, once"
            );
            let place = (entry.index, entry.term);
            let waiters = self.waiters_of(entry.index, entry.term);
            match entry.entry_type {
                EntryType::EntryNormal => self.apply_bundle(at, entry, waiters)?,
                EntryType::EntryConfChangeV2 => {
                    self.apply_members(&entry)?;
                    self.answer_member_change(place);
                }
                EntryType::EntryConfChange => {
                    let reason = "a membership change of the old form".to_owned();
                    return Err(ApplyError {
                        group: self.id,
                        index: entry.index,
                        reason,
                    });
                }
            }
            self.applied = place;
        }
        self.raw.advance_apply_to(last);
        self.pass_barriers();
        Ok(())
    }

    fn waiters_of(&mut self, index: u64, term: u64) -> Waiters<S::Outcome> {
        while let Some(front) = self.in_flight.front() {
            if front.index > index {
                break;
            }
            let ours = front.index == index && front.term == term;
            let in_flight = self.in_flight.pop_front().expect("the front was just seen");
            if ours {
                return in_flight.waiters;
            }
            settle_all(in_flight.waiters, NotCommitted::LeadershipLost);
        }
        Vec::new()
    }

    fn apply_bundle(
        &mut self,
        moment: Moment,
        entry: Entry,
        waiters: Waiters<S::Outcome>,
    ) -> Result<(), ApplyError> {
        if entry.data.is_empty() {
            return Ok(());
        }
        let (group, index) = (self.id, entry.index);
        let damaged = |reason: String| ApplyError {
            group,
            index,
            reason,
        };
        let mut reader = BundleReader::new(entry.data).map_err(damaged)?;
        let stamp = reader.stamp();
        self.clock.hear(index, stamp, moment);
        let at = Applied {
            group,
            index,
            term: Term(entry.term),
            now: stamp.now,
            elapsed: stamp.elapsed,
        };
        let mut waiters = waiters.into_iter();
        while let Some(command) = reader.next_command().map_err(damaged)? {
            let outcome = self.machine.apply(&at, command)?;
            if let Some(Some(done)) = waiters.next() {
                done(Ok(outcome));
            }
        }
        Ok(())
    }

    fn pass_barriers(&mut self) {
        while let Some((index, id)) = self.barriers_at.front().copied() {
            if index > self.applied.0 {
                break;
            }
            self.barriers_at.pop_front();
            if let Some(done) = self.barriers.remove(&id) {
                done(Ok(()));
            }
        }
    }
}
