//! One life of a node: the production engine, and what waits for its next turn.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weir_broker::{
    Engine, Identity, Mailbox, Node, NodeConfig, Reply, Ticket,
    api::{Backend, Outcome, Request},
    group::GroupConfig,
    peer::{CallDone, CallFailed},
};
use weir_log::{disk::Disk, partition::StoreConfig, wal::WalConfig};
use weir_model::NodeId;
use weir_raft::wire;

use super::{
    plan::ClusterPlan,
    port::{Caller, Port, Sent},
};
use crate::{
    campaign::{host::Host, wal_bug},
    options::Options,
};

/// Time without a frame after which another node counts as lost, as the real transport has it.
const SILENCE_MS: u64 = 1_000;
/// How long a call waits for its answer.
const CALL_TIMEOUT_MS: u64 = 5_000;

/// What a process hears at its next turn.
pub(super) enum Incoming {
    Messages(Bytes),
    Call {
        from: NodeId,
        caller: Caller,
        request: Bytes,
    },
    Answer {
        call: u64,
        answer: Bytes,
    },
    Beacon(Bytes),
    /// The other side's process is gone.
    Closed,
    Request {
        ticket: Ticket,
        /// Boxed, since all else is small.
        request: Box<Request>,
    },
}

/// Another node, as far as it is heard of.
struct Heard {
    last_ms: u64,
    is_up: bool,
}

pub(super) struct Process {
    /// There until the process ends.
    engine: Option<Engine>,
    pub(super) node: Arc<Node>,
    pub(super) port: Port,
    mailbox: Arc<Mailbox>,
    incoming: Vec<(NodeId, Incoming)>,
    heard: BTreeMap<NodeId, Heard>,
    /// Calls under way, with when they are given up.
    calls: BTreeMap<u64, (u64, CallDone)>,
    next_call: u64,
    /// Machines of the other nodes.
    pub(super) addresses: BTreeMap<NodeId, usize>,
    pub(super) next_beacon_ms: u64,
    pub(super) next_announce_ms: u64,
}

/// The address of the machine's node: also says which of its disks.
pub(super) fn address(machine: usize, generation: u32) -> String {
    format!("m{machine}-{generation}:1")
}

fn machine_of(address: &str) -> Option<usize> {
    address.strip_prefix('m')?.split('-').next()?.parse().ok()
}

fn machines_of(addresses: &BTreeMap<NodeId, String>) -> BTreeMap<NodeId, usize> {
    let known = addresses.iter();
    known
        .filter_map(|(node, address)| Some((*node, machine_of(address)?)))
        .collect()
}

impl Process {
    pub(super) fn open(plan: &ClusterPlan, options: Options, host: &Host) -> Result<Self, String> {
        let disk: Arc<dyn Disk> = Arc::new(host.disk.clone());
        let clock = Arc::new(host.clock.clone());
        let entropy = Arc::<crate::world::SimEntropy>::clone(&host.entropy);
        let port = Port::default();
        let identity = Identity::load(&*disk).map_err(|error| error.to_string())?;
        let identity = identity.ok_or("the disk belongs to no node")?;
        let opened = Engine::open(
            disk,
            clock,
            entropy,
            config(plan, options),
            Arc::new(port.clone()),
        );
        let mut engine = opened.map_err(|error| error.to_string())?;
        wal_bug::seed(&mut engine, options);
        Ok(Self {
            node: engine.node(),
            engine: Some(engine),
            port,
            mailbox: Mailbox::new(Box::new(|| {})),
            incoming: Vec::new(),
            heard: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            addresses: machines_of(&identity.addresses),
            next_beacon_ms: 0,
            next_announce_ms: 0,
        })
    }

    pub(super) fn ask(&mut self, ticket: Ticket, request: Request) {
        self.incoming.push((
            NodeId(0),
            Incoming::Request {
                ticket,
                request: Box::new(request),
            },
        ));
    }

    pub(super) fn hear(&mut self, from: NodeId, incoming: Incoming) {
        self.incoming.push((from, incoming));
    }

    pub(super) fn take_answers(&self) -> Vec<(Ticket, Outcome)> {
        let mut answers = Vec::new();
        self.mailbox.take(&mut answers);
        answers
    }

    /// Takes in what waits, and does one round of everything.
    pub(super) fn step(&mut self, now_ms: u64) -> Result<bool, String> {
        for (from, incoming) in std::mem::take(&mut self.incoming) {
            self.take_in(now_ms, from, incoming)?;
        }
        self.look_for_silence(now_ms);
        let engine = self
            .engine
            .as_mut()
            .expect("the engine is there until the end");
        engine.step().map_err(|error| error.to_string())
    }

