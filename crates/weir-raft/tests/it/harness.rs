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
    Admission, Applied, ApplyError, Command, Context, GroupCheckpoint, GroupSeed, GroupStatus,
    Handle, Input, Lifetime, Members, Moment, NotCommitted, PeerMessage, SnapshotOffer,
    SnapshotPort, StateMachine, Turn, Worker, WorkerConfig,
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

    fn next_deadline(&self, _at: Moment) -> Option<Millis> {
        None
    }

    fn handle_timeout(&mut self, _context: &mut Context<'_, u64>) {}
}

#[derive(Default)]
struct Held {
    /// The last index of each group's log: the real one refuses gaps.
    lasts: BTreeMap<GroupId, u64>,
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
        let held = other.held.lock().unwrap();
        let (groups, lasts) = (held.groups.clone(), held.lasts.clone());
        Self {
            held: Mutex::new(Held {
                lasts,
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
                keep(&mut held, record);
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

fn keep(held: &mut Held, record: &WalRecord) {
    match record {
        WalRecord::Entries { group, entries } => {
            let (first, last) = (entries[0].index, entries[entries.len() - 1].index);
            if let Some(before) = held.lasts.insert(*group, last) {
                assert!(first <= before + 1, "entry {first} follows {before}");
            }
            let kept = &mut held.groups.entry(*group).or_default().entries;
            kept.retain(|entry| entry.index < first);
            kept.extend(entries.iter().cloned());
        }
        WalRecord::HardState { group, state } => {
            held.groups.entry(*group).or_default().hard_state = *state;
        }
        WalRecord::Reset { group, index, .. } => {
            held.lasts.insert(*group, *index);
            held.groups.entry(*group).or_default().entries.clear();
        }
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
    pub(crate) status: Arc<GroupStatus>,
    pub(crate) offers: Arc<Offers>,
    /// The checkpoint that survives.
    pub(crate) durable: Option<GroupCheckpoint>,
    unsent: Vec<PeerMessage>,
    id: u64,
    voters: Vec<u64>,
}

/// Offers that wait to be taken up.
#[derive(Default)]
pub(crate) struct Offers(pub(crate) Mutex<Vec<SnapshotOffer>>);

impl SnapshotPort for Offers {
    fn offered(&self, offer: SnapshotOffer) {
        self.0.lock().unwrap().push(offer);
    }
}

fn members(voters: &[u64]) -> Members {
    Members {
        voters: voters.iter().copied().map(NodeId).collect(),
        ..Members::default()
    }
}

impl Node {
    pub(crate) fn new(id: u64, voters: &[u64], wal: Arc<MemoryWal>) -> Self {
        Self::open(id, voters, None, wal)
    }

    /// A node whose group begins behind a checkpoint at index 1, or is vacant.
    pub(crate) fn found(id: u64, voters: &[u64], wal: Arc<MemoryWal>) -> Self {
        let checkpoint = voters.contains(&id).then(|| GroupCheckpoint {
            index: 1,
            term: Term(1),
            members: members(voters),
            body: Bytes::copy_from_slice(&0_u64.to_le_bytes()),
        });
        Self::open(id, &[], checkpoint, wal)
    }

    /// The same node after its process was killed: what is durable is left.
    pub(crate) fn killed(self) -> Self {
        let voters: Vec<u64> = self.voters.clone();
        let wal = Arc::new(MemoryWal::surviving(&self.wal));
        let mut node = Self::open(self.id, &voters, self.durable, wal);
        node.now = self.now;
        node
    }

    fn open(
        id: u64,
        voters: &[u64],
        durable: Option<GroupCheckpoint>,
        wal: Arc<MemoryWal>,
    ) -> Self {
        let handle = Handle::default();
        let offers = Arc::new(Offers::default());
        let hold_back = Arc::new(AtomicBool::new(false));
        let (holds, full) = (Arc::clone(&hold_back), Arc::clone(&wal));
        let config = WorkerConfig {
            node: NodeId(id),
            wal: Arc::<MemoryWal>::clone(&wal),
            buffers: Arc::default(),
            snapshots: Arc::<Offers>::clone(&offers),
            admit: Box::new(
                move |_| match (full.accepts(), holds.load(Ordering::Relaxed)) {
                    (false, _) => Admission::Refuse,
                    (true, true) => Admission::Hold,
                    (true, false) => Admission::Take,
                },
            ),
        };
        let mut worker = Worker::new(config, handle.clone());
        let mut machine = Adder::default();
        if let Some(checkpoint) = &durable {
            machine.restore(checkpoint.body.clone()).unwrap();
        }
        let seed = GroupSeed {
            group: GROUP,
            lifetime: Lifetime::Durable,
            members: durable
                .as_ref()
                .map_or_else(|| members(voters), |at| at.members.clone()),
            checkpoint: durable
                .as_ref()
                .map_or((0, Term(0)), |at| (at.index, at.term)),
            snapshot: durable.as_ref().map(|at| at.body.clone()),
            recovered: wal.recovered(GROUP),
            machine,
            election_seed: id * 3,
        };
        let status = worker.add_group(seed).unwrap();
        Self {
            worker,
            handle,
            wal,
            hold_back,
            now: Millis(1_000),
            status,
            offers,
            unsent: Vec::new(),
            durable,
            id,
            voters: voters.to_vec(),
        }
    }

    /// Makes a checkpoint durable and tells the group.
    pub(crate) fn checkpoint(&mut self) {
        let (tell, told) = channel();
        let visit = Box::new(move |machine: &mut Adder, context: &mut Context<'_, u64>| {
            let checkpoint = GroupCheckpoint {
                index: context.applied,
                term: context.applied_term,
                members: context.members.clone(),
                body: Bytes::copy_from_slice(&machine.sum.to_le_bytes()),
            };
            tell.send(checkpoint).unwrap();
        });
        self.visit(visit);
        let checkpoint = told.try_recv().unwrap();
        self.durable = Some(checkpoint.clone());
        self.handle.send(Input::Checkpointed {
            group: GROUP,
            checkpoint,
        });
    }

    /// Takes up what leaders offer; gives the number of offers.
    pub(crate) fn take_offers_up(&mut self) -> usize {
        let offers = std::mem::take(&mut *self.offers.0.lock().unwrap());
        let count = offers.len();
        for offer in offers {
            let checkpoint = GroupCheckpoint {
                index: offer.index,
                term: offer.term,
                members: offer.members.clone(),
                body: offer.body.clone(),
            };
            let body = Some(checkpoint.body.clone());
            self.durable = Some(checkpoint);
            self.handle.send(Input::CaughtUp { offer, body });
        }
        count
    }

    fn visit(&mut self, visit: weir_raft::Visit<Adder>) {
        self.handle.send(Input::Visit {
            group: GROUP,
            visit,
        });
        let mut turn = self.turn();
        self.unsent.append(&mut turn.messages);
    }

    /// Turns and syncs until nothing is left to do; gives messages to peers.
    pub(crate) fn settle(&mut self) -> Vec<PeerMessage> {
        let mut messages = std::mem::take(&mut self.unsent);
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
        self.visit(visit);
        told.try_recv().unwrap()
    }
}
