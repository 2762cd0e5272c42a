//! Carries out a plan against a model that has every batch in memory.

use std::collections::BTreeMap;

use weir_log::{
    Clock, FlushError, FlushJob, Millis, SegmentPolicy, TailBatch,
    retention::{RetentionPolicy, new_start},
};
use weir_model::{Offset, PartitionId};

use super::{
    PartitionPlan, PartitionStep,
    batch::{ModelBatch, make_batch},
    node::{Manifests, Node},
};
use crate::{
    campaign::host::Host,
    options::Options,
    oracle::{Broken, broken},
    verdict::{Failure, Outcome, Verdict, oracle_name},
    world::{
        Rng, Trace,
        disk::{DiskConfig, Fault},
    },
};

/// Runs `plan` from an empty disk to a last check.
pub fn run(plan: &PartitionPlan, _options: Options, trace: &Trace) -> Outcome {
    let mut run = Run::new(plan, trace);
    let failure = run.all_steps().err();
    if let Some(failure) = &failure {
        run.host.trace.note("failure", &failure.detail);
    }
    Outcome {
        verdict: Verdict {
            trace_hash: run.host.trace.hash(),
            failure,
        },
        counts: run.host.all_counts(),
        trace: run.host.trace.text(),
    }
}

/// What was committed to one partition. Its log is the replicated log's work: here it is never
/// lost.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) start: Offset,
    pub(super) batches: Vec<ModelBatch>,
}

impl Model {
    pub(super) fn end(&self) -> Offset {
        self.batches
            .last()
            .map_or(Offset(0), |last| last.last_offset.plus(1))
    }

    /// An offset `percent` of the way from start to end.
    pub(super) fn offset_at(&self, percent: u64) -> Offset {
        Offset(self.start.0 + (self.end().0 - self.start.0) * percent / 100)
    }
}

pub(super) struct Run<'a> {
    pub(super) plan: &'a PartitionPlan,
    pub(super) host: Host,
    pub(super) models: BTreeMap<PartitionId, Model>,
    /// The partitions by their place in the plan.
    places: Vec<PartitionId>,
    next_serial: u64,
    checkpoint_index: u64,
    /// Absent while the node is down.
    node: Option<Node>,
    /// The node said that it must stop.
    pub(super) must_stop: bool,
}

impl<'a> Run<'a> {
    fn new(plan: &'a PartitionPlan, trace: &Trace) -> Self {
        let config = DiskConfig {
            capacity_bytes: plan.capacity_bytes,
            supports_direct: false,
        };
        let mut run = Self {
            plan,
            host: Host::new(config, plan.seed, trace.clone()),
            models: BTreeMap::new(),
            places: Vec::new(),
            next_serial: 1,
            checkpoint_index: 0,
            node: None,
            must_stop: false,
        };
        for _ in 0..plan.partition_count {
            let id = run.begin_partition();
            run.places.push(id);
        }
        run
    }

    fn begin_partition(&mut self) -> PartitionId {
        let id = PartitionId::new(self.next_serial, 0);
        self.next_serial += 1;
        self.models.insert(id, Model::default());
        id
    }

    fn all_steps(&mut self) -> Result<(), Failure> {
        let last = self.plan.steps.len();
        let at = |step| move |broken: Broken| broken.at(step);
        self.start(None).map_err(at(0))?;
        for (number, step) in self.plan.steps.iter().enumerate() {
            self.host.trace.begin_step(number, || format!("{step:?}"));
            self.step(step).map_err(at(number))?;
            if self.host.disk.is_off() || self.must_stop {
                let salt = self.plan.seed ^ number as u64;
                self.restart(!salt.is_multiple_of(4), salt, None)
                    .map_err(at(number))?;
            }
        }
        self.host.disk.disarm();
        self.host.disk.set_foreign_bytes(0);
        self.restart(true, self.plan.seed, None).map_err(at(last))?;
        self.flush().map_err(at(last))?;
        self.restart(true, self.plan.seed, None).map_err(at(last))?;
        self.read_everything(None).map_err(at(last))
    }

