//! Carries out a plan: clients that try again, against a node that fails and starts again.

use std::collections::BTreeSet;

use weir_broker::{
    Ticket,
    api::{CreateTopics, ListOffset, NewTopic, OffsetSpec, Outcome as Answer, ReadFrom, Request},
};
use weir_log::{Clock, Millis};

use super::{
    NodePlan, NodeStep,
    answers::Asked,
    books::{Books, Place},
    clients::{Producers, Size, topic_ref},
    groups::Group,
    served::Served,
};
use crate::{
    campaign::host::Host,
    options::Options,
    oracle::{Broken, broken},
    verdict::{Failure, Outcome, Verdict, oracle_name},
    world::{
        Trace,
        disk::{DiskConfig, Fault},
    },
};

/// Runs `plan` from an empty disk to a last check.
pub fn run(plan: &NodePlan, options: Options, trace: &Trace) -> Outcome {
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

pub(super) struct Run<'a> {
    pub(super) plan: &'a NodePlan,
    pub(super) options: Options,
    pub(super) host: Host,
    pub(super) books: Books,
    pub(super) producers: Producers,
    pub(super) groups: Vec<Group>,
    /// Topics whose creation was acknowledged.
    pub(super) created: BTreeSet<usize>,
    /// Answers that were taken and not looked at yet.
    pub(super) backlog: Vec<(Ticket, Answer)>,
    /// Partitions that named damage, while a bit is flipped.
    pub(super) damaged: BTreeSet<Place>,
    pub(super) has_flipped_bit: bool,
    /// The latest time that the wall clock ever showed, in ms.
    pub(super) latest_wall_ms: i64,
    wall_off_ms: i64,
    /// Absent while the process is down.
    pub(super) node: Option<Served>,
    pub(super) must_stop: bool,
    /// Others fill the disk.
    pub(super) is_full: bool,
    /// Others filled the disk at some time since the start.
    was_full: bool,
    /// Faults that a node does not get over, at the last start.
    pub(super) hard_count_at_start: u64,
}

