//! Messages that wait by a wall clock that was ahead: it is back, and they would be late by as much.
//! Their leader counts how long they wait by the clock that never jumps, from when it saw that, so that they
//! are late by less and never early.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::PartitionId;
use weir_raft::Context;

use super::{Shard, ShardCommand};
use crate::{
    outcome::AppliedOutcome,
    queue::{Queue, QueueCommand},
};

/// Most messages whose wait is ended at once.
const MAX_ENDED_COUNT: usize = 1_000;
/// Pause before the end of a wait is proposed again where that came to nothing, in ms.
const RETRY_MS: u64 = 500;

/// Misdated messages of queues that this node leads.
#[derive(Default)]
pub(super) struct Misdates {
    /// Serials, by when the message has waited, by the clock that never jumps.
    due: BTreeMap<(Millis, PartitionId, u64), u64>,
    known: BTreeSet<(PartitionId, u64)>,
    /// Queues that were looked at since the wall clock was set back the last time.
    looked: BTreeSet<PartitionId>,
}

impl Misdates {
    /// A queue has changed.
    pub(super) fn look_at(&mut self, id: PartitionId, queue: &Queue, now: Millis, elapsed: Millis) {
        if self.looked.contains(&id) || !queue.may_be_misdated(now) {
            return;
        }
        self.looked.insert(id);
        for each in queue.misdated(now) {
            if self.known.insert((id, each.offset)) {
                let due = elapsed.plus(each.wait_ms);
                self.due.insert((due, id, each.offset), each.serial);
            }
        }
    }

    /// The wall clock was set back.
    pub(super) fn set_back(&mut self) {
        self.looked.clear();
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.due.first_key_value().map(|((due, ..), _)| *due)
    }

    /// Messages that have waited, with their serials, by queue: they are looked at again after a pause.
    fn due(&mut self, elapsed: Millis) -> BTreeMap<PartitionId, Vec<(u64, u64)>> {
        let mut due = BTreeMap::<_, Vec<_>>::new();
        for _ in 0..MAX_ENDED_COUNT {
            let first = self.due.first_entry();
            let Some(first) = first.filter(|first| first.key().0 <= elapsed) else {
                break;
            };
            let ((_, id, offset), serial) = first.remove_entry();
            due.entry(id).or_default().push((offset, serial));
        }
        due
    }

    fn put_off(&mut self, id: PartitionId, (offset, serial): (u64, u64), until: Millis) {
        self.due.insert((until, id, offset), serial);
    }

    fn forget(&mut self, id: PartitionId, offset: u64) {
        self.known.remove(&(id, offset));
    }
}

impl Shard {
    /// Ends the waits of misdated messages that have waited.
    pub(super) fn end_misdated(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        for (id, messages) in self.pump.times.misdates.due(context.elapsed) {
            let queue = self.partitions.get(&id).and_then(|it| it.queue.as_deref());
            let misdates = &mut self.pump.times.misdates;
            let (waiting, gone): (Vec<_>, Vec<_>) =
                messages.into_iter().partition(|(offset, serial)| {
                    queue.is_some_and(|it| it.is_waiting(*offset, *serial))
                });
            for (offset, _) in gone {
                misdates.forget(id, offset);
            }
            for each in &waiting {
                misdates.put_off(id, *each, context.elapsed.plus(RETRY_MS));
            }
            if !waiting.is_empty() {
                let command = QueueCommand::Waited(waiting);
                context.propose(ShardCommand::queue(id, &command), None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_waited_once_its_time_has_passed_by_the_clock_that_never_jumps() {
        let mut misdates = Misdates::default();
        let id = PartitionId(4);
        misdates.put_off(id, (7, 1), Millis(500));
        misdates.put_off(id, (6, 2), Millis(300));
        assert_eq!(misdates.next_deadline(), Some(Millis(300)));
        assert_eq!(misdates.due(Millis(299)), BTreeMap::new());
        let both = BTreeMap::from([(id, vec![(6, 2), (7, 1)])]);
        assert_eq!(misdates.due(Millis(500)), both);
        assert_eq!(misdates.next_deadline(), None);
    }
}
