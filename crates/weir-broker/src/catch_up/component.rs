//! All take-overs of this node, a turn at a time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weir_log::{FlushError, Millis};
use weir_model::GroupId;
use weir_raft::{Input, SnapshotOffer};

use super::{
    CatchUpProgress,
    repair::Repairs,
    take_over::{Outcome, TakeOver},
    throttle::Throttle,
};
use crate::{checkpointer::CheckpointState, node::Node};

/// Most groups that take over at once: more would not be faster.
const MAX_GROUP_COUNT: usize = 2;
/// Pause after an offer that was given up, before the group's next one, in ms.
const PAUSE_MS: u64 = 1000;
/// Time between two looks while something is under way.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// One per node.
pub(crate) struct CatchUp {
    world: World,
    waiting: BTreeMap<GroupId, SnapshotOffer>,
    active: BTreeMap<GroupId, TakeOver>,
    paused: BTreeMap<GroupId, Millis>,
    repairs: Repairs,
}

/// What take-overs share.
pub(super) struct World {
    pub(super) node: Arc<Node>,
    pub(super) checkpoints: Arc<CheckpointState>,
    pub(super) throttle: Throttle,
    pub(super) last_call: u64,
}

impl CatchUp {
    pub(crate) fn new(node: Arc<Node>, checkpoints: Arc<CheckpointState>) -> Self {
        Self {
            world: World {
                throttle: Throttle::new(node.config.catch_up_bytes_per_s),
                node,
                checkpoints,
                last_call: 0,
            },
            waiting: BTreeMap::new(),
            active: BTreeMap::new(),
            paused: BTreeMap::new(),
            repairs: Repairs::default(),
        }
    }

    /// Works until [`Offers::close`](super::Offers::close).
    pub(crate) fn run(mut self) -> Result<(), FlushError> {
        let offers = Arc::clone(&self.world.node.offers);
        while !offers.is_closed() {
            self.turn()?;
            let has_none = self.active.is_empty() && self.waiting.is_empty();
            let is_idle = has_none && self.repairs.is_empty();
            offers.wait((!is_idle).then_some(LOOK_INTERVAL));
        }
        Ok(())
    }

    /// Whether nothing is under way and nothing waits.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty()
            && self.waiting.is_empty()
            && self.repairs.is_empty()
            && self.world.node.offers.lock().is_empty()
    }

    /// One look at everything. `true`: something was done. An error: the node must stop.
    pub(crate) fn turn(&mut self) -> Result<bool, FlushError> {
        let (offers, events) = self.world.node.offers.take();
        let mut has_worked = !offers.is_empty() || !events.is_empty();
        for event in events {
            if let Some(take_over) = self.active.get_mut(&event.group) {
                take_over.hear(event.what, &mut self.world)?;
            }
        }
        for offer in offers.into_values() {
            self.take_offer(offer);
        }
        self.begin_waiting();
        let mut ended = Vec::new();
        for (group, take_over) in &mut self.active {
            has_worked |= take_over.turn(&mut self.world)?;
            ended.extend(take_over.outcome().is_some().then_some(*group));
        }
        for group in ended {
            has_worked = true;
            self.end(group)?;
        }
        has_worked |= self.repairs.turn(&mut self.world)?;
        self.publish();
        Ok(has_worked)
    }

    /// Another leader's offer makes the earlier one worthless: what was brought serves it as well.
    /// One by the same leader waits, since every offer must have its answer.
    fn take_offer(&mut self, offer: SnapshotOffer) {
        let group = offer.group;
        if let Some(active) = self.active.get_mut(&group)
            && active.is_outdated_by(&offer)
        {
            active.give_up("another node leads the group");
        }
        self.waiting.insert(group, offer);
    }

    fn begin_waiting(&mut self) {
        let now = self.world.node.elapsed();
        self.paused.retain(|_, until| *until > now);
        while self.active.len() < MAX_GROUP_COUNT {
            let may_begin = |group: &&GroupId| {
                !self.active.contains_key(group) && !self.paused.contains_key(group)
            };
            let Some(group) = self.waiting.keys().find(may_begin).copied() else {
                return;
            };
            if let Some(offer) = self.waiting.remove(&group) {
                tracing::info!(%group, from = %offer.from, index = offer.index, "taking over a checkpoint");
                self.world.checkpoints.hold(group);
                self.active.insert(group, TakeOver::new(offer));
            }
        }
    }

    fn end(&mut self, group: GroupId) -> Result<(), FlushError> {
        let Some(ended) = self.active.remove(&group) else {
            return Ok(());
        };
        let (offer, outcome) = ended.end()?;
        let body = match outcome {
            Outcome::Done(body) => {
                tracing::info!(%group, index = offer.index, "checkpoint is taken over");
                Some(body)
            }
            Outcome::GivenUp(reason) => {
                tracing::warn!(%group, index = offer.index, reason, "checkpoint is not taken over");
                if !self.waiting.contains_key(&group) {
                    let until = self.world.node.elapsed().plus(PAUSE_MS);
                    self.paused.insert(group, until);
                }
                None
            }
        };
        let node = &self.world.node;
        node.handle_of(group).send(Input::CaughtUp { offer, body });
        self.world.checkpoints.release(group);
        Ok(())
    }

    fn publish(&self) {
        let progress = |(group, take_over): (&GroupId, &TakeOver)| {
            let (brought_bytes, total_bytes) = take_over.progress();
            let progress = CatchUpProgress {
                group: *group,
                brought_bytes,
                total_bytes,
            };
            (*group, progress)
        };
        *self.world.node.offers.progress() = self.active.iter().map(progress).collect();
    }
}
