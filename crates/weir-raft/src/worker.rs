//! All groups of one worker: inputs in, one write out, committed entries applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_log::{
    Millis,
    wal::{WalError, WalPort},
};
use weir_model::{GroupId, NodeId};

use crate::{
    ApplyError, BufferPool, Command, Done, FoundError, GroupSeed, GroupStatus, Handle, Input,
    Lifetime, Moment, NotCommitted, SnapshotPort, StateMachine,
    group::{Group, Output},
    peer::PeerMessage,
};

/// Time between two ticks of groups with peers, in ms.
pub(crate) const TICK_MS: u64 = 100;

/// Longest time that a worker which was told to stop waits for the disk and for other nodes, in
/// ms: either may never answer.
pub const MAX_STOPPING_MS: u64 = 3_000;

/// How a worker is set up.
pub struct WorkerConfig {
    /// This node.
    pub node: NodeId,
    /// The write-ahead log.
    pub wal: Arc<dyn WalPort>,
    /// Memory of entries.
    pub buffers: Arc<BufferPool>,
    /// Takes up checkpoints that leaders offer to this node.
    pub snapshots: Arc<dyn SnapshotPort>,
    /// What becomes of new proposals to groups of that lifetime at the moment.
    pub admit: Box<dyn Fn(Lifetime) -> Admission + Send>,
}

/// What becomes of proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// They are proposed.
    Take,
    /// They stay queued until [`Input::Nudge`] finds another answer.
    Hold,
    /// They are answered with [`NotCommitted::StorageFull`].
    Refuse,
}

/// What a turn left to do.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be sent to peers.
    pub messages: Vec<PeerMessage>,
    /// How long the next turn can wait without input, in ms.
    pub next_turn_in_ms: Option<u64>,
    /// The worker was told to stop, and has settled everything or waited for
    /// [`MAX_STOPPING_MS`]. Nobody waits for an answer any more.
    pub stopped: bool,
}

/// Why a worker cannot go on: the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkerFailed {
    /// The write-ahead log failed.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A committed command cannot be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Owns groups and runs them, a turn at a time.
pub struct Worker<S: StateMachine> {
    config: WorkerConfig,
    handle: Handle<S>,
    groups: BTreeMap<GroupId, Group<S>>,
    dirty: BTreeSet<GroupId>,
    deadlines: BTreeMap<GroupId, Millis>,
    down: BTreeSet<NodeId>,
    /// When groups tick next, by the clock that never jumps.
    next_tick_ms: Option<u64>,
    inputs: Vec<Input<S>>,
    held: Vec<Input<S>>,
    stopping: bool,
    /// When a worker that is stopping waits no longer, by the clock that never jumps.
    stops_by_ms: Option<u64>,
    failed: Option<WorkerFailed>,
}

impl<S: StateMachine> Worker<S> {
    /// A worker without groups that listens to `handle`.
    pub fn new(config: WorkerConfig, handle: Handle<S>) -> Self {
        Self {
            config,
            handle,
            groups: BTreeMap::new(),
            dirty: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            down: BTreeSet::new(),
            next_tick_ms: None,
            inputs: Vec::new(),
            held: Vec::new(),
            stopping: false,
            stops_by_ms: None,
            failed: None,
        }
    }

    /// Takes a group in. Committed entries are applied by the next turn.
    pub fn add_group(&mut self, seed: GroupSeed<S>) -> Result<Arc<GroupStatus>, FoundError> {
        let id = seed.group;
        let mut group = Group::open(&self.config, seed)?;
        for node in &self.down {
            group.peer_changed(*node, false);
        }
        group.campaign_if_alone();
        let status = group.status();
        let before = self.groups.insert(id, group);
        assert!(before.is_none(), "a group is opened once");
        self.dirty.insert(id);
        Ok(status)
    }

    /// Runs all groups that are here with a bug.
    #[cfg(feature = "seeded-bugs")]
    pub fn seed_bug(&mut self, bug: crate::RaftBug) {
        for group in self.groups.values_mut() {
            group.bugs.bug = Some(bug);
        }
    }

