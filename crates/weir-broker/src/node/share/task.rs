//! One request of a member on its way: from shard to shard, and again when there may be more, until
//! there is something to tell or its time is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_log::{Millis, partition::Read};
use weir_model::{ErrorKind, GroupId};
use weir_raft::NotCommitted;

use super::{
    begin::Unbegun,
    place::{Found, Place},
    prepare::Preparing,
    request::Released,
    sessions::ShareHold,
};
use crate::{
    Node,
    api::{Outcome, share::ShareAnswer},
    configs::reset::OffsetReset,
    mailbox::Reply,
    node::groups::ShardContext,
    outcome::AppliedOutcome,
    shard::{Look, Shard, ShardCommand},
    share::{Limits, ShareApplied, ShareCommand, ShareKey, Step, Terms},
};

/// Who asks, and on what terms.
pub(super) struct Asker {
    pub(super) group: String,
    pub(super) member: String,
    pub(super) terms: Terms,
    pub(super) committed_only: bool,
    pub(super) begins: OffsetReset,
}

/// How much is still wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    pub(super) bytes: usize,
    pub(super) count: u64,
    pub(super) by_records: bool,
}

#[derive(Default)]
struct Parked {
    run: Option<Box<Run>>,
    /// There may be more since the last look.
    is_woken: bool,
    /// Its time is over.
    is_over: bool,
    is_answered: bool,
    has_timer: bool,
}

/// A request that may wait.
///
/// A mutex: the request is in one place at a time, and whoever takes it out goes on with it.
pub(crate) struct ShareTask {
    pub(super) node: Arc<Node>,
    pub(super) asker: Asker,
    deadline: Option<Millis>,
    parked: Mutex<Parked>,
}

/// The request itself.
pub(super) struct Run {
    pub(super) task: Arc<ShareTask>,
    pub(super) places: Vec<Place>,
    /// Shards with their places.
    pub(super) shards: Vec<(GroupId, Vec<usize>)>,
    /// The one whose turn it is.
    pub(super) at: usize,
    pub(super) wants: Option<Wants>,
    /// Whether partitions of which there is nothing to tell are told of.
    tells_all: bool,
    ended: Option<Released>,
    hold: Option<ShareHold>,
    reply: Reply,
}

