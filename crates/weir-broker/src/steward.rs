//! Looks after the cluster: who carries which group, and who leads it.
//!
//! Every node has one. That of the node that leads the metadata group makes a [`plan`] and sends
//! its steps to the groups' leaders; all others look after their own node: replicas that are left
//! out go, and a slow disk leads nothing.

mod admin;
mod cluster;
mod hand_over;
mod plan;
mod requests;
mod retire;
mod slow_disk;
mod status;
mod step;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use weir_log::wal::GroupCommit;
use weir_model::{GroupId, NodeId};
use weir_raft::FREE_UNUSED_INTERVAL_MS;

pub(crate) use self::plan::SHARD_REPLICA_COUNT;
pub use self::{
    admin::{
        AdminAnswer, AdminRequest, ClusterStatus, FollowerRow, GroupRow, MAX_ADMIN_REQUEST_BYTES,
        NodeStanding, NodeStatus,
    },
    requests::AdminDone,
};
use self::{plan::Limits, retire::Retiring, slow_disk::SlowDisk, step::Order};
use crate::{Node, audit::Requester, call, node::queues::QueueKeeper, peer::Answer};

/// Time between two looks at this node's disk, in ms.
const TURN_INTERVAL_MS: u64 = 100;
/// Time between two plans, in ms.
const STEWARD_INTERVAL_MS: u64 = 500;
/// How long a group rests after a step, in ms: by then what it changed is known everywhere, and
/// a step that got lost is taken again.
const STEP_PAUSE_MS: u64 = 2_000;

/// What others see of the steward, and tell it.
#[derive(Default)]
pub(crate) struct StewardState {
    /// A mutex: taken ten times a second, to sleep.
    is_closed: Mutex<bool>,
    closed: Condvar,
    wants_balance: AtomicBool,
}

impl StewardState {
    pub(crate) fn close(&self) {
        *self.lock() = true;
        self.closed.notify_all();
    }

