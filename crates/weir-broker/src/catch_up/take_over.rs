//! One group's take-over of a checkpoint.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use weir_log::{
    Checkpoint, FlushError, Millis, SegmentPolicy,
    ingest::{Ingest, IngestError},
    partition::{MissingRange, PartitionLog},
};
use weir_model::{GroupId, Offset};
use weir_raft::SnapshotOffer;

use super::{
    What,
    component::World,
    ranges::{MAX_RANGE_BYTES, RangeAnswer, RangeRequest},
};
use crate::{
    checkpointer::{self, TakenOver},
    peer::CallFailed,
    shard::ShardBody,
};

/// Ranges of one group that are brought at once.
const MAX_FETCH_COUNT: usize = 4;
/// Failed calls for one range, one after the other, before the offer is given up.
const MAX_ATTEMPT_COUNT: u32 = 10;
/// Pause after a failed call, in ms.
const RETRY_MS: u64 = 300;
/// After this time without an answer a call has failed, in ms.
const CALL_TIMEOUT_MS: u64 = 30_000;

/// How it ended.
pub(super) enum Outcome {
    /// The machine's state with this node's manifests is durable.
    Done(Bytes),
    /// For this reason nothing came of it.
    GivenUp(String),
}

/// From the offer to the checkpoint.
pub(super) struct TakeOver {
    offer: SnapshotOffer,
    phase: Phase,
    /// Of a shard, once the group is held.
    body: Option<ShardBody>,
    /// In the order of the body's partitions.
    targets: Vec<Target>,
    todo: VecDeque<(usize, MissingRange)>,
    fetches: Vec<Fetch>,
    brought_bytes: u64,
    total_bytes: u64,
}

enum Phase {
    /// Until everything applied here is flushed and stays as it is.
    Holding,
    Bringing,
    /// This state is being saved.
    Saving(Bytes),
    Over(Outcome),
}

/// A partition as it is to be.
struct Target {
    log: Arc<PartitionLog>,
    /// Moves up where the leader's log has lost its beginning since: the entries behind the
    /// checkpoint say so as well.
    start: Offset,
    end: Offset,
    policy: SegmentPolicy,
}

/// A range that is being brought.
struct Fetch {
    target: usize,
    ingest: Ingest,
    state: FetchState,
    attempt_count: u32,
}

#[derive(Clone, Copy)]
enum FetchState {
    /// The next call is due.
    Due(Millis),
    /// This call is under way.
    Called { call: u64, deadline: Millis },
}

impl TakeOver {
    pub(super) fn new(offer: SnapshotOffer) -> Self {
        Self {
            offer,
            phase: Phase::Holding,
            body: None,
            targets: Vec::new(),
            todo: VecDeque::new(),
            fetches: Vec::new(),
            brought_bytes: 0,
            total_bytes: 0,
        }
    }

    pub(super) fn is_outdated_by(&self, offer: &SnapshotOffer) -> bool {
        match self.phase {
            Phase::Holding | Phase::Bringing => offer.from != self.offer.from,
            Phase::Saving(_) | Phase::Over(_) => false,
        }
    }

