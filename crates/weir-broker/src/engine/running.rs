//! A node on threads of its own.

use std::{
    io,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use weir_log::{
    Millis, thread_priority,
    wal::{GroupCommit, SpareMaker, Wal},
};
use weir_model::GroupId;
use weir_raft::Input;

use super::{Engine, NodeFailed, Observer};
use crate::{
    checkpointer::{CheckpointFailed, CheckpointState, Checkpointer},
    node::Node,
    peer::{PeerMessages, PeerPort},
};

/// Longest time for the last checkpoint, in ms: without it the next start reads more of the
/// write-ahead log.
const MAX_LAST_CHECKPOINT_MS: u64 = 8_000;
/// Longest time for [`Running::stop`], in ms, unless a disk hangs in the last checkpoint.
const MAX_STOP_MS: u64 = 14_000;
/// Pause between two looks at whether the node is ready.
const READY_INTERVAL: Duration = Duration::from_millis(1);
/// Looks between two announcements.
const ANNOUNCE_INTERVAL_COUNT: u32 = 50;

/// Called at most once per thread, when the node cannot go on. Nothing that was not acknowledged
/// before is acknowledged after.
pub type OnFailure = Arc<dyn Fn(NodeFailed) + Send + Sync>;

/// A node whose threads run.
pub struct Running {
    node: Arc<Node>,
    queue: Arc<GroupCommit>,
    spares: SpareMaker,
    checkpoint_state: Arc<CheckpointState>,
    workers: Vec<JoinHandle<()>>,
    wal_thread: JoinHandle<Wal>,
    spare_thread: JoinHandle<()>,
    checkpoint_thread: JoinHandle<Option<Checkpointer>>,
    catch_up_thread: JoinHandle<()>,
    purgatory_thread: JoinHandle<()>,
    steward_thread: JoinHandle<()>,
}

/// What workers send, on its way to the node's peers.
struct Messages(Arc<dyn PeerPort>);

impl weir_raft::PeerPort for Messages {
    fn send(&self, messages: PeerMessages) {
        self.0.send(messages);
    }
}

/// Reports the panic of the thread that owns it: a broken invariant ends the node, not just a
/// thread.
struct PanicGuard {
    thread: &'static str,
    on_failure: OnFailure,
}

impl PanicGuard {
    fn new(thread: &'static str, on_failure: &OnFailure) -> Self {
        Self {
            thread,
            on_failure: Arc::clone(on_failure),
        }
    }
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.on_failure)(NodeFailed::Panicked {
                thread: self.thread,
            });
        }
    }
}

impl Engine {
    /// Runs the node on threads.
    pub fn start(self, on_failure: &OnFailure) -> io::Result<Running> {
        let Self {
            node,
            wal,
            queue,
            spares,
            workers,
            checkpointer,
            steward,
            checkpoint_state,
            catch_up,
        } = self;
        let wal_queue = Arc::clone(&queue);
        let wal_thread = spawn("weir-wal", on_failure, move |_| wal_queue.run(wal))?;
        let maker = spares.clone();
        let spare_thread = spawn("weir-wal-files", on_failure, move |guard| {
            if let Err(error) = maker.run() {
                (guard.on_failure)(error.into());
            }
        })?;
        let workers = workers.into_iter().zip(&node.handles).enumerate();
        let workers = workers.map(|(at, (worker, handle))| {
            // Lives in the closure, and so in the worker's thread.
            let guard = PanicGuard::new("weir-worker", on_failure);
            let failed = move |error: weir_raft::WorkerFailed| (guard.on_failure)(error.into());
            let name = format!("weir-worker-{at}");
            weir_raft::thread::spawn(
                name,
                worker,
                handle.clone(),
                Arc::clone(&node.clock),
                Arc::new(Messages(Arc::clone(&node.peers))),
                failed,
            )
        });
        let workers = workers.collect::<io::Result<Vec<_>>>()?;
        let checkpoint_thread = spawn("weir-checkpoint", on_failure, move |guard| {
            let failed = |error: CheckpointFailed| (guard.on_failure)(error.into());
            checkpointer.run().map_err(failed).ok()
        })?;
        let catch_up_thread = spawn("weir-catch-up", on_failure, move |guard| {
            thread_priority::lower();
            if let Err(error) = catch_up.run() {
                (guard.on_failure)(error.into());
            }
        })?;
        let waiting = Arc::clone(&node);
        let purgatory_thread = spawn("weir-waits", on_failure, move |_| {
            waiting.purgatory.run(&*waiting.clock);
        })?;
        let steward_thread = spawn("weir-steward", on_failure, move |_| steward.run())?;
        Ok(Running {
            node,
            queue,
            spares,
            checkpoint_state,
            workers,
            wal_thread,
            spare_thread,
            checkpoint_thread,
            catch_up_thread,
            purgatory_thread,
            steward_thread,
        })
    }
}

