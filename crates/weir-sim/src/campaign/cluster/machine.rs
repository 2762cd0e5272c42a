//! One machine: disk, clock and entropy that outlive the processes on it.

use std::{collections::BTreeMap, sync::Arc};

use weir_broker::{Engine, Identity};
use weir_log::{Clock, Millis, disk::Disk};
use weir_model::{GroupId, NodeId};

use super::{
    plan::ClusterPlan,
    process::{Process, address, wal_config},
    watch::Promise,
};
use crate::{
    campaign::host::Host,
    options::Options,
    world::{Trace, disk::DiskConfig},
};

/// A rate of one, in millionths.
const MILLION: u64 = 1_000_000;
/// Bytes that fit on a disk.
const CAPACITY_BYTES: u64 = 1 << 30;

pub(super) struct Machine {
    pub(super) number: usize,
    pub(super) host: Host,
    pub(super) process: Option<Process>,
    /// Processes so far.
    pub(super) life: u64,
    /// Disks so far.
    pub(super) generation: u32,
    /// The node whose disk this is.
    pub(super) node: Option<NodeId>,
    pub(super) paused_until_ms: u64,
    pub(super) next_wake_ms: u64,
    /// When the process started the last time.
    pub(super) started_ms: u64,
    /// When the process starts again.
    pub(super) start_at_ms: Option<u64>,
    /// Others fill the disk, or did since the last start.
    pub(super) is_full: bool,
    pub(super) was_full: bool,
    /// What the node must never take back, by group.
    pub(super) promises: BTreeMap<GroupId, Promise>,
    /// The last entry of each group that is on the disk.
    pub(super) persisted: BTreeMap<GroupId, u64>,
    off_ms: i64,
    drift_ppm: i64,
    /// Where the machine's own time stood when it was replaced.
    base_ms: u64,
}

impl Machine {
    pub(super) fn new(plan: &ClusterPlan, number: usize, trace: &Trace) -> Self {
        let off_ms = plan.skews_ms.get(number).copied().unwrap_or(0);
        let machine = Self {
            number,
            host: Host::new(disk_config(plan), seed(plan, number, 0), trace.clone()),
            process: None,
            life: 0,
            generation: 0,
            node: None,
            paused_until_ms: 0,
            next_wake_ms: 0,
            started_ms: 0,
            start_at_ms: None,
            is_full: false,
            was_full: false,
            promises: BTreeMap::new(),
            persisted: BTreeMap::new(),
            off_ms,
            drift_ppm: plan.drifts_ppm.get(number).copied().unwrap_or(0),
            base_ms: 0,
        };
        machine.set_wall(off_ms);
        machine
    }

    fn set_wall(&self, by_ms: i64) {
        let now = self.host.clock.now();
        self.host.clock.jump_to(Millis(now.0 + by_ms));
    }

    /// Sets the wall clock off by `off_ms`.
    pub(super) fn jump(&mut self, off_ms: i64) {
        self.set_wall(off_ms - self.off_ms);
        self.off_ms = off_ms;
    }

    /// Milliseconds of the machine's clock that never jumps: ahead of [`Self::own_at`] where an
    /// operation of the disk was slow.
    fn own_ms(&self) -> u64 {
        self.base_ms + self.host.clock.monotonic_ns() / 1_000_000
    }

    /// What the machine's clock that never jumps shows at the cluster's time `now_ms`.
    fn own_at(&self, now_ms: u64) -> u64 {
        now_ms * self.rate_ppm() / MILLION
    }

    /// The first time of the cluster at which the machine's clock shows `own_ms`.
    fn time_of(&self, own_ms: u64) -> u64 {
        (own_ms * MILLION).div_ceil(self.rate_ppm())
    }

    fn rate_ppm(&self) -> u64 {
        MILLION.saturating_add_signed(self.drift_ppm)
    }