    fn take_in(&mut self, now_ms: u64, from: NodeId, incoming: Incoming) -> Result<(), String> {
        if from != NodeId(0) {
            let is_up = !matches!(incoming, Incoming::Closed);
            self.note_peer(now_ms, from, is_up);
        }
        match incoming {
            Incoming::Messages(bytes) => {
                let messages = wire::decode(from, self.node.id(), bytes);
                self.node
                    .take_messages(messages.map_err(|error| error.to_string())?);
            }
            Incoming::Call {
                from,
                caller,
                request,
            } => {
                let answer = self.port.answer_to(caller);
                self.node.take_call(from, request, answer);
            }
            Incoming::Answer { call, answer } => {
                if let Some((_, done)) = self.calls.remove(&call) {
                    done(Ok(answer));
                }
            }
            Incoming::Beacon(beacon) => self.node.take_beacon(from, &beacon),
            Incoming::Closed => {}
            Incoming::Request { ticket, request } => {
                let reply = Reply::new(Arc::clone(&self.mailbox), ticket);
                self.node.submit(*request, reply);
            }
        }
        Ok(())
    }

    fn note_peer(&mut self, now_ms: u64, peer: NodeId, is_up: bool) {
        let heard = self.heard.entry(peer).or_insert(Heard {
            last_ms: now_ms,
            is_up: false,
        });
        heard.last_ms = now_ms;
        if heard.is_up != is_up {
            heard.is_up = is_up;
            self.node.peer_changed(peer, is_up);
        }
    }

    fn look_for_silence(&mut self, now_ms: u64) {
        for (peer, heard) in &mut self.heard {
            if heard.is_up && now_ms > heard.last_ms + SILENCE_MS {
                heard.is_up = false;
                self.node.peer_changed(*peer, false);
            }
        }
        let late: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, (due_ms, _))| *due_ms <= now_ms)
            .map(|(call, _)| *call)
            .collect();
        for call in late {
            if let Some((_, done)) = self.calls.remove(&call) {
                done(Err(CallFailed::TimedOut));
            }
        }
    }

    /// Takes up a call that the node makes; `None`: it failed at once.
    pub(super) fn begin_call(&mut self, now_ms: u64, to: NodeId, done: CallDone) -> Option<u64> {
        let is_up = self.heard.get(&to).is_some_and(|heard| heard.is_up);
        if !is_up || !self.addresses.contains_key(&to) {
            done(Err(CallFailed::Unreachable));
            return None;
        }
        self.next_call += 1;
        let due_ms = now_ms + CALL_TIMEOUT_MS;
        self.calls.insert(self.next_call, (due_ms, done));
        Some(self.next_call)
    }

    pub(super) fn set_addresses(&mut self, addresses: &BTreeMap<NodeId, String>) {
        self.addresses = machines_of(addresses);
    }

    pub(super) fn take_sent(&self) -> Vec<Sent> {
        self.port.take()
    }

    pub(super) fn checkpoint(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.checkpoint();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.abandon();
        }
        self.calls.clear();
        self.incoming.clear();
        // What the node wanted to send holds the node, which holds the port.
        drop(self.port.take());
    }
}

#[allow(
    clippy::needless_update,
    reason = "with the feature `seeded-bugs` there is one more field"
)]
pub(super) fn wal_config(plan: &ClusterPlan, options: Options) -> WalConfig {
    let wal = WalConfig {
        file_size_bytes: plan.file_size_bytes,
        max_frame_bytes: 16 << 10,
        max_total_bytes: plan.max_total_bytes,
        spare_count: 1,
        ..WalConfig::default()
    };
    wal_bug::with_bug(wal, options)
}

#[allow(
    clippy::needless_update,
    reason = "with the feature `seeded-bugs` there are more fields"
)]
fn config(plan: &ClusterPlan, options: Options) -> NodeConfig {
    let config = NodeConfig {
        shard_count: plan.shard_count,
        cleanup_interval_ms: plan.cleanup_interval_ms,
        groups: GroupConfig {
            initial_rebalance_delay_ms: 300,
            min_session_timeout_ms: 1_000,
            ..GroupConfig::default()
        },
        wal: wal_config(plan, options),
        store: StoreConfig {
            tail_budget_bytes: plan.tail_budget_bytes,
            cold_thread_count: 0,
            open_file_count: 4,
            index_cache_bytes: 16 << 10,
            read_ahead_bytes: 64 << 10,
            ..StoreConfig::default()
        },
        ..NodeConfig::default()
    };
    wal_bug::with_node_bug(config, options)
}
