//! The production node, and the requests that wait for it.

use std::{collections::BTreeMap, sync::Arc};

use weir_broker::{
    Engine, Identity, Mailbox, NoPeers, Node, NodeConfig, Reply, Ticket,
    api::{Backend, Outcome, Request},
    group::GroupConfig,
};
use weir_log::{disk::Disk, partition::StoreConfig, wal::WalConfig};

use super::{NodePlan, answers::Asked};
use crate::{
    campaign::{host::Host, wal_bug::with_bug},
    options::Options,
};

/// Steps that a settled node needs at most; more means that it never settles.
const MAX_SETTLE_STEPS: usize = 5_000;
/// How often a node is announced before it counts as not ready.
const MAX_ANNOUNCE_COUNT: usize = 3;

/// A node that is up, with one connection.
pub(super) struct Served {
    engine: Engine,
    node: Arc<Node>,
    mailbox: Arc<Mailbox>,
    next_ticket: u64,
    pub(super) asked: BTreeMap<Ticket, Asked>,
}

impl Served {
    pub(super) fn open(plan: &NodePlan, options: Options, host: &Host) -> Result<Self, String> {
        let disk: Arc<dyn Disk> = Arc::new(host.disk.clone());
        let clock = Arc::new(host.clock.clone());
        let entropy = Arc::<crate::world::SimEntropy>::clone(&host.entropy);
        let config = config(plan, options);
        let known = Identity::load(&*disk).map_err(|error| error.to_string())?;
        if known.is_none() {
            let shards = config.shard_count;
            let founded = Engine::found(&disk, &*entropy, &config.wal, shards, String::new());
            founded.map_err(|error| error.to_string())?;
        }
        let opened = Engine::open(disk, clock, entropy, config, Arc::new(NoPeers));
        let engine = opened.map_err(|error| error.to_string())?;
        Ok(Self {
            node: engine.node(),
            engine,
            mailbox: Mailbox::new(Box::new(|| {})),
            next_ticket: 0,
            asked: BTreeMap::new(),
        })
    }

    pub(super) fn ask(&mut self, request: Request, asked: Asked) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.asked.insert(ticket, asked);
        let reply = Reply::new(Arc::clone(&self.mailbox), ticket);
        self.node.submit(request, reply);
        ticket
    }

    pub(super) fn take_answers(&self) -> Vec<(Ticket, Outcome)> {
        let mut answers = Vec::new();
        self.mailbox.take(&mut answers);
        answers
    }

    pub(super) fn is_ready(&self) -> bool {
        self.node.is_ready()
    }

    pub(super) fn step(&mut self) -> Result<bool, String> {
        self.engine.step().map_err(|error| error.to_string())
    }

    pub(super) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..MAX_SETTLE_STEPS {
            if !self.step()? {
                return Ok(());
            }
        }
        Err("the node never settles".to_owned())
    }

    /// Says who the node is until it knows it.
    pub(super) fn get_ready(&mut self) -> Result<bool, String> {
        for _ in 0..MAX_ANNOUNCE_COUNT {
            if self.is_ready() {
                return Ok(true);
            }
            self.settle()?;
            if !self.is_ready() {
                Engine::announce(&self.node);
                self.settle()?;
            }
        }
        Ok(self.is_ready())
    }

    pub(super) fn checkpoint(&mut self) {
        self.engine.checkpoint();
    }
}

#[allow(
    clippy::needless_update,
    reason = "with the feature `seeded-bugs` of weir-log there is one more field"
)]
fn config(plan: &NodePlan, options: Options) -> NodeConfig {
    let wal = WalConfig {
        file_size_bytes: plan.file_size_bytes,
        max_frame_bytes: 16 << 10,
        max_total_bytes: plan.max_total_bytes,
        spare_count: 1,
        ..WalConfig::default()
    };
    NodeConfig {
        shard_count: plan.shard_count,
        cleanup_interval_ms: plan.cleanup_interval_ms,
        groups: GroupConfig {
            initial_rebalance_delay_ms: plan.rebalance_delay_ms,
            ..GroupConfig::default()
        },
        wal: with_bug(wal, options),
        store: StoreConfig {
            tail_budget_bytes: plan.tail_budget_bytes,
            cold_thread_count: 0,
            open_file_count: 4,
            index_cache_bytes: 16 << 10,
            read_ahead_bytes: 64 << 10,
            ..StoreConfig::default()
        },
        ..NodeConfig::default()
    }
}