    /// Lets the machine's clocks catch up with the cluster's time.
    pub(super) fn pass_time(&self, now_ms: u64) {
        let behind_ms = self.own_at(now_ms).saturating_sub(self.own_ms());
        if behind_ms > 0 {
            self.host.clock.advance_ms(behind_ms);
        }
    }

    /// Until when a slow disk holds the process up.
    pub(super) fn busy_until_ms(&self) -> u64 {
        self.time_of(self.own_ms()).max(self.paused_until_ms)
    }

    /// Takes part in founding a cluster of `founders`.
    pub(super) fn found(
        &mut self,
        plan: &ClusterPlan,
        options: Options,
        cluster: u128,
        founders: &[NodeId],
    ) -> Result<(), String> {
        let addresses = founders.iter().enumerate();
        let identity = Identity {
            cluster,
            node: founders[self.number],
            shard_count: plan.shard_count,
            addresses: addresses
                .map(|(machine, node)| (*node, address(machine, 0)))
                .collect(),
        };
        let disk: Arc<dyn Disk> = Arc::new(self.host.disk.clone());
        let wal = wal_config(plan, options);
        Engine::found_together(&disk, &*self.host.entropy, &wal, &identity)
            .map_err(|error| error.to_string())?;
        self.node = Some(identity.node);
        Ok(())
    }

    /// Makes the disk that of an admitted node.
    pub(super) fn join(
        &mut self,
        plan: &ClusterPlan,
        options: Options,
        identity: &Identity,
    ) -> Result<(), String> {
        let disk: Arc<dyn Disk> = Arc::new(self.host.disk.clone());
        let wal = wal_config(plan, options);
        Engine::join(&disk, &*self.host.entropy, &wal, identity)
            .map_err(|error| error.to_string())?;
        self.node = Some(identity.node);
        Ok(())
    }

    /// Whether the disk is a node's: a join that was cut off may have got that far.
    pub(super) fn find_node(&mut self) -> bool {
        let identity = Identity::load(&self.host.disk).ok().flatten();
        self.node = identity.map(|identity| identity.node);
        self.node.is_some()
    }

    /// Ends the process; what waited there is gone.
    pub(super) fn end(&mut self, power_cut: bool, salt: u64) {
        self.process = None;
        self.life += 1;
        self.paused_until_ms = 0;
        self.host.restart(power_cut, salt);
        self.was_full = self.is_full;
    }

    /// The disk is lost for good; an empty one is in its place.
    pub(super) fn replace_disk(&mut self, plan: &ClusterPlan, now_ms: u64, trace: &Trace) {
        self.process = None;
        self.life += 1;
        self.generation += 1;
        self.node = None;
        self.paused_until_ms = 0;
        self.start_at_ms = None;
        self.promises.clear();
        self.persisted.clear();
        let counts = self.host.all_counts();
        let seed = seed(plan, self.number, self.generation);
        self.host = Host::new(disk_config(plan), seed, trace.clone());
        self.host.counts = counts;
        self.base_ms = self.own_at(now_ms);
        self.set_wall(i64::try_from(self.base_ms).unwrap_or(0) + self.off_ms);
        (self.is_full, self.was_full) = (false, false);
    }

    pub(super) fn fill(&mut self, percent: u64) {
        self.host
            .disk
            .set_foreign_bytes(CAPACITY_BYTES / 100 * percent);
        self.is_full = percent > 0;
        self.was_full |= self.is_full;
    }

    /// Whether the process may fail: the disk failed something, is full, or is off.
    pub(super) fn may_fail(&mut self) -> bool {
        self.host.may_fail() || self.was_full
    }
}

fn disk_config(plan: &ClusterPlan) -> DiskConfig {
    DiskConfig {
        capacity_bytes: CAPACITY_BYTES,
        supports_direct: plan.supports_direct,
    }
}

fn seed(plan: &ClusterPlan, number: usize, generation: u32) -> u64 {
    let salt = (number as u64 + 1) << 32 | u64::from(generation);
    plan.seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
