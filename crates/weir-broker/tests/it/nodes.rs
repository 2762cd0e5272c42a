//! A cluster that is stepped by its test.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use weir_broker::{
    Engine, Identity, Node, NodeConfig, Observer,
    audit::Requester,
    join,
    steward::{AdminAnswer, AdminRequest, ClusterStatus},
};
use weir_log::{
    Disk,
    disk::{RealDisk, SystemEntropy},
    partition::StoreConfig,
    wal::WalConfig,
};
use weir_model::NodeId;

use super::{
    mesh::{End, HandClock, Mesh},
    slow_disk::{IsFull, SlowDisk, SyncMs},
};

/// How far time goes between two rounds, in ms.
const ROUND_MS: u64 = 20;
/// Rounds between two beacons.
const BEACON_ROUNDS: u64 = 10;
/// Rounds within which everything that is waited for must come: ten minutes.
const MAX_ROUND_COUNT: u64 = 30_000;

/// Memory of transient queues, in bytes.
pub(crate) const TRANSIENT_BUDGET_BYTES: u64 = 256 << 10;

/// A directory that is removed in the end.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Cluster {
    clock: Arc<HandClock>,
    mesh: Arc<Mesh>,
    engines: BTreeMap<NodeId, Engine>,
    pub(crate) nodes: BTreeMap<NodeId, Arc<Node>>,
    up: BTreeSet<NodeId>,
    round: u64,
    dirs: Vec<Dir>,
    /// By order of joining.
    pub(crate) sync_ms: Vec<SyncMs>,
    /// By order of joining.
    pub(crate) is_full: Vec<IsFull>,
}

fn config() -> NodeConfig {
    NodeConfig {
        wal: WalConfig {
            file_size_bytes: 1 << 20,
            max_frame_bytes: 256 << 10,
            max_total_bytes: 64 << 20,
            ..WalConfig::default()
        },
        store: StoreConfig {
            transient_budget_bytes: TRANSIENT_BUDGET_BYTES,
            ..StoreConfig::default()
        },
        ..NodeConfig::default()
    }
}

impl Cluster {
    pub(crate) fn found(shard_count: u32) -> Self {
        let mut cluster = Self {
            clock: Arc::default(),
            mesh: Arc::default(),
            engines: BTreeMap::new(),
            nodes: BTreeMap::new(),
            up: BTreeSet::new(),
            round: 0,
            dirs: Vec::new(),
            sync_ms: Vec::new(),
            is_full: Vec::new(),
        };
        let disk = cluster.disk();
        let address = "node-1:1".to_owned();
        Engine::found(&disk, &SystemEntropy, &config().wal, shard_count, address).unwrap();
        cluster.open(disk);
        cluster
    }

