//! What a queue's leader looks after as time passes: messages whose time has come, or is over.
//!
//! What expires is found by reading the first ready message of each level and waiting for its
//! time: nothing is remembered of those behind it. A message whose time has not begun by the wall
//! clock was stored while a clock was ahead: it has its time from when it was first seen here, or
//! it would keep those behind it waiting until the wall clock is there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_log::{Millis, partition::ColdRead};
use weir_model::{
    PartitionId,
    batch::BatchHeader,
    message::{Envelope, deliver_at_ms},
    record::Records,
};
use weir_raft::{Context, Moment};

use super::{Shard, ShardCommand, fetched::NotFound};
use crate::{
    outcome::AppliedOutcome,
    queue::{Assignment, Queue, QueueCommand, Removed, unassigned},
    seeded::LostTimers,
};

/// Most messages of a level that are looked at, and found to be expired, at once.
const MAX_EXPIRED_COUNT: usize = 1_000;
/// Pause until a message that has become the first is looked at, in ms: as a rule it is gone by
/// then.
const LOOK_PAUSE_MS: u64 = 5;
/// Pause before another look where the last one came to nothing, in ms.
const RETRY_MS: u64 = 500;
/// Pause between two commands for what is due, in ms.
const REPEAT_MS: u64 = 20;

type ShardContext<'a> = Context<'a, AppliedOutcome>;

/// What is due when for queues that wait for something.
#[derive(Default)]
pub(super) struct QueueTimes {
    by_wall: Dues,
    by_group: Dues,
    /// How far the group's clock is ahead of this node's that never jumps, in ms.
    group_ahead_ms: i64,
    looks: BTreeMap<PartitionId, Look>,
    /// Nothing is done before, by the clock that never jumps.
    not_before: Millis,
    /// The latest time of the wall clock that something was put off by.
    last: Millis,
    pub(super) lost: LostTimers,
}

/// Which queue is due when, by one clock.
#[derive(Default)]
struct Dues {
    at: BTreeMap<PartitionId, Millis>,
    order: BTreeSet<(Millis, PartitionId)>,
}

/// When the first ready messages of a queue are to be looked at.
#[derive(Default)]
struct Look {
    /// The messages that were first at the last look.
    first: Vec<(u8, u64)>,
    at: Option<Millis>,
    seen: Seen,
}

/// When messages were first seen to be ready, by the clock that never jumps: those whose time has not
/// begun by the wall clock, and what is behind them.
#[derive(Clone, Default)]
struct Seen(BTreeMap<u64, Millis>);

impl Seen {
    /// Those are ready, and no others.
    fn look(&mut self, ready: impl Iterator<Item = u64>, elapsed: Millis) {
        let known = std::mem::take(&mut self.0);
        let at = |offset| known.get(&offset).copied().unwrap_or(elapsed);
        self.0 = ready.map(|offset| (offset, at(offset))).collect();
    }

    /// How much of its time the message has left, in ms.
    fn left_ms(&self, offset: u64, ttl_ms: u64, elapsed: Millis) -> u64 {
        let since = self.0.get(&offset).copied().unwrap_or(elapsed);
        ttl_ms.saturating_sub(elapsed.since(since))
    }
}

/// What became of a look.
enum Looked {
    At(Option<Millis>),
    Cold(ColdRead),
}

impl Dues {
    fn set(&mut self, id: PartitionId, at: Option<Millis>) {
        if let Some(before) = self.at.remove(&id) {
            self.order.remove(&(before, id));
        }
        if let Some(at) = at {
            self.at.insert(id, at);
            self.order.insert((at, id));
        }
    }

    fn next(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    fn until(&self, now: Millis) -> impl Iterator<Item = PartitionId> {
        let due = self.order.range(..=(now, PartitionId(u64::MAX)));
        due.map(|(_, id)| *id)
    }
}

impl QueueTimes {
    fn set(&mut self, id: PartitionId, by_wall: Option<Millis>, by_group: Option<Millis>) {
        self.by_wall.set(id, by_wall);
        self.by_group.set(id, by_group);
    }

