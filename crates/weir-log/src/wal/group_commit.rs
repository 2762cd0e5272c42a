//! The queue in front of the writer: everything that waits goes out in one write and one sync.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use weir_model::{GroupId, figures::HistogramFigures};

use super::{
    CommitError, CommitPace, Wal, WalDone, WalError, WalFigures, WalPort, WalRecord, body,
    config::{MAX_QUEUE_BYTES, MAX_QUEUE_COUNT},
    pace::Pace,
    room::Room,
};
use crate::clock::Clock;

/// How long a commit waits before it looks again for room on a full disk.
const FULL_RETRY: Duration = Duration::from_millis(20);

struct Submission {
    records: Vec<WalRecord>,
    bytes: usize,
    done: WalDone,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Submission>,
    waiting_bytes: usize,
    released: BTreeMap<GroupId, u64>,
    is_closed: bool,
}

/// The way into the log for many threads. A mutex rather than a channel: the writer takes
/// everything at once, and the limit counts bytes as well as pieces.
pub struct GroupCommit {
    queue: Mutex<Queue>,
    arrived: Condvar,
    room: Arc<Room>,
    max_frame_bytes: usize,
    pace: Option<Pace>,
}

/// What [`GroupCommit::run_once`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Wrote,
    Idle,
    Full,
}

impl GroupCommit {
    /// The queue of `wal`.
    pub fn new(wal: &Wal) -> Arc<Self> {
        Self::with_pace(wal, None)
    }

    /// The queue of `wal`, which measures how long commits take.
    pub fn timed(wal: &Wal, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with_pace(wal, Some(Pace::new(clock)))
    }

