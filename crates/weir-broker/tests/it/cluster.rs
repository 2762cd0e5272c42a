//! Two nodes on real files, stepped by hand, whose calls arrive at once or not at all.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use weir_broker::{
    Engine, Identity, Node, NodeConfig, join,
    peer::{CallDone, CallFailed, PeerMessages, PeerPort},
};
use weir_log::{
    Clock, Disk, Millis,
    disk::{RealDisk, SystemEntropy},
    partition::StoreConfig,
    wal::WalConfig,
};
use weir_model::NodeId;

/// Rounds that a settled cluster needs at most.
const MAX_SETTLE_ROUNDS: usize = 2_000;
/// The caller that has no id yet.
pub(crate) const NOBODY: NodeId = NodeId(0);

/// A clock that stands until it is moved.
#[derive(Default)]
pub(crate) struct HandClock(pub(crate) AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(i64::try_from(self.0.load(Ordering::Relaxed)).unwrap())
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * 1_000_000
    }
}

#[derive(Default)]
pub(crate) struct Wires {
    nodes: Mutex<BTreeMap<NodeId, Weak<Node>>>,
    /// Answers that are dropped on the way, after the callee has acted.
    pub(crate) lost_count: AtomicU64,
    pub(crate) call_count: AtomicU64,
}

pub(crate) struct Port {
    me: NodeId,
    wires: Arc<Wires>,
    pub(crate) addresses: Mutex<BTreeMap<NodeId, String>>,
}

impl weir_raft::PeerPort for Port {
    fn send(&self, _messages: PeerMessages) {}
}

impl PeerPort for Port {
    fn set_addresses(&self, addresses: &BTreeMap<NodeId, String>) {
        *self.addresses.lock().unwrap() = addresses.clone();
    }

    fn call(&self, to: NodeId, request: Bytes, done: CallDone) {
        self.wires.call_count.fetch_add(1, Ordering::Relaxed);
        let found = self.wires.nodes.lock().unwrap().get(&to).cloned();
        let Some(node) = found.and_then(|node| node.upgrade()) else {
            return done(Err(CallFailed::Unreachable));
        };
        let is_lost = self
            .wires
            .lost_count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_sub(1)
            })
            .is_ok();
        let answer = move |answer| {
            let answer = if is_lost {
                Err(CallFailed::TimedOut)
            } else {
                Ok(answer)
            };
            done(answer);
        };
        node.take_call(self.me, request, Box::new(answer));
    }
}

pub(crate) struct Member {
    pub(crate) engine: Engine,
    pub(crate) node: Arc<Node>,
    pub(crate) port: Arc<Port>,
    pub(crate) disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub(crate) struct Cluster {
    pub(crate) clock: Arc<HandClock>,
    pub(crate) wires: Arc<Wires>,
    pub(crate) members: Vec<Member>,
}

#[allow(
    clippy::needless_update,
    reason = "with the feature `seeded-bugs` of weir-log there is one more field"
)]
fn config() -> NodeConfig {
    NodeConfig {
        shard_count: 2,
        wal: WalConfig {
            file_size_bytes: 1 << 20,
            max_frame_bytes: 64 << 10,
            max_total_bytes: 16 << 20,
            spare_count: 1,
            ..WalConfig::default()
        },
        store: StoreConfig {
            cold_thread_count: 0,
            ..StoreConfig::default()
        },
        ..NodeConfig::default()
    }
}

impl Cluster {
    /// A founder that knows itself.
    pub(crate) fn founded() -> Self {
        let mut cluster = Self {
            clock: Arc::default(),
            wires: Arc::default(),
            members: Vec::new(),
        };
        let (disk, dir) = disk();
        let config = config();
        let address = "127.0.0.1:9001".to_owned();
        Engine::found(
            &disk,
            &SystemEntropy,
            &config.wal,
            config.shard_count,
            address,
        )
        .unwrap();
        cluster.open(disk, dir);
        cluster.settle();
        Engine::announce(&cluster.members[0].node);
        cluster.settle();
        assert!(cluster.members[0].node.is_ready());
        cluster
    }

    /// One more node, admitted by the founder.
    pub(crate) fn with_joined(mut self) -> Self {
        let answer = self.ask_to_join(7);
        let identity = join::read_answer(answer).unwrap();
        self.open_joined(&identity);
        let beacon = self.members[0].node.beacon();
        self.members[1].node.take_beacon(NodeId(1), &beacon);
        self
    }

    pub(crate) fn ask_to_join(&mut self, incarnation: u128) -> Bytes {
        let request = join::request(incarnation, "127.0.0.1:9002", "127.0.0.1", 9102);
        let answered = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answered);
        let answer = Box::new(move |answer| *slot.lock().unwrap() = Some(answer));
        self.members[0].node.take_call(NOBODY, request, answer);
        self.settle();
        let answer = answered.lock().unwrap().take();
        answer.unwrap()
    }

    fn open_joined(&mut self, identity: &Identity) {
        let (disk, dir) = disk();
        Engine::join(&disk, &SystemEntropy, &config().wal, identity).unwrap();
        self.open(disk, dir);
    }

    fn open(&mut self, disk: Arc<dyn Disk>, dir: PathBuf) {
        let identity = Identity::load(&*disk).unwrap().unwrap();
        let port = Arc::new(Port {
            me: identity.node,
            wires: Arc::clone(&self.wires),
            addresses: Mutex::default(),
        });
        let engine = Engine::open(
            Arc::clone(&disk),
            Arc::<HandClock>::clone(&self.clock),
            Arc::new(SystemEntropy),
            config(),
            Arc::<Port>::clone(&port),
        )
        .unwrap();
        let node = engine.node();
        let mut nodes = self.wires.nodes.lock().unwrap();
        nodes.insert(identity.node, Arc::downgrade(&node));
        drop(nodes);
        self.members.push(Member {
            engine,
            node,
            port,
            disk,
            dir,
        });
    }

    pub(crate) fn settle(&mut self) {
        // A timer of one node may leave work for another that has had its turn.
        let mut quiet_count = 0;
        for _ in 0..MAX_SETTLE_ROUNDS {
            let mut has_worked = false;
            for member in &mut self.members {
                has_worked |= member.engine.step().unwrap();
            }
            quiet_count = if has_worked { 0 } else { quiet_count + 1 };
            if quiet_count > 1 {
                return;
            }
        }
        panic!("the cluster never settles");
    }

    pub(crate) fn pass(&mut self, time_ms: u64) {
        self.clock.0.fetch_add(time_ms, Ordering::Relaxed);
        self.settle();
    }
}

fn disk() -> (Arc<dyn Disk>, PathBuf) {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let name = format!("weir-broker-it-{}-{serial}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    (Arc::new(RealDisk::open(&dir).unwrap()), dir)
}