    /// This node leads: what the group's clock shows is known for as long as it does.
    pub(super) fn lead(&mut self, context: &ShardContext<'_>) {
        self.group_ahead_ms = context.group_elapsed.0.saturating_sub(context.elapsed.0);
    }

    /// When this node's clock that never jumps shows what the group's does then.
    pub(super) fn by_own_clock(&self, group_elapsed: Millis) -> Millis {
        Millis(group_elapsed.0.saturating_sub(self.group_ahead_ms))
    }

    /// When something is due next, by this node's clock that never jumps. At once where the wall clock was
    /// set back: what was put off by it waits for a time that it may not reach for days.
    pub(super) fn next_deadline(&self, moment: Moment) -> Option<Millis> {
        let by_wall = self.by_wall.next().map(|at| match moment.now < self.last {
            true => moment.elapsed(),
            false => {
                let due = moment.elapsed().plus(at.since(moment.now));
                due.max(self.not_before)
            }
        });
        let by_group = self.by_group.next();
        let by_group = by_group.map(|at| self.by_own_clock(at).max(self.not_before));
        by_wall.into_iter().chain(by_group).min()
    }
}

impl Shard {
    /// A queue has changed: when is something to be done for it?
    pub(super) fn look_after(&mut self, id: PartitionId, context: &ShardContext<'_>) {
        let times = &mut self.pump.times;
        times.last = times.last.max(context.now);
        let queue = self.partitions.get(&id).and_then(|it| it.queue.as_deref());
        let Some(queue) = queue else {
            times.looks.remove(&id);
            return times.set(id, None, None);
        };
        let mut look_at = None;
        if queue.may_expire() {
            let look = times.looks.entry(id).or_default();
            let first = queue.ready(1);
            if look.first != first {
                look.at = (!first.is_empty()).then(|| context.now.plus(LOOK_PAUSE_MS));
                look.first = first;
            }
            look_at = look.at;
        } else {
            times.looks.remove(&id);
        }
        let is_lost = times.lost.has(id);
        let wake_at = queue.next_wake().filter(|_| !is_lost);
        let by_wall = look_at.into_iter().chain(wake_at).min();
        let by_group = queue.next_end_of_wait().filter(|_| !is_lost);
        times.set(id, by_wall, by_group);
    }

    /// Does what is due.
    pub(super) fn pass_queue_time(&mut self, context: &mut ShardContext<'_>) {
        let last = std::mem::replace(&mut self.pump.times.last, context.now);
        if context.now < last {
            self.look_anew(context);
        }
        if self.pump.times.not_before > context.elapsed {
            return;
        }
        let times = &self.pump.times;
        let by_wall = times.by_wall.until(context.now);
        let due: BTreeSet<PartitionId> = by_wall
            .chain(times.by_group.until(context.group_elapsed))
            .collect();
        if due.is_empty() {
            return;
        }
        self.pump.times.not_before = context.elapsed.plus(REPEAT_MS);
        for id in due {
            self.wake_if_due(id, context);
            self.look_if_due(id, context);
            self.look_after(id, context);
        }
    }

    /// The wall clock was set back.
    fn look_anew(&mut self, context: &ShardContext<'_>) {
        let times = &mut self.pump.times;
        times.looks.values_mut().for_each(|look| {
            look.at = look.at.map(|at| at.min(context.now));
        });
        let ids = times.looks.keys().chain(times.by_wall.at.keys()).copied();
        let ids: BTreeSet<PartitionId> = ids.collect();
        ids.into_iter().for_each(|id| self.look_after(id, context));
    }

