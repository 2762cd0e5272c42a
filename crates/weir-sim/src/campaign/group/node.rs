//! One run of the production node below its doors: log, checkpoints, worker, groups.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use weir_log::{
    Checkpoint, CheckpointStore, Clock,
    wal::{GroupCommit, SpareMaker, Wal, WalConfig, WalPort},
};
use weir_model::{GroupId, NodeId, Term};
use weir_raft::{
    Admission, Context, GroupCheckpoint, GroupSeed, Handle, Input, Lifetime, Members, Moment,
    NoSnapshots, NotCommitted, Worker, WorkerConfig,
};

use super::{
    GroupPlan,
    machine::{Answer, Journal, Record},
};
use crate::{
    campaign::{host::Host, wal_bug::with_bug},
    options::Options,
};

const NODE: NodeId = NodeId(1);

/// Turns that a settled node needs at most; more means that it never settles.
const MAX_SETTLE_TURNS: usize = 1_000;

/// What a producer heard.
pub(super) type Heard = (GroupId, Record, Result<Answer, NotCommitted>);

/// A group as seen from inside.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) journal: Journal,
    pub(super) leads: bool,
    applied: u64,
    applied_term: Term,
}

pub(super) struct Node {
    wal: Wal,
    queue: Arc<GroupCommit>,
    spares: SpareMaker,
    checkpoints: CheckpointStore,
    worker: Worker<Journal>,
    handle: Handle<Journal>,
    /// Behind a mutex, since answers come on the worker's thread in production.
    heard: Arc<Mutex<Vec<Heard>>>,
    clock: Arc<dyn Clock>,
}

impl Node {
    #[allow(
        clippy::needless_update,
        reason = "with the feature `seeded-bugs` of weir-log there is one more field"
    )]
    pub(super) fn open(plan: &GroupPlan, options: Options, host: &Host) -> Result<Self, String> {
        let disk = Arc::new(host.disk.clone());
        let config = WalConfig {
            file_size_bytes: plan.file_size_bytes,
            max_frame_bytes: 16 << 10,
            max_total_bytes: plan.max_total_bytes,
            spare_count: 1,
            ..WalConfig::default()
        };
        let log_disk = Arc::<crate::world::disk::SimDisk>::clone(&disk);
        let opened = Wal::open(log_disk, &*host.entropy, with_bug(config, options));
        let (wal, mut recovered, _) = opened.map_err(|error| error.to_string())?;
        let checkpoints = CheckpointStore::new(disk).map_err(|error| error.to_string())?;
        let mut saved = checkpoints.load_all().map_err(|error| error.to_string())?;
        let queue = GroupCommit::new(&wal);
        let handle = Handle::default();
        let config = WorkerConfig {
            node: NODE,
            wal: Arc::<GroupCommit>::clone(&queue),
            buffers: Arc::default(),
            snapshots: Arc::new(NoSnapshots),
            admit: Box::new(|_| Admission::Take),
        };
        let mut worker = Worker::new(config, handle.clone());
        for group in (0..plan.group_count).map(GroupId) {
            let saved = saved.remove(&group);
            let seed = GroupSeed {
                group,
                lifetime: Lifetime::Durable,
                members: Members {
                    voters: vec![NODE],
                    ..Members::default()
                },
                checkpoint: saved.as_ref().map_or((0, Term(0)), |s| (s.index, s.term)),
                snapshot: saved.as_ref().map(|s| s.body.clone()),
                recovered: recovered.remove(&group).unwrap_or_default(),
                machine: saved.map_or_else(Journal::default, |s| Journal::decode(&s.body)),
                election_seed: plan.seed,
            };
            worker.add_group(seed).map_err(|error| error.to_string())?;
        }
        Ok(Self {
            spares: wal.spare_maker(),
            wal,
            queue,
            checkpoints,
            worker,
            handle,
            heard: Arc::default(),
            clock: Arc::new(host.clock.clone()),
        })
    }

    pub(super) fn send(&self, group: GroupId, record: Record, payload: Bytes) {
        let heard = Arc::clone(&self.heard);
        let done = move |answer| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push((group, record, answer));
        };
        self.handle.send(Input::Propose {
            group,
            command: Journal::command(record, payload),
            done: Some(Box::new(done)),
        });
    }

    pub(super) fn turn(&mut self) -> Result<(), String> {
        let turned = self.worker.turn(Moment::of(&*self.clock));
        turned.map(|_| ()).map_err(|error| error.to_string())
    }

    pub(super) fn write(&mut self) -> bool {
        self.queue.run_once(&mut self.wal)
    }

    pub(super) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..MAX_SETTLE_TURNS {
            self.turn()?;
            if !self.write() && !self.handle.has_input() {
                return Ok(());
            }
        }
        Err("the node never settles".to_owned())
    }

    pub(super) fn prepare_spares(&self) -> Result<(), String> {
        self.spares.prepare().map_err(|error| error.to_string())
    }

    pub(super) fn take_heard(&self) -> Vec<Heard> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut heard)
    }

    /// Looks into a group.
    pub(super) fn see(&mut self, group: GroupId) -> Result<Seen, String> {
        let seen = Arc::new(Mutex::new(None));
        let told = Arc::clone(&seen);
        let visit = move |journal: &mut Journal, context: &mut Context<'_, Answer>| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen {
                journal: journal.clone(),
                leads: context.leads,
                applied: context.applied,
                applied_term: context.applied_term,
            });
        };
        let visit = Box::new(visit);
        self.handle.send(Input::Visit { group, visit });
        self.turn()?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        seen.ok_or_else(|| format!("group {group} does not answer"))
    }

    /// Stores a group's state and lets the log go up to it.
    pub(super) fn checkpoint(&mut self, group: GroupId) -> Result<(), String> {
        let seen = self.see(group)?;
        let checkpoint = Checkpoint {
            index: seen.applied,
            term: seen.applied_term,
            body: seen.journal.encode(),
        };
        let saved = self.checkpoints.save(group, &checkpoint);
        saved.map_err(|error| error.to_string())?;
        let checkpoint = GroupCheckpoint {
            index: seen.applied,
            term: seen.applied_term,
            members: Members::alone(NODE),
            body: checkpoint.body,
        };
        self.handle.send(Input::Checkpointed { group, checkpoint });
        self.queue.release(group, seen.applied);
        Ok(())
    }

    pub(super) fn see_all(&mut self, count: u32) -> Result<BTreeMap<GroupId, Seen>, String> {
        let groups = (0..count).map(GroupId);
        groups.map(|group| Ok((group, self.see(group)?))).collect()
    }
}
