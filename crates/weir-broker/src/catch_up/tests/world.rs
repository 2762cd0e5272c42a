//! Two nodes on real directories, stepped by hand; the second one calls the first.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use weir_log::{
    CheckpointStore, Clock, Disk, Millis,
    disk::{RealDisk, SystemEntropy},
    partition::{PartitionLog, Read, StoreConfig},
    wal::WalConfig,
};
use weir_model::{
    GroupId, NodeId, Offset, PartitionId, TopicId, TopicName,
    batch::{HEADER_BYTES, PATCHED_BYTES, patched_head},
};
use weir_raft::{GroupCheckpoint, Input, Members, PeerMessage, SnapshotOffer, SnapshotPort};

use crate::{
    Engine, Identity, Mailbox, Node, NodeConfig, Reply, Ticket,
    api::{Backend, Fetch, FetchPartition, Fetched, Outcome, ReadFrom, Request, TopicRef},
    checkpointer,
    machine::Machine,
    metadata::{CreateTopic, MetadataCommand},
    metadata_host,
    peer::{CallDone, CallFailed, PeerPort},
    shard::ShardCommand,
};

pub(super) const SHARD: GroupId = GroupId(1);
const LEADER: NodeId = NodeId(1);
const FOLLOWER: NodeId = NodeId(2);
/// Rounds that anything here needs at most.
const MAX_ROUNDS: usize = 20_000;

pub(super) fn partition(index: u32) -> PartitionId {
    PartitionId::new(1, index)
}

struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-catch-up-{}-{serial}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(RealDisk::open(&self.0).unwrap())
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Goes on by a millisecond whenever it is looked at.
#[derive(Default)]
struct StepClock(AtomicI64);

impl Clock for StepClock {
    fn now(&self) -> Millis {
        Millis(1_000_000 + self.0.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.0.fetch_add(1, Ordering::Relaxed)).unwrap() * 1_000_000
    }
}

/// What becomes of a call's answer.
type Spoil = Box<dyn FnMut(Bytes) -> Result<Bytes, CallFailed> + Send>;

/// The way from one node to the other.
pub(super) struct Link {
    to: Mutex<Option<Arc<Node>>>,
    spoil: Mutex<Spoil>,
    pub(super) call_count: AtomicU64,
}

impl weir_raft::PeerPort for Link {
    fn send(&self, messages: Vec<PeerMessage>) {
        if let Some(node) = &*self.to.lock().unwrap() {
            node.take_messages(messages);
        }
    }
}

impl PeerPort for Link {
    fn set_addresses(&self, _addresses: &BTreeMap<NodeId, String>) {}

    fn call(&self, to: NodeId, request: Bytes, done: CallDone) {
        self.call_count.fetch_add(1, Ordering::Relaxed);
        let node = self.to.lock().unwrap().clone();
        let Some(node) = node.filter(|node| node.id() == to) else {
            return done(Err(CallFailed::Unreachable));
        };
        let heard = Arc::new(Mutex::new(None));
        let hears = Arc::clone(&heard);
        node.take_call(
            FOLLOWER,
            request,
            Box::new(move |answer| *hears.lock().unwrap() = Some(answer)),
        );
        let answer = heard.lock().unwrap().take().ok_or(CallFailed::TimedOut);
        done(answer.and_then(|answer| (self.spoil.lock().unwrap())(answer)));
    }
}

impl Link {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            to: Mutex::new(None),
            spoil: Mutex::new(Box::new(Ok)),
            call_count: AtomicU64::new(0),
        })
    }
}

pub(super) struct World {
    leader_dir: TempDir,
    follower_dir: TempDir,
    pub(super) leader: Engine,
    pub(super) follower: Engine,
    pub(super) link: Arc<Link>,
    /// From the leader to the second node.
    back: Arc<Link>,
}

fn config() -> NodeConfig {
    NodeConfig {
        shard_count: 1,
        wal: WalConfig {
            file_size_bytes: 1 << 20,
            ..WalConfig::default()
        },
        store: StoreConfig {
            tail_budget_bytes: 4 << 20,
            cold_thread_count: 0,
            ..StoreConfig::default()
        },
        catch_up_bytes_per_s: 0,
        ..NodeConfig::default()
    }
}