impl<'a> Run<'a> {
    fn new(plan: &'a NodePlan, options: Options, trace: &Trace) -> Self {
        let config = DiskConfig {
            capacity_bytes: plan.capacity_bytes,
            supports_direct: plan.supports_direct,
        };
        let group = || Group::new(plan.member_count);
        Self {
            plan,
            options,
            host: Host::new(config, plan.seed, trace.clone()),
            books: Books::default(),
            producers: Producers::default(),
            groups: (0..plan.group_count).map(|_| group()).collect(),
            created: BTreeSet::new(),
            backlog: Vec::new(),
            damaged: BTreeSet::new(),
            has_flipped_bit: false,
            latest_wall_ms: i64::MIN,
            wall_off_ms: 0,
            node: None,
            must_stop: false,
            is_full: false,
            was_full: false,
            hard_count_at_start: 0,
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
        self.finish().map_err(at(last))
    }

    // Table: one arm per kind of step.
    fn step(&mut self, step: &NodeStep) -> Result<(), Broken> {
        match *step {
            NodeStep::Create { topic } => self.create(topic),
            NodeStep::Produce {
                producer,
                topic,
                index,
                count,
                record_count,
                data_bytes,
            } => {
                let size = Size {
                    record_count,
                    data_bytes,
                };
                for _ in 0..count {
                    self.produce(producer, (topic, index), size);
                }
            }
            NodeStep::Fetch {
                topic,
                index,
                percent,
                max_bytes,
                wait_ms,
            } => self.fetch((topic, index), percent, max_bytes, wait_ms),
            NodeStep::FetchNothing { wait_ms } => self.fetch_nothing(wait_ms),
            NodeStep::List {
                topic,
                index,
                percent,
            } => self.list((topic, index), percent),
            NodeStep::Member {
                group,
                member,
                leaves,
            } => self.turn_member(group, member, leaves),
            NodeStep::Commit {
                group,
                member,
                topic,
                index,
            } => self.commit(group, member, (topic, index)),
            NodeStep::Committed { group } => self.ask_committed(group),
            NodeStep::Turn => {
                self.look_at_clock();
                let turned = self.node().step().map(drop);
                self.unless_explained("a step", turned)?;
            }
            NodeStep::Settle => {
                self.settle()?;
                self.hear()?;
                self.check_answered()?;
            }
            NodeStep::Checkpoint => {
                self.host.counts.add("checkpoints", 1);
                self.node().checkpoint();
            }
            NodeStep::Wait { count_ms } => self.host.clock.advance_ms(count_ms),
            NodeStep::Jump { off_ms } => self.jump(off_ms),
            NodeStep::Arm(fault) => self.host.disk.arm(fault),
            NodeStep::Foreign { percent } => {
                let bytes = self.plan.capacity_bytes / 100 * percent;
                self.host.disk.set_foreign_bytes(bytes);
                self.was_full |= percent > 0;
                self.is_full = percent > 0;
            }
            NodeStep::Restart {
                power_cut,
                salt,
                recovery_fault,
            } => self.restart(power_cut, salt, recovery_fault)?,
            NodeStep::Flip { salt } => self.flip(salt)?,
        }
        Ok(())
    }

    pub(super) fn node(&mut self) -> &mut Served {
        self.node
            .as_mut()
            .expect("the node is up between the steps")
    }

    pub(super) fn ask(&mut self, request: Request, asked: Asked) {
        self.ask_for_ticket(request, asked);
    }

    pub(super) fn ask_for_ticket(&mut self, request: Request, asked: Asked) -> Ticket {
        self.node().ask(request, asked)
    }

    /// Milliseconds of the clock that never jumps.
    pub(super) fn elapsed_ms(&self) -> u64 {
        self.host.clock.monotonic_ns() / 1_000_000
    }

    fn create(&mut self, topic: usize) {
        let plan = self.plan.topics[topic];
        let mut configs = vec![("segment.bytes", plan.segment_bytes.to_string())];
        configs.extend(
            plan.retention_bytes
                .map(|b| ("retention.bytes", b.to_string())),
        );
        configs.extend(plan.retention_ms.map(|ms| ("retention.ms", ms.to_string())));
        if plan.is_compacted {
            configs.push(("cleanup.policy", "compact".to_owned()));
        }
        let configs = configs.into_iter();
        let create = CreateTopics {
            topics: vec![NewTopic {
                name: format!("topic-{topic}"),
                partition_count: Some(plan.partition_count),
                replication_factor: Some(1),
                configs: configs
                    .map(|(name, value)| (name.to_owned(), Some(value)))
                    .collect(),
                assignments: None,
            }],
            validate_only: false,
        };
        self.ask(Request::CreateTopics(create), Asked::Create { topic });
    }

    fn fetch(&mut self, place: Place, percent: u64, max_bytes: usize, wait_ms: u64) {
        let ends = self.books.ends(place);
        let from = ends.0 + (ends.1 - ends.0) * percent / 100;
        let asked = Asked::Fetch {
            place,
            from,
            ends,
            due_ms: self.elapsed_ms() + wait_ms,
        };
        self.ask(Self::fetch_request(place, from, max_bytes, wait_ms), asked);
    }

    fn fetch_nothing(&mut self, wait_ms: u64) {
        let fetch = weir_broker::api::Fetch {
            committed_only: false,
            min_bytes: 1,
            max_bytes: 1,
            max_wait_ms: wait_ms,
            room: None,
            from: ReadFrom::Leader,
            partitions: Vec::new(),
        };
        let due_ms = self.elapsed_ms() + wait_ms;
        self.ask(Request::Fetch(fetch), Asked::FetchNothing { due_ms });
    }

    fn list(&mut self, place: Place, percent: u64) {
        let times = self.books.sent.iter().filter(|sent| sent.place == place);
        let times: Vec<i64> = times.map(|sent| sent.time_ms).collect();
        let at = usize::try_from(percent).unwrap_or(0) * times.len() / 101;
        let time_ms = times.get(at).copied().unwrap_or(0);
        let wanted = |at| ListOffset {
            committed_only: false,
            topic: topic_ref(place.0),
            index: i32::try_from(place.1).unwrap_or(-1),
            at,
            leader_epoch: -1,
        };
        let specs = [
            OffsetSpec::Earliest,
            OffsetSpec::Latest,
            OffsetSpec::Timestamp(time_ms),
        ];
        let asked = Asked::List {
            place,
            ends: self.books.ends(place),
            time_ms,
        };
        self.ask(
            Request::ListOffsets(specs.map(wanted).to_vec().into()),
            asked,
        );
    }

    fn look_at_clock(&mut self) {
        self.latest_wall_ms = self.latest_wall_ms.max(self.host.clock.now_ms());
    }

    fn jump(&mut self, off_ms: i64) {
        self.look_at_clock();
        let now = self.host.clock.now();
        let right_ms = now.0 - self.wall_off_ms;
        self.wall_off_ms = off_ms;
        self.host.clock.jump_to(Millis(right_ms + off_ms));
        self.groups.iter_mut().for_each(Group::disturb);
    }

    pub(super) fn settle(&mut self) -> Result<(), Broken> {
        self.look_at_clock();
        let settled = self.node().get_ready().and_then(|_| self.node().settle());
        self.unless_explained("settling", settled)
    }

    /// An error stops the node, and needs a fault that explains it.
    pub(super) fn unless_explained(
        &mut self,
        what: &str,
        result: Result<(), String>,
    ) -> Result<(), Broken> {
        let Err(error) = result else {
            return Ok(());
        };
        self.host.trace.note("error", &error);
        self.must_stop = true;
        if self.may_fail() {
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
        self.backlog.clear();
        for stream in self.producers.streams.values_mut() {
            stream.forget_in_flight();
        }
        self.groups.iter_mut().for_each(Group::forget_in_flight);
        self.host.restart(power_cut, salt);
        self.hard_count_at_start = self.hard_count();
        self.was_full = self.is_full;
    }

    pub(super) fn free_disk(&mut self) {
        self.host.disk.set_foreign_bytes(0);
        self.is_full = false;
    }

    /// Whether an error may be seen.
    pub(super) fn may_fail(&mut self) -> bool {
        self.host.may_fail() || self.was_full
    }

    /// Faults so far that a node need not get over without a restart.
    pub(super) fn hard_count(&self) -> u64 {
        let counts = self.host.disk.counts();
        let kinds = [
            "no_space",
            "write_error",
            "short_write",
            "sync_error",
            "read_error",
            "name_error",
        ];
        kinds.iter().map(|kind| counts.get(kind)).sum()
    }

    pub(super) fn start(&mut self, recovery_fault: Option<Fault>) -> Result<(), Broken> {
        if let Some(fault) = recovery_fault {
            self.host.disk.arm(fault);
        }
        let mut opened = self.open();
        if let Err(error) = &opened
            && self.may_fail()
        {
            self.host.trace.note("not_opened", error);
            self.host.counts.add("recoveries_failed", 1);
            self.free_disk();
            let salt = recovery_fault.map_or(0, |fault| fault.salt);
            self.stop(!salt.is_multiple_of(4), salt);
            opened = self.open();
        }
        opened.map_err(|error| broken(oracle_name::NO_FAULT_NO_ERROR, error))?;
        self.hear()?;
        if !self.node().is_ready() {
            if self.may_fail() {
                self.host.counts.add("starts_not_ready", 1);
                return Ok(());
            }
            return Err(broken(
                oracle_name::NO_FAULT_NO_ERROR,
                "the node is not ready",
            ));
        }
        self.sweep(true)?;
        self.beat_again();
        for group in 0..self.groups.len() {
            self.ask_committed(group);
        }
        self.settle()?;
        self.hear()
    }

    /// Opens the node and makes it known.
    pub(super) fn open(&mut self) -> Result<(), String> {
        let mut node = Served::open(self.plan, self.options, &self.host)?;
        node.get_ready()?;
        self.node = Some(node);
        Ok(())
    }
}
