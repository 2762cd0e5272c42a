//! The queue of one partition: which messages are whose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_ledger::{Counts, Ledger, Lock, OwnerId, Release};
use weir_log::Millis;
use weir_model::{NodeId, ProducerId};
use weir_raft::Stamp;

use super::{
    Attach, ConsumerKey, QueueCommand, QueueFigures, QueueSettings, Removed, SessionKey,
    arrival::Undecided,
    closing::CloserKey,
    consumers::{Consumers, NotAttached},
    dead::{DELAYED, DeadLetter, Reason},
    delays::Delays,
    limits::Sizes,
    repeats::{Hops, MessageIds},
    sessions::LastGet,
};
use crate::api::queues::{ConsumerTag, Held};

/// Most messages of one queue that are held at a time, whoever holds them.
pub(super) const MAX_ACQUIRED_COUNT: u64 = 1 << 20;

/// A queue. See the module's text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Queue {
    pub(super) settings: QueueSettings,
    pub(super) ledger: Ledger,
    pub(super) consumers: Consumers,
    /// Sessions that ended here since their node was away, until they have ended there too: what
    /// they ask is void.
    pub(super) lost: BTreeSet<SessionKey>,
    /// What sessions were given last on demand.
    pub(super) gets: BTreeMap<SessionKey, LastGet>,
    /// Messages of transactions that are open.
    pub(super) undecided: BTreeMap<ProducerId, Undecided>,
    /// The queue was laid over a log with transactions that are open still: it ends where what is
    /// decided does, and what is no message there is found when it is read.
    pub(super) is_behind: bool,
    pub(super) sizes: Sizes,
    /// Batches of which the queue did not take all, the latest ones: base offset and the first record
    /// that it refused.
    pub(super) refusals: VecDeque<(u64, u32)>,
    /// Dead letters by serial: their offsets. What the ledger says, the other way round.
    pub(super) dead: BTreeMap<u64, u64>,
    pub(super) delays: Delays,
    pub(super) hops: Hops,
    pub(super) ids: MessageIds,
    /// Some message has a time to live of its own.
    pub(super) has_expirations: bool,
    /// Deletions that are under way: it takes nothing, for each until then at the latest.
    pub(super) closers: BTreeMap<CloserKey, Millis>,
}

/// A partition's log as a queue begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Where what is decided ends.
    pub(crate) stable_end: u64,
}

/// A message that is somebody's now: the leader is to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) session: SessionKey,
    /// `None`: it was asked for on demand.
    pub(crate) tag: Option<ConsumerTag>,
    pub(crate) offset: u64,
    pub(crate) serial: u64,
    pub(crate) is_redelivered: bool,
    pub(crate) failed_count: u32,
    /// When it was assigned, by the wall clock: what had expired before is nobody's.
    pub(crate) at: Millis,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueueApplied {
    Done,
    Counted(u64),
    /// The message, and how many more are ready.
    Got(Option<Assignment>, u64),
    InExclusiveUse,
    /// It is not closed: it has consumers.
    StillUsed,
    /// It is not closed: messages are ready.
    NotEmpty,
    TooManyConsumers,
    TooManyDeletions,
    NotAQueue,
    SessionLost,
}

impl Queue {
    /// A queue over all that the log holds.
    pub(crate) fn new(log: LogRange) -> Self {
        let mut ledger = Ledger::new(log.start);
        ledger.extend(log.stable_end);
        Self {
            settings: QueueSettings::default(),
            ledger,
            consumers: Consumers::new(),
            lost: BTreeSet::new(),
            gets: BTreeMap::new(),
            undecided: BTreeMap::new(),
            is_behind: log.stable_end < log.end,
            sizes: Sizes::default(),
            refusals: VecDeque::new(),
            dead: BTreeMap::new(),
            delays: Delays::default(),
            hops: Hops::default(),
            ids: MessageIds::default(),
            has_expirations: false,
            closers: BTreeMap::new(),
        }
    }

