//! A node from what its disk holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, Weak, atomic::Ordering},
};

use bytes::Bytes;
use weir_log::{
    Checkpoint, CheckpointStore, Clock, Disk, Entropy, PartitionStore,
    wal::{GroupCommit, RecoveredGroup, Wal, WalPort},
};
use weir_model::{GroupId, Term};
use weir_raft::{
    Admission, BufferPool, GroupSeed, GroupStatus, Handle, Lifetime, Members, Worker, WorkerConfig,
};

use super::{Engine, OpenError};
use crate::{
    catch_up::{CatchUp, Offers},
    checkpointer::{self, CheckpointState, Checkpointer},
    config::{MAX_SHARD_COUNT, NodeConfig},
    identity::Identity,
    machine::Machine,
    metadata_host::{MetadataHost, MetadataView},
    node::{Node, NodeParts},
    peer::PeerPort,
    registry::{PartitionRegistry, ViewRegistry},
    seeded::Seeded,
    shard::{Shard, ShardEnv},
    steward::Steward,
};

/// Parts of the tail's budget that may be filled with what is not flushed yet: above, proposals
/// wait. Out of [`HOLD_WHOLE`].
const HOLD_PARTS: u64 = 7;
const HOLD_WHOLE: u64 = 8;

/// Workers and what their groups share, while groups are opened.
struct Opening {
    config: NodeConfig,
    entropy: Arc<dyn Entropy>,
    topology: Arc<MetadataView>,
    store: Arc<PartitionStore>,
    registry: Arc<PartitionRegistry>,
    views: Arc<ViewRegistry>,
    node: Arc<OnceLock<Weak<Node>>>,
    offers: Arc<Offers>,
    buffers: Arc<BufferPool>,
    checkpoint_state: Arc<CheckpointState>,
    handles: Vec<Handle<Machine>>,
    workers: Vec<Worker<Machine>>,
    statuses: Vec<Arc<GroupStatus>>,
    transient_status: Arc<GroupStatus>,
}

impl Engine {
    /// Reads what is there. Who the node is, and how many groups there are, stands on the disk,
    /// whatever `config` says.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        mut config: NodeConfig,
        peers: Arc<dyn PeerPort>,
    ) -> Result<Self, OpenError> {
        let identity = Identity::load(&*disk)?.ok_or(OpenError::NoCluster)?;
        (config.node, config.shard_count) = (identity.node, identity.shard_count);
        check(&config)?;
        let checkpoints = CheckpointStore::new(Arc::clone(&disk))?;
        let loaded = checkpoints.load_all()?;
        let (wal, recovered, report) = Wal::open(Arc::clone(&disk), &*entropy, config.wal.clone())?;
        if report.is_first_start() {
            return Err(OpenError::WalGone);
        }
        tracing::info!("write-ahead log is read\n{report}");
        let saved: BTreeMap<GroupId, u64> = loaded
            .iter()
            .map(|(group, checkpoint)| (*group, checkpoint.index))
            .collect();
        let queue = GroupCommit::timed(&wal, Arc::clone(&clock));
        let checkpoint_state = Arc::new(CheckpointState::default());
        let store = PartitionStore::open(Arc::clone(&disk), Arc::clone(&clock), config.store);
        let mut opening = Opening::new(config, entropy, store, &queue, &checkpoint_state);
        opening.open_groups(loaded, recovered)?;
        opening.remove_leftovers()?;
        opening.open_transient_group()?;
        for (group, index) in &saved {
            queue.release(*group, *index);
        }
        let (node, workers) = opening.finish(disk, clock, identity, peers);
        let checkpointer = Checkpointer::new(
            Arc::clone(&node),
            Arc::clone(&queue),
            checkpoints,
            Arc::clone(&checkpoint_state),
            saved,
        );
        let steward = Steward::new(Arc::clone(&node), Arc::clone(&queue));
        let spares = wal.spare_maker();
        let catch_up = CatchUp::new(Arc::clone(&node), Arc::clone(&checkpoint_state));
        Ok(Self {
            node,
            catch_up,
            wal,
            queue,
            spares,
            workers,
            checkpointer,
            steward,
            checkpoint_state,
        })
    }
}