impl Running {
    /// The node's API.
    pub fn node(&self) -> Arc<Node> {
        Arc::clone(&self.node)
    }

    /// Looks at the node for people, as long as they want.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.node), Arc::clone(&self.queue))
    }

    /// What the write-ahead log did since the start.
    pub fn wal_figures(&self) -> weir_log::wal::WalFigures {
        self.queue.figures()
    }

    /// Waits until requests can be served. `false`: not within `limit`.
    pub fn wait_ready(&self, limit: Duration) -> bool {
        let looks = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        for look in 0..looks {
            if self.node.is_ready() {
                return true;
            }
            let is_led = self.node.leader_of(GroupId::METADATA).is_some();
            if (is_led || !self.node.is_alone()) && look % ANNOUNCE_INTERVAL_COUNT == 0 {
                Engine::announce(&self.node);
            }
            std::thread::park_timeout(READY_INTERVAL);
        }
        false
    }

    /// Hands over what this node leads, so that nobody waits for an election when it stops. To be
    /// called before the doors close, where the cluster has other nodes. Takes two seconds at
    /// most.
    pub fn hand_over(&self) {
        /// Looks before giving up, and the pause between two.
        const MAX_LOOKS: u32 = 100;
        const INTERVAL: Duration = Duration::from_millis(20);
        for _ in 0..MAX_LOOKS {
            if !self.node.is_leading_anything() || self.node.hand_over() == 0 {
                return;
            }
            std::thread::park_timeout(INTERVAL);
        }
    }

    /// Ends in order: waits are answered, everything is flushed so that the next start is quick,
    /// groups stop, the log is closed. Doors must be closed before. A thread that does not end in
    /// time, as on a disk that hangs, is left alone: what was acknowledged is stored.
    pub fn stop(self) {
        let node = &*self.node;
        let begin = node.elapsed();
        let (checkpoint_by, end) = (begin.plus(MAX_LAST_CHECKPOINT_MS), begin.plus(MAX_STOP_MS));
        node.steward.close();
        node.purgatory.close();
        node.offers.close();
        joined(node, self.catch_up_thread, checkpoint_by);
        self.checkpoint_state.close();
        let checkpointer = joined(node, self.checkpoint_thread, checkpoint_by);
        if let Some(mut checkpointer) = checkpointer.flatten() {
            last_checkpoint(node, &mut checkpointer, checkpoint_by);
        }
        for handle in &node.handles {
            handle.send(Input::Stop);
        }
        for worker in self.workers {
            joined(node, worker, end);
        }
        self.queue.close();
        joined(node, self.wal_thread, end);
        self.spares.close();
        joined(node, self.spare_thread, end);
        joined(node, self.purgatory_thread, end);
        joined(node, self.steward_thread, end);
        node.env.store.close();
    }
}

/// One more checkpoint of all that changed. A full or failing disk is no reason not to stop: the
/// write-ahead log has everything.
fn last_checkpoint(node: &Node, checkpointer: &mut Checkpointer, end: Millis) {
    checkpointer.hurry();
    while node.elapsed() < end {
        if let Err(error) = checkpointer.turn() {
            tracing::error!(%error, "no checkpoint at the end");
            return;
        }
        if !checkpointer.is_busy() || checkpointer.is_held_up() {
            return;
        }
        std::thread::park_timeout(READY_INTERVAL);
    }
    tracing::warn!("no checkpoint at the end: it took too long");
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    on_failure: &OnFailure,
    run: impl FnOnce(&PanicGuard) -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let guard = PanicGuard::new(name, on_failure);
    Builder::new()
        .name(name.to_owned())
        .spawn(move || run(&guard))
}

/// What the thread ended with; `None` where it panicked, or has not ended by `end`.
fn joined<T>(node: &Node, thread: JoinHandle<T>, end: Millis) -> Option<T> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    while !thread.is_finished() {
        if node.elapsed() >= end {
            tracing::error!(thread = name, "does not end: left alone");
            return None;
        }
        std::thread::park_timeout(READY_INTERVAL);
    }
    let ended = thread.join();
    if ended.is_err() {
        tracing::error!(thread = name, "panicked");
    }
    ended.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_panic_of_any_thread_is_the_nodes_failure() {
        let (tell, told) = channel();
        let on_failure: OnFailure = Arc::new(move |failure| tell.send(failure).unwrap());
        let quiet = spawn("quiet", &on_failure, |_| ()).unwrap();
        assert!(quiet.join().is_ok());
        let broken = spawn("broken", &on_failure, |_| assert_eq!(1, 2, "on purpose")).unwrap();
        assert!(broken.join().is_err());
        let failure = told.try_recv().unwrap();
        assert!(matches!(failure, NodeFailed::Panicked { thread: "broken" }));
        assert!(told.try_recv().is_err());
    }
}