    /// Carries a command out. What is assigned by it goes to `out`, in order.
    pub(crate) fn apply(
        &mut self,
        at: Stamp,
        command: QueueCommand,
        out: &mut Vec<Assignment>,
    ) -> QueueApplied {
        let now = at.now;
        let session = command.session();
        if session.is_some_and(|session| self.lost.contains(&session)) {
            return QueueApplied::SessionLost;
        }
        let mut applied = QueueApplied::Done;
        match command {
            QueueCommand::Configure(settings) => self.configure(*settings),
            QueueCommand::Attach(attach) => applied = self.attach(&attach),
            QueueCommand::Detach {
                consumer,
                held,
                first_unsent,
            } => self.detach(&consumer, held, first_unsent),
            QueueCommand::Settle {
                session,
                deliveries,
            } => self.settle(at, &session, &deliveries),
            QueueCommand::Get { session, request } => {
                return self.get(now, session, request);
            }
            QueueCommand::Purge => applied = QueueApplied::Counted(self.purge()),
            QueueCommand::Remove { why, messages } => self.remove(why, &messages),
            QueueCommand::Hopped(letters) => self.hopped(&letters),
            QueueCommand::Wake => self.wake(at),
            QueueCommand::Close(closer, only) => applied = self.close(now, closer, only),
            QueueCommand::Reopen(closer) => self.reopen(closer),
        }
        self.serve(now, out);
        applied
    }

    fn configure(&mut self, settings: QueueSettings) {
        if settings.is_single_active != self.settings.is_single_active {
            self.consumers.set_single_active(settings.is_single_active);
            self.offer_all();
        }
        if settings.max_length_bytes.is_none() {
            self.sizes = Sizes::default();
        }
        if settings.dedup_ms.is_none() {
            self.ids.clear();
        }
        self.settings = settings;
    }

    fn offer_all(&mut self) {
        let owners: Vec<OwnerId> = self.consumers.holders.keys().copied().collect();
        owners.into_iter().for_each(|owner| self.offer(owner));
    }

    fn attach(&mut self, attach: &Attach) -> QueueApplied {
        if self.is_closed() {
            return QueueApplied::NotAQueue;
        }
        match self.consumers.attach(attach) {
            Ok(owner) => {
                self.offer(owner);
                QueueApplied::Done
            }
            Err(NotAttached::InExclusiveUse) => QueueApplied::InExclusiveUse,
            Err(NotAttached::TooMany) => QueueApplied::TooManyConsumers,
        }
    }

    /// Nobody is served before what returns is in its place.
    fn detach(&mut self, consumer: &ConsumerKey, held: Held, first_unsent: u64) {
        let Some(owner) = self.consumers.detach(consumer) else {
            return;
        };
        let is_back = |serial| held == Held::Returns || serial >= first_unsent;
        let all = self.ledger.held_by(owner);
        let back = all.filter(|(_, delivery)| is_back(delivery.serial));
        let back: Vec<_> = back.map(|(offset, it)| (offset, it.serial)).collect();
        for (offset, serial) in back {
            let how = match serial >= first_unsent {
                true => Release::Untouched,
                false => Release::Returned,
            };
            self.release(offset, owner, how);
        }
        self.let_be(owner);
        self.offer_active();
    }

    /// The serial of the next delivery.
    pub(crate) fn next_serial(&self) -> u64 {
        self.ledger.next_serial()
    }

    /// Another one may have become the active one.
    pub(super) fn offer_active(&mut self) {
        if let Some(active) = self.consumers.active {
            self.offer(active);
        }
    }

    /// The consumer may have more, or is forgotten.
    pub(super) fn let_be(&mut self, owner: OwnerId) {
        if self.ledger.count_of(owner) == 0 {
            self.consumers.forget(owner);
        }
        self.offer(owner);
    }

    pub(super) fn offer(&mut self, owner: OwnerId) {
        let held_count = self.ledger.count_of(owner);
        self.consumers.offer(owner, held_count);
    }

    /// Gives ready messages to consumers, by turns.
    pub(super) fn serve(&mut self, now: Millis, out: &mut Vec<Assignment>) {
        self.assign(now, out);
        if self.settings.message_ttl_ms == Some(0) {
            self.expire_ready();
        }
        self.shrink();
    }