    fn wake_if_due(&self, id: PartitionId, context: &mut ShardContext<'_>) {
        let queue = self.queue(id).filter(|_| !self.pump.times.lost.has(id));
        let is_due = queue.is_some_and(|queue| {
            let by_wall = queue.next_wake().is_some_and(|at| at <= context.now);
            let end = queue.next_end_of_wait();
            by_wall || end.is_some_and(|at| at <= context.group_elapsed)
        });
        if is_due {
            context.propose(ShardCommand::queue(id, &QueueCommand::Wake), None);
        }
    }

    fn look_if_due(&mut self, id: PartitionId, context: &mut ShardContext<'_>) {
        let look = self.pump.times.looks.get(&id);
        let is_due = look.is_some_and(|look| look.at.is_some_and(|at| at <= context.now));
        if !is_due {
            return;
        }
        let next = match self.look_for_expired(id, context) {
            Looked::At(next) => next,
            Looked::Cold(read) => {
                self.read_window(read, move |shard, is_read, context| {
                    let pause_ms = if is_read { 0 } else { RETRY_MS };
                    if let Some(look) = shard.pump.times.looks.get_mut(&id) {
                        look.at = Some(context.now.plus(pause_ms));
                    }
                    shard.look_after(id, context);
                });
                None
            }
        };
        if let Some(look) = self.pump.times.looks.get_mut(&id) {
            look.at = next;
        }
    }

    fn look_for_expired(&mut self, id: PartitionId, context: &mut ShardContext<'_>) -> Looked {
        let look = self.pump.times.looks.get_mut(&id);
        let mut seen = look
            .map(|look| std::mem::take(&mut look.seen))
            .unwrap_or_default();
        let Some(queue) = self.queue(id) else {
            return Looked::At(None);
        };
        if queue.is_full_of_dead() {
            return Looked::At(Some(context.now.plus(RETRY_MS)));
        }
        let ready = queue.ready(MAX_EXPIRED_COUNT);
        let mut is_misdated = false;
        let (mut expired, mut void) = (Vec::new(), Vec::new());
        let (mut next, mut cold) = (None::<Millis>, None);
        let mut waiting_level = None;
        for (level, offset) in ready.iter().copied() {
            if waiting_level == Some(level) {
                continue;
            }
            match self.fetch_record(id, &unassigned(offset)) {
                Ok((message, _)) => {
                    let life = self.life(id, &message.record, message.timestamp_ms);
                    let at = life.map(|(begin, ttl_ms)| match begin > context.now {
                        false => begin.plus(ttl_ms),
                        true => {
                            if !std::mem::replace(&mut is_misdated, true) {
                                seen.look(ready.iter().map(|(_, offset)| *offset), context.elapsed);
                            }
                            let left_ms = seen.left_ms(offset, ttl_ms, context.elapsed);
                            context.now.plus(left_ms)
                        }
                    });
                    match at {
                        Some(at) if at <= context.now => expired.push((offset, None)),
                        at => {
                            waiting_level = Some(level);
                            next = next.into_iter().chain(at).min();
                        }
                    }
                }
                Err(NotFound::Expired) => expired.push((offset, None)),
                Err(NotFound::Void) => void.push((offset, None)),
                Err(NotFound::Cold(read)) => {
                    waiting_level = Some(level);
                    cold.get_or_insert(read);
                }
            }
        }
        if let Some(look) = self.pump.times.looks.get_mut(&id) {
            look.seen = if is_misdated { seen } else { Seen::default() };
        }
        let found_any = !expired.is_empty() || !void.is_empty();
        for (why, messages) in [(Removed::Expired, expired), (Removed::Void, void)] {
            if !messages.is_empty() {
                let remove = QueueCommand::Remove { why, messages };
                context.propose(ShardCommand::queue(id, &remove), None);
            }
        }
        match cold {
            Some(read) => Looked::Cold(read),
            // Where the proposal comes to nothing, another look finds the same.
            None if found_any => Looked::At(Some(context.now.plus(RETRY_MS))),
            None => Looked::At(next),
        }
    }

