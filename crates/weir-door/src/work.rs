//! What wakes a session, and what it wants computed: beside the tasks of connections, and little at once, so
//! that a crowd that logs in does not keep the others waiting.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};

use crate::{Millis, Session, limits::CORES_PER_WORK};

/// Computation that takes milliseconds. What it finds it leaves where its session looks for it.
pub type Work = Box<dyn FnOnce() + Send>;

/// Has a connection's session looked at soon. Cheap, and does not block.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What notifies whoever waits for that.
pub(crate) fn waking(notify: &Arc<Notify>) -> Box<dyn Fn() + Send + Sync> {
    let notify = Arc::clone(notify);
    Box::new(move || notify.notify_one())
}

/// How many more may begin, in this process. Who waits is served in turn.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new((cores / CORES_PER_WORK).max(1)))
});

/// Has something computed beside the tasks of connections, in its turn; `None`: it panicked. What has begun is
/// done to its end, also where nobody waits for it any more.
pub async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let place = Arc::clone(&PLACES).acquire_owned().await;
    let place = place.expect("the semaphore of work is never closed");
    let ran = tokio::task::spawn_blocking(move || {
        let found = work();
        drop(place);
        found
    });
    ran.await.ok()
}

/// One connection's work: one at a time, and dropped with the connection unless it has begun.
#[derive(Debug, Default)]
pub(crate) struct Working(Option<Running>);

#[derive(Debug)]
struct Running {
    task: JoinHandle<()>,
    is_done: Arc<AtomicBool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Working {
    /// None yet. The session may have itself looked at by `wake`.
    pub(crate) fn of(session: &mut impl Session, wake: &Arc<Notify>) -> Self {
        session.wake_by(waking(wake).into());
        Self::default()
    }

    /// Tells the session where its work is done.
    pub(crate) fn settle(&mut self, session: &mut impl Session, now: Millis) {
        let running = self.0.take_if(|it| it.is_done.load(Ordering::Acquire));
        if running.is_some() {
            session.worked(now);
        }
    }

    /// Begins what the session wants done. `wake` is notified at its end, even where it panics.
    pub(crate) fn begin(&mut self, session: &mut impl Session, wake: &Arc<Notify>) {
        if self.0.is_some() {
            return;
        }
        let Some(work) = session.poll_work() else {
            return;
        };
        let is_done = Arc::new(AtomicBool::new(false));
        let (done, wake) = (Arc::clone(&is_done), Arc::clone(wake));
        let task = tokio::spawn(async move {
            let _ = beside(work).await;
            done.store(true, Ordering::Release);
            wake.notify_one();
        });
        self.0 = Some(Running { task, is_done });
    }
}
