//! One run of the production log, from open to crash.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use weir_log::{
    CheckpointStore,
    wal::{GroupCommit, RecoveredGroup, SpareMaker, Wal, WalConfig, WalError, WalPort, WalRecord},
};
use weir_model::GroupId;

use super::WalPlan;
use crate::{
    campaign::{host::Host, wal_bug::with_bug},
    options::Options,
};

/// An answer to a submission, by its number.
type Answer = (u64, Result<(), WalError>);

/// The log, opened.
pub(super) struct OpenLog {
    wal: Wal,
    queue: Arc<GroupCommit>,
    spares: SpareMaker,
    pub(super) checkpoints: CheckpointStore,
    /// Answers that came. Behind a mutex, since callbacks may run on another thread in
    /// production.
    answers: Arc<Mutex<Vec<Answer>>>,
    pub(super) recovered: BTreeMap<GroupId, RecoveredGroup>,
    pub(super) report: String,
}

impl OpenLog {
    pub(super) fn open(plan: &WalPlan, options: Options, host: &Host) -> Result<Self, String> {
        let disk = Arc::new(host.disk.clone());
        let config = config(plan, options);
        let opened = Wal::open(
            Arc::<crate::world::disk::SimDisk>::clone(&disk),
            &*host.entropy,
            config,
        );
        let (wal, recovered, report) = opened.map_err(|error| error.to_string())?;
        let checkpoints = CheckpointStore::new(disk).map_err(|error| error.to_string())?;
        Ok(Self {
            queue: GroupCommit::new(&wal),
            spares: wal.spare_maker(),
            wal,
            checkpoints,
            answers: Arc::default(),
            recovered,
            report: report.to_string(),
        })
    }

    pub(super) fn submit(&self, number: u64, records: Vec<WalRecord>) {
        let answers = Arc::clone(&self.answers);
        let done = move |result| {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.push((number, result));
        };
        self.queue.submit(records, Box::new(done));
    }

    pub(super) fn run_once(&mut self) -> bool {
        self.queue.run_once(&mut self.wal)
    }

    pub(super) fn release(&self, group: GroupId, index: u64) {
        self.queue.release(group, index);
    }

    pub(super) fn accepts(&self) -> bool {
        self.queue.accepts()
    }

    pub(super) fn prepare_spares(&self) -> Result<(), String> {
        self.spares.prepare().map_err(|error| error.to_string())
    }

    pub(super) fn take_answers(&self) -> Vec<Answer> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut answers)
    }
}

#[allow(
    clippy::needless_update,
    reason = "with the feature `seeded-bugs` of weir-log there is one more field"
)]
fn config(plan: &WalPlan, options: Options) -> WalConfig {
    let config = WalConfig {
        file_size_bytes: plan.file_size_bytes,
        max_frame_bytes: plan.max_frame_bytes,
        max_total_bytes: plan.max_total_bytes,
        spare_count: plan.spare_count,
        ..WalConfig::default()
    };
    with_bug(config, options)
}
