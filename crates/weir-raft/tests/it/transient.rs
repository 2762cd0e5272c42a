//! A group that ends with its node's run, beside one that is stored, on one worker.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, channel},
};

use bytes::Bytes;
use weir_log::{Millis, wal::RecoveredGroup};
use weir_model::{GroupId, NodeId, Term};
use weir_raft::{
    Admission, Command, Context, GroupSeed, GroupStatus, Handle, Input, Lifetime, Members, Moment,
    NoSnapshots, NotCommitted, Turn, Worker, WorkerConfig,
};

use crate::harness::{Adder, GROUP, MemoryWal};

const TRANSIENT: GroupId = GroupId(1 << 23 | 1);

type Admissions = Arc<Mutex<(Admission, Admission)>>;

struct Two {
    worker: Worker<Adder>,
    handle: Handle<Adder>,
    wal: Arc<MemoryWal>,
    admissions: Admissions,
    status: Arc<GroupStatus>,
}

impl Two {
    fn open() -> Self {
        let (handle, wal) = (Handle::default(), Arc::new(MemoryWal::default()));
        let admissions: Admissions = Arc::new(Mutex::new((Admission::Take, Admission::Take)));
        let asked = Arc::clone(&admissions);
        let config = WorkerConfig {
            node: NodeId(1),
            wal: Arc::<MemoryWal>::clone(&wal),
            buffers: Arc::default(),
            snapshots: Arc::new(NoSnapshots),
            admit: Box::new(move |lifetime| {
                let (durable, transient) = *asked.lock().unwrap();
                match lifetime {
                    Lifetime::Durable => durable,
                    Lifetime::Transient => transient,
                }
            }),
        };
        let mut worker = Worker::new(config, handle.clone());
        worker.add_group(seed(GROUP, Lifetime::Durable)).unwrap();
        let status = worker
            .add_group(seed(TRANSIENT, Lifetime::Transient))
            .unwrap();
        let mut two = Self {
            worker,
            handle,
            wal,
            admissions,
            status,
        };
        two.turn();
        two.wal.sync();
        two.turn();
        two
    }

    fn turn(&mut self) -> Turn {
        let now = Millis(1_000);
        let elapsed_ms = now.since(Millis(0));
        self.worker.turn(Moment { now, elapsed_ms }).unwrap()
    }

    fn add(&self, group: GroupId, number: u64) -> Receiver<Result<u64, NotCommitted>> {
        let (tell, told) = channel();
        let command = Command {
            head: Bytes::copy_from_slice(&number.to_le_bytes()),
            payload: Bytes::new(),
        };
        let done = Box::new(move |outcome| tell.send(outcome).unwrap());
        self.handle.send(Input::Propose {
            group,
            command,
            done: Some(done),
        });
        told
    }

    fn admit(&self, durable: Admission, transient: Admission) {
        *self.admissions.lock().unwrap() = (durable, transient);
    }
}

fn seed(group: GroupId, lifetime: Lifetime) -> GroupSeed<Adder> {
    GroupSeed {
        group,
        lifetime,
        members: Members {
            voters: vec![NodeId(1)],
            ..Members::default()
        },
        checkpoint: (0, Term(0)),
        snapshot: None,
        recovered: RecoveredGroup::default(),
        machine: Adder::default(),
        election_seed: 7,
    }
}

#[test]
fn what_ends_with_the_run_is_answered_in_its_turn_and_not_written() {
    let mut two = Two::open();
    let told: Vec<_> = (1..=3).map(|number| two.add(TRANSIENT, number)).collect();
    two.turn();
    let sums: Vec<_> = told.iter().map(|told| told.try_recv().unwrap()).collect();
    assert_eq!(sums, [Ok(1), Ok(3), Ok(6)]);
    assert_eq!(two.wal.sync(), 0, "nothing was handed to the log");
    assert_eq!(two.status.leader(), Some(NodeId(1)));
    assert_eq!(two.status.term(), Term(1), "of each run");
}

#[test]
fn a_stored_group_beside_it_waits_for_the_disk() {
    let mut two = Two::open();
    let (stored, transient) = (two.add(GROUP, 5), two.add(TRANSIENT, 7));
    two.turn();
    assert_eq!(transient.try_recv(), Ok(Ok(7)));
    assert!(stored.try_recv().is_err());
    assert_eq!(two.wal.sync(), 1);
    two.turn();
    assert_eq!(stored.try_recv(), Ok(Ok(5)));
    assert!(two.wal.recovered(TRANSIENT).entries.is_empty());
}

#[test]
fn a_disk_that_takes_nothing_keeps_only_stored_groups_waiting() {
    let mut two = Two::open();
    two.admit(Admission::Refuse, Admission::Take);
    let (stored, transient) = (two.add(GROUP, 5), two.add(TRANSIENT, 7));
    two.turn();
    assert_eq!(stored.try_recv(), Ok(Err(NotCommitted::StorageFull)));
    assert_eq!(transient.try_recv(), Ok(Ok(7)));
    two.admit(Admission::Take, Admission::Hold);
    let (stored, transient) = (two.add(GROUP, 5), two.add(TRANSIENT, 1));
    two.turn();
    two.wal.sync();
    two.turn();
    assert_eq!(stored.try_recv(), Ok(Ok(5)));
    assert!(transient.try_recv().is_err());
    two.admit(Admission::Take, Admission::Take);
    let later = two.add(TRANSIENT, 2);
    two.turn();
    assert_eq!(
        (transient.try_recv(), later.try_recv()),
        (Ok(Ok(8)), Ok(Ok(10)))
    );
}

#[test]
fn its_reads_need_no_turn_of_anybody_else() {
    let mut two = Two::open();
    let (tell, told) = channel();
    two.handle.send(Input::ReadBarrier {
        group: TRANSIENT,
        done: Box::new(move |passed| tell.send(passed).unwrap()),
    });
    two.turn();
    assert_eq!(told.try_recv(), Ok(Ok(())));
    assert_eq!(two.turn().next_turn_in_ms, None, "no clock runs for it");
}

#[test]
fn a_worker_that_stops_does_not_wait_for_it() {
    let mut two = Two::open();
    let told = two.add(TRANSIENT, 1);
    two.turn();
    two.handle.send(Input::Stop);
    assert!(two.turn().stopped);
    assert_eq!(told.try_recv(), Ok(Ok(1)));
    let applied = two.status.applied();
    let visit = Box::new(move |_: &mut Adder, context: &mut Context<'_, u64>| {
        assert_eq!(context.applied, applied);
    });
    two.handle.send(Input::Visit {
        group: TRANSIENT,
        visit,
    });
    two.turn();
}