impl Opening {
    fn new(
        config: NodeConfig,
        entropy: Arc<dyn Entropy>,
        store: Arc<PartitionStore>,
        queue: &Arc<GroupCommit>,
        state: &Arc<CheckpointState>,
    ) -> Self {
        let handles: Vec<Handle<Machine>> = (0..config.worker_count)
            .map(|_| Handle::default())
            .collect();
        let offers = Arc::new(Offers::default());
        let buffers = Arc::<BufferPool>::default();
        let worker = |handle: &Handle<Machine>| {
            let worker = WorkerConfig {
                node: config.node,
                wal: Arc::<GroupCommit>::clone(queue),
                buffers: Arc::clone(&buffers),
                snapshots: Arc::<Offers>::clone(&offers),
                admit: admission(&config, queue, &store, state),
            };
            Worker::new(worker, handle.clone())
        };
        Self {
            workers: handles.iter().map(worker).collect(),
            config,
            entropy,
            topology: Arc::default(),
            store,
            registry: Arc::default(),
            views: Arc::default(),
            node: Arc::default(),
            offers,
            buffers,
            checkpoint_state: Arc::clone(state),
            handles,
            statuses: Vec::new(),
            transient_status: Arc::default(),
        }
    }

    fn open_groups(
        &mut self,
        mut loaded: BTreeMap<GroupId, Checkpoint>,
        mut recovered: BTreeMap<GroupId, RecoveredGroup>,
    ) -> Result<(), OpenError> {
        for group in (0..=self.config.shard_count).map(GroupId) {
            let checkpoint = loaded.remove(&group);
            let recovered = recovered.remove(&group).unwrap_or_default();
            self.open_group(group, checkpoint, recovered)?;
        }
        match loaded.keys().chain(recovered.keys()).next() {
            Some(group) => Err(OpenError::SurplusGroup {
                group: *group,
                shard_count: self.config.shard_count,
            }),
            None => Ok(()),
        }
    }

    /// The group of what ends with this run, which begins empty.
    fn open_transient_group(&mut self) -> Result<(), OpenError> {
        let Some(group) = GroupId::transient(self.config.node) else {
            return Ok(());
        };
        let worker = self.worker_of(group);
        let env = self.env(worker, Lifetime::Transient);
        let shard = Shard::empty(group, env, self.config.groups);
        let seed = GroupSeed {
            group,
            lifetime: Lifetime::Transient,
            members: Members {
                voters: vec![self.config.node],
                ..Members::default()
            },
            checkpoint: (0, Term(0)),
            snapshot: None,
            recovered: RecoveredGroup::default(),
            machine: Machine::Shard(Box::new(shard)),
            election_seed: self.entropy.next_u64(),
        };
        self.transient_status = self.workers[worker].add_group(seed)?;
        Ok(())
    }

    fn worker_of(&self, group: GroupId) -> usize {
        let worker = group.0 % self.config.worker_count;
        usize::try_from(worker).expect("a u32 fits")
    }

    fn open_group(
        &mut self,
        group: GroupId,
        checkpoint: Option<Checkpoint>,
        recovered: RecoveredGroup,
    ) -> Result<(), OpenError> {
        let damaged = |reason: String| OpenError::State { group, reason };
        let (at, members, body) = match checkpoint {
            Some(Checkpoint { index, term, body }) => {
                let parts = checkpointer::decode_body(body);
                let (members, body) = parts.ok_or_else(|| damaged("members".to_owned()))?;
                ((index, term), members, Some(body))
            }
            None => ((0, Term(0)), Members::default(), None),
        };
        let worker = self.worker_of(group);
        let machine = self
            .machine(group, worker, body.as_ref())
            .map_err(damaged)?;
        let seed = GroupSeed {
            group,
            lifetime: Lifetime::Durable,
            members,
            checkpoint: at,
            snapshot: body,
            recovered,
            machine,
            election_seed: self.entropy.next_u64(),
        };
        let status = self.workers[worker].add_group(seed)?;
        self.statuses.push(status);
        Ok(())
    }

