//! Carries out a plan and asks the model after every step.

use bytes::Bytes;
use weir_log::wal::{HardState, WalEntry, WalRecord};
use weir_model::{GroupId, Term};

use super::{WalPlan, WalStep, checkpoints::Checkpoints, log::OpenLog};
use crate::{
    campaign::host::Host,
    options::Options,
    oracle::{Broken, broken, wal_model::WalModel},
    verdict::{Failure, Outcome, Verdict, oracle_name},
    world::{
        Rng, Trace,
        disk::{DiskConfig, Fault},
    },
};

/// Space beyond two files that the log may ask for: frames larger than a file.
const SPACE_MARGIN_BYTES: u64 = 1 << 20;

/// Runs `plan` from an empty disk to a last check.
pub fn run(plan: &WalPlan, options: Options, trace: &Trace) -> Outcome {
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
    pub(super) plan: &'a WalPlan,
    pub(super) options: Options,
    pub(super) host: Host,
    pub(super) model: WalModel,
    pub(super) checkpoints: Checkpoints,
    /// Absent while the node is down.
    pub(super) log: Option<OpenLog>,
    /// An acknowledgement was refused: none may follow before a restart.
    has_failed: bool,
}

impl<'a> Run<'a> {
    fn new(plan: &'a WalPlan, options: Options, trace: &Trace) -> Self {
        let config = DiskConfig {
            capacity_bytes: plan.capacity_bytes,
            supports_direct: plan.supports_direct,
        };
        Self {
            plan,
            options,
            host: Host::new(config, plan.seed, trace.clone()),
            model: WalModel::default(),
            checkpoints: Checkpoints::default(),
            log: None,
            has_failed: false,
        }
    }

    fn all_steps(&mut self) -> Result<(), Failure> {
        let last = self.plan.steps.len();
        let at = |step| move |broken: Broken| broken.at(step);
        self.start(None).map_err(at(0))?;
        for (number, step) in self.plan.steps.iter().enumerate() {
            self.host.trace.begin_step(number, || format!("{step:?}"));
            self.step(step, number).map_err(at(number))?;
        }
        self.resume().map_err(at(last))?;
        self.restart(false, self.plan.seed, None)
            .map_err(at(last))?;
        self.restart(true, self.plan.seed, None).map_err(at(last))
    }

    fn step(&mut self, step: &WalStep, number: usize) -> Result<(), Broken> {
        match *step {
            WalStep::Append {
                group,
                count,
                data_bytes,
                rewind,
                salt,
            } => self.append(GroupId(group), count, data_bytes, rewind, salt),
            WalStep::Vote { group, vote } => self.vote(GroupId(group), vote),
            WalStep::Commit { group, percent } => self.commit(GroupId(group), percent),
            WalStep::Reset { group, ahead } => self.reset(GroupId(group), ahead),
            WalStep::Release { group, percent } => self.release(GroupId(group), percent),
            WalStep::Turnover => self.turn_over()?,
            WalStep::Flush => self.flush()?,
            WalStep::Spares => {
                let spares = self.log().prepare_spares();
                self.explained("preparing spares", spares)?;
            }
            WalStep::Checkpoint {
                group,
                data_bytes,
                salt,
            } => self.save_checkpoint(GroupId(group), data_bytes, salt)?,
            WalStep::Arm(fault) => self.host.disk.arm(fault),
            WalStep::Foreign { percent } => {
                let bytes = self.plan.capacity_bytes / 100 * percent;
                self.host.disk.set_foreign_bytes(bytes);
            }
            WalStep::Restart {
                power_cut,
                salt,
                recovery_fault,
            } => self.restart(power_cut, salt, recovery_fault)?,
            WalStep::Flip { salt } => self.flip(salt)?,
        }
        self.collect()?;
        if self.host.disk.is_off() {
            let salt = self.plan.seed ^ number as u64;
            self.restart(!salt.is_multiple_of(4), salt, None)?;
        }
        Ok(())
    }

