//! A node with one worker, a state machine that adds numbers, and a log in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
};

use bytes::Bytes;
use weir_log::{
    Millis,
    wal::{RecoveredGroup, WalDone, WalPort, WalRecord},
};
use weir_model::{GroupId, NodeId, Term};
use weir_raft::{
    Admission, Applied, ApplyError, Command, Context, GroupSeed, Handle, Input, Members, Moment,
    NoSnapshots, NotCommitted, StateMachine, Turn, Worker, WorkerConfig,
};

pub(crate) const GROUP: GroupId = GroupId(1);

/// Adds what it is told and answers the sum.
#[derive(Default)]
pub(crate) struct Adder {
    pub(crate) sum: u64,
    pub(crate) led: Vec<bool>,
}

impl StateMachine for Adder {
    type Outcome = u64;

    fn apply(&mut self, at: &Applied, command: Bytes) -> Result<u64, ApplyError> {
        let Ok(number) = <[u8; 8]>::try_from(&command[..]) else {
            let reason = "not a number".to_owned();
            return Err(ApplyError {
                group: at.group,
                index: at.index,
                reason,
            });
        };
        self.sum += u64::from_le_bytes(number);
        Ok(self.sum)
    }

    fn restore(&mut self, body: Bytes) -> Result<(), String> {
        let sum = <[u8; 8]>::try_from(&body[..]).map_err(|error| error.to_string())?;
        self.sum = u64::from_le_bytes(sum);
        Ok(())
    }

    fn retire(&mut self) {
        self.sum = 0;
    }

    fn leadership(&mut self, context: &mut Context<'_, u64>) {
        self.led.push(context.leads);
    }

    fn next_deadline(&self) -> Option<Millis> {
        None
    }

    fn handle_timeout(&mut self, _context: &mut Context<'_, u64>) {}
}

#[derive(Default)]
struct Held {
    waiting: Vec<(Vec<WalRecord>, WalDone)>,
    groups: BTreeMap<GroupId, RecoveredGroup>,
}

/// A write-ahead log that keeps what was synced, and syncs when told to.
#[derive(Default)]
pub(crate) struct MemoryWal {
    held: Mutex<Held>,
    pub(crate) full: AtomicBool,
}

impl MemoryWal {
    /// What is left of `other` after a power cut.
    pub(crate) fn surviving(other: &Self) -> Self {
        let groups = other.held.lock().unwrap().groups.clone();
        Self {
            held: Mutex::new(Held {
                groups,
                ..Held::default()
            }),
            full: AtomicBool::default(),
        }
    }

    /// Syncs all that waits; gives the number of submissions.
    pub(crate) fn sync(&self) -> usize {
        let waiting = {
            let mut held = self.held.lock().unwrap();
            let waiting = std::mem::take(&mut held.waiting);
            for record in waiting.iter().flat_map(|(records, _)| records) {
                keep(&mut held.groups, record);
            }
            waiting
        };
        let count = waiting.len();
        waiting.into_iter().for_each(|(_, done)| done(Ok(())));
        count
    }

    pub(crate) fn recovered(&self, group: GroupId) -> RecoveredGroup {
        self.held
            .lock()
            .unwrap()
            .groups
            .get(&group)
            .cloned()
            .unwrap_or_default()
    }
}

fn keep(groups: &mut BTreeMap<GroupId, RecoveredGroup>, record: &WalRecord) {
    match record {
        WalRecord::Entries { group, entries } => {
            let kept = &mut groups.entry(*group).or_default().entries;
            kept.retain(|entry| entry.index < entries[0].index);
            kept.extend(entries.iter().cloned());
        }
        WalRecord::HardState { group, state } => {
            groups.entry(*group).or_default().hard_state = *state;
        }
        WalRecord::Reset { group, .. } => groups.entry(*group).or_default().entries.clear(),
    }
}

impl WalPort for MemoryWal {
    fn submit(&self, records: Vec<WalRecord>, done: WalDone) {
        self.held.lock().unwrap().waiting.push((records, done));
    }

    fn release(&self, _group: GroupId, _index: u64) {}

    fn accepts(&self) -> bool {
        !self.full.load(Ordering::Relaxed)
    }
}

pub(crate) struct Node {
    pub(crate) worker: Worker<Adder>,
    pub(crate) handle: Handle<Adder>,
    pub(crate) wal: Arc<MemoryWal>,
    pub(crate) hold_back: Arc<AtomicBool>,
    pub(crate) now: Millis,
}

impl Node {
    pub(crate) fn new(id: u64, voters: &[u64], wal: Arc<MemoryWal>) -> Self {
        let handle = Handle::default();
        let hold_back = Arc::new(AtomicBool::new(false));
        let (holds, full) = (Arc::clone(&hold_back), Arc::clone(&wal));
        let config = WorkerConfig {
            node: NodeId(id),
            wal: Arc::<MemoryWal>::clone(&wal),
            snapshots: Arc::new(NoSnapshots),
            admit: Box::new(
                move || match (full.accepts(), holds.load(Ordering::Relaxed)) {
                    (false, _) => Admission::Refuse,
                    (true, true) => Admission::Hold,
                    (true, false) => Admission::Take,
                },
            ),
        };
        let mut worker = Worker::new(config, handle.clone());
        let voters = voters.iter().copied().map(NodeId).collect();
        let seed = GroupSeed {
            group: GROUP,
            members: Members {
                voters,
                ..Members::default()
            },
            checkpoint: (0, Term(0)),
            snapshot: None,
            recovered: wal.recovered(GROUP),
            machine: Adder::default(),
            election_seed: id * 3,
        };
        worker.add_group(seed).unwrap();
        Self {
            worker,
            handle,
            wal,
            hold_back,
            now: Millis(1_000),
        }
    }

    /// Turns and syncs until nothing is left to do; gives messages to peers.
    pub(crate) fn settle(&mut self) -> Vec<weir_raft::PeerMessage> {
        let mut messages = Vec::new();
        loop {
            messages.append(&mut self.turn().messages);
            if self.wal.sync() == 0 && !self.handle.has_input() {
                return messages;
            }
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            elapsed_ms: self.now.since(Millis(0)),
        }
    }

    pub(crate) fn turn(&mut self) -> Turn {
        self.worker.turn(self.moment()).unwrap()
    }

    pub(crate) fn add(&self, number: u64) -> Receiver<Result<u64, NotCommitted>> {
        let (tell, told) = channel();
        let head = Bytes::copy_from_slice(&number.to_le_bytes());
        let command = Command {
            head,
            payload: Bytes::new(),
        };
        // A test may not care for the answer.
        let done = Box::new(move |outcome| {
            let _ = tell.send(outcome);
        });
        self.handle.send(Input::Propose {
            group: GROUP,
            command,
            done: Some(done),
        });
        told
    }

    /// What the state machine holds.
    pub(crate) fn look<T: Send + 'static>(
        &mut self,
        look: impl FnOnce(&Adder, u64) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = channel();
        let visit = Box::new(move |machine: &mut Adder, context: &mut Context<'_, u64>| {
            tell.send(look(machine, context.applied)).unwrap();
        });
        self.handle.send(Input::Visit {
            group: GROUP,
            visit,
        });
        self.turn();
        told.try_recv().unwrap()
    }
}
