//! The data directory: one process at a time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

const LOCK_NAME: &str = "LOCK";

/// Why a data directory cannot be used.
#[derive(Debug)]
pub(crate) enum DataDirError {
    /// Another process uses it.
    InUse { dir: PathBuf },
    /// The system refused.
    Io { dir: PathBuf, source: io::Error },
}

impl std::fmt::Display for DataDirError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse { dir } => write!(
                f,
                "{} is in use by another weir process; stop it, or choose another --data-dir",
                dir.display()
            ),
            Self::Io { dir, source } => write!(f, "{}: {source}", dir.display()),
        }
    }
}

impl std::error::Error for DataDirError {}

/// Holds the directory until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _file: File,
}

/// Makes the directory where it is absent, and takes it.
pub(crate) fn lock(dir: &Path) -> Result<DataDirLock, DataDirError> {
    let failed = |source| DataDirError::Io {
        dir: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(LOCK_NAME))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(DataDirLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
