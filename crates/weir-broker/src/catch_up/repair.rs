//! Damaged segments, replaced by what other replicas have.
//!
//! One at a time: damage is rare. While it lasts this node does not lead the group, if another
//! can.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use weir_log::{
    FlushError, Millis,
    ingest::{Ingest, IngestError},
    partition::PartitionLog,
};
use weir_model::{GroupId, NodeId, PartitionId};
use weir_raft::Input;

use super::{
    component::World,
    ranges::{MAX_RANGE_BYTES, RangeAnswer, RangeRequest},
    take_over::survivable,
};
use crate::{node::Node, peer::CallFailed};

/// After this time without an answer another node is asked, in ms.
const CALL_TIMEOUT_MS: u64 = 30_000;

/// All of this node's.
#[derive(Default)]
pub(super) struct Repairs {
    waiting: BTreeMap<(PartitionId, String), Arc<PartitionLog>>,
    active: Option<Repair>,
}

/// One damaged segment.
struct Repair {
    path: String,
    ingest: Ingest,
    /// Who is asked, and after that who may be.
    sources: VecDeque<NodeId>,
    /// The call that is under way, and until when it may be.
    called: Option<(u64, Millis)>,
}

/// What to do with a repair after an answer.
enum Next {
    GoOn,
    OtherSource,
    Over,
}

impl Repairs {
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_none() && self.waiting.is_empty()
    }

    /// One look. `true`: something was done.
    pub(super) fn turn(&mut self, world: &mut World) -> Result<bool, FlushError> {
        let (mut damaged, answers) = {
            let mut inbox = world.node.offers.lock();
            let damaged = std::mem::take(&mut inbox.damaged);
            (damaged, std::mem::take(&mut inbox.repair_answers))
        };
        let mut has_worked = !damaged.is_empty() || !answers.is_empty();
        self.waiting.append(&mut damaged);
        for (call, result) in answers {
            self.hear(call, result, world)?;
        }
        let now = world.node.elapsed();
        if let Some(repair) = &self.active
            && let Some((call, deadline)) = repair.called
            && deadline <= now
        {
            self.hear(call, Err(CallFailed::TimedOut), world)?;
        }
        if self.active.is_none()
            && let Some(((_, path), log)) = self.waiting.pop_first()
        {
            self.active = Repair::begin(&log, path, &world.node)?;
            has_worked = true;
        }
        if let Some(repair) = &mut self.active
            && repair.called.is_none()
            && world.throttle.admits(now)
        {
            repair.call(now, world);
            has_worked = true;
        }
        Ok(has_worked)
    }

    fn hear(
        &mut self,
        call: u64,
        result: Result<Bytes, CallFailed>,
        world: &mut World,
    ) -> Result<(), FlushError> {
        let is_it = |repair: &mut Repair| repair.called.is_some_and(|called| called.0 == call);
        let Some(mut repair) = self.active.take_if(is_it) else {
            return Ok(());
        };
        repair.called = None;
        if !repair.is_wanted(&world.node) {
            repair.ingest.abandon();
            return Ok(());
        }
        let next = match result {
            Ok(bytes) => {
                world.throttle.spend(bytes.len());
                repair.take(bytes)?
            }
            Err(_) => Next::OtherSource,
        };
        match next {
            Next::GoOn if repair.is_whole() => {
                let path = repair.path;
                if repair.ingest.replace().or_else(|error| {
                    survivable(Err(error))?;
                    Ok(false)
                })? {
                    tracing::warn!(path, "damaged segment is replaced by another node's data");
                    world.checkpoints.force();
                }
            }
            Next::GoOn => self.active = Some(repair),
            Next::OtherSource => {
                repair.sources.pop_front();
                if repair.sources.is_empty() {
                    let path = &repair.path;
                    tracing::error!(path, "no node has what a damaged segment held");
                    repair.ingest.abandon();
                } else {
                    self.active = Some(repair);
                }
            }
            Next::Over => repair.ingest.abandon(),
        }
        Ok(())
    }
}

