//! Log, worker, flusher and partitions of one data directory, on their production threads.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use weir_log::{
    CheckpointStore, Disk, PartitionLog, PartitionStore, StoreConfig,
    disk::SystemClock,
    wal::{GroupCommit, WalFigures, WalPort},
};
use weir_model::{GroupId, NodeId, Offset, PartitionId, Term};
use weir_raft::{Admission, Context, GroupSeed, Handle, Input, Members, Worker, WorkerConfig};

use super::{Batches, checkpoints::Flusher};
use crate::{
    drive::{Answers, Target},
    wal::LogHost,
};

const NODE: NodeId = NodeId(1);

/// How a rig is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RigConfig {
    /// Groups of one voter.
    pub(crate) group_count: u32,
    /// A flush begins at this much. New work waits at twice as much.
    pub(crate) flush_bytes: u64,
    /// Memory for recent batches.
    pub(crate) tail_bytes: u64,
}

/// One node below its doors.
pub(crate) struct Rig {
    pub(crate) store: Arc<PartitionStore>,
    group_count: u32,
    log: LogHost,
    handle: Handle<Batches>,
    worker: JoinHandle<()>,
    flusher: JoinHandle<Result<()>>,
    is_stopping: Arc<AtomicBool>,
}

impl Rig {
    /// Starts on an empty directory.
    pub(crate) fn open(dir: &Path, config: RigConfig) -> Result<Self> {
        let log = LogHost::open(dir)?;
        let clock = Arc::new(SystemClock::default());
        let store_config = StoreConfig {
            tail_budget_bytes: config.tail_bytes,
            ..StoreConfig::default()
        };
        let disk: Arc<dyn Disk> = Arc::<weir_log::disk::RealDisk>::clone(&log.disk);
        let store_clock = Arc::<SystemClock>::clone(&clock);
        let store = PartitionStore::open(Arc::clone(&disk), store_clock, store_config);
        let checkpoints = CheckpointStore::new(disk)?;
        let handle = Handle::default();
        let worker = new_worker(&log.queue, &store, &handle, config)?;
        let worker =
            weir_raft::thread::spawn("worker".to_owned(), worker, handle.clone(), clock, |why| {
                eprintln!("weir-bench: worker failed: {why}");
            })?;
        let flusher = Flusher {
            store: Arc::clone(&store),
            checkpoints,
            handle: handle.clone(),
            queue: Arc::clone(&log.queue),
            groups: (0..config.group_count).map(GroupId).collect(),
            flush_bytes: config.flush_bytes,
        };
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_stopping);
        let flusher = thread::Builder::new()
            .name("flusher".to_owned())
            .spawn(move || flusher.run(&stop))?;
        Ok(Self {
            store,
            group_count: config.group_count,
            log,
            handle,
            worker,
            flusher,
            is_stopping,
        })
    }

    /// What the write-ahead log did.
    pub(crate) fn figures(&self) -> WalFigures {
        self.log.queue.figures()
    }

    /// A partition's log.
    pub(crate) fn partition(&self, index: u32) -> Result<Arc<PartitionLog>> {
        let id = PartitionId::new(0, index);
        let (tell, told) = std::sync::mpsc::channel();
        let visit = Box::new(move |batches: &mut Batches, _: &mut Context<'_, Offset>| {
            let found = batches.logs().into_iter().find(|log| log.id() == id);
            // Whoever asked waits below.
            let _ = tell.send(found);
        });
        let group = self.group_of(index);
        self.handle.send(Input::Visit { group, visit });
        told.recv()?
            .ok_or_else(|| anyhow!("nothing was appended to partition {index}"))
    }

    fn group_of(&self, index: u32) -> GroupId {
        GroupId(index % self.group_count)
    }

    /// Ends all threads.
    pub(crate) fn close(self) -> Result<()> {
        self.is_stopping.store(true, Relaxed);
        self.flusher
            .join()
            .map_err(|_| anyhow!("the flusher panicked"))??;
        self.handle.send(Input::Stop);
        self.worker
            .join()
            .map_err(|_| anyhow!("the worker panicked"))?;
        self.store.close();
        self.log.close()
    }
}

fn new_worker(
    queue: &Arc<GroupCommit>,
    store: &Arc<PartitionStore>,
    handle: &Handle<Batches>,
    config: RigConfig,
) -> Result<Worker<Batches>> {
    let (room, waiting) = (Arc::clone(queue), Arc::clone(store));
    let max_unflushed_bytes = config.flush_bytes.saturating_mul(2);
    let admit = move || match room.accepts() && waiting.unflushed_bytes() < max_unflushed_bytes {
        true => Admission::Take,
        false => Admission::Hold,
    };
    let worker_config = WorkerConfig {
        node: NODE,
        wal: Arc::<GroupCommit>::clone(queue),
        admit: Box::new(admit),
    };
    let mut worker = Worker::new(worker_config, handle.clone());
    for group in (0..config.group_count).map(GroupId) {
        worker.add_group(GroupSeed {
            group,
            members: Members::alone(NODE),
            checkpoint: (0, Term(0)),
            recovered: weir_log::wal::RecoveredGroup::default(),
            machine: Batches::new(Arc::clone(store)),
            election_seed: 1,
        })?;
    }
    Ok(worker)
}

/// Writers that go through partitions in turn.
pub(crate) struct PartitionWriters<'a> {
    rig: &'a Rig,
    answers: Answers,
    batch: Bytes,
    partition_count: u32,
    next_partition: u32,
}

impl<'a> PartitionWriters<'a> {
    /// Writers of `batch` to `partition_count` partitions.
    pub(crate) fn new(rig: &'a Rig, partition_count: u32, batch: Bytes) -> Self {
        Self {
            rig,
            answers: Answers::default(),
            batch,
            partition_count,
            next_partition: 0,
        }
    }
}

impl Target for PartitionWriters<'_> {
    fn send(&mut self, writer: usize) -> Result<()> {
        let index = self.next_partition;
        self.next_partition = (index + 1) % self.partition_count;
        let answer = self.answers.answer(writer);
        self.rig.handle.send(Input::Propose {
            group: self.rig.group_of(index),
            command: Batches::append(PartitionId::new(0, index), self.batch.clone()),
            done: Some(Box::new(move |outcome| answer(outcome.is_ok()))),
        });
        Ok(())
    }

    fn wait(&mut self, answered: &mut Vec<usize>) -> Result<()> {
        self.answers.wait(answered)
    }
}
