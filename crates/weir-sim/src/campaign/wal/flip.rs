//! One bit of what was acknowledged changes: the log names the place, or was not touched by it.

use weir_log::{CheckpointError, wal::WalRecord};
use weir_model::GroupId;

use super::run::Run;
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
    world::{Rng, disk::WrittenRange},
};

/// Commits behind the flipped place, so that it is not the log's tail.
const COMMITS_BEHIND: u64 = 2;

const CHECKPOINT_SUFFIX: &str = ".ckpt";

/// How often a checkpoint is hit instead of the log.
const CHECKPOINT_PER_MILLE: u64 = 200;

impl Run<'_> {
    /// One bit of a checkpoint changes: loading names the file.
    fn flip_checkpoint(&mut self, rng: &mut Rng) -> Result<(), Broken> {
        let mut files = self.host.disk.files();
        files.retain(|(path, size)| path.ends_with(CHECKPOINT_SUFFIX) && *size > 0);
        if files.is_empty() {
            return Ok(());
        }
        let (path, size_bytes) = files[rng.index(files.len())].clone();
        let (offset, bit) = (rng.below(size_bytes), u32::from(rng.chance(500)) * 7);
        self.stop(false, offset);
        self.host.disk.flip_bit(&path, offset, bit);
        let opened = self.open();
        let log = opened.map_err(|error| broken(oracle_name::NO_FAULT_NO_ERROR, error))?;
        let loaded = log.checkpoints.load_all().map(|found| found.len());
        drop(log);
        if !matches!(&loaded, Err(CheckpointError::Corrupt { file }) if *file == path) {
            let detail = format!("byte {offset} of {path} changed, loading gives {loaded:?}");
            return Err(broken(oracle_name::CORRUPTION, detail));
        }
        self.host.counts.add("flips_named", 1);
        self.stop(false, offset);
        self.host.disk.flip_bit(&path, offset, bit);
        self.start(None)
    }

    pub(super) fn flip(&mut self, salt: u64) -> Result<(), Broken> {
        let mut rng = Rng::new(salt);
        self.flush()?;
        if self.host.may_fail() {
            return Ok(());
        }
        if rng.chance(CHECKPOINT_PER_MILLE) {
            return self.flip_checkpoint(&mut rng);
        }
        let before = self.ranges();
        for _ in 0..COMMITS_BEHIND {
            let mut state = self.model.submitted(GroupId(0)).hard_state;
            state.term.0 += 1;
            let group = GroupId(0);
            self.submit(vec![WalRecord::HardState { group, state }]);
            self.flush()?;
        }
        let after = self.ranges();
        let is_behind = after.last() != before.last() && self.model.in_flight_count() == 0;
        let there: Vec<&WrittenRange> = before.iter().filter(|r| after.contains(r)).collect();
        if self.host.may_fail() || there.is_empty() || !is_behind {
            return Ok(());
        }
        let range = there[rng.index(there.len())].clone();
        let offset = range.offset + rng.below(range.len_bytes);
        let bit = u32::try_from(rng.below(8)).unwrap_or(0);
        self.stop(false, salt);
        self.host.disk.flip_bit(&range.path, offset, bit);
        match self.open() {
            Ok(log) => {
                self.host.counts.add("flips_without_effect", 1);
                self.recovered(log).map_err(|found| {
                    let detail = format!(
                        "{} byte {offset} bit {bit} changed: {}: {}",
                        range.path, found.oracle, found.detail
                    );
                    broken(oracle_name::CORRUPTION, detail)
                })
            }
            Err(error) => {
                self.host.counts.add("flips_named", 1);
                check_name(&error, &range, offset)?;
                self.host.disk.flip_bit(&range.path, offset, bit);
                let healed = self.open();
                let healed = healed.map_err(|error| {
                    let detail = format!("after the bit was put right: {error}");
                    broken(oracle_name::NO_FAULT_NO_ERROR, detail)
                })?;
                self.recovered(healed)
            }
        }
    }

    /// Writes to files in use, oldest first.
    fn ranges(&self) -> Vec<WrittenRange> {
        let mut ranges = self.host.disk.written_ranges("wal/");
        ranges.retain(|range| {
            let path = std::path::Path::new(&range.path);
            path.extension().is_some_and(|extension| extension == "wal")
        });
        ranges
    }
}

/// The error names the file, and a place at or before the flip within the same write.
fn check_name(error: &str, range: &WrittenRange, offset: u64) -> Result<(), Broken> {
    let position = error
        .split_once("at byte ")
        .and_then(|(_, rest)| rest.split([':', ' ', ',']).next())
        .and_then(|digits| digits.parse::<u64>().ok());
    let is_place = position.is_some_and(|at| at <= offset && at + range.len_bytes > offset);
    if error.contains(&range.path) && is_place {
        return Ok(());
    }
    let detail = format!("byte {offset} of {range:?} changed, the log says: {error}");
    Err(broken(oracle_name::CORRUPTION, detail))
}
