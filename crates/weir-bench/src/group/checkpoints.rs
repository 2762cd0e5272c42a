//! The flusher: batches go to segments, then a checkpoint says so, then the log lets go of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use weir_log::{
    Checkpoint, CheckpointStore, FlushJob, PartitionStore, SegmentPolicy,
    wal::{GroupCommit, WalPort},
};
use weir_model::{GroupId, Offset, Term};
use weir_raft::{Context, Handle, Input};

use super::Batches;

/// How often the flusher looks whether there is enough to flush.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Flushes all groups of one worker.
pub(super) struct Flusher {
    pub(super) store: Arc<PartitionStore>,
    pub(super) checkpoints: CheckpointStore,
    pub(super) handle: Handle<Batches>,
    pub(super) queue: Arc<GroupCommit>,
    pub(super) groups: Vec<GroupId>,
    pub(super) flush_bytes: u64,
}

/// A group at the moment of a checkpoint.
struct Seen {
    group: GroupId,
    applied: u64,
    term: Term,
    jobs: Vec<FlushJob>,
}

impl Flusher {
    /// Flushes whenever enough waits, until told to stop.
    pub(super) fn run(&self, is_stopping: &AtomicBool) -> Result<()> {
        while !is_stopping.load(Relaxed) {
            if self.store.unflushed_bytes() >= self.flush_bytes {
                self.flush_all()?;
            } else {
                thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    fn flush_all(&self) -> Result<()> {
        let (tell, told) = mpsc::channel();
        for group in &self.groups {
            let (tell, group) = (tell.clone(), *group);
            let visit = move |batches: &mut Batches, context: &mut Context<'_, Offset>| {
                // The flusher listens until every group has answered.
                let _ = tell.send(see(group, batches, context));
            };
            let visit = Box::new(visit);
            self.handle.send(Input::Visit { group, visit });
        }
        drop(tell);
        let seen: Vec<Seen> = told.iter().filter(|seen| !seen.jobs.is_empty()).collect();
        let jobs: Vec<FlushJob> = seen.iter().flat_map(|seen| seen.jobs.clone()).collect();
        let mut manifests = self.store.flush(&jobs).context("flush")?;
        for seen in seen {
            let rest = manifests.split_off(seen.jobs.len());
            let mut body = Vec::new();
            for (id, manifest) in &manifests {
                body.extend(id.0.to_le_bytes());
                manifest.encode(&mut body);
            }
            let (index, term) = (seen.applied, seen.term);
            let body = body.into();
            self.checkpoints
                .save(seen.group, &Checkpoint { index, term, body })?;
            self.store
                .installed(std::mem::replace(&mut manifests, rest));
            self.handle.send(Input::Checkpointed {
                group: seen.group,
                index,
            });
            self.queue.release(seen.group, index);
        }
        self.handle.send(Input::Nudge);
        Ok(())
    }
}

fn see(group: GroupId, batches: &Batches, context: &Context<'_, Offset>) -> Seen {
    let dirty = batches.logs().into_iter().filter(|log| log.is_dirty());
    let job = |log: Arc<weir_log::PartitionLog>| FlushJob {
        up_to: log.end_offset(),
        partition: log,
        policy: SegmentPolicy::default(),
    };
    Seen {
        group,
        applied: context.applied,
        term: context.applied_term,
        jobs: dirty.map(job).collect(),
    }
}