    pub(super) fn give_up(&mut self, reason: &str) {
        self.phase = Phase::Over(Outcome::GivenUp(reason.to_owned()));
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Over(outcome) => Some(outcome),
            Phase::Holding | Phase::Bringing | Phase::Saving(_) => None,
        }
    }

    /// Bytes brought, and bytes that were missing.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.brought_bytes, self.total_bytes)
    }

    /// Keeps what was brought for the next offer.
    pub(super) fn end(self) -> Result<(SnapshotOffer, Outcome), FlushError> {
        for fetch in self.fetches {
            survivable(fetch.ingest.finish())?;
        }
        let outcome = match self.phase {
            Phase::Over(outcome) => outcome,
            Phase::Holding | Phase::Bringing | Phase::Saving(_) => {
                Outcome::GivenUp("it ended early".to_owned())
            }
        };
        Ok((self.offer, outcome))
    }

    /// Goes on as far as it can. `true`: something was done.
    pub(super) fn turn(&mut self, world: &mut World) -> Result<bool, FlushError> {
        match &self.phase {
            Phase::Holding | Phase::Bringing
                if world.checkpoints.is_hold_lost(self.offer.group) =>
            {
                self.give_up("the replica has retired");
                Ok(true)
            }
            Phase::Holding if world.checkpoints.is_held(self.offer.group) => {
                self.plan(world)?;
                Ok(true)
            }
            Phase::Bringing if self.todo.is_empty() && self.fetches.is_empty() => {
                self.save(world)?;
                Ok(true)
            }
            Phase::Bringing => self.bring(world),
            Phase::Holding | Phase::Saving(_) | Phase::Over(_) => Ok(false),
        }
    }

    /// Finds out what is missing.
    fn plan(&mut self, world: &World) -> Result<(), FlushError> {
        self.phase = Phase::Bringing;
        if self.offer.group == GroupId::METADATA {
            return Ok(());
        }
        let body = match ShardBody::decode(&self.offer.body) {
            Ok(body) => body,
            Err(error) => {
                self.give_up(&error.to_string());
                return Ok(());
            }
        };
        for (at, stored) in body.partitions.iter().enumerate() {
            let log = world.node.env.open_partition(self.offer.group, stored.id);
            let place = world.node.stored_as(stored.id);
            let missing = match log.missing(&stored.manifest, stored.manifest.start) {
                Ok(missing) => missing,
                Err(error) => {
                    self.give_up(&format!("partition {}: {error}", stored.id));
                    return Ok(());
                }
            };
            let has_gaps = place.as_ref().is_some_and(|place| place.may_have_gaps);
            self.todo.extend(missing.into_iter().map(|mut range| {
                range.may_have_gaps |= has_gaps;
                (at, range)
            }));
            self.targets.push(Target {
                log,
                start: stored.manifest.start,
                end: stored.manifest.end(),
                policy: place.map(|place| place.policy).unwrap_or_default(),
            });
        }
        self.total_bytes = self.todo.iter().map(|(_, range)| range.size_bytes).sum();
        self.body = Some(body);
        if world.node.env.seeded.misses_last_segment() {
            self.miss_last_range(world)?;
        }
        Ok(())
    }

    /// The seeded bug: a segment without a file answers for the last range.
    fn miss_last_range(&mut self, world: &World) -> Result<(), FlushError> {
        let Some((at, mut range)) = self.todo.pop_back() else {
            return Ok(());
        };
        range.may_have_gaps = true;
        let target = &self.targets[at];
        let mut ingest = Ingest::begin(&world.node.env.store, &target.log, range, target.policy)?;
        match ingest.push(&Bytes::new(), range.to) {
            Ok(()) | Err(IngestError::Refused { .. }) => ingest.finish(),
            Err(IngestError::Write(error)) => Err(error),
        }
    }

    /// Makes calls, as many as may be under way.
    fn bring(&mut self, world: &mut World) -> Result<bool, FlushError> {
        let now = world.node.elapsed();
        let mut has_worked = false;
        while self.fetches.len() < MAX_FETCH_COUNT
            && let Some((target, range)) = self.todo.pop_front()
        {
            has_worked = true;
            if range.to > self.targets[target].start {
                self.begin(target, range, world)?;
            }
        }
        let overdue = self.fetches.iter().find_map(|fetch| match fetch.state {
            FetchState::Called { call, deadline } if deadline <= now => Some(call),
            FetchState::Called { .. } | FetchState::Due(_) => None,
        });
        if let Some(call) = overdue {
            self.hear_answer(call, Err(CallFailed::TimedOut), world)?;
        }
        for fetch in &mut self.fetches {
            let is_due = matches!(fetch.state, FetchState::Due(at) if at <= now);
            if is_due && world.throttle.admits(now) {
                fetch.call(&self.offer, now, world);
                has_worked = true;
            }
        }
        Ok(has_worked)
    }

    fn begin(
        &mut self,
        target: usize,
        range: MissingRange,
        world: &World,
    ) -> Result<(), FlushError> {
        let to = &self.targets[target];
        let begun = Ingest::begin(&world.node.env.store, &to.log, range, to.policy);
        match begun {
            Ok(ingest) => self.fetches.push(Fetch {
                target,
                ingest,
                state: FetchState::Due(Millis(0)),
                attempt_count: 0,
            }),
            Err(error) => {
                self.give_up(&error.to_string());
                survivable(Err(error))?;
            }
        }
        Ok(())
    }

    /// Something that was waited for has happened.
    pub(super) fn hear(&mut self, what: What, world: &mut World) -> Result<(), FlushError> {
        match what {
            What::Answer { call, result } => self.hear_answer(call, result, world),
            What::Saved { index, is_saved } => {
                if let Phase::Saving(body) = &self.phase
                    && index == self.offer.index
                {
                    self.phase = Phase::Over(if is_saved {
                        Outcome::Done(body.clone())
                    } else {
                        Outcome::GivenUp("the checkpoint could not be saved".to_owned())
                    });
                }
                Ok(())
            }
        }
    }

    fn hear_answer(
        &mut self,
        call: u64,
        result: Result<Bytes, CallFailed>,
        world: &mut World,
    ) -> Result<(), FlushError> {
        let is_it =
            |fetch: &Fetch| matches!(fetch.state, FetchState::Called { call: c, .. } if c == call);
        let Some(at) = self.fetches.iter().position(is_it) else {
            return Ok(());
        };
        let answer = result.map(|bytes| {
            world.throttle.spend(bytes.len());
            RangeAnswer::decode(bytes)
        });
        let now = world.node.elapsed();
        match answer {
            Ok(Some(RangeAnswer::Batches { next, batches })) => {
                self.take_batches(at, &batches, next, now)
            }
            Ok(Some(RangeAnswer::Trimmed { start })) => self.skip_to(at, start, world),
            Ok(Some(RangeAnswer::Busy)) => {
                self.try_again(at, "the leader is busy", now);
                Ok(())
            }
            Ok(Some(RangeAnswer::NotHere)) => {
                self.give_up("the leader has not got the batches");
                Ok(())
            }
            Ok(Some(RangeAnswer::Unreadable)) => {
                self.give_up("the leader cannot read the batches");
                Ok(())
            }
            Ok(None) => {
                self.give_up("the leader's answer is not understood");
                Ok(())
            }
            Err(error) => {
                self.try_again(at, &error.to_string(), now);
                Ok(())
            }
        }
    }

    fn try_again(&mut self, at: usize, reason: &str, now: Millis) {
        let fetch = &mut self.fetches[at];
        fetch.attempt_count += 1;
        fetch.state = FetchState::Due(now.plus(RETRY_MS));
        if fetch.attempt_count >= MAX_ATTEMPT_COUNT {
            self.give_up(reason);
        }
    }

    fn take_batches(
        &mut self,
        at: usize,
        batches: &Bytes,
        next: Offset,
        now: Millis,
    ) -> Result<(), FlushError> {
        let fetch = &mut self.fetches[at];
        if next <= fetch.ingest.next_offset() {
            self.give_up("the leader's answer leads nowhere");
            return Ok(());
        }
        if let Err(error) = fetch.ingest.push(batches, next) {
            let partition = fetch.ingest.log().id();
            self.give_up(&format!("partition {partition}: {error}"));
            return match error {
                IngestError::Refused { .. } => Ok(()),
                IngestError::Write(error) => survivable(Err(error)),
            };
        }
        self.brought_bytes += batches.len() as u64;
        fetch.attempt_count = 0;
        fetch.state = FetchState::Due(now);
        if next == fetch.ingest.range().to {
            let done = self.fetches.swap_remove(at);
            self.finish(done.ingest)?;
        }
        Ok(())
    }

    fn finish(&mut self, ingest: Ingest) -> Result<(), FlushError> {
        ingest.finish().or_else(|error| {
            self.give_up(&error.to_string());
            survivable(Err(error))
        })
    }

    /// The leader's log begins at `start`: what was before it is needed nowhere.
    fn skip_to(&mut self, at: usize, start: Offset, world: &World) -> Result<(), FlushError> {
        let fetch = self.fetches.swap_remove(at);
        let range = fetch.ingest.range();
        if start <= fetch.ingest.next_offset() {
            self.give_up("the leader's answer leads nowhere");
            return survivable(fetch.ingest.finish());
        }
        let target = &mut self.targets[fetch.target];
        target.start = target.start.max(start);
        self.finish(fetch.ingest)?;
        if start < range.to {
            let rest = MissingRange {
                from: start,
                begins_inside: true,
                ..range
            };
            self.begin(fetch.target, rest, world)?;
        }
        Ok(())
    }

    /// Everything is here: makes it durable and hands the checkpoint over.
    fn save(&mut self, world: &World) -> Result<(), FlushError> {
        let (group, index) = (self.offer.group, self.offer.index);
        if world.node.applied(group) >= index {
            self.give_up("the group has come further by itself");
            return Ok(());
        }
        let machine = match &mut self.body {
            None => self.offer.body.clone(),
            Some(body) => {
                let logs: Vec<_> = self.targets.iter().map(|t| Arc::clone(&t.log)).collect();
                world.node.env.store.sync_brought(&logs)?;
                for (stored, target) in body.partitions.iter_mut().zip(&self.targets) {
                    match target.log.with_brought(target.start, target.end) {
                        Ok(manifest) => stored.manifest = manifest,
                        Err(error) => {
                            let partition = stored.id;
                            self.give_up(&format!("partition {partition}: {error}"));
                            return Ok(());
                        }
                    }
                }
                body.encode()
            }
        };
        let offers = Arc::clone(&world.node.offers);
        world.checkpoints.take_over(TakenOver {
            group,
            checkpoint: Checkpoint {
                index,
                term: self.offer.term,
                body: checkpointer::encode_body(&self.offer.members, &machine),
            },
            done: Box::new(move |is_saved| offers.tell(group, What::Saved { index, is_saved })),
        });
        self.phase = Phase::Saving(machine);
        Ok(())
    }
}

impl Fetch {
    fn call(&mut self, offer: &SnapshotOffer, now: Millis, world: &mut World) {
        world.last_call += 1;
        let call = world.last_call;
        self.state = FetchState::Called {
            call,
            deadline: now.plus(CALL_TIMEOUT_MS),
        };
        let request = RangeRequest {
            partition: self.ingest.log().id(),
            from: self.ingest.next_offset(),
            to: self.ingest.range().to,
            max_bytes: MAX_RANGE_BYTES,
        };
        let (offers, group) = (Arc::clone(&world.node.offers), offer.group);
        let done = move |result| offers.tell(group, What::Answer { call, result });
        world
            .node
            .peers
            .call(offer.from, request.encode(), Box::new(done));
    }
}

/// A full disk, or damage in what is brought from, ends a take-over; anything else the node.
pub(super) fn survivable(result: Result<(), FlushError>) -> Result<(), FlushError> {
    match result {
        Err(error @ FlushError::Failed { .. }) => Err(error),
        Ok(()) | Err(FlushError::Full { .. } | FlushError::Corrupt { .. }) => Ok(()),
    }
}