fn open(dir: &TempDir, config: NodeConfig, peers: Arc<dyn PeerPort>) -> Engine {
    let clock = Arc::new(StepClock::default());
    let entropy = Arc::new(SystemEntropy);
    let mut engine = Engine::open(dir.disk(), clock, entropy, config, peers).unwrap();
    // It would take the second node, which nobody has admitted, out of the shard.
    engine.steward.rest();
    engine
}

impl World {
    /// A leader with one topic, whose segments have `segment_bytes`, and an empty second node.
    pub(super) fn new(segment_bytes: u32) -> Self {
        Self::with(segment_bytes, config())
    }

    pub(super) fn with(segment_bytes: u32, follower: NodeConfig) -> Self {
        let (leader_dir, follower_dir) = (TempDir::new(), TempDir::new());
        let wal = config().wal;
        let entropy = SystemEntropy;
        let founded = Engine::found(&leader_dir.disk(), &entropy, &wal, 1, String::new());
        let identity = Identity {
            node: FOLLOWER,
            ..founded.unwrap()
        };
        Engine::join(&follower_dir.disk(), &entropy, &wal, &identity).unwrap();
        let (back, link) = (Link::new(), Link::new());
        let leader = open(&leader_dir, config(), Arc::<Link>::clone(&back));
        let follower = open(&follower_dir, follower, Arc::<Link>::clone(&link));
        *back.to.lock().unwrap() = Some(follower.node());
        *link.to.lock().unwrap() = Some(leader.node());
        let mut world = Self {
            leader_dir,
            follower_dir,
            leader,
            follower,
            link,
            back,
        };
        settle(&mut world.leader);
        Engine::announce(&world.leader.node());
        settle(&mut world.leader);
        world.create_topic(segment_bytes);
        world
    }

    pub(super) fn config() -> NodeConfig {
        config()
    }

    fn create_topic(&mut self, segment_bytes: u32) {
        let create = MetadataCommand::CreateTopic(CreateTopic {
            name: TopicName::new("t").unwrap(),
            id: TopicId(uuid::Uuid::from_u128(7)),
            partitions: vec![SHARD; 64],
            replication_factor: 1,
            configs: BTreeMap::from([("segment.bytes".to_owned(), segment_bytes.to_string())]),
            created: Millis(0),
        });
        let node = self.leader.node();
        node.handle_of(GroupId::METADATA).send(Input::Propose {
            group: GroupId::METADATA,
            command: metadata_host::command(&create),
            done: None,
        });
        settle(&mut self.leader);
        assert!(node.topology.load().by_serial(1).is_some());
    }

    pub(super) fn append(&mut self, partition: PartitionId, payload_bytes: usize, seed: u64) {
        self.propose(ShardCommand::append(partition, batch(payload_bytes, seed)));
    }

    pub(super) fn trim(&mut self, partition: PartitionId, start: Offset) {
        self.propose(ShardCommand::trim(partition, start));
        settle(&mut self.leader);
    }

    fn propose(&mut self, command: weir_raft::Command) {
        self.leader.node().handle_of(SHARD).send(Input::Propose {
            group: SHARD,
            command,
            done: None,
        });
        self.leader.step().unwrap();
    }

    /// What the leader offers of a group, after a checkpoint.
    pub(super) fn offer(&mut self, group: GroupId) -> SnapshotOffer {
        settle(&mut self.leader);
        self.leader.checkpoint();
        settle(&mut self.leader);
        let (index, term, body) = saved(&self.leader_dir, group);
        let checkpoint = GroupCheckpoint {
            index,
            term,
            members: Members {
                voters: vec![LEADER, FOLLOWER],
                ..Members::default()
            },
            body,
        };
        SnapshotOffer::made_up(LEADER, group, checkpoint)
    }

    /// The second node takes it over, or gives it up, and installs what it saved.
    pub(super) fn take_over(&mut self, offer: SnapshotOffer) -> bool {
        let (group, index) = (offer.group, offer.index);
        self.follower.node().offers.offered(offer);
        self.work();
        let is_saved = loaded(&self.follower_dir, group).is_some_and(|saved| saved.0 == index);
        if is_saved {
            self.install(group);
        }
        is_saved
    }

