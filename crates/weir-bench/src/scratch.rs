//! Directories that are gone when the run is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A directory of one part of the run, removed when dropped.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes `name` in `parent`, empty.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Waits until the file system of `dir` has nothing left to write, so that one measurement does
/// not pay for the one before it.
pub(crate) fn settle(dir: &Path) -> Result<()> {
    let dir = fs::File::open(dir)?;
    Ok(rustix::fs::syncfs(dir)?)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("weir-bench: {} stays behind: {error}", self.path.display());
        }
    }
}