impl ShareTask {
    pub(super) fn new(node: Arc<Node>, asker: Asker, deadline: Option<Millis>) -> Arc<Self> {
        Arc::new(Self {
            node,
            asker,
            deadline,
            parked: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again; `false` where it is answered already.
    pub(crate) fn wake(&self) -> bool {
        let mut parked = self.lock();
        let run = parked.run.take();
        parked.is_woken = run.is_none();
        let is_answered = parked.is_answered;
        drop(parked);
        if let Some(run) = run {
            run.visit();
        }
        !is_answered
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.lock().is_answered
    }

    fn expire(&self) {
        let mut parked = self.lock();
        parked.is_over = true;
        let run = parked.run.take();
        drop(parked);
        if let Some(run) = run {
            run.finish();
        }
    }
}

impl Run {
    #[allow(
        clippy::too_many_arguments,
        reason = "what a request is made of, named by its caller"
    )]
    pub(super) fn new(
        task: Arc<ShareTask>,
        places: Vec<Place>,
        wants: Option<Wants>,
        (turn, tells_all): (usize, bool),
        ended: Option<Released>,
        hold: Option<ShareHold>,
        reply: Reply,
    ) -> Box<Self> {
        let mut shards: Vec<(GroupId, Vec<usize>)> = Vec::new();
        let count = places.len();
        // Another one is the first each time: what the first has may be all that fits.
        for at in (0..count).map(|at| (at + turn) % count) {
            let Some(shard) = places[at].shard() else {
                continue;
            };
            match shards.iter_mut().find(|(known, _)| *known == shard) {
                Some((_, of_shard)) => of_shard.push(at),
                None => shards.push((shard, vec![at])),
            }
        }
        Box::new(Self {
            task,
            places,
            shards,
            at: 0,
            wants,
            tells_all,
            ended,
            hold,
            reply,
        })
    }

    fn key(&self, at: usize) -> Option<ShareKey> {
        let log = self.places[at].log()?;
        Some((log.id(), self.task.asker.group.clone()))
    }

    /// Goes to the shard whose turn it is.
    pub(super) fn visit(self: Box<Self>) {
        let Some((shard, _)) = self.shards.get(self.at) else {
            return self.pass_over();
        };
        let (node, shard) = (Arc::clone(&self.task.node), *shard);
        node.visit_leading(shard, move |visited| match visited {
            Ok((shard, context)) => self.at_shard(shard, context),
            Err(error) => self.leave_shard(Some(of_partitions(error))),
        });
    }

    fn leave_shard(mut self: Box<Self>, error: Option<ErrorKind>) {
        if let Some(error) = error {
            for at in self.shards[self.at].1.clone() {
                self.places[at].fail(error);
            }
        }
        self.at += 1;
        self.visit();
    }

    fn at_shard(mut self: Box<Self>, shard: &mut Shard, context: &mut ShardContext<'_>) {
        let (mut unbegun, mut preparing) = (Vec::new(), Vec::new());
        for at in self.shards[self.at].1.clone() {
            match self.look(at, shard) {
                Looked::Done => {}
                Looked::NotBegun(begin) => unbegun.push(begin),
                Looked::Prepare(prepare) => preparing.push(prepare),
            }
        }
        if !preparing.is_empty() {
            return self.prepare(preparing);
        }
        if !unbegun.is_empty() {
            return self.begin(unbegun, shard, context);
        }
        self.step(context);
    }

    /// Looks for records in one place, and chooses from what was read.
    fn look(&mut self, at: usize, shard: &mut Shard) -> Looked {
        let Some(key) = self.key(at) else {
            return Looked::Done;
        };
        let place = &mut self.places[at];
        let has_some = place.found.is_some() || place.chosen.is_some();
        if !has_some && std::mem::take(&mut place.is_kept) {
            shard.free_share(&key);
        }
        if !place.is_open() || place.chosen.is_some() {
            return Looked::Done;
        }
        let Some(wants) = self
            .wants
            .filter(|wants| wants.bytes > 0 && wants.count > 0)
        else {
            self.pass_on(at, &key, shard);
            return Looked::Done;
        };
        let place = &mut self.places[at];
        if let Some(found) = place.found.take() {
            self.choose(at, &key, found, shard);
            return Looked::Done;
        }
        let Some(log) = place.log().cloned() else {
            return Looked::Done;
        };
        let asker = &self.task.asker;
        let end = log.end_offset();
        let end = match asker.committed_only {
            true => self.task.node.stable_end(&log, end),
            false => end,
        };
        let (max_locks, acked_count) = (asker.terms.max_locks, place.acked_count());
        match shard.look_at_share(&key, end.0, max_locks, acked_count) {
            Look::NotBegun => Looked::NotBegun(Unbegun::of(at, log)),
            Look::Nothing => {
                shard.wait_for_share(&key, &self.task);
                Looked::Done
            }
            Look::Read { from, room_count } => {
                place.is_kept = true;
                let is_first = self.places.iter().all(|place| place.acquired.is_empty());
                let read = log.read(weir_model::Offset(from), wants.bytes, is_first);
                let found = |batches| Found {
                    from,
                    room_count,
                    end,
                    batches,
                };
                match read {
                    Read::Batches(batches) if !log.refers() => {
                        self.choose(at, &key, found(batches), shard);
                        Looked::Done
                    }
                    Read::Batches(batches) => Looked::Prepare(Preparing::whole(at, found(batches))),
                    Read::Cold(cold) => {
                        Looked::Prepare(Preparing::cold(at, cold, found(Default::default())))
                    }
                    Read::AtEnd | Read::OutOfRange { .. } => {
                        self.places[at].is_kept = false;
                        shard.free_share(&key);
                        shard.wait_for_share(&key, &self.task);
                        Looked::Done
                    }
                }
            }
        }
    }

    /// The answer is full: what was read of the place meanwhile is for the next one.
    fn pass_on(&mut self, at: usize, key: &ShareKey, shard: &mut Shard) {
        let place = &mut self.places[at];
        place.found = None;
        match std::mem::take(&mut place.is_kept) {
            true => shard.free_share(key),
            false => shard.pass_share_on(key),
        }
    }

    fn choose(&mut self, at: usize, key: &ShareKey, found: Found, shard: &mut Shard) {
        let Some(wants) = &mut self.wants else { return };
        let limits = Limits {
            wanted_count: wants.count,
            room_count: found.room_count,
            by_records: wants.by_records,
        };
        let only = self.task.asker.committed_only;
        let range = found.from..found.end.0;
        let chosen = shard.choose_share(key, found.batches.chunks, range, limits, only);
        if chosen.is_empty() {
            self.places[at].is_kept = false;
            shard.free_share(key);
            shard.wait_for_share(key, &self.task);
            return;
        }
        let stretches = chosen.take.wanted.iter();
        let count: u64 = stretches.map(|each| each.last - each.first + 1).sum();
        wants.count = wants.count.saturating_sub(count);
        wants.bytes = wants.bytes.saturating_sub(chosen.size_bytes);
        self.places[at].chosen = Some(chosen);
    }

    /// Proposes what is to be acknowledged and taken in this shard.
    fn step(mut self: Box<Self>, context: &mut ShardContext<'_>) {
        let mut stepping = Vec::new();
        let mut parts = Vec::new();
        for at in self.shards[self.at].1.clone() {
            if let Some(part) = self.places[at].step() {
                stepping.push(at);
                parts.push(part);
            }
        }
        if parts.is_empty() {
            return self.leave_shard(None);
        }
        let only_acknowledges = parts.iter().all(|part| part.take.is_none());
        let asker = &self.task.asker;
        let command = ShardCommand::share(&ShareCommand::Step(Step {
            group: asker.group.clone(),
            member: asker.member.clone(),
            terms: asker.terms,
            parts,
        }));
        if only_acknowledges && self.task.node.env.seeded.acks_shares_early() {
            context.propose(command, None);
            return self.leave_shard(None);
        }
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| match outcome {
            Ok(AppliedOutcome::Share(ShareApplied::Stepped(parts))) => {
                self.stepped(&stepping, parts);
            }
            Ok(_) => self.not_stepped(ErrorKind::InvalidRequest),
            Err(error) => self.not_stepped(error.kind()),
        };
        context.propose(command, Some(Box::new(done)));
    }

    fn stepped(mut self: Box<Self>, stepping: &[usize], parts: Vec<crate::share::Stepped>) {
        let mut looks_again = false;
        for (at, stepped) in stepping.iter().zip(parts) {
            let place = &mut self.places[*at];
            let took = place.chosen.is_some();
            place.is_kept = false;
            place.stepped(stepped);
            // There was nothing but what is nobody's, or others were faster.
            looks_again |= took && place.acquired.is_empty();
        }
        if looks_again {
            return self.visit();
        }
        self.leave_shard(None);
    }

    /// The shard's places are freed, where it is still here to be asked.
    fn not_stepped(self: Box<Self>, error: ErrorKind) {
        let places = self.shards[self.at].1.iter();
        let keys: Vec<ShareKey> = places
            .filter(|at| self.places[**at].chosen.is_some())
            .filter_map(|at| self.key(*at))
            .collect();
        let (node, shard) = (Arc::clone(&self.task.node), self.shards[self.at].0);
        node.visit_leading(shard, move |visited| {
            if let Ok((shard, _)) = visited {
                keys.iter().for_each(|key| shard.free_share(key));
            }
            self.leave_shard(Some(error));
        });
    }

    /// All shards were seen: answers, or waits for more.
    fn pass_over(mut self: Box<Self>) {
        let has_news = self.places.iter().any(Place::has_news);
        let Some(deadline) = self.task.deadline.filter(|_| !has_news) else {
            return self.finish();
        };
        self.at = 0;
        let task = Arc::clone(&self.task);
        let mut parked = task.lock();
        if !parked.has_timer {
            parked.has_timer = true;
            drop(parked);
            // A node that closes calls it at once.
            let timer = Arc::clone(&task);
            let timer = Box::new(move || timer.expire());
            task.node.purgatory.at(deadline, timer);
            parked = task.lock();
        }
        if parked.is_over {
            drop(parked);
            return self.finish();
        }
        if std::mem::take(&mut parked.is_woken) {
            drop(parked);
            return self.visit();
        }
        parked.run = Some(self);
    }

    fn finish(self: Box<Self>) {
        let Self {
            task,
            places,
            tells_all,
            ended,
            hold,
            reply,
            ..
        } = *self;
        task.lock().is_answered = true;
        let node = &task.node;
        let told = places.into_iter();
        let told = told.filter_map(|place| place.answer(node, tells_all));
        let answer = ShareAnswer {
            lock_ms: task.asker.terms.lock_ms,
            partitions: told.collect(),
            hold,
        };
        if let Some(ended) = ended {
            node.release_share(ended);
        }
        reply.send(Outcome::Share(Ok(answer)));
    }
}

/// Why partitions cannot be asked here: they have a leader, where groups have a coordinator.
fn of_partitions(error: ErrorKind) -> ErrorKind {
    let is_elsewhere = [ErrorKind::NotCoordinator, ErrorKind::CoordinatorLoading].contains(&error);
    if is_elsewhere {
        return ErrorKind::NotLeader;
    }
    error
}

/// What a look at a place led to.
pub(super) enum Looked {
    Done,
    NotBegun(Unbegun),
    Prepare(Preparing),
}