    /// Until nothing is under way at the second node.
    pub(super) fn work(&mut self) {
        for _ in 0..MAX_ROUNDS {
            self.follower.step().unwrap();
            if self.follower.catch_up.is_idle() {
                return settle(&mut self.follower);
            }
        }
        panic!("the take-over never ends");
    }

    /// The second node's replica of the shard retires while nothing is brought.
    pub(super) fn retire_behind_the_back_of_catch_up(&mut self) {
        self.follower.node().retire_replica(SHARD);
        for _ in 0..20 {
            self.follower.step_groups().unwrap();
        }
    }

    /// As the replica does once it hears of the checkpoint.
    fn install(&mut self, group: GroupId) {
        let (_, _, body) = saved(&self.follower_dir, group);
        visit(&mut self.follower, group, move |machine| {
            weir_raft::StateMachine::restore(machine, body).unwrap();
        });
    }

    /// The leader takes the second node into the shard.
    pub(super) fn add_learner(&mut self) {
        self.leader
            .node()
            .handle_of(SHARD)
            .send(Input::ChangeMembers {
                group: SHARD,
                changes: vec![weir_raft::MemberChange::AddLearner(FOLLOWER)],
                done: Box::new(|changed| changed.unwrap()),
            });
    }

    /// What all replicas of the shard must have alike, as one node has it.
    pub(super) fn alike(engine: &mut Engine) -> Bytes {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        visit(engine, SHARD, move |machine| {
            let Machine::Shard(shard) = machine else {
                panic!("the group is a shard");
            };
            let mut alike = bytes::BytesMut::new();
            shard.inspect(&mut alike);
            tell.send(alike.freeze()).unwrap();
        });
        told.recv().unwrap()
    }

    /// Both nodes go on until the first one leads and the second one has applied all that it has.
    pub(super) fn replicate(&mut self) {
        let (leader, follower) = (self.leader.node(), self.follower.node());
        for _ in 0..MAX_ROUNDS {
            self.leader.step().unwrap();
            self.follower.step().unwrap();
            let is_same = leader.leads(SHARD) && follower.applied(SHARD) == leader.applied(SHARD);
            if is_same && follower.applied(SHARD) > 1 && self.follower.catch_up.is_idle() {
                return;
            }
        }
        let applied = (follower.applied(SHARD), leader.applied(SHARD));
        panic!("the second node never comes up: {applied:?}");
    }

    pub(super) fn spoil(
        &self,
        spoil: impl FnMut(Bytes) -> Result<Bytes, CallFailed> + Send + 'static,
    ) {
        *self.link.spoil.lock().unwrap() = Box::new(spoil);
    }

    pub(super) fn reopen_follower(&mut self) {
        let peers: Arc<dyn PeerPort> = Arc::<Link>::clone(&self.link);
        self.follower = open(&self.follower_dir, config(), peers);
        *self.back.to.lock().unwrap() = Some(self.follower.node());
    }

    /// Start, end and everything that a node has of a partition.
    pub(super) fn contents(node: &Node, partition: PartitionId) -> (Offset, Offset, Vec<u8>) {
        let Some(log) = node.env.registry.get(partition) else {
            return (Offset(0), Offset(0), Vec::new());
        };
        let (start, end) = (log.start_offset(), log.end_offset());
        (start, end, read_all(node, &log, start, end))
    }

    pub(super) fn assert_equal(&self, partition_count: u32) {
        let (leader, follower) = (self.leader.node(), self.follower.node());
        for id in (0..partition_count).map(partition) {
            let wanted = Self::contents(&leader, id);
            assert!(wanted.1 > Offset(0), "there is something to compare");
            assert!(Self::contents(&follower, id) == wanted, "partition {id}");
        }
    }

    /// What a client that fetches from the leader is told.
    pub(super) fn fetch(&mut self, index: i32, offset: i64) -> Fetched {
        let mailbox = Mailbox::new(Box::new(|| {}));
        let reply = Reply::new(Arc::clone(&mailbox), Ticket(0));
        let fetch = Fetch {
            committed_only: false,
            min_bytes: 1,
            max_bytes: 1 << 20,
            max_wait_ms: 0,
            room: None,
            from: ReadFrom::Leader,
            partitions: vec![FetchPartition {
                topic: TopicRef::Name(TopicName::new("t").unwrap()),
                index,
                offset,
                max_bytes: 1 << 20,
                leader_epoch: -1,
                last_epoch: -1,
            }],
        };
        self.leader.node().submit(Request::Fetch(fetch), reply);
        let mut answers = Vec::new();
        mailbox.take(&mut answers);
        match answers.pop() {
            Some((_, Outcome::Fetch(mut fetched))) => fetched.remove(0),
            other => panic!("answered by {other:?}"),
        }
    }