    pub(super) fn log(&mut self) -> &mut OpenLog {
        self.log.as_mut().expect("the node is up between the steps")
    }

    fn append(&mut self, group: GroupId, count: u64, data_bytes: usize, rewind: u64, salt: u64) {
        let state = self.model.submitted(group);
        let last = state.last_index();
        let floor = state
            .hard_state
            .commit
            .max(state.base)
            .max(self.model.released(group));
        let rewind = rewind.min(last.saturating_sub(floor));
        let mut records = Vec::new();
        let mut hard_state = state.hard_state;
        if hard_state.term.0 == 0 || rewind > 0 {
            hard_state.term.0 += 1;
            hard_state.vote = 1;
            records.push(WalRecord::HardState {
                group,
                state: hard_state,
            });
        }
        let mut rng = Rng::new(salt);
        let first = last + 1 - rewind;
        let entries = (first..first + count).map(|index| WalEntry {
            index,
            term: hard_state.term,
            kind: 1,
            context: Bytes::from(rng.bytes(3)),
            data: Bytes::from(rng.bytes(data_bytes)),
        });
        let entries = entries.collect();
        records.push(WalRecord::Entries { group, entries });
        self.submit(records);
    }

    fn vote(&mut self, group: GroupId, vote: u64) {
        let mut state = self.model.submitted(group).hard_state;
        state.term.0 += 1;
        state.vote = vote;
        self.submit(vec![WalRecord::HardState { group, state }]);
    }

    fn commit(&mut self, group: GroupId, percent: u64) {
        let known = self.model.submitted(group);
        let mut state = known.hard_state;
        let more = known.last_index().saturating_sub(state.commit);
        state.commit += more * percent / 100;
        self.submit(vec![WalRecord::HardState { group, state }]);
    }

    fn release(&mut self, group: GroupId, percent: u64) {
        let index = self.model.releasable(group) * percent / 100;
        self.model.release(group, index);
        self.log().release(group, index);
    }

    fn turn_over(&mut self) -> Result<(), Broken> {
        let groups = 0..self.plan.group_count;
        groups
            .clone()
            .for_each(|group| self.commit(GroupId(group), 100));
        self.flush()?;
        groups.for_each(|group| self.release(GroupId(group), 100));
        if !self.host.disk.is_off() && self.log().run_once() {
            self.host.counts.add("files_given_up", 1);
        }
        Ok(())
    }

    fn reset(&mut self, group: GroupId, ahead: u64) {
        let known = self.model.submitted(group);
        let index = known.last_index() + ahead;
        let term = Term(known.hard_state.term.0.max(1));
        let state = HardState {
            term,
            commit: index,
            ..known.hard_state
        };
        self.submit(vec![
            WalRecord::Reset { group, index, term },
            WalRecord::HardState { group, state },
        ]);
    }

    pub(super) fn submit(&mut self, records: Vec<WalRecord>) {
        if !self.log().accepts() {
            self.host.counts.add("not_accepted", 1);
            return;
        }
        self.submit_always(records);
    }

    /// As groups do with what they owe to work taken in before.
    fn submit_always(&mut self, records: Vec<WalRecord>) {
        let number = self.model.submit(records.clone());
        self.host.counts.add("submissions", 1);
        self.log().submit(number, records);
    }