    /// Handles all that is waiting. Call again when input arrives or the deadline is reached.
    pub fn turn(&mut self, at: Moment) -> Result<Turn, WorkerFailed> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.try_turn(at).inspect_err(|failed| {
            self.failed = Some(failed.clone());
            self.settle_everything(NotCommitted::StorageFailed);
        })
    }

    fn try_turn(&mut self, at: Moment) -> Result<Turn, WorkerFailed> {
        let mut out = Output::default();
        self.take_inputs(at, &mut out)?;
        self.pass_time(at);
        for id in std::mem::take(&mut self.dirty) {
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            group.advance(at, &mut out)?;
            match group.next_deadline(at) {
                Some(deadline) => self.deadlines.insert(id, deadline),
                None => self.deadlines.remove(&id),
            };
        }
        let Output {
            records,
            readies,
            messages,
            offers,
        } = out;
        for offer in offers {
            self.config.snapshots.offered(offer);
        }
        if !records.is_empty() {
            let handle = self.handle.clone();
            let done = move |result| handle.send(Input::Persisted { readies, result });
            self.config.wal.submit(records, Box::new(done));
        }
        Ok(Turn {
            messages,
            stopped: self.has_stopped(at),
            next_turn_in_ms: self.next_turn_in_ms(at),
        })
    }

    /// What a worker leaves behind when it has waited long enough may be committed or not, as
    /// after a crash.
    fn has_stopped(&mut self, at: Moment) -> bool {
        if !self.stopping {
            return false;
        }
        let limit = at.elapsed_ms.saturating_add(MAX_STOPPING_MS);
        let stops_by_ms = *self.stops_by_ms.get_or_insert(limit);
        let is_settled = self.groups.values().all(Group::is_settled);
        if !is_settled && at.elapsed_ms < stops_by_ms {
            return false;
        }
        if !is_settled {
            tracing::warn!("stops though the disk or the other nodes have not answered");
        }
        self.settle_everything(NotCommitted::LeadershipLost);
        true
    }

    fn take_inputs(&mut self, at: Moment, out: &mut Output) -> Result<(), WorkerFailed> {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.append(&mut self.held);
        self.handle.drain(&mut inputs);
        let (durable, transient) = (
            self.admission(Lifetime::Durable),
            self.admission(Lifetime::Transient),
        );
        let mut result = Ok(());
        for input in inputs.drain(..) {
            let admission = match self.lifetime_of(&input) {
                Lifetime::Durable => durable,
                Lifetime::Transient => transient,
            };
            let outcome = match (input, admission) {
                (Input::Propose { done, .. }, Err(why)) => {
                    if let Some(done) = done {
                        done(Err(why));
                    }
                    Ok(())
                }
                (input @ Input::Propose { .. }, Ok(Admission::Hold)) => {
                    self.held.push(input);
                    Ok(())
                }
                (input, _) => self.take_input(at, input, out),
            };
            result = result.and(outcome);
        }
        self.inputs = inputs;
        result
    }

    /// Of the group that is to take a proposal.
    fn lifetime_of(&self, input: &Input<S>) -> Lifetime {
        let group = match input {
            Input::Propose { group, .. } => self.groups.get(group),
            _ => None,
        };
        group.map(Group::lifetime).unwrap_or_default()
    }

    fn admission(&self, lifetime: Lifetime) -> Result<Admission, NotCommitted> {
        if self.stopping {
            return Err(NotCommitted::ShuttingDown);
        }
        match (self.config.admit)(lifetime) {
            Admission::Refuse => Err(NotCommitted::StorageFull),
            admission @ (Admission::Take | Admission::Hold) => Ok(admission),
        }
    }

    fn take_input(
        &mut self,
        at: Moment,
        input: Input<S>,
        out: &mut Output,
    ) -> Result<(), WorkerFailed> {
        match input {
            Input::Propose {
                group,
                command,
                done,
            } => self.propose(at, group, command, done),
            Input::Visit { group, visit } => {
                if let Some(group) = self.touch(group) {
                    group.visit(at, visit);
                }
            }
            Input::ReadBarrier { group, done } => match self.touch(group) {
                Some(group) => group.read_barrier(done),
                None => done(Err(NotCommitted::NotLeader)),
            },
            Input::Checkpointed { group, checkpoint } => {
                if let Some(group) = self.touch(group) {
                    group.checkpointed(checkpoint);
                }
            }
            Input::CaughtUp { offer, body } => {
                if let Some(group) = self.touch(offer.group) {
                    group.caught_up(offer, body, out)?;
                }
            }
            Input::PeerChanged { node, is_up } => self.peer_changed(node, is_up),
            Input::Retire { group, done } => match self.touch(group) {
                Some(group) => group.retire(done, out)?,
                None => done(),
            },
            Input::ChangeMembers {
                group,
                changes,
                done,
            } => match self.touch(group) {
                Some(group) => group.change_members(&changes, done),
                None => done(Err(NotCommitted::NotLeader)),
            },
            Input::TransferLeadership { group, to } => {
                if let Some(group) = self.touch(group) {
                    group.transfer_leadership(to);
                }
            }
            Input::Persisted { readies, result } => {
                result?;
                for (id, number) in readies {
                    self.touch(id)
                        .expect("a group stays")
                        .persisted(number, out);
                }
            }
            Input::Step(message) => {
                if let Some(group) = self.touch(message.group) {
                    group.step(message.from, message.body, out);
                }
            }
            Input::Nudge => {}
            Input::Stop => self.stopping = true,
        }
        Ok(())
    }

    fn propose(
        &mut self,
        at: Moment,
        group: GroupId,
        command: Command,
        done: Option<Done<S::Outcome>>,
    ) {
        if let Some(group) = self.touch(group) {
            group.propose(at, command, done);
        } else if let Some(done) = done {
            done(Err(NotCommitted::NotLeader));
        }
    }

    fn peer_changed(&mut self, node: NodeId, is_up: bool) {
        if is_up {
            self.down.remove(&node);
        } else {
            self.down.insert(node);
        }
        for (id, group) in &mut self.groups {
            group.peer_changed(node, is_up);
            self.dirty.insert(*id);
        }
    }

    fn touch(&mut self, id: GroupId) -> Option<&mut Group<S>> {
        let group = self.groups.get_mut(&id)?;
        self.dirty.insert(id);
        Some(group)
    }

    fn pass_time(&mut self, at: Moment) {
        let elapsed = at.elapsed();
        let due = |(id, deadline): (&GroupId, &Millis)| (*deadline <= elapsed).then_some(*id);
        let due: Vec<GroupId> = self.deadlines.iter().filter_map(due).collect();
        for id in due {
            if let Some(group) = self.touch(id) {
                group.visit(at, |machine, context| machine.handle_timeout(context));
            }
        }
        if self.next_tick_ms.is_some_and(|tick| tick <= at.elapsed_ms) {
            for (id, group) in &mut self.groups {
                if group.needs_ticks() {
                    group.tick();
                    self.dirty.insert(*id);
                }
            }
            self.next_tick_ms = None;
        }
    }

    fn next_turn_in_ms(&mut self, at: Moment) -> Option<u64> {
        if self.next_tick_ms.is_none() && self.groups.values().any(Group::needs_ticks) {
            self.next_tick_ms = Some(at.elapsed_ms + TICK_MS);
        }
        let tick = self
            .next_tick_ms
            .map(|tick| tick.saturating_sub(at.elapsed_ms));
        let deadline = self.deadlines.values().min();
        let deadline = deadline.map(|deadline| deadline.since(at.elapsed()));
        let stop = self
            .stops_by_ms
            .map(|stops_by| stops_by.saturating_sub(at.elapsed_ms));
        tick.into_iter().chain(deadline).chain(stop).min()
    }

    fn settle_everything(&mut self, why: NotCommitted) {
        let mut waiting = std::mem::take(&mut self.held);
        self.handle.drain(&mut waiting);
        for input in waiting {
            match input {
                Input::Propose {
                    done: Some(done), ..
                } => done(Err(why)),
                Input::ReadBarrier { done, .. } | Input::ChangeMembers { done, .. } => {
                    done(Err(why));
                }
                Input::Propose { done: None, .. }
                | Input::Visit { .. }
                | Input::Checkpointed { .. }
                | Input::CaughtUp { .. }
                | Input::PeerChanged { .. }
                | Input::Retire { .. }
                | Input::TransferLeadership { .. }
                | Input::Persisted { .. }
                | Input::Step(_)
                | Input::Nudge
                | Input::Stop => {}
            }
        }
        self.groups
            .values_mut()
            .for_each(|group| group.settle_in_flight(why));
    }
}
