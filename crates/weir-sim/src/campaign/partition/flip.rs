//! One bit of a stored file changes: a read names the place, or was not touched by it.

use super::{check::Flipped, run::Run};
use crate::{oracle::Broken, world::Rng};

impl Run<'_> {
    pub(super) fn flip(&mut self, salt: u64) -> Result<(), Broken> {
        let mut rng = Rng::new(salt);
        self.flush()?;
        if self.host.may_fail() {
            return Ok(());
        }
        let mut files = self.host.disk.files();
        files.retain(|(path, size)| path.starts_with("partitions/") && *size > 0);
        if files.is_empty() {
            return Ok(());
        }
        let (path, size_bytes) = files[rng.index(files.len())].clone();
        let offset = rng.below(size_bytes);
        let bit = u32::try_from(rng.below(8)).unwrap_or(0);
        self.stop(false, salt);
        self.host.disk.flip_bit(&path, offset, bit);
        self.start(None)?;
        let flipped = Flipped { path, offset };
        self.read_everything(Some(&flipped))?;
        self.stop(false, salt);
        self.host.disk.flip_bit(&flipped.path, offset, bit);
        self.start(None)?;
        self.read_everything(None)
    }
}
