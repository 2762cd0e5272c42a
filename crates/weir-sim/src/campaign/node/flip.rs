//! One bit of a stored file changes: the node names it, or was not touched by it.

use super::{clients::Size, run::Run};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
    world::{Rng, disk::WrittenRange},
};

/// Batches behind the flipped place of the log, so that it is not the log's tail.
const BATCHES_BEHIND: u64 = 2;

impl Run<'_> {
    pub(super) fn flip(&mut self, salt: u64) -> Result<(), Broken> {
        let mut rng = Rng::new(salt);
        let is_of_log = rng.chance(300);
        if !is_of_log {
            self.node().checkpoint();
        }
        self.settle()?;
        self.hear()?;
        let before = self.log_writes();
        let Some(place) = self.places().first().copied() else {
            return Ok(());
        };
        for _ in 0..if is_of_log { BATCHES_BEHIND } else { 0 } {
            let size = Size {
                record_count: 1,
                data_bytes: 10,
            };
            self.produce(None, place, size);
            self.settle()?;
            self.hear()?;
        }
        if self.may_fail() || self.must_stop {
            return Ok(());
        }
        let after = self.log_writes();
        let hit = if is_of_log {
            let there: Vec<&WrittenRange> = before.iter().filter(|r| after.contains(r)).collect();
            if there.is_empty() || after.last() == before.last() {
                return Ok(());
            }
            let range = there[rng.index(there.len())];
            (
                range.path.clone(),
                range.offset + rng.below(range.len_bytes),
            )
        } else {
            let mut files = self.host.disk.files();
            files.retain(|(path, size)| !path.starts_with("wal/") && *size > 0);
            if files.is_empty() {
                return Ok(());
            }
            let (path, size_bytes) = files[rng.index(files.len())].clone();
            (path, rng.below(size_bytes))
        };
        let bit = u32::try_from(rng.below(8)).unwrap_or(0);
        self.stop(false, salt);
        self.host.disk.flip_bit(&hit.0, hit.1, bit);
        let found = self.look_at_damage(&hit.0);
        self.has_flipped_bit = false;
        found.map_err(|found| {
            let detail = format!("{hit:?} changed: {}: {}", found.oracle, found.detail);
            broken(oracle_name::CORRUPTION, detail)
        })?;
        self.stop(false, salt);
        self.host.disk.flip_bit(&hit.0, hit.1, bit);
        self.start(None)
    }

    /// Opens and reads with the damage in place.
    fn look_at_damage(&mut self, path: &str) -> Result<(), Broken> {
        self.has_flipped_bit = true;
        self.damaged.clear();
        let opened = self.open();
        if let Err(error) = opened {
            self.host.counts.add("flips_named", 1);
            return if error.contains(path) {
                Ok(())
            } else {
                Err(broken(oracle_name::CORRUPTION, error))
            };
        }
        self.sweep(false)?;
        let counter = match self.damaged.len() {
            0 => "flips_without_effect",
            1 => "flips_named",
            _ => {
                let detail = format!("{:?} all name damage", self.damaged);
                return Err(broken(oracle_name::CORRUPTION, detail));
            }
        };
        self.host.counts.add(counter, 1);
        Ok(())
    }

    /// Writes to log files in use, oldest first.
    fn log_writes(&self) -> Vec<WrittenRange> {
        let mut ranges = self.host.disk.written_ranges("wal/");
        ranges.retain(|range| {
            let path = std::path::Path::new(&range.path);
            path.extension().is_some_and(|extension| extension == "wal")
        });
        ranges
    }
}
