//! Moves what groups hold in memory to segments and checkpoints, so that the write-ahead log
//! stays short; keeps retention and compaction going.
//!
//! A checkpoint is taken in two steps: the group's worker gives a *plan*, the state at one index;
//! the checkpointer flushes the plan's partitions, stores the checkpoint, and only then lets go
//! of the write-ahead log's entries and of memory.

mod cleanup;
mod forget;
mod requests;
mod spill;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use weir_log::{
    Checkpoint, CheckpointError, CheckpointStore, FlushError, Millis, PartitionManifest,
    compaction::Live,
    wal::{GroupCommit, WalPort},
};
use weir_model::{GroupId, PartitionId, Term};
use weir_raft::{Context, GroupCheckpoint, Input, Members};

pub(crate) use self::requests::TakenOver;
use crate::{machine::Machine, node::Node, outcome::AppliedOutcome, shard::ShardPlan};

/// Sleep between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Pause before a full disk is tried again, in ms.
const FULL_RETRY_MS: u64 = 500;
/// Part of the tail's budget at which a flush begins.
const FLUSH_PART: u64 = 2;
/// Part of the write-ahead log's greatest length at which a flush begins.
const WAL_PART: u64 = 4;

/// What a group's worker gives.
struct Plan {
    group: GroupId,
    index: u64,
    term: Term,
    members: Members,
    machine: MachinePlan,
}

enum MachinePlan {
    Metadata(Bytes),
    Shard(Box<ShardPlan>),
}

/// Why checkpoints cannot go on: the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointFailed {
    /// A flush failed.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// A checkpoint could not be stored.
    #[error(transparent)]
    Store(#[from] CheckpointError),
}

#[derive(Default)]
struct Inbox {
    plans: Vec<Plan>,
    requests: requests::Requests,
    /// Bodies that are not dead, as shards have said when they were asked.
    bodies: BTreeMap<PartitionId, Live>,
    is_closed: bool,
}

/// What others see of the checkpointer.
#[derive(Default)]
pub(crate) struct CheckpointState {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    /// The disk was full at the last try.
    is_full: AtomicBool,
    /// The disk was full when transient partitions were last spilled.
    pub(crate) is_spill_full: AtomicBool,
}

/// One per node.
pub(crate) struct Checkpointer {
    node: Arc<Node>,
    wal: Arc<GroupCommit>,
    checkpoints: CheckpointStore,
    state: Arc<CheckpointState>,
    /// Index of each group's last checkpoint.
    saved: BTreeMap<GroupId, u64>,
    /// Plans that were asked for and did not arrive yet.
    awaited_count: usize,
    /// Plans that a full disk holds up.
    pending: Vec<Plan>,
    /// All groups are due, changed or not.
    is_forced: bool,
    /// All groups that changed are due.
    is_hurried: bool,
    /// A group waits for a checkpoint before it is left alone.
    is_hold_awaited: bool,
    /// Nothing more may be written: what the disk holds is not known.
    has_failed: bool,
    /// When a full disk is tried again.
    retry_at: Option<Millis>,
    next_cleanup: Option<Millis>,
    forgetting: forget::Forgetting,
    spilling: spill::Spilling,
}

impl CheckpointState {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the disk had no room at the last try.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }
}

impl Checkpointer {
    pub(crate) fn new(
        node: Arc<Node>,
        wal: Arc<GroupCommit>,
        checkpoints: CheckpointStore,
        state: Arc<CheckpointState>,
        saved: BTreeMap<GroupId, u64>,
    ) -> Self {
        Self {
            node,
            wal,
            checkpoints,
            state,
            saved,
            awaited_count: 0,
            pending: Vec::new(),
            is_forced: false,
            is_hurried: false,
            is_hold_awaited: false,
            has_failed: false,
            retry_at: None,
            next_cleanup: None,
            forgetting: forget::Forgetting::default(),
            spilling: spill::Spilling::default(),
        }
    }