impl Repair {
    /// `None` where there is nothing to replace, or nobody to ask.
    fn begin(
        log: &Arc<PartitionLog>,
        path: String,
        node: &Arc<Node>,
    ) -> Result<Option<Self>, FlushError> {
        let Some(place) = node.stored_as(log.id()) else {
            return Ok(None);
        };
        let (group, Some(damaged)) = (place.group, log.segment_in(&path)) else {
            return Ok(None);
        };
        let sources = hand_over(node, group);
        if sources.is_empty() || log.start_offset() >= damaged.next_offset {
            return Ok(None);
        }
        let store = &node.env.store;
        match Ingest::begin_replacement(store, log, damaged, place.may_have_gaps, place.policy) {
            Ok(ingest) => Ok(Some(Self {
                path,
                ingest,
                sources,
                called: None,
            })),
            Err(error) => survivable(Err(error)).map(|()| None),
        }
    }

    /// Whether the partition is still the one that readers find here: else its files go.
    fn is_wanted(&self, node: &Node) -> bool {
        let log = self.ingest.log();
        let found = node.env.registry.get(log.id());
        found.is_some_and(|found| Arc::ptr_eq(&found, log))
    }

    fn is_whole(&self) -> bool {
        self.ingest.next_offset() == self.ingest.range().to
    }

    fn take(&mut self, answer: Bytes) -> Result<Next, FlushError> {
        match RangeAnswer::decode(answer) {
            Some(RangeAnswer::Batches { next, batches }) => {
                if next <= self.ingest.next_offset() {
                    return Ok(Next::OtherSource);
                }
                match self.ingest.push(&batches, next) {
                    Ok(()) => Ok(Next::GoOn),
                    Err(IngestError::Refused { .. }) => Ok(Next::OtherSource),
                    Err(IngestError::Write(error)) => survivable(Err(error)).map(|()| Next::Over),
                }
            }
            // This node's log is trimmed soon as well.
            Some(RangeAnswer::Trimmed { start }) if start > self.ingest.next_offset() => {
                self.ingest.skip_to(start);
                Ok(Next::GoOn)
            }
            Some(
                RangeAnswer::Trimmed { .. }
                | RangeAnswer::Busy
                | RangeAnswer::NotHere
                | RangeAnswer::Unreadable,
            )
            | None => Ok(Next::OtherSource),
        }
    }

    fn call(&mut self, now: Millis, world: &mut World) {
        let Some(source) = self.sources.front() else {
            return;
        };
        world.last_call += 1;
        let call = world.last_call;
        self.called = Some((call, now.plus(CALL_TIMEOUT_MS)));
        let request = RangeRequest {
            partition: self.ingest.log().id(),
            from: self.ingest.next_offset(),
            to: self.ingest.range().to,
            max_bytes: MAX_RANGE_BYTES,
        };
        let offers = Arc::clone(&world.node.offers);
        let done = move |result| {
            offers.lock().repair_answers.push((call, result));
            offers.arrived.notify_one();
        };
        let peers = &world.node.peers;
        peers.call(*source, request.encode(), Box::new(done));
    }
}

/// Hands the group's leadership to the replica that has most of the log. Returns the other
/// replicas, the leader first.
fn hand_over(node: &Node, group: GroupId) -> VecDeque<NodeId> {
    let view = node.status(group).view();
    if view.leader == Some(node.id()) {
        let is_voter = |id: &NodeId| view.members.voters.contains(id);
        let can_lead = view.followers.iter().filter(|follower| {
            follower.is_active && !follower.is_behind && is_voter(&follower.node)
        });
        if let Some(best) = can_lead.max_by_key(|follower| follower.matched) {
            let to = best.node;
            tracing::warn!(%group, %to, "leadership is handed over: stored data is damaged");
            let input = Input::TransferLeadership { group, to };
            node.handle_of(group).send(input);
        }
    }
    let leader = view.leader.into_iter();
    let members = view.members.voters.iter().chain(&view.members.learners);
    let mut others = VecDeque::new();
    for id in leader.chain(members.copied()) {
        if id != node.id() && !others.contains(&id) {
            others.push_back(id);
        }
    }
    others
}