    fn assign(&mut self, now: Millis, out: &mut Vec<Assignment>) {
        while let Some(owner) = self.consumers.first_in_line() {
            if self.ledger.counts().acquired >= MAX_ACQUIRED_COUNT {
                return;
            }
            let Some(assignment) = self.acquire(now, owner) else {
                return;
            };
            out.push(assignment);
            self.consumers.leave_line(owner);
            self.offer(owner);
        }
    }

    /// The first ready message is the owner's.
    pub(super) fn acquire(&mut self, now: Millis, owner: OwnerId) -> Option<Assignment> {
        let holder = *self.consumers.holder(owner)?;
        let delivery = self.ledger.acquire(until_settled(owner))?;
        self.sizes.taken(delivery.offset);
        Some(Assignment {
            session: holder.session,
            tag: holder.tag,
            offset: delivery.offset,
            serial: delivery.serial,
            is_redelivered: delivery.tries.delivery_count > 1,
            failed_count: delivery.tries.failed_count,
            at: now,
        })
    }

    /// All that consumers hold, ascending by serial: what a new leader sends again.
    pub(crate) fn assigned(&self) -> Vec<Assignment> {
        let mut all = Vec::new();
        for (owner, holder) in &self.consumers.holders {
            // What was asked for on demand is asked for again.
            let Some(tag) = holder.tag else { continue };
            let held = self.ledger.held_by(*owner);
            all.extend(held.map(|(offset, held)| Assignment {
                session: holder.session,
                tag: Some(tag),
                offset,
                serial: held.serial,
                is_redelivered: held.tries.delivery_count > 1,
                failed_count: held.tries.failed_count,
                at: Millis(i64::MIN),
            }));
        }
        all.sort_unstable_by_key(|each| each.serial);
        all
    }

    fn purge(&mut self) -> u64 {
        let count = self.ledger.purge();
        let ledger = &self.ledger;
        self.sizes.purge(|offset| ledger.held(offset).is_some());
        count
    }

    /// What the leader has looked at goes, if it is still as it was then.
    fn remove(&mut self, why: Removed, messages: &[(u64, Option<u64>)]) {
        for (offset, serial) in messages {
            let is_there = match serial {
                Some(serial) => self.is_delivery(*offset, *serial),
                None => self.ledger.held(*offset).is_none(),
            };
            if !is_there {
                continue;
            }
            match (why, serial) {
                (Removed::Expired, Some(_)) => self.bury_held(*offset, Reason::Expired),
                (Removed::Expired, None) => self.bury_ready(*offset, Reason::Expired),
                (Removed::Void, Some(_)) => self.drop_held(*offset),
                (Removed::Void, None) => {
                    if self.ledger.drop_at(*offset) {
                        self.sizes.gone_ready(*offset);
                    }
                }
            }
        }
    }

    /// Whether somebody holds the message since that delivery.
    pub(super) fn is_delivery(&self, offset: u64, serial: u64) -> bool {
        let held = self.ledger.held(offset);
        held.is_some_and(|held| held.serial == serial)
    }

    /// Whether nothing would be lost if a message that somebody holds were gone: it is.
    pub(super) fn drop_held(&mut self, offset: u64) {
        let Some(owner) = self.ledger.held(offset).map(|held| held.lock.owner) else {
            return;
        };
        if self.ledger.settle(offset, owner).is_ok() {
            self.delays.forget(offset);
            self.sizes.gone_held(offset);
            self.let_be(owner);
        }
    }

    /// What has waited for its time is ready.
    fn wake(&mut self, at: Stamp) {
        self.reopen_if_due(at.now);
        let by_wall = self.ledger.ended(at.now.0).map(|(offset, _)| offset);
        let due: Vec<u64> = by_wall.chain(self.delays.ended(at.elapsed)).collect();
        due.into_iter().for_each(|offset| self.end_wait(offset));
    }

    /// The message is ready, if it has waited for its time.
    fn end_wait(&mut self, offset: u64) {
        let released = self.ledger.release(offset, DELAYED, Release::Untouched);
        if released.is_ok() {
            self.delays.forget(offset);
            self.sizes.returned(offset);
        }
    }