    fn with_pace(wal: &Wal, pace: Option<Pace>) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            room: Arc::clone(wal.room()),
            max_frame_bytes: wal.config().max_frame_bytes,
            pace,
        })
    }

    /// Commits what waits, up to one frame, and reports it. `false`: there was nothing to do, or
    /// no room for it yet, in which case it waits on.
    pub fn run_once(&self, wal: &mut Wal) -> bool {
        self.turn(wal) == Turn::Wrote
    }

    /// Writes until [`GroupCommit::close`] and then what still waits, and gives the log back.
    pub fn run(&self, mut wal: Wal) -> Wal {
        loop {
            match self.turn(&mut wal) {
                Turn::Wrote => {}
                Turn::Idle => {
                    if self.wait_for_work() {
                        wal.guard_tail();
                        return wal;
                    }
                }
                Turn::Full => {
                    if self.wait_for_room() {
                        self.refuse_all();
                        return wal;
                    }
                }
            }
        }
    }

    /// Ends [`GroupCommit::run`]. Whatever is submitted from now on is answered by
    /// [`WalError::Closed`].
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// What was done since the log was opened.
    pub fn figures(&self) -> WalFigures {
        self.room.figures()
    }

    /// Whether the disk has no room for another file.
    pub fn is_disk_full(&self) -> bool {
        self.room.is_disk_full()
    }

    /// How long commits take; empty where nobody measures.
    pub fn pace(&self) -> CommitPace {
        self.pace
            .as_ref()
            .map_or_else(CommitPace::default, Pace::read)
    }

    /// How long all commits took, from the first byte written to the end of the sync; empty where
    /// nobody measures.
    pub fn commit_durations(&self) -> HistogramFigures {
        self.pace
            .as_ref()
            .map_or_else(HistogramFigures::default, Pace::took)
    }

    fn commit(&self, wal: &mut Wal, records: &[WalRecord]) -> Result<(), CommitError> {
        let Some(pace) = &self.pace else {
            return wal.commit(records);
        };
        pace.begin();
        let committed = wal.commit(records);
        pace.end(!matches!(committed, Err(CommitError::Full)));
        committed
    }

    fn turn(&self, wal: &mut Wal) -> Turn {
        let batch = self.collect(wal);
        if batch.is_empty() && !wal.has_obsolete() {
            return Turn::Idle;
        }
        let mut records = Vec::new();
        let mut waiting = Vec::with_capacity(batch.len());
        for mut submission in batch {
            waiting.push((submission.records.len(), submission.bytes, submission.done));
            records.append(&mut submission.records);
        }
        match self.commit(wal, &records) {
            Ok(()) => {
                publish(waiting, &Ok(()));
                Turn::Wrote
            }
            Err(CommitError::Refused(error)) => {
                publish(waiting, &Err(error));
                Turn::Wrote
            }
            Err(CommitError::Full) => {
                self.put_back(records, waiting);
                Turn::Full
            }
        }
    }

    /// Takes what goes into the next frame, in order.
    fn collect(&self, wal: &mut Wal) -> Vec<Submission> {
        let mut queue = self.lock();
        for (group, index) in std::mem::take(&mut queue.released) {
            wal.release(group, index);
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = queue.waiting.front() {
            if !batch.is_empty() && bytes + next.bytes > self.max_frame_bytes {
                break;
            }
            bytes += next.bytes;
            queue.waiting_bytes -= next.bytes;
            batch.extend(queue.waiting.pop_front());
        }
        batch
    }

    fn put_back(&self, records: Vec<WalRecord>, waiting: Vec<(usize, usize, WalDone)>) {
        let mut records = records.into_iter();
        let mut batch = Vec::with_capacity(waiting.len());
        for (count, bytes, done) in waiting {
            let records = records.by_ref().take(count).collect();
            batch.push(Submission {
                records,
                bytes,
                done,
            });
        }
        let mut queue = self.lock();
        for submission in batch.into_iter().rev() {
            queue.waiting_bytes += submission.bytes;
            queue.waiting.push_front(submission);
        }
    }

    /// `true`: closed, and nothing waits.
    fn wait_for_work(&self) -> bool {
        let queue = self.lock();
        let is_idle = |queue: &mut Queue| {
            queue.waiting.is_empty() && queue.released.is_empty() && !queue.is_closed
        };
        let waited = self.arrived.wait_while(queue, is_idle);
        let queue = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_closed && queue.waiting.is_empty()
    }

    /// `true`: closed.
    fn wait_for_room(&self) -> bool {
        let waited = self.arrived.wait_timeout(self.lock(), FULL_RETRY);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    fn refuse_all(&self) {
        let waiting = {
            let mut queue = self.lock();
            queue.waiting_bytes = 0;
            std::mem::take(&mut queue.waiting)
        };
        for submission in waiting {
            (submission.done)(Err(WalError::Closed));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one place where a commit is reported, after its sync.
fn publish(waiting: Vec<(usize, usize, WalDone)>, result: &Result<(), WalError>) {
    for (_, _, done) in waiting {
        done(result.clone());
    }
}

impl WalPort for GroupCommit {
    fn submit(&self, records: Vec<WalRecord>, done: WalDone) {
        let bytes = body::body_bytes(&records);
        let mut queue = self.lock();
        if queue.is_closed {
            drop(queue);
            done(Err(WalError::Closed));
            return;
        }
        queue.waiting_bytes += bytes;
        queue.waiting.push_back(Submission {
            records,
            bytes,
            done,
        });
        drop(queue);
        self.arrived.notify_one();
    }

    fn release(&self, group: GroupId, index: u64) {
        let mut queue = self.lock();
        let released = queue.released.entry(group).or_default();
        *released = index.max(*released);
        drop(queue);
        self.arrived.notify_one();
    }

    fn accepts(&self) -> bool {
        let queue = self.lock();
        self.room.accepts()
            && !queue.is_closed
            && queue.waiting_bytes < MAX_QUEUE_BYTES
            && queue.waiting.len() < MAX_QUEUE_COUNT
    }
}

impl std::fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCommit").finish_non_exhaustive()
    }
}