    fn disk(&mut self) -> Arc<dyn Disk> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-broker-it-{}-{serial}", std::process::id());
        let dir = Dir(std::env::temp_dir().join(name));
        let disk = RealDisk::open(&dir.0).unwrap();
        self.dirs.push(dir);
        let sync_ms = SyncMs::default();
        self.sync_ms.push(Arc::clone(&sync_ms));
        let is_full = IsFull::default();
        self.is_full.push(Arc::clone(&is_full));
        Arc::new(SlowDisk {
            disk,
            clock: Arc::clone(&self.clock),
            sync_ms,
            is_full,
        })
    }

    fn open(&mut self, disk: Arc<dyn Disk>) {
        let id = Identity::load(&*disk).unwrap().unwrap().node;
        let end = Arc::new(End {
            node: id,
            mesh: Arc::clone(&self.mesh),
        });
        let clock = Arc::<HandClock>::clone(&self.clock);
        let config = NodeConfig {
            rack: Some(format!("rack-{}", id.0)),
            ..config()
        };
        let engine = Engine::open(disk, clock, Arc::new(SystemEntropy), config, end).unwrap();
        self.nodes.insert(id, engine.node());
        self.engines.insert(id, engine);
        self.set_up(id, true);
        self.until("the node is ready", |cluster| {
            let node = &cluster.nodes[&id];
            if cluster.round.is_multiple_of(BEACON_ROUNDS) && !node.is_ready() {
                Engine::announce(node);
            }
            node.is_ready()
        });
    }

    /// A fresh node asks node 1.
    pub(crate) fn join(&mut self) {
        let disk = self.disk();
        let number = self.nodes.len() as u64 + 1;
        let address = format!("node-{number}:1");
        let request = join::request(u128::from(number), &address, "localhost", 9_092);
        let heard = Arc::new(Mutex::new(None));
        let hears = Arc::clone(&heard);
        let answer = Box::new(move |answer| *hears.lock().unwrap() = Some(answer));
        self.nodes[&NodeId(1)].take_call(NodeId(0), request, answer);
        self.until("the node is admitted", |_| heard.lock().unwrap().is_some());
        let answer = heard.lock().unwrap().take().unwrap();
        let identity = join::read_answer(answer).unwrap();
        Engine::join(&disk, &SystemEntropy, &config().wal, &identity).unwrap();
        self.open(disk);
    }

    /// The node stops at once and opens again.
    pub(crate) fn restart(&mut self, id: NodeId) {
        let at = usize::try_from(id.0 - 1).unwrap();
        self.up.remove(&id);
        self.nodes.remove(&id);
        self.engines.remove(&id);
        let disk = RealDisk::open(&self.dirs[at].0).unwrap();
        let sync_ms = Arc::clone(&self.sync_ms[at]);
        self.open(Arc::new(SlowDisk {
            disk,
            clock: Arc::clone(&self.clock),
            sync_ms,
            is_full: Arc::clone(&self.is_full[at]),
        }));
    }

    /// Whether the node runs, and all others know.
    pub(crate) fn set_up(&mut self, id: NodeId, is_up: bool) {
        if is_up {
            self.up.insert(id);
        } else {
            self.up.remove(&id);
        }
        for (other, node) in self.nodes.iter().filter(|(other, _)| **other != id) {
            node.peer_changed(id, is_up);
            if self.up.contains(other) {
                self.nodes[&id].peer_changed(*other, true);
            }
        }
    }

    /// Nothing reaches the node or comes from it, and nobody knows.
    pub(crate) fn cut_off(&mut self, id: NodeId) {
        self.up.remove(&id);
    }

    /// What is sent from now on reaches it.
    pub(crate) fn reach_again(&mut self, id: NodeId) {
        self.up.insert(id);
    }

    pub(crate) fn round(&mut self) {
        self.round += 1;
        self.clock.pass(ROUND_MS);
        if self.round.is_multiple_of(BEACON_ROUNDS) {
            for from in &self.up {
                let beacon = self.nodes[from].beacon();
                for to in self.up.iter().filter(|to| *to != from) {
                    self.nodes[to].take_beacon(*from, &beacon);
                }
            }
        }
        for _ in 0..50 {
            if !self.step() {
                break;
            }
        }
    }

    /// Everybody hears what was said, and does what is to be done; no time passes.
    pub(crate) fn step(&mut self) -> bool {
        let mut is_busy = self.mesh.deliver(&self.nodes, &self.up);
        for id in &self.up {
            is_busy |= self.engines.get_mut(id).unwrap().step().unwrap();
        }
        is_busy
    }

    /// All wall clocks are ahead of the time by so much.
    pub(crate) fn set_clocks_ahead(&self, ms: u64) {
        self.clock.set_ahead(ms);
    }

    pub(crate) fn rounds(&mut self, count: u32) {
        (0..count).for_each(|_| self.round());
    }

    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        for _ in 0..MAX_ROUND_COUNT {
            if is_so(self) {
                return;
            }
            self.round();
        }
        let views: Vec<ClusterStatus> =
            self.up.clone().iter().map(|id| self.status(id.0)).collect();
        panic!("never: {what}: {views:#?}");
    }

    pub(crate) fn ask(&mut self, node: u64, request: AdminRequest) -> AdminAnswer {
        let heard = Arc::new(Mutex::new(None));
        let hears = Arc::clone(&heard);
        let done = Box::new(move |answer| *hears.lock().unwrap() = Some(answer));
        self.nodes[&NodeId(node)].admin(&Requester::default(), request, done);
        for _ in 0..MAX_ROUND_COUNT {
            if let Some(answer) = heard.lock().unwrap().take() {
                return answer;
            }
            self.round();
        }
        panic!("no answer");
    }

    /// Lets all nodes take a checkpoint.
    pub(crate) fn checkpoint(&mut self) {
        self.engines.values_mut().for_each(Engine::checkpoint);
    }

    pub(crate) fn observer(&self, id: NodeId) -> Observer {
        self.engines[&id].observer()
    }

    /// Partitions that the node at `at`, by order of joining, has files of.
    pub(crate) fn partition_dirs(&self, at: usize) -> usize {
        let listed = std::fs::read_dir(self.dirs[at].0.join("partitions"));
        listed.map_or(0, Iterator::count)
    }

    /// Bytes of all files of partitions of the node at `at`, by order of joining.
    pub(crate) fn partition_bytes(&self, at: usize) -> u64 {
        let Ok(listed) = std::fs::read_dir(self.dirs[at].0.join("partitions")) else {
            return 0;
        };
        let dirs = listed.map(|dir| dir.unwrap().path());
        let files = dirs.flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten());
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    pub(crate) fn status(&mut self, node: u64) -> ClusterStatus {
        match self.ask(node, AdminRequest::Status) {
            AdminAnswer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }
}

/// What a node says without being stepped: status is answered at once.
pub(crate) fn status_of(node: &Arc<Node>) -> ClusterStatus {
    let heard = Arc::new(Mutex::new(None));
    let hears = Arc::clone(&heard);
    node.admin(
        &Requester::default(),
        AdminRequest::Status,
        Box::new(move |answer| *hears.lock().unwrap() = Some(answer)),
    );
    let answer = heard.lock().unwrap().take();
    match answer {
        Some(AdminAnswer::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}
