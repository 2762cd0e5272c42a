//! Messages on their way from a queue's leader to the sessions that they were assigned to.
//! Volatile: what a session holds and has not settled, the next leader sends again.
//!
//! One batch is under way for each session and partition, so that messages come in order, and no
//! more than the session's node takes.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::{Millis, partition::ColdRead};
use weir_model::{ErrorKind, PartitionId};
use weir_raft::{Context, Input, Moment};

use super::{
    Shard, ShardCommand,
    body_cache::BodyCache,
    fetched::{Bodiless, Fetched},
    outbox::{Left, Outbox},
    post::Post,
    queue_times::QueueTimes,
    queue_uses::QueueUses,
    session_watch::SessionWatch,
    share_letters::SharePost,
    window::Windows,
};
use crate::{
    api::queues::{ConsumerTag, Delivered},
    machine::Machine,
    node::queues::Handed,
    outcome::AppliedOutcome,
    queue::{Assignment, ConsumerKey, Gone, Queue, QueueCommand, Removed, SessionKey},
};

/// Most bytes of records that are under way to one session; one record may be larger.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Most messages of one batch.
const MAX_BATCH_COUNT: usize = 2_000;
/// Pause after a batch that did not arrive, or a read that failed, in ms.
const RETRY_MS: u64 = 100;

type ShardContext<'a> = Context<'a, AppliedOutcome>;
type OutboxKey = (PartitionId, SessionKey);

/// All that is on its way. Empty while another node leads.
#[derive(Default)]
pub(super) struct Pump {
    outboxes: BTreeMap<OutboxKey, Outbox>,
    /// Those to look at.
    due: BTreeSet<OutboxKey>,
    /// Those to look at later.
    paused: BTreeSet<(Millis, OutboxKey)>,
    pub(super) windows: Windows,
    pub(super) bodies: BodyCache,
    pub(super) bodiless: Bodiless,
    /// Queues that have changed.
    changed: BTreeSet<PartitionId>,
    pub(super) times: QueueTimes,
    pub(super) watch: SessionWatch,
    pub(super) post: Post<PartitionId>,
    pub(super) share_post: SharePost,
    pub(super) uses: QueueUses,
    is_scheduled: bool,
    /// Tells what was begun under an earlier leadership.
    pub(super) era: u64,
}

/// What can be sent of an outbox.
#[derive(Default)]
struct Filled {
    batch: Vec<(SessionKey, ConsumerTag, Delivered)>,
    bytes: usize,
    expired: Vec<(u64, Option<u64>)>,
    void: Vec<(u64, Option<u64>)>,
}

impl Pump {
    fn outbox(&mut self, partition: PartitionId, session: SessionKey) -> &mut Outbox {
        self.outboxes.entry((partition, session)).or_default()
    }

    /// Nothing is sent to such sessions any more.
    pub(super) fn sessions_ended(&mut self, gone: &Gone) {
        self.outboxes.retain(|(_, session), outbox| {
            let is_gone = gone.means(session);
            if is_gone {
                outbox.arrived();
            }
            !is_gone
        });
    }

    /// Tells one leadership of this node from the next.
    pub(super) fn era(&self) -> u64 {
        self.era
    }

    fn clear(&mut self) {
        let era = self.era + 1;
        *self = Self {
            era,
            ..Self::default()
        };
    }

    fn forget_idle(&mut self, key: OutboxKey) {
        if self.outboxes.get(&key).is_some_and(Outbox::is_idle) {
            self.outboxes.remove(&key);
        }
    }

    fn pause(&mut self, key: OutboxKey, now: Millis) {
        if let Some(outbox) = self.outboxes.get_mut(&key) {
            outbox.is_paused = true;
            self.paused.insert((now.plus(RETRY_MS), key));
        }
    }

    /// Ends the pauses that are over.
    fn end_pauses(&mut self, now: Millis) {
        while let Some((until, key)) = self.paused.first().copied().filter(|it| it.0 <= now) {
            self.paused.remove(&(until, key));
            if let Some(outbox) = self.outboxes.get_mut(&key) {
                outbox.is_paused = false;
                self.due.insert(key);
            }
        }
    }

    /// When something that was put off is due, by the clock that never jumps.
    pub(super) fn next_deadline(&self, at: Moment) -> Option<Millis> {
        let paused = self.paused.first().map(|(until, _)| *until);
        paused
            .into_iter()
            .chain(self.times.next_deadline(at))
            .chain(self.watch.next_deadline())
            .chain(self.post.next_deadline())
            .chain(self.share_post.post.next_deadline())
            .min()
    }
}