    /// Looks and works until [`CheckpointState::close`].
    pub(crate) fn run(mut self) -> Result<Self, CheckpointFailed> {
        loop {
            self.turn()?;
            self.node.sync_identity();
            let state = Arc::clone(&self.state);
            let inbox = state.lock();
            if inbox.is_closed {
                drop(inbox);
                return Ok(self);
            }
            if inbox.plans.is_empty() && inbox.requests.is_empty() {
                let waited = state.arrived.wait_timeout(inbox, LOOK_INTERVAL);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// One look: asks for plans where it is time, and finishes those that are complete.
    pub(crate) fn turn(&mut self) -> Result<(), CheckpointFailed> {
        if self.has_failed {
            return Ok(());
        }
        let turned = self.try_turn();
        self.has_failed = turned.is_err();
        turned
    }

    fn try_turn(&mut self) -> Result<(), CheckpointFailed> {
        self.forget_deleted();
        self.clean_up()?;
        self.spill()?;
        if self.awaited_count == 0 && self.pending.is_empty() {
            self.serve_requests()?;
            if self.is_due() {
                let include_unchanged = std::mem::take(&mut self.is_forced);
                self.is_hurried = false;
                self.ask_for_plans(include_unchanged);
            }
        }
        self.take_plans();
        let now = self.node.elapsed();
        let may_try = self.retry_at.is_none_or(|at| at <= now);
        if self.awaited_count == 0 && !self.pending.is_empty() && may_try {
            self.finish(now)?;
        }
        Ok(())
    }

    /// Asks for a checkpoint of every group that changed, at the next turn.
    pub(crate) fn force(&mut self) {
        self.is_forced = true;
    }

    /// Asks for a checkpoint of every group that changed, whatever its size.
    pub(crate) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Whether a full disk holds a checkpoint up.
    pub(crate) fn is_held_up(&self) -> bool {
        self.retry_at.is_some()
    }

    /// Whether a checkpoint is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_forced || self.is_hurried || self.awaited_count > 0 || !self.pending.is_empty()
    }

    fn saved_index(&self, group: GroupId) -> u64 {
        self.saved.get(&group).copied().unwrap_or_default()
    }

    fn is_due(&self) -> bool {
        let config = &self.node.config;
        let unflushed = self.node.env.store.unflushed_bytes();
        self.is_forced
            || self.is_hurried
            || self.is_hold_awaited
            || unflushed >= config.store.tail_budget_bytes / FLUSH_PART
            // On a disk that is nearly full, segments take the place of log files.
            || !self.wal.accepts()
            || self.wal.figures().live_bytes >= config.wal.max_total_bytes / WAL_PART
    }

    fn ask_for_plans(&mut self, include_unchanged: bool) {
        for group in (0..=self.node.config.shard_count).map(GroupId) {
            let applied = self.node.applied(group);
            let is_unchanged = applied <= self.saved_index(group) && !include_unchanged;
            if applied == 0 || is_unchanged || self.state.is_held(group) {
                continue;
            }
            let state = Arc::clone(&self.state);
            let visit = Box::new(
                move |machine: &mut Machine, context: &mut Context<'_, AppliedOutcome>| {
                    state.lock().plans.push(plan(group, machine, context));
                    state.arrived.notify_one();
                },
            );
            self.node
                .handle_of(group)
                .send(Input::Visit { group, visit });
            self.awaited_count += 1;
        }
    }

    fn take_plans(&mut self) {
        let arrived = std::mem::take(&mut self.state.lock().plans);
        self.awaited_count -= arrived.len();
        // A group that took over a checkpoint and has not come up to it yet, or that has retired.
        let counts = |plan: &Plan| plan.index > 0 && plan.index >= self.saved_index(plan.group);
        let arrived: Vec<Plan> = arrived.into_iter().filter(counts).collect();
        self.pending.extend(arrived);
    }

    fn finish(&mut self, now: Millis) -> Result<(), CheckpointFailed> {
        let plans = std::mem::take(&mut self.pending);
        let is_full = match self.store(plans) {
            Ok(()) => false,
            Err(error) if is_full(&error) => {
                if self.retry_at.is_none() {
                    tracing::warn!(%error, "disk full: writes are refused until there is space");
                }
                true
            }
            Err(error) => return Err(error),
        };
        if self.retry_at.is_some() && !is_full {
            tracing::warn!("disk has space again: writes are taken");
        }
        self.state.is_full.store(is_full, Ordering::Release);
        self.retry_at = is_full.then(|| now.plus(FULL_RETRY_MS));
        for handle in &self.node.handles {
            handle.send(Input::Nudge);
        }
        Ok(())
    }

    /// Flushes and stores; on a full disk what is not stored yet stays pending.
    fn store(&mut self, plans: Vec<Plan>) -> Result<(), CheckpointFailed> {
        let mut manifests: BTreeMap<PartitionId, PartitionManifest> = match self.flush(&plans) {
            Ok(manifests) => manifests.into_iter().collect(),
            Err(error) => {
                self.pending = plans;
                return Err(error.into());
            }
        };
        let mut plans = plans.into_iter();
        while let Some(plan) = plans.next() {
            let body = match self.save(&plan, &manifests) {
                Ok(body) => body,
                Err(error) => {
                    self.pending = std::iter::once(plan).chain(plans).collect();
                    return Err(error.into());
                }
            };
            // At once: a flush that is repeated for later groups must not touch what this
            // checkpoint names.
            self.let_go(plan, body, &mut manifests);
        }
        Ok(())
    }

    fn flush(&self, plans: &[Plan]) -> Result<Vec<(PartitionId, PartitionManifest)>, FlushError> {
        let policy = |partition: PartitionId| {
            let place = self.node.stored_as(partition);
            place.map(|place| place.policy).unwrap_or_default()
        };
        let shard_plans = plans.iter().filter_map(|plan| match &plan.machine {
            MachinePlan::Shard(shard) => Some(shard),
            MachinePlan::Metadata(_) => None,
        });
        let jobs: Vec<_> = shard_plans.flat_map(|shard| shard.jobs(policy)).collect();
        self.node.env.store.flush(&jobs)
    }

    fn save(
        &self,
        plan: &Plan,
        manifests: &BTreeMap<PartitionId, PartitionManifest>,
    ) -> Result<Bytes, CheckpointError> {
        let machine = match &plan.machine {
            MachinePlan::Metadata(body) => body.clone(),
            MachinePlan::Shard(shard) => shard.encode(manifests),
        };
        let body = encode_body(&plan.members, &machine);
        let checkpoint = Checkpoint {
            index: plan.index,
            term: plan.term,
            body,
        };
        self.checkpoints.save(plan.group, &checkpoint)?;
        Ok(machine)
    }

    /// What the checkpoint covers need not be kept elsewhere.
    fn let_go(
        &mut self,
        plan: Plan,
        body: Bytes,
        manifests: &mut BTreeMap<PartitionId, PartitionManifest>,
    ) {
        let (group, index) = (plan.group, plan.index);
        if let MachinePlan::Shard(shard) = &plan.machine {
            self.node
                .env
                .store
                .installed(shard.take_manifests(manifests));
        }
        self.saved.insert(group, index);
        let dropped = self.state.take_dropped(group, index);
        self.remove_partitions(dropped);
        // The log of a group that retires begins anew, perhaps further back.
        if !self.state.is_retiring(group) {
            self.wal.release(group, index);
        }
        let checkpoint = GroupCheckpoint {
            index,
            term: plan.term,
            members: plan.members,
            body,
        };
        self.node
            .handle_of(group)
            .send(Input::Checkpointed { group, checkpoint });
    }
}

fn plan(group: GroupId, machine: &mut Machine, context: &Context<'_, AppliedOutcome>) -> Plan {
    Plan {
        group,
        index: context.applied,
        term: context.applied_term,
        members: context.members.clone(),
        machine: match machine {
            Machine::Metadata(metadata) => MachinePlan::Metadata(metadata.encode()),
            Machine::Shard(shard) => MachinePlan::Shard(Box::new(shard.plan())),
        },
    }
}

pub(crate) fn encode_body(members: &Members, machine: &Bytes) -> Bytes {
    let mut body = BytesMut::with_capacity(machine.len() + 64);
    members.encode(&mut body);
    body.extend_from_slice(machine);
    body.freeze()
}

/// Splits a checkpoint's body; `None` where it is damaged.
pub(crate) fn decode_body(mut body: Bytes) -> Option<(Members, Bytes)> {
    let members = Members::decode(&mut body)?;
    Some((members, body))
}

fn is_full(error: &CheckpointFailed) -> bool {
    match error {
        CheckpointFailed::Flush(FlushError::Full { .. })
        | CheckpointFailed::Store(CheckpointError::Full { .. }) => true,
        CheckpointFailed::Flush(FlushError::Failed { .. } | FlushError::Corrupt { .. })
        | CheckpointFailed::Store(
            CheckpointError::Io { .. }
            | CheckpointError::Corrupt { .. }
            | CheckpointError::UnknownVersion { .. }
            | CheckpointError::TooLarge { .. },
        ) => false,
    }
}
