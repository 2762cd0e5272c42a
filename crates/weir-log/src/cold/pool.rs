//! A bounded number of threads, and a bounded queue before them.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use crate::thread_priority;

/// Something to be done on a thread of the pool.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Why the pool does not take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Busy,
    Closed,
}

/// The pool. A mutex and a condition rather than a channel: several threads take from one queue,
/// and whoever puts must learn at once that it is full.
pub(crate) struct ColdPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    has_threads: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    limit_count: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let job = {
                let mut queue = self
                    .arrived
                    .wait_while(self.lock(), |queue| {
                        queue.jobs.is_empty() && !queue.is_closed
                    })
                    .unwrap_or_else(PoisonError::into_inner);
                queue.jobs.pop_front()
            };
            match job {
                Some(job) => job(),
                None => return,
            }
        }
    }
}

impl ColdPool {
    /// Starts `thread_count` threads.
    pub(crate) fn start(thread_count: usize, limit_count: usize) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            arrived: Condvar::new(),
            limit_count,
        });
        let threads = (0..thread_count)
            .filter_map(|at| {
                let shared = Arc::clone(&shared);
                thread::Builder::new()
                    .name(format!("cold-read-{at}"))
                    .spawn(move || {
                        thread_priority::lower();
                        shared.run();
                    })
                    .inspect_err(|error| tracing::error!(%error, "thread was not started"))
                    .ok()
            })
            .collect();
        Self {
            shared,
            threads: Mutex::new(threads),
            has_threads: thread_count > 0,
        }
    }

    /// Whether it was started with threads.
    pub(crate) fn has_threads(&self) -> bool {
        self.has_threads
    }

    /// Queues a job, or gives it back.
    pub(crate) fn submit(&self, job: Job) -> Result<(), (Refused, Job)> {
        let mut queue = self.shared.lock();
        if queue.is_closed {
            return Err((Refused::Closed, job));
        }
        if queue.jobs.len() >= self.shared.limit_count {
            return Err((Refused::Busy, job));
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// Refuses new jobs and waits until the queued ones are done. Not to be called by a job.
    pub(crate) fn close(&self) {
        self.shared.lock().is_closed = true;
        self.shared.arrived.notify_all();
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a cold read's thread panicked");
            }
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ColdPool {
    /// Lets the threads end; does not wait, as the last owner may be one of their jobs.
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_full_queue_refuses_and_a_closed_pool_finishes_what_it_took() {
        let pool = ColdPool::start(1, 1);
        let (started_tx, started) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let (done_tx, done) = mpsc::channel();
        let first = done_tx.clone();
        let blocking: Job = Box::new(move || {
            started_tx.send(()).unwrap();
            wait.recv().unwrap();
            first.send(1).unwrap();
        });
        assert!(pool.submit(blocking).is_ok());
        started.recv().unwrap();
        assert!(
            pool.submit(Box::new(move || done_tx.send(2).unwrap()))
                .is_ok()
        );
        let refused = pool.submit(Box::new(|| {})).err().map(|(why, _)| why);
        assert_eq!(refused, Some(Refused::Busy));
        go.send(()).unwrap();
        pool.close();
        assert_eq!(done.iter().collect::<Vec<_>>(), [1, 2]);
        let refused = pool.submit(Box::new(|| {})).err().map(|(why, _)| why);
        assert_eq!(refused, Some(Refused::Closed));
    }
}
