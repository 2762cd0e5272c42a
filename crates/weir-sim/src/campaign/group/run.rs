//! Carries out a plan: producers that retry what had no answer, against groups that crash.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::{Clock, Millis};
use weir_model::GroupId;
use weir_raft::NotCommitted;

use super::{
    GroupPlan, GroupStep,
    check::{Producers, check_group},
    machine::Record,
    node::{Node, Seen},
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

/// Most tries of one producer under way at one time.
const MAX_IN_FLIGHT: usize = 5;

/// Tries beyond two per record before a record counts as never answered.
const RETRY_MARGIN_COUNT: u64 = 10;

/// Runs `plan` from an empty disk to a last check.
pub fn run(plan: &GroupPlan, options: Options, trace: &Trace) -> Outcome {
    let mut run = Run::new(plan, options, trace);
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

struct Run<'a> {
    plan: &'a GroupPlan,
    options: Options,
    host: Host,
    producers: Producers,
    /// Absent while the process is down.
    node: Option<Node>,
    must_stop: bool,
}

impl<'a> Run<'a> {
    fn new(plan: &'a GroupPlan, options: Options, trace: &Trace) -> Self {
        let config = DiskConfig {
            capacity_bytes: plan.capacity_bytes,
            supports_direct: plan.supports_direct,
        };
        Self {
            plan,
            options,
            host: Host::new(config, plan.seed, trace.clone()),
            producers: Producers::new(),
            node: None,
            must_stop: false,
        }
    }

    fn all_steps(&mut self) -> Result<(), Failure> {
        let last = self.plan.steps.len();
        let at = |step| move |broken: Broken| broken.at(step);
        self.start(None).map_err(at(0))?;
        for (number, step) in self.plan.steps.iter().enumerate() {
            self.host.trace.begin_step(number, || format!("{step:?}"));
            self.step(step).map_err(at(number))?;
            self.hear().map_err(at(number))?;
            if self.host.disk.is_off() || self.must_stop {
                let salt = self.plan.seed ^ number as u64;
                self.restart(!salt.is_multiple_of(4), salt, None)
                    .map_err(at(number))?;
            }
        }
        self.host.disk.disarm();
        self.host.disk.set_foreign_bytes(0);
        self.restart(true, self.plan.seed, None).map_err(at(last))?;
        self.retry_everything().map_err(at(last))?;
        self.restart(true, self.plan.seed, None).map_err(at(last))
    }

    fn step(&mut self, step: &GroupStep) -> Result<(), Broken> {
        match *step {
            GroupStep::Send {
                group,
                producer,
                count,
                data_bytes,
            } => {
                for _ in 0..count {
                    self.send_next(GroupId(group), producer, data_bytes);
                }
            }
            GroupStep::Repeat { group, producer } => self.repeat(GroupId(group), producer),
            GroupStep::Turn => {
                let turned = self.node().turn();
                self.unless_explained("a turn", turned)?;
            }
            GroupStep::Write => {
                self.node().write();
            }
            GroupStep::Settle => {
                let settled = self.node().settle();
                self.unless_explained("settling", settled)?;
            }
            GroupStep::Checkpoint { group } => {
                let saved = self.node().checkpoint(GroupId(group));
                self.host.counts.add("checkpoints", 1);
                self.unless_explained("a checkpoint", saved)?;
            }
            GroupStep::Spares => {
                let prepared = self.node().prepare_spares();
                self.unless_explained("preparing spares", prepared)?;
            }
            GroupStep::Jump { by_ms } => {
                let now = self.host.clock.now();
                self.host.clock.jump_to(Millis(now.0.saturating_add(by_ms)));
            }
            GroupStep::Arm(fault) => self.host.disk.arm(fault),
            GroupStep::Foreign { percent } => {
                let bytes = self.plan.capacity_bytes / 100 * percent;
                self.host.disk.set_foreign_bytes(bytes);
            }
            GroupStep::Restart {
                power_cut,
                salt,
                recovery_fault,
            } => self.restart(power_cut, salt, recovery_fault)?,
        }
        Ok(())
    }

    fn node(&mut self) -> &mut Node {
        self.node
            .as_mut()
            .expect("the node is up between the steps")
    }

    /// Sends the producer's first record that has no answer and is not under way; a new one
    /// where all have.
    fn send_next(&mut self, group: GroupId, id: u32, data_bytes: usize) {
        let producer = self.producers.entry((group, id)).or_default();
        if producer.in_flight.len() >= MAX_IN_FLIGHT {
            return;
        }
        let from = producer.next_unanswered();
        let Some(sequence) = (from..).find(|s| !producer.in_flight.contains(s)) else {
            return;
        };
        let place = usize::try_from(sequence).unwrap_or(usize::MAX);
        if place >= producer.sent.len() {
            let record = Record {
                producer: id,
                sequence,
                sum: crc32c::crc32c(&payload(group, id, sequence, data_bytes)),
            };
            producer.sent.push((record, data_bytes));
        }
        producer.in_flight.insert(sequence);
        self.send(group, id, sequence);
    }

    fn repeat(&mut self, group: GroupId, id: u32) {
        let producer = self.producers.entry((group, id)).or_default();
        if let Some(last) = producer.answered_count().checked_sub(1)
            && producer.in_flight.insert(last)
        {
            self.host.counts.add("repeats", 1);
            self.send(group, id, last);
        }
    }

    fn send(&mut self, group: GroupId, id: u32, sequence: u64) {
        let place = usize::try_from(sequence).unwrap_or(usize::MAX);
        let producer = self.producers.get(&(group, id));
        let sent = producer.and_then(|producer| producer.sent.get(place).copied());
        if let Some((record, data_bytes)) = sent {
            self.host.counts.add("sends", 1);
            let payload = payload(group, id, sequence, data_bytes);
            self.node().send(group, record, payload);
        }
    }

    fn hear(&mut self) -> Result<(), Broken> {
        for (group, record, answer) in self.node().take_heard() {
            let text = || format!("{group} {record:?} {answer:?}");
            let words = [group.0.into(), record.sequence, u64::from(answer.is_ok())];
            self.host.trace.event("heard", &words, text);
            let name = if answer.is_ok() {
                "answered"
            } else {
                "refused"
            };
            self.host.counts.add(name, 1);
            let is_hard = matches!(answer, Err(NotCommitted::StorageFailed));
            if is_hard && !self.host.may_fail() {
                let detail = format!("{record:?}: the disk failed");
                return Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail));
            }
            let key = (group, record.producer);
            let producer = self.producers.entry(key).or_default();
            producer.hear(record, answer.ok())?;
        }
        Ok(())
    }

    /// Lets every producer send what has no answer, until all have one.
    fn retry_everything(&mut self) -> Result<(), Broken> {
        let keys: Vec<(GroupId, u32)> = self.producers.keys().copied().collect();
        for (group, id) in keys {
            let wanted = self
                .producers
                .get(&(group, id))
                .map_or(0, |p| p.sent.len() as u64);
            for _ in 0..2 * wanted + RETRY_MARGIN_COUNT {
                if self.answered(group, id) == wanted {
                    break;
                }
                self.send_next(group, id, 0);
                let settled = self.node().settle();
                self.unless_explained("settling", settled)?;
                self.hear()?;
                let prepared = self.node().prepare_spares();
                self.unless_explained("preparing spares", prepared)?;
                for group in (0..self.plan.group_count).map(GroupId) {
                    let saved = self.node().checkpoint(group);
                    self.unless_explained("a checkpoint", saved)?;
                }
            }
            let answered = self.answered(group, id);
            if answered < wanted {
                let detail =
                    format!("group {group}: {answered} of {wanted} records have an answer");
                return Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail));
            }
        }
        Ok(())
    }

    fn answered(&self, group: GroupId, id: u32) -> u64 {
        let producer = self.producers.get(&(group, id));
        producer.map_or(0, super::check::Producer::answered_count)
    }

    /// An error stops the node, and needs a fault that explains it.
    fn unless_explained(&mut self, what: &str, result: Result<(), String>) -> Result<(), Broken> {
        let Err(error) = result else {
            return Ok(());
        };
        self.host.trace.note("error", &error);
        self.must_stop = true;
        if self.host.may_fail() {
            return Ok(());
        }
        let detail = format!("{what}: {error}");
        Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
    }

    fn restart(
        &mut self,
        power_cut: bool,
        salt: u64,
        recovery_fault: Option<Fault>,
    ) -> Result<(), Broken> {
        self.node = None;
        self.must_stop = false;
        for producer in self.producers.values_mut() {
            producer.in_flight.clear();
        }
        self.host.restart(power_cut, salt);
        self.start(recovery_fault)
    }

    fn start(&mut self, recovery_fault: Option<Fault>) -> Result<(), Broken> {
        if let Some(fault) = recovery_fault {
            self.host.disk.arm(fault);
        }
        let mut opened = self.open();
        if opened.is_err() && recovery_fault.is_some() && self.host.may_fail() {
            let salt = recovery_fault.map_or(0, |fault| fault.salt);
            self.host.counts.add("recoveries_failed", 1);
            self.host.restart(!salt.is_multiple_of(4), salt);
            opened = self.open();
        }
        let opened = opened.map_err(|error| broken(oracle_name::NO_FAULT_NO_ERROR, error))?;
        self.check(&opened)
    }

    /// Opens the node and lets it lead.
    fn open(&mut self) -> Result<BTreeMap<GroupId, Seen>, String> {
        let mut node = Node::open(self.plan, self.options, &self.host)?;
        node.settle()?;
        let seen = node.see_all(self.plan.group_count)?;
        self.node = Some(node);
        Ok(seen)
    }

    /// Holds groups against what producers know. A group that could not write that it leads, on
    /// a full disk, has not applied everything yet.
    fn check(&mut self, groups: &BTreeMap<GroupId, Seen>) -> Result<(), Broken> {
        for (group, seen) in groups {
            let count = seen.journal.records.len();
            self.host.trace.event("opened", &[count as u64], || {
                format!("{group} leads {} with {count} records", seen.leads)
            });
            if seen.leads {
                self.host.counts.add("groups_checked", 1);
                check_group(*group, &seen.journal, &self.producers)?;
            } else {
                self.host.counts.add("groups_not_leading", 1);
            }
        }
        Ok(())
    }
}

/// What a producer sends under a sequence number: the same at every try.
fn payload(group: GroupId, producer: u32, sequence: u64, data_bytes: usize) -> Bytes {
    let seed = (u64::from(group.0) << 48) ^ (u64::from(producer) << 32) ^ sequence;
    Bytes::from(Rng::new(seed).bytes(data_bytes))
}
