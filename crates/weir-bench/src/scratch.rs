//! Directories that are gone when the run is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A directory of one part of the run, removed when dropped.
pub(crate) struct Scratch {
    path: PathBuf,
    keeps_names: bool,
}

impl Scratch {
    /// Makes `name` in `parent`, empty.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self {
            path,
            keeps_names: false,
        })
    }

    /// As [`Scratch::new`], but when dropped only the space is given back; the names go with
    /// `parent`. ext4 passes over inodes that were removed within the last minutes, one by one:
    /// whoever makes many files soon after many were removed pays for that.
    pub(crate) fn with_lasting_names(parent: &Path, name: &str) -> Result<Self> {
        let mut scratch = Self::new(parent, name)?;
        scratch.keeps_names = true;
        Ok(scratch)
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

/// Cuts all files below `dir` to nothing.
fn empty_files(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            empty_files(&path)?;
        } else {
            fs::OpenOptions::new().write(true).open(&path)?.set_len(0)?;
        }
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let gone = match self.keeps_names {
            true => empty_files(&self.path),
            false => fs::remove_dir_all(&self.path),
        };
        if let Err(error) = gone {
            eprintln!("weir-bench: {} stays behind: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lasting_names_lose_their_bytes_and_go_with_their_parent() {
        let outer = Scratch::new(&std::env::temp_dir(), "weir-bench-scratch").unwrap();
        let inner = Scratch::with_lasting_names(outer.path(), "inner").unwrap();
        let file = inner.path().join("file");
        fs::write(&file, b"bytes").unwrap();
        drop(inner);
        assert_eq!(fs::metadata(&file).unwrap().len(), 0);
        drop(outer);
        assert!(!file.exists());
    }
}
