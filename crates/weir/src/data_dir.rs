//! The data directory: one process at a time, and what it knows before it is a node's.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

const LOCK_NAME: &str = "LOCK";
const INCARNATION_NAME: &str = "INCARNATION";
const UNFINISHED_NAME: &str = "INCARNATION.tmp";

/// Why a data directory cannot be used.
#[derive(Debug)]
pub(crate) enum DataDirError {
    /// Another process uses it.
    InUse { dir: PathBuf },
    /// The system refused.
    Io { dir: PathBuf, source: io::Error },
    /// A file says something else than it should.
    Damaged { file: PathBuf },
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
            Self::Damaged { file } => write!(f, "{} is damaged", file.display()),
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

/// The number that this directory shows when it joins a cluster: 32 hexadecimal digits in file
/// `INCARNATION`. `None`: it never asked.
pub(crate) fn incarnation(dir: &Path) -> Result<Option<u128>, DataDirError> {
    let file = dir.join(INCARNATION_NAME);
    let text = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(DataDirError::Damaged { file });
        }
        Err(source) => {
            let dir = dir.to_owned();
            return Err(DataDirError::Io { dir, source });
        }
        Ok(text) => text,
    };
    match text.strip_suffix('\n') {
        Some(digits) if digits.len() == 32 => u128::from_str_radix(digits, 16)
            .map(Some)
            .map_err(|_| DataDirError::Damaged { file }),
        Some(_) | None => Err(DataDirError::Damaged { file }),
    }
}

/// Stores the number; durable when it returns.
pub(crate) fn keep_incarnation(dir: &Path, incarnation: u128) -> Result<(), DataDirError> {
    let store = || {
        let unfinished = dir.join(UNFINISHED_NAME);
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{incarnation:032x}")?;
        file.sync_all()?;
        std::fs::rename(&unfinished, dir.join(INCARNATION_NAME))?;
        File::open(dir)?.sync_all()
    };
    store().map_err(|source| DataDirError::Io {
        dir: dir.to_owned(),
        source,
    })
}

/// Forgets the number, durably.
pub(crate) fn drop_incarnation(dir: &Path) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Io {
        dir: dir.to_owned(),
        source,
    };
    match std::fs::remove_file(dir.join(INCARNATION_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(failed)?,
    }
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_reads_back_and_damage_is_named() {
        let dir = std::env::temp_dir().join(format!("weir-data-dir-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(incarnation(&dir).unwrap(), None);
        for number in [0, 7, u128::MAX] {
            keep_incarnation(&dir, number).unwrap();
            assert_eq!(incarnation(&dir).unwrap(), Some(number));
        }
        drop_incarnation(&dir).unwrap();
        drop_incarnation(&dir).unwrap();
        assert_eq!(incarnation(&dir).unwrap(), None);
        keep_incarnation(&dir, 7).unwrap();
        let file = dir.join(INCARNATION_NAME);
        let whole = std::fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            let error = incarnation(&dir).unwrap_err();
            assert!(error.to_string().contains(INCARNATION_NAME), "cut at {cut}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