    /// The log begins later now: what was before is gone.
    pub(crate) fn trimmed(&mut self, start: u64) {
        for undecided in self.undecided.values_mut() {
            undecided.trim(start);
        }
        self.undecided.retain(|_, undecided| !undecided.is_empty());
        self.delays.trim(start);
        if self.ledger.trim(start) == 0 {
            return;
        }
        let ledger = &self.ledger;
        self.sizes
            .trim(start, |offset| ledger.held(offset).is_some());
        let owners: Vec<OwnerId> = self.consumers.holders.keys().copied().collect();
        owners.into_iter().for_each(|owner| self.let_be(owner));
    }

    /// The lowest message that is not done with: what is below it serves replay alone.
    pub(crate) fn floor(&self) -> u64 {
        let undecided = self.undecided.values().filter_map(Undecided::first);
        undecided.min().unwrap_or(u64::MAX).min(self.ledger.floor())
    }

    /// How the queue behaves.
    pub(crate) fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Whether messages may expire before anybody takes them.
    pub(crate) fn may_expire(&self) -> bool {
        self.has_expirations
            || self
                .settings
                .message_ttl_ms
                .is_some_and(|ttl_ms| ttl_ms > 0)
    }

    /// Whether messages may have a time to live.
    pub(crate) fn has_times(&self) -> bool {
        self.has_expirations || self.settings.message_ttl_ms.is_some()
    }

    /// The first ready messages of each level, highest first.
    pub(crate) fn ready(&self, limit: usize) -> Vec<(u8, u64)> {
        self.ledger.ready(limit).collect()
    }

    /// Dead letters, those that have waited longest first.
    pub(crate) fn dead_letters(&self) -> impl Iterator<Item = DeadLetter> {
        self.dead.iter().filter_map(|(serial, offset)| {
            let owner = self.ledger.held(*offset)?.lock.owner;
            Some(DeadLetter {
                offset: *offset,
                serial: *serial,
                reason: Reason::of(owner)?,
            })
        })
    }

    /// Runs of nodes whose sessions have something here.
    pub(crate) fn boots(&self) -> impl Iterator<Item = (NodeId, u64)> {
        let mut from = Some(SessionKey {
            node: NodeId(0),
            boot: 0,
            number: 0,
        });
        std::iter::from_fn(move || {
            let start = from?;
            let got = self.gets.range(start..).next().map(|(session, _)| *session);
            let next = self
                .consumers
                .next_session(start)
                .into_iter()
                .chain(got)
                .min()?;
            from = next.boot.checked_add(1).map(|boot| SessionKey {
                boot,
                number: 0,
                ..next
            });
            Some((next.node, next.boot))
        })
    }

    /// Sessions that ended here and may not know it.
    pub(crate) fn lost_sessions(&self) -> impl Iterator<Item = SessionKey> {
        self.lost.iter().copied()
    }

    /// Whether there has ever been a consumer.
    pub(crate) fn was_consumed(&self) -> bool {
        self.consumers.was_consumed
    }

    pub(crate) fn figures(&self) -> QueueFigures {
        let Counts { ready, acquired } = self.ledger.counts();
        let waiting = (self.dead.len() + self.ledger.count_of(DELAYED)) as u64;
        QueueFigures {
            ready_count: ready,
            unacked_count: acquired - waiting,
            delayed_count: waiting,
            consumer_count: self.consumers.count() as u64,
            idle_ms: 0,
        }
    }
}

/// A lock that ends with its owner.
pub(super) fn until_settled(owner: OwnerId) -> Lock {
    Lock {
        owner,
        until_ms: None,
    }
}

/// A message that is nobody's, to be looked at.
pub(crate) fn unassigned(offset: u64) -> Assignment {
    Assignment {
        session: SessionKey {
            node: NodeId(0),
            boot: 0,
            number: 0,
        },
        tag: None,
        offset,
        serial: 0,
        is_redelivered: false,
        failed_count: 0,
        at: Millis(i64::MIN),
    }
}