    fn step(&mut self, step: &PartitionStep) -> Result<(), Broken> {
        match *step {
            PartitionStep::Append {
                partition,
                count,
                record_count,
                data_bytes,
                salt,
            } => {
                let id = self.places[partition];
                let mut rng = Rng::new(salt);
                for _ in 0..count {
                    self.append(id, record_count, data_bytes, &mut rng);
                }
            }
            PartitionStep::Flush => self.flush()?,
            PartitionStep::Trim { partition, percent } => {
                let id = self.places[partition];
                let to = self
                    .models
                    .get(&id)
                    .map_or(Offset(0), |m| m.offset_at(percent));
                self.trim(id, to);
            }
            PartitionStep::Retain {
                partition,
                retention_ms,
                retention_bytes,
            } => {
                let policy = RetentionPolicy {
                    retention_ms,
                    retention_bytes,
                };
                self.retain(self.places[partition], policy);
            }
            PartitionStep::Compact {
                partition,
                min_dirty_percent,
            } => self.compact(self.places[partition], min_dirty_percent)?,
            PartitionStep::Drop { partition } => self.drop_partition(partition)?,
            PartitionStep::Read {
                partition,
                percent,
                max_bytes,
            } => {
                let id = self.places[partition];
                self.read_at(id, percent, max_bytes)?;
            }
            PartitionStep::Lookup { partition, percent } => {
                self.lookup(self.places[partition], percent)?;
            }
            PartitionStep::Wait { count_ms } => self.host.clock.advance_ms(count_ms),
            PartitionStep::Arm(fault) => self.host.disk.arm(fault),
            PartitionStep::Foreign { percent } => {
                let bytes = self.plan.capacity_bytes / 100 * percent;
                self.host.disk.set_foreign_bytes(bytes);
            }
            PartitionStep::Restart {
                power_cut,
                salt,
                recovery_fault,
            } => self.restart(power_cut, salt, recovery_fault)?,
            PartitionStep::Flip { salt } => self.flip(salt)?,
        }
        Ok(())
    }

    pub(super) fn node(&mut self) -> &mut Node {
        self.node
            .as_mut()
            .expect("the node is up between the steps")
    }

    fn append(&mut self, id: PartitionId, record_count: u32, data_bytes: usize, rng: &mut Rng) {
        let now = self.host.clock.now();
        let model = self.models.entry(id).or_default();
        let epoch = i32::try_from(self.checkpoint_index % 1_000).unwrap_or(0);
        let batch = make_batch(model.end(), epoch, now.0, record_count, data_bytes, rng);
        model.batches.push(batch.clone());
        self.host.counts.add("batches", 1);
        self.deliver(id, &batch);
    }

    /// Hands a committed batch to the store, as apply does: its head is the client's.
    fn deliver(&mut self, id: PartitionId, batch: &ModelBatch) {
        let node = self.node();
        let log = node.log(id);
        log.append(TailBatch {
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            max_timestamp_ms: batch.max_timestamp_ms,
            leader_epoch: batch.leader_epoch,
            bytes: batch.bytes.clone(),
            pin: node.store.pin(batch.bytes.len(), 1),
        });
    }

    fn trim(&mut self, id: PartitionId, to: Offset) {
        if let Some(model) = self.models.get_mut(&id) {
            model.start = model.start.max(to.min(model.end()));
        }
        self.node().log(id).trim(to);
    }

    fn retain(&mut self, id: PartitionId, policy: RetentionPolicy) {
        let now = Millis(self.host.clock.now().0);
        let log = self.node().log(id);
        if let Some(to) = new_start(&log.manifest(), log.start_offset(), policy, now) {
            self.host.counts.add("retained", 1);
            self.trim(id, to);
        }
    }