    /// From when on a message lives, and how long: as its queue or it says, whichever is shorter.
    fn life(&self, id: PartitionId, record: &Bytes, timestamp_ms: i64) -> Option<(Millis, u64)> {
        let queue = self.queue(id)?;
        let record = Records::new(record, 1).next()?.ok()?;
        let own = Envelope::of(&record).and_then(|it| it.glance.expiration?.parse().ok());
        let of_queue = queue.settings().message_ttl_ms;
        let ttl_ms = own.into_iter().chain(of_queue).min()?;
        let due_ms = deliver_at_ms(&record).unwrap_or(timestamp_ms);
        Some((Millis(timestamp_ms.max(due_ms)), ttl_ms))
    }

    /// Whether the message's time was over when it was assigned. With no time at all it may go to
    /// whoever waits for it, which was seen to then, and never again.
    pub(super) fn had_expired(
        &self,
        id: PartitionId,
        record: &Bytes,
        timestamp_ms: i64,
        assigned: &Assignment,
    ) -> bool {
        let has_times = self.queue(id).is_some_and(Queue::has_times);
        if !has_times || assigned.at == Millis(i64::MIN) {
            return false;
        }
        let life = self.life(id, record, timestamp_ms);
        life.is_some_and(|(begin, ttl_ms)| {
            let is_at_once = ttl_ms == 0 && !assigned.is_redelivered;
            !is_at_once && begin.plus(ttl_ms) <= assigned.at
        })
    }

    /// Whether the record belongs to a transaction that was aborted.
    pub(super) fn is_aborted(&self, id: PartitionId, header: &BatchHeader, offset: u64) -> bool {
        let producer = header.producer_id.filter(|_| header.is_transactional());
        let view = self.partitions.get(&id).and_then(|it| it.view.as_ref());
        let (Some(producer), Some(view)) = (producer, view) else {
            return false;
        };
        let offset = weir_model::Offset(offset);
        let stable = view.stable(offset.plus(1), offset, offset.plus(1));
        stable.aborted.iter().any(|each| each.producer == producer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_has_everything_looked_at_at_once() {
        let mut times = QueueTimes::default();
        times.set(PartitionId(1), Some(Millis(86_400_500)), None);
        times.last = Millis(86_400_000);
        let moment = |now| Moment {
            now: Millis(now),
            elapsed_ms: 70,
        };
        assert_eq!(times.next_deadline(moment(86_400_100)), Some(Millis(470)));
        assert_eq!(times.next_deadline(moment(1_000)), Some(Millis(70)));
    }

    #[test]
    fn a_message_has_its_time_from_when_it_was_first_seen_to_be_ready() {
        let mut seen = Seen::default();
        seen.look([3, 7].into_iter(), Millis(100));
        seen.look([3, 5, 7].into_iter(), Millis(180));
        let left = [3, 5, 7].map(|offset| seen.left_ms(offset, 90, Millis(180)));
        assert_eq!(left, [10, 90, 10]);
        seen.look([5].into_iter(), Millis(190));
        seen.look([3, 5].into_iter(), Millis(190));
        assert_eq!([3, 5].map(|at| seen.left_ms(at, 90, Millis(200))), [80, 70]);
    }

    #[test]
    fn what_waits_by_the_groups_clock_is_due_whatever_the_wall_clock_says() {
        let mut times = QueueTimes::default();
        times.set(PartitionId(1), None, Some(Millis(500)));
        times.group_ahead_ms = 100;
        for now in [0, 86_400_000] {
            let moment = Moment {
                now: Millis(now),
                elapsed_ms: 70,
            };
            assert_eq!(times.next_deadline(moment), Some(Millis(400)));
        }
        assert_eq!(times.by_group.until(Millis(499)).count(), 0);
        assert_eq!(times.by_group.until(Millis(500)).count(), 1);
    }
}
