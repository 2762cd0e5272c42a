//! Taking over a leader's checkpoint: what it names is brought here, range by range of batches.
//!
//! The worker puts an offer into [`Offers`]; [`CatchUp`] works it off, a turn at a time: the
//! group's checkpoints are held, missing ranges are brought into segments of their own, the
//! checkpoint is saved with this node's manifests, and only then does the replica hear of it.
//! What an offer that was given up has brought is left to the next one.

mod component;
mod ranges;
mod repair;
mod take_over;
#[cfg(test)]
mod tests;
mod throttle;

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use weir_log::partition::PartitionLog;
use weir_model::{GroupId, PartitionId};
use weir_raft::{Input, SnapshotOffer, SnapshotPort};

pub(crate) use self::{
    component::CatchUp,
    ranges::{reread_answer, reread_call, serve},
};
use crate::{Node, peer::CallFailed};

/// Most damaged files that wait to be looked at: more are found again.
const MAX_DAMAGED_COUNT: usize = 1024;

/// How far a replica of this node is with taking over its leader's checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUpProgress {
    /// The group.
    pub group: GroupId,
    /// Bytes brought by this take-over.
    pub brought_bytes: u64,
    /// Bytes that were missing when it began, roughly.
    pub total_bytes: u64,
}

/// What the component is told, from workers, the transport and the checkpointer.
#[derive(Default)]
pub(crate) struct Offers {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    progress: Mutex<BTreeMap<GroupId, CatchUpProgress>>,
}

#[derive(Default)]
struct Inbox {
    /// The last one of each group.
    offers: BTreeMap<GroupId, SnapshotOffer>,
    /// Bounded by the calls that are under way.
    events: Vec<Event>,
    /// Files in which a reader has found damage.
    damaged: BTreeMap<(PartitionId, String), Arc<PartitionLog>>,
    /// For the repair that is under way.
    repair_answers: Vec<(u64, Result<Bytes, CallFailed>)>,
    is_closed: bool,
}

/// Something that a take-over waits for.
struct Event {
    group: GroupId,
    what: What,
}

enum What {
    /// A call's answer.
    Answer {
        call: u64,
        result: Result<Bytes, CallFailed>,
    },
    /// The checkpoint is durable, or could not be saved.
    Saved { index: u64, is_saved: bool },
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.offers.is_empty()
            && self.events.is_empty()
            && self.damaged.is_empty()
            && self.repair_answers.is_empty()
    }
}

impl Offers {
    /// A reader has found damage in a file of this partition.
    pub(crate) fn found_damage(&self, log: &Arc<PartitionLog>, path: &str) {
        let mut inbox = self.lock();
        if inbox.damaged.len() < MAX_DAMAGED_COUNT {
            let key = (log.id(), path.to_owned());
            inbox.damaged.insert(key, Arc::clone(log));
            drop(inbox);
            self.arrived.notify_one();
        }
    }

    fn tell(&self, group: GroupId, what: What) {
        self.lock().events.push(Event { group, what });
        self.arrived.notify_one();
    }

    /// Ends [`CatchUp::run`].
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Everything that arrived.
    fn take(&self) -> (BTreeMap<GroupId, SnapshotOffer>, Vec<Event>) {
        let mut inbox = self.lock();
        let offers = std::mem::take(&mut inbox.offers);
        (offers, std::mem::take(&mut inbox.events))
    }

    /// Waits until something arrives, at most for `limit`.
    fn wait(&self, limit: Option<Duration>) {
        let is_idle = |inbox: &mut Inbox| inbox.is_empty() && !inbox.is_closed;
        match limit {
            Some(limit) => drop(self.arrived.wait_timeout_while(self.lock(), limit, is_idle)),
            None => drop(self.arrived.wait_while(self.lock(), is_idle)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, BTreeMap<GroupId, CatchUpProgress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotPort for Offers {
    fn offered(&self, offer: SnapshotOffer) {
        self.lock().offers.insert(offer.group, offer);
        self.arrived.notify_one();
    }
}

impl Node {
    /// This node takes no part in the group any more, for certain: its replica forgets log and
    /// state, and the disk its checkpoint and files. The one way to
    /// [`Input::Retire`](weir_raft::Input::Retire).
    pub fn retire_replica(&self, group: GroupId) {
        let checkpoints = Arc::clone(&self.env.checkpoints);
        // At once: what is taken over from now on must not be removed for the replica that goes.
        checkpoints.retiring(group, []);
        let done = Box::new(move || checkpoints.retired(group));
        self.handle_of(group).send(Input::Retire { group, done });
    }

    /// Groups whose replicas here take over a checkpoint at the moment.
    pub fn catch_up_progress(self: &Arc<Self>) -> Vec<CatchUpProgress> {
        self.offers.progress().values().copied().collect()
    }
}