impl Shard {
    /// Sends what was assigned, where this node leads.
    pub(super) fn pass_on(&mut self, partition: PartitionId, assigned: Vec<Assignment>) {
        if !self.leads {
            return;
        }
        for assignment in assigned {
            let session = assignment.session;
            let outbox = self.pump.outbox(partition, session);
            outbox.push(assignment);
            self.pump.due.insert((partition, session));
        }
        if self.queue(partition).is_some() {
            self.pump.changed.insert(partition);
            self.schedule_pump();
        }
    }

    /// Lets the pump run in the worker's next turn: once for all that this turn assigns.
    pub(super) fn schedule_pump(&mut self) {
        if self.pump.is_scheduled {
            return;
        }
        self.pump.is_scheduled = true;
        self.visit_later(|shard, context| {
            shard.pump.is_scheduled = false;
            shard.run_pump(context);
        });
    }

    /// Calls back in a later turn of the worker, unless another leadership began in between.
    fn visit_later(&self, visit: impl FnOnce(&mut Self, &mut ShardContext<'_>) + Send + 'static) {
        let era = self.pump.era;
        visit_shard(&self.env.handle, self.id, move |shard, context| {
            if shard.pump.era == era && context.leads {
                visit(shard, context);
            }
        });
    }

    /// This node leads, or does no more: everything that consumers hold is sent again.
    pub(super) fn lead_queues(&mut self, leads: bool) {
        self.pump.clear();
        if !leads {
            return;
        }
        let queues = self.partitions.iter();
        let held = queues.filter_map(|(id, partition)| {
            let queue = partition.queue.as_ref()?;
            Some((*id, queue.assigned()))
        });
        let waiting = self.partitions.iter().filter_map(|(id, partition)| {
            let queue = partition.queue.as_ref()?;
            let waits = queue.next_wake().or_else(|| queue.next_end_of_wait());
            waits.map(|_| *id)
        });
        self.pump.times.lost = self.env.seeded.lost_timers(waiting);
        for (id, assigned) in held.collect::<Vec<_>>() {
            self.pass_on(id, assigned);
        }
    }

    pub(super) fn run_pump(&mut self, context: &mut ShardContext<'_>) {
        for id in std::mem::take(&mut self.pump.changed) {
            self.look_after(id, context);
            self.watch_sessions_of(id, context);
            self.post_letters(id, context);
            self.watch_use_of(id, context);
        }
        self.post_letters_of_shares(context);
        self.pump.end_pauses(context.elapsed);
        for key in std::mem::take(&mut self.pump.due) {
            let outbox = self.pump.outboxes.get(&key);
            if outbox.is_some_and(Outbox::may_send) {
                self.send_to(key, context);
            }
        }
    }

    fn send_to(&mut self, key: OutboxKey, context: &mut ShardContext<'_>) {
        let (partition, session) = key;
        let filled = self.fill(key, context.elapsed);
        for (why, messages) in [
            (Removed::Expired, filled.expired),
            (Removed::Void, filled.void),
        ] {
            if !messages.is_empty() {
                let remove = QueueCommand::Remove { why, messages };
                context.propose(ShardCommand::queue(partition, &remove), None);
            }
        }
        if filled.batch.is_empty() {
            return self.pump.forget_idle(key);
        }
        let Some(node) = self.node() else { return };
        let (handle, shard, era) = (self.env.handle.clone(), self.id, self.pump.era);
        let done = move |handed: Result<Handed, ErrorKind>| {
            visit_shard(&handle, shard, move |shard, context| {
                if shard.pump.era == era && context.leads {
                    shard.handed_over(key, handed, context);
                }
            });
        };
        node.deliver(session.node, filled.batch, Box::new(done));
    }

    /// Takes from the outbox what can be sent at once.
    fn fill(&mut self, key: OutboxKey, elapsed: Millis) -> Filled {
        let (partition, session) = key;
        let mut filled = Filled::default();
        while filled.bytes < MAX_BATCH_BYTES && filled.batch.len() < MAX_BATCH_COUNT {
            let outbox = self.pump.outboxes.get(&key);
            let Some(next) = outbox.and_then(|outbox| outbox.waiting.front()).copied() else {
                break;
            };
            let fetched = self.fetch_assigned(partition, &next);
            let removed = (next.offset, Some(next.serial));
            match (fetched, next.tag) {
                (Fetched::Message(message), Some(tag)) => {
                    filled.bytes += message.record.len();
                    filled.batch.push((session, tag, message));
                    self.pump.outbox(partition, session).under_way.push(next);
                }
                // Whoever asked on demand has the answer.
                (Fetched::Message(_), None) => {}
                (Fetched::Expired, _) => filled.expired.push(removed),
                (Fetched::Void, _) => filled.void.push(removed),
                (Fetched::Cold(read), _) => {
                    self.read_for(key, read);
                    break;
                }
                (Fetched::Bodiless, _) => {
                    self.pump.pause(key, elapsed);
                    break;
                }
            }
            let outbox = self.pump.outbox(partition, session);
            outbox.waiting.pop_front();
            outbox.maybe_sent_count = outbox.maybe_sent_count.saturating_sub(1);
        }
        filled
    }

    fn read_for(&mut self, key: OutboxKey, read: ColdRead) {
        self.pump.outbox(key.0, key.1).is_reading = true;
        self.read_window(read, move |shard, is_read, context| {
            let outbox = shard.pump.outboxes.get_mut(&key);
            let may_send = outbox.is_some_and(|outbox| {
                outbox.is_reading = false;
                outbox.may_send()
            });
            if is_read {
                // Before others, whose reads may take the place of this one.
                if may_send {
                    shard.send_to(key, context);
                }
            } else {
                shard.pump.pause(key, context.elapsed);
            }
            shard.run_pump(context);
        });
    }

    fn handed_over(
        &mut self,
        key: OutboxKey,
        handed: Result<Handed, ErrorKind>,
        context: &mut ShardContext<'_>,
    ) {
        let Some(outbox) = self.pump.outboxes.get_mut(&key) else {
            return;
        };
        let sent = std::mem::take(&mut outbox.under_way);
        match handed {
            Ok(handed) => {
                outbox.arrived();
                for session in handed.ended {
                    let gone = Gone::Session(session);
                    context.propose(ShardCommand::end_sessions(&gone), None);
                }
                self.pump.due.insert(key);
            }
            Err(error) => {
                tracing::debug!(session = ?key.1, ?error, "deliveries come again");
                outbox.maybe_sent_count += sent.len();
                let again = sent.into_iter().rev();
                again.for_each(|each| outbox.waiting.push_front(each));
                self.pump.pause(key, context.elapsed);
            }
        }
        self.run_pump(context);
        self.pump.forget_idle(key);
    }

    /// A consumer is about to be detached and is sent nothing new. Gives the serial of the first
    /// delivery that it was not sent.
    pub(crate) fn stop_sending(&mut self, partition: PartitionId, consumer: ConsumerKey) -> u64 {
        let next = self.queue(partition).map_or(u64::MAX, Queue::next_serial);
        let outbox = self.pump.outbox(partition, consumer.session);
        outbox.stop(consumer.tag).unwrap_or(next)
    }

    /// It was not detached.
    pub(crate) fn go_on_sending(
        &mut self,
        partition: PartitionId,
        consumer: ConsumerKey,
        context: &mut ShardContext<'_>,
    ) {
        let key = (partition, consumer.session);
        if let Some(outbox) = self.pump.outboxes.get_mut(&key) {
            outbox.go_on(consumer.tag);
            self.pump.due.insert(key);
            self.run_pump(context);
            self.pump.forget_idle(key);
        }
    }

    /// The consumer was detached: `left` is called once nothing more comes.
    pub(crate) fn take_leave(&mut self, partition: PartitionId, consumer: ConsumerKey, left: Left) {
        let key = (partition, consumer.session);
        match self.pump.outboxes.get_mut(&key) {
            Some(outbox) => outbox.leave(consumer.tag, left),
            None => left(),
        }
        self.pump.forget_idle(key);
    }
}

/// Calls into a shard in a turn of its worker.
pub(super) fn visit_shard(
    handle: &weir_raft::Handle<Machine>,
    group: weir_model::GroupId,
    visit: impl FnOnce(&mut Shard, &mut ShardContext<'_>) + Send + 'static,
) {
    let visit = Box::new(
        move |machine: &mut Machine, context: &mut ShardContext<'_>| {
            if let Machine::Shard(shard) = machine {
                visit(shard, context);
            }
        },
    );
    handle.send(Input::Visit { group, visit });
}