    pub(crate) fn want_balance(&self) {
        self.wants_balance.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets another voter of the group lead, if that is still wanted where the group is led.
pub(crate) fn transfer(node: &Arc<Node>, group: GroupId, to: NodeId) {
    let facts = cluster::facts(node);
    let Some(led) = facts.group(group) else {
        return;
    };
    let step = plan::Step {
        group,
        leader: led.leader,
        action: plan::Action::Transfer(to),
    };
    let (leader, order) = Order::of(step, &facts);
    let done = move |result: Result<(), String>| {
        if let Err(reason) = result {
            tracing::info!(%group, %leader, reason, "leadership was not handed over");
        }
    };
    step::send(node, leader, order, Box::new(done));
}

/// One per node.
pub(crate) struct Steward {
    node: Arc<Node>,
    wal: Arc<GroupCommit>,
    next_turn_ms: u64,
    next_look_ms: u64,
    /// When memory of entries that nobody uses is freed.
    next_round_ms: u64,
    queues: QueueKeeper,
    disk: SlowDisk,
    is_slow: bool,
    retiring: Retiring,
    /// Groups that had a step, and until when they rest.
    rests: BTreeMap<GroupId, u64>,
}

impl Steward {
    pub(crate) fn new(node: Arc<Node>, wal: Arc<GroupCommit>) -> Self {
        Self {
            node,
            wal,
            next_turn_ms: 0,
            next_look_ms: 0,
            next_round_ms: 0,
            queues: QueueKeeper::default(),
            disk: SlowDisk::default(),
            is_slow: false,
            retiring: Retiring::default(),
            rests: BTreeMap::new(),
        }
    }

    /// Looks until [`StewardState::close`].
    pub(crate) fn run(mut self) {
        let node = Arc::clone(&self.node);
        loop {
            self.turn();
            let is_closed = node.steward.lock();
            if *is_closed {
                return;
            }
            let interval = Duration::from_millis(TURN_INTERVAL_MS);
            let waited = node.steward.closed.wait_timeout(is_closed, interval);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Leaves everything as it is.
    #[cfg(test)]
    pub(crate) fn rest(&mut self) {
        self.next_turn_ms = u64::MAX;
    }

    /// One look, where it is time.
    pub(crate) fn turn(&mut self) {
        let now_ms = u64::try_from(self.node.elapsed().0).unwrap_or(0);
        if now_ms < self.next_turn_ms {
            return;
        }
        self.next_turn_ms = now_ms + TURN_INTERVAL_MS;
        self.watch_room();
        self.watch_disk(now_ms);
        self.queues.turn(&self.node);
        self.node.write_audit();
        if now_ms < self.next_look_ms {
            return;
        }
        self.next_look_ms = now_ms + STEWARD_INTERVAL_MS;
        if now_ms >= self.next_round_ms {
            self.next_round_ms = now_ms + FREE_UNUSED_INTERVAL_MS;
            self.node.buffers.free_unused();
        }
        if self.is_slow {
            self.node.hand_over();
        }
        self.retire_replicas(now_ms);
        self.look_after_cluster(now_ms);
    }

    /// What is full at first is tried again every now and then, and takes back what it said.
    fn watch_room(&self) {
        let is_full = self.wal.is_disk_full() || self.node.env.checkpoints.is_full();
        self.node.set_full(is_full);
    }

    /// A node alone has nobody to lead in its place.
    fn watch_disk(&mut self, now_ms: u64) {
        if self.node.topology.load().nodes().len() < 2 {
            return;
        }
        let Some(is_slow) = self.disk.judge(now_ms, &self.wal.pace()) else {
            return;
        };
        tracing::warn!(is_slow, "disk of the write-ahead log");
        self.is_slow = is_slow;
        if is_slow {
            self.node.hand_over();
        } else {
            self.node.set_slow(false);
        }
    }

    fn retire_replicas(&mut self, now_ms: u64) {
        let node = self.node.id();
        let facts = cluster::facts(&self.node);
        for (id, status) in (0..).map(GroupId).zip(&self.node.statuses) {
            let (local, leaders) = (status.view(), facts.groups.get(&id));
            let leaders = leaders.map(|group| &*group.view);
            if self.retiring.look(now_ms, node, id, &local, leaders) {
                tracing::info!(group = %id, "the group goes on without this replica");
                self.node.retire_replica(id);
            }
        }
    }

    fn look_after_cluster(&mut self, now_ms: u64) {
        // A node counts as the leader once it has applied all that was decided before.
        if !self.node.leads(GroupId::METADATA) {
            return;
        }
        self.rests.retain(|_, until_ms| *until_ms > now_ms);
        let mut facts = cluster::facts(&self.node);
        for id in self.rests.keys() {
            if let Some(group) = facts.groups.get_mut(id) {
                group.is_resting = true;
            }
        }
        let mut limits = Limits::default();
        if self
            .node
            .steward
            .wants_balance
            .swap(false, Ordering::AcqRel)
        {
            limits.transfers_at_once = facts.groups.len();
        }
        for step in plan::plan(&facts, limits) {
            tracing::info!(?step, "step");
            let group = step.group;
            self.rests.insert(group, now_ms + STEP_PAUSE_MS);
            let (leader, order) = Order::of(step, &facts);
            let done = move |result: Result<(), String>| {
                if let Err(reason) = result {
                    tracing::info!(%group, %leader, reason, "a step was not taken");
                }
            };
            step::send(&self.node, leader, order, Box::new(done));
        }
    }
}

/// The body of a call of that tag as it is understood, written again.
pub(crate) fn reread_call(tag: u8, body: &[u8]) -> Option<Bytes> {
    if tag == call::ADMIN {
        let request = AdminRequest::decode(body).ok()?;
        return Some(request.to_call());
    }
    let order = Order::decode(body).ok()?;
    Some(order.encode())
}

/// Answers the steward's steps and people's requests.
pub(crate) fn serve(node: &Arc<Node>, from: NodeId, tag: u8, request: &Bytes, answer: Answer) {
    let from = (from.0 != 0).then_some(from);
    if tag == call::ADMIN {
        return match AdminRequest::decode(request) {
            Ok(request) => {
                let done = Box::new(|answered: AdminAnswer| answer(answered.encode()));
                let person = Requester::default();
                let by = match from {
                    Some(_) => requests::By::Node,
                    None => requests::By::Person(&person),
                };
                requests::serve(node, by, request, done);
            }
            Err(error) => answer(
                AdminAnswer::Refused {
                    reason: error.to_string(),
                }
                .encode(),
            ),
        };
    }
    let done: step::StepDone = Box::new(|result| answer(step::encode_answer(&result)));
    match (from, Order::decode(request)) {
        (Some(_), Ok(order)) => step::take(node, order, done),
        (Some(_), Err(error)) => done(Err(error.to_string())),
        (None, _) => done(Err("steps come from members of the cluster".to_owned())),
    }
}