    fn machine(
        &self,
        group: GroupId,
        worker: usize,
        body: Option<&Bytes>,
    ) -> Result<Machine, String> {
        if group == GroupId::METADATA {
            let host = MetadataHost::open(body.map(|body| &body[..]), Arc::clone(&self.topology));
            return host
                .map(|host| Machine::Metadata(Box::new(host)))
                .map_err(|error| error.to_string());
        }
        let (env, config) = (self.env(worker, Lifetime::Durable), self.config.groups);
        let shard = match body {
            Some(body) => {
                Shard::restore(group, env, config, body).map_err(|error| error.to_string())?
            }
            None => Shard::empty(group, env, config),
        };
        Ok(Machine::Shard(Box::new(shard)))
    }

    fn env(&self, worker: usize, lifetime: Lifetime) -> ShardEnv {
        ShardEnv {
            store: Arc::clone(&self.store),
            registry: Arc::clone(&self.registry),
            views: Arc::clone(&self.views),
            node: Arc::clone(&self.node),
            checkpoints: Arc::clone(&self.checkpoint_state),
            topology: Arc::clone(&self.topology),
            handle: self.handles[worker].clone(),
            lifetime,
            seeded: Seeded::of(&self.config),
        }
    }

    /// Removes files of partitions that no checkpoint names.
    fn remove_leftovers(&self) -> Result<(), OpenError> {
        let known: BTreeSet<_> = self.registry.all().iter().map(|log| log.id()).collect();
        self.store
            .remove_unknown(&known)
            .map_err(OpenError::Leftover)
    }

    fn finish(
        self,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        identity: Identity,
        peers: Arc<dyn PeerPort>,
    ) -> (Arc<Node>, Vec<Worker<Machine>>) {
        let env = self.env(0, Lifetime::Durable);
        let parts = NodeParts {
            disk,
            config: self.config,
            clock,
            entropy: self.entropy,
            env,
            identity,
            peers,
            offers: self.offers,
            buffers: self.buffers,
            topology: self.topology,
            handles: self.handles,
            statuses: self.statuses,
            transient_status: self.transient_status,
        };
        (Node::new(parts), self.workers)
    }
}

fn check(config: &NodeConfig) -> Result<(), OpenError> {
    let in_range = |is_in_range: bool, what: &'static str| {
        if is_in_range {
            Ok(())
        } else {
            Err(OpenError::Config { what })
        }
    };
    in_range(config.node.0 != 0, "node id")?;
    in_range(
        (1..=MAX_SHARD_COUNT).contains(&config.shard_count),
        "shard count",
    )?;
    in_range(
        (1..=MAX_SHARD_COUNT).contains(&config.worker_count),
        "worker count",
    )?;
    in_range(
        config.default_partition_count >= 1,
        "default partition count",
    )
}

/// Full disks refuse, full memory waits for the flush that is under way. Transient groups need the
/// disk only where their memory is full.
fn admission(
    config: &NodeConfig,
    queue: &Arc<GroupCommit>,
    store: &Arc<PartitionStore>,
    state: &Arc<CheckpointState>,
) -> Box<dyn Fn(Lifetime) -> Admission + Send> {
    let part = |budget_bytes: u64| budget_bytes / HOLD_WHOLE * HOLD_PARTS;
    let hold_bytes = part(config.store.tail_budget_bytes);
    let transient_hold_bytes = part(config.store.transient_budget_bytes);
    let (queue, store, state) = (Arc::clone(queue), Arc::clone(store), Arc::clone(state));
    Box::new(move |lifetime| {
        let (has_room, is_refused) = match lifetime {
            Lifetime::Durable => (
                store.unflushed_bytes() <= hold_bytes,
                state.is_full() || !queue.accepts(),
            ),
            Lifetime::Transient => {
                let has_room = store.transient_unflushed_bytes() <= transient_hold_bytes;
                let is_full = state.is_spill_full.load(Ordering::Acquire);
                (has_room, !has_room && is_full)
            }
        };
        match (has_room, is_refused) {
            (_, true) => Admission::Refuse,
            (true, false) => Admission::Take,
            (false, false) => Admission::Hold,
        }
    })
}