    /// Flushes everything, saves the checkpoint, installs it.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        let policy = SegmentPolicy {
            segment_bytes: self.plan.segment_bytes,
            segment_ms: self.plan.segment_ms,
        };
        let ids: Vec<PartitionId> = self.models.keys().copied().collect();
        let node = self.node();
        let logs = ids.into_iter().map(|id| node.log(id));
        let jobs: Vec<FlushJob> = logs
            .filter(|log| log.is_dirty())
            .map(|partition| FlushJob {
                up_to: partition.end_offset(),
                partition,
                policy,
            })
            .collect();
        let flushed = node.store.flush(&jobs);
        self.host.counts.add("flushes", 1);
        match flushed {
            Ok(flushed) => {
                let mut manifests = self.node().manifests.clone();
                manifests.extend(flushed.iter().cloned());
                if self.save(manifests)? {
                    self.node().store.installed(flushed);
                }
                Ok(())
            }
            Err(error) => {
                let is_full = matches!(error, FlushError::Full { .. });
                self.must_stop |= !is_full;
                self.host.counts.add("flushes_refused", 1);
                self.explained("a flush", &error.to_string())
            }
        }
    }

    fn save(&mut self, manifests: Manifests) -> Result<bool, Broken> {
        self.checkpoint_index += 1;
        let index = self.checkpoint_index;
        match self.node().save(manifests, index) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.must_stop = true;
                self.explained("saving a checkpoint", &error)?;
                Ok(false)
            }
        }
    }

    fn drop_partition(&mut self, place: usize) -> Result<(), Broken> {
        let id = self.places[place];
        let mut manifests = self.node().manifests.clone();
        manifests.remove(&id);
        if !self.save(manifests)? {
            return Ok(());
        }
        self.models.remove(&id);
        let node = self.node();
        node.logs.remove(&id);
        if let Err(error) = node.store.drop_partition(id) {
            self.must_stop = true;
            self.explained("removing a partition", &error.to_string())?;
        }
        self.places[place] = self.begin_partition();
        Ok(())
    }

    /// An error needs a fault that explains it.
    pub(super) fn explained(&mut self, what: &str, error: &str) -> Result<(), Broken> {
        self.host.trace.note("error", error);
        if self.host.may_fail() {
            return Ok(());
        }
        let detail = format!("{what}: {error}");
        Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
    }

    pub(super) fn restart(
        &mut self,
        power_cut: bool,
        salt: u64,
        recovery_fault: Option<Fault>,
    ) -> Result<(), Broken> {
        self.stop(power_cut, salt);
        self.start(recovery_fault)
    }

    pub(super) fn stop(&mut self, power_cut: bool, salt: u64) {
        self.node = None;
        self.must_stop = false;
        self.host.restart(power_cut, salt);
    }

    /// Opens the store, and replays what the checkpoint does not cover.
    pub(super) fn start(&mut self, recovery_fault: Option<Fault>) -> Result<(), Broken> {
        if let Some(fault) = recovery_fault {
            self.host.disk.arm(fault);
        }
        let mut opened = Node::open(self.plan, &self.host);
        if opened.is_err() && recovery_fault.is_some() && self.host.may_fail() {
            let salt = recovery_fault.map_or(0, |fault| fault.salt);
            self.host.counts.add("recoveries_failed", 1);
            self.host.restart(!salt.is_multiple_of(4), salt);
            opened = Node::open(self.plan, &self.host);
        }
        let node = opened.map_err(|error| broken(oracle_name::NO_FAULT_NO_ERROR, error))?;
        self.node = Some(node);
        let ids: Vec<PartitionId> = self.models.keys().copied().collect();
        for id in ids {
            self.replay(id)?;
        }
        Ok(())
    }

    fn replay(&mut self, id: PartitionId) -> Result<(), Broken> {
        let from = self.node().log(id).end_offset();
        let model = self.models.get(&id);
        let (start, end) = model.map_or_else(Default::default, |m| (m.start, m.end()));
        if from > end {
            let detail = format!("partition {id} ends at {from}, {end} was committed");
            return Err(broken(oracle_name::INVENTED, detail));
        }
        let behind: Vec<ModelBatch> = model.map_or_else(Vec::new, |model| {
            let batches = model.batches.iter();
            batches.filter(|b| b.base_offset >= from).cloned().collect()
        });
        for batch in &behind {
            self.deliver(id, batch);
        }
        self.node().log(id).trim(start);
        Ok(())
    }
}