    /// Writes what is in flight. Without a fault, all of it is acknowledged.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        let mut in_flight_count = self.model.in_flight_count();
        while in_flight_count > 0 && !self.has_failed {
            self.log().run_once();
            self.collect()?;
            let left_count = self.model.in_flight_count();
            if left_count == in_flight_count {
                break;
            }
            in_flight_count = left_count;
        }
        if in_flight_count > 0 && !self.host.may_fail() && !self.is_short_of_space() {
            let detail = format!("{in_flight_count} submissions stay without an answer");
            return Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail));
        }
        Ok(())
    }

    /// Whether the log may rightly say that there is no room.
    fn is_short_of_space(&self) -> bool {
        self.host.disk.free_now_bytes() < 2 * self.plan.file_size_bytes + SPACE_MARGIN_BYTES
    }

    /// Space returns and faults end: whatever waits is acknowledged, without a restart.
    fn resume(&mut self) -> Result<(), Broken> {
        self.host.disk.disarm();
        self.host.disk.set_foreign_bytes(0);
        if self.has_failed || self.is_short_of_space() {
            return Ok(());
        }
        if self.model.in_flight_count() > 0 {
            self.host.counts.add("resumed", 1);
        }
        let spares = self.log().prepare_spares();
        self.explained("preparing spares", spares)?;
        self.flush()?;
        let left_count = self.model.in_flight_count();
        if left_count > 0 && !self.has_failed {
            let detail = format!("{left_count} submissions wait although there is space");
            return Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail));
        }
        self.release_everything()
    }

    /// Once all is committed and released, the log takes new work.
    fn release_everything(&mut self) -> Result<(), Broken> {
        for group in (0..self.plan.group_count).map(GroupId) {
            let known = self.model.submitted(group);
            let state = HardState {
                commit: known.last_index(),
                ..known.hard_state
            };
            self.submit_always(vec![WalRecord::HardState { group, state }]);
        }
        self.flush()?;
        let groups = (0..self.plan.group_count).map(GroupId);
        groups.for_each(|group| self.release(group, 100));
        self.log().run_once();
        let spares = self.log().prepare_spares();
        self.explained("preparing spares", spares)?;
        self.collect()?;
        if self.has_failed || self.is_short_of_space() || self.log().accepts() {
            return Ok(());
        }
        let detail = "new work is refused although everything is released".to_owned();
        Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
    }

    /// Takes the acknowledgements that came.
    fn collect(&mut self) -> Result<(), Broken> {
        let answers = self.log().take_answers();
        for (number, answer) in answers {
            self.host
                .trace
                .event("answer", &[number, u64::from(answer.is_ok())], || {
                    format!("{number} {answer:?}")
                });
            match answer {
                Ok(()) if self.has_failed => {
                    let detail = format!("submission {number}");
                    return Err(broken(oracle_name::ACK_AFTER_FAILURE, detail));
                }
                Ok(()) => {
                    self.host.counts.add("acknowledged", 1);
                    self.model.acknowledge(number)?;
                }
                Err(error) => {
                    self.host.counts.add("refused", 1);
                    self.has_failed = true;
                    self.explained("a submission", Err(error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// An error needs a fault that explains it.
    pub(super) fn explained(
        &mut self,
        what: &str,
        result: Result<(), String>,
    ) -> Result<(), Broken> {
        match result {
            Ok(()) => Ok(()),
            Err(_) if self.host.may_fail() => Ok(()),
            Err(error) => {
                let detail = format!("{what}: {error}");
                Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
            }
        }
    }

    /// Ends the process and starts it again, twice where the first start meets its fault.
    fn restart(
        &mut self,
        power_cut: bool,
        salt: u64,
        recovery_fault: Option<Fault>,
    ) -> Result<(), Broken> {
        self.stop(power_cut, salt);
        self.start(recovery_fault)
    }

    pub(super) fn stop(&mut self, power_cut: bool, salt: u64) {
        self.log = None;
        self.host.restart(power_cut, salt);
        self.has_failed = false;
    }

    pub(super) fn start(&mut self, recovery_fault: Option<Fault>) -> Result<(), Broken> {
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
        self.recovered(opened)
    }

    pub(super) fn open(&mut self) -> Result<OpenLog, String> {
        let opened = OpenLog::open(self.plan, self.options, &self.host);
        if let Err(error) = &opened {
            self.host.trace.note("open_failed", error);
        }
        opened
    }

    pub(super) fn recovered(&mut self, log: OpenLog) -> Result<(), Broken> {
        self.host.trace.note("recovered", &log.report);
        self.model.recover(&log.recovered)?;
        self.log = Some(log);
        self.check_checkpoints()
    }
}