    pub(super) fn reopen_leader(&mut self) {
        let peers: Arc<dyn PeerPort> = Arc::<Link>::clone(&self.back);
        self.leader = open(&self.leader_dir, config(), peers);
        *self.link.to.lock().unwrap() = Some(self.leader.node());
    }

    /// Flips a bit of the first segment that one of the nodes has of a partition.
    pub(super) fn damage(&self, is_leader: bool, partition: PartitionId) {
        let dir = if is_leader {
            &self.leader_dir
        } else {
            &self.follower_dir
        };
        let parent = format!("partitions/{partition}");
        let files = dir.disk().list(&parent).unwrap();
        let first = files.iter().find(|entry| entry.name.ends_with(".seg"));
        let path = dir.0.join(parent).join(&first.unwrap().name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[5000] ^= 4;
        std::fs::write(&path, bytes).unwrap();
    }

    /// Names of the second node's files of a partition.
    pub(super) fn files(&self, partition: PartitionId) -> Vec<String> {
        let dir = format!("partitions/{partition}");
        let listed = self.follower_dir.disk().list(&dir).unwrap();
        listed.into_iter().map(|entry| entry.name).collect()
    }

    pub(super) fn has_checkpoint(&self, group: GroupId) -> bool {
        loaded(&self.follower_dir, group).is_some()
    }
}

fn read_all(node: &Node, log: &Arc<PartitionLog>, start: Offset, end: Offset) -> Vec<u8> {
    let mut all = Vec::new();
    let mut at = start;
    while at < end {
        let batches = match log.read(at, 1 << 20, true) {
            Read::Batches(batches) => batches,
            Read::Cold(cold) => node.env.store.run_cold(&cold).unwrap(),
            Read::AtEnd => return all,
            Read::OutOfRange { .. } => panic!("{at} is inside the log"),
        };
        if batches.size_bytes == 0 {
            return all;
        }
        all.extend(batches.chunks.concat());
        at = batches.next_offset;
    }
    all
}

fn loaded(dir: &TempDir, group: GroupId) -> Option<(u64, weir_model::Term, Bytes)> {
    let store = CheckpointStore::new(dir.disk()).unwrap();
    let checkpoint = store.load_all().unwrap().remove(&group)?;
    let (_, body) = checkpointer::decode_body(checkpoint.body).unwrap();
    Some((checkpoint.index, checkpoint.term, body))
}

fn saved(dir: &TempDir, group: GroupId) -> (u64, weir_model::Term, Bytes) {
    loaded(dir, group).unwrap()
}

fn visit(engine: &mut Engine, group: GroupId, look: impl FnOnce(&mut Machine) + Send + 'static) {
    let visit = Box::new(
        move |machine: &mut Machine,
              _: &mut weir_raft::Context<'_, crate::outcome::AppliedOutcome>| look(machine),
    );
    let node = engine.node();
    node.handle_of(group).send(Input::Visit { group, visit });
    settle(engine);
}

pub(super) fn settle(engine: &mut Engine) {
    let mut quiet = 0;
    for _ in 0..MAX_ROUNDS {
        quiet = if engine.step().unwrap() { 0 } else { quiet + 1 };
        if quiet > 3 {
            return;
        }
    }
    panic!("the node never settles");
}

/// One batch of one record whose payload nobody looks into.
fn batch(payload_bytes: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; HEADER_BYTES];
    let word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    bytes.extend(word.iter().cycle().take(payload_bytes));
    let head = patched_head(Offset(0), bytes.len(), 0);
    bytes[..PATCHED_BYTES].copy_from_slice(&head);
    bytes[16] = 2;
    bytes[43..51].copy_from_slice(&(-1_i64).to_be_bytes());
    bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}
