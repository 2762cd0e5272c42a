//! One file per group with the state that its log builds upon.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use weir_model::{GroupId, Term};

use crate::disk::{Disk, FileKind};

const DIR: &str = "groups";
const MAGIC: [u8; 8] = *b"WEIRCKPT";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;

/// Most bytes of one checkpoint's body. A length beyond it, read from disk, is damage.
pub const MAX_CHECKPOINT_BYTES: usize = 1 << 30;

/// A group's state at one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Index of the last entry that is in it.
    pub index: u64,
    /// That entry's term.
    pub term: Term,
    /// Opaque to the log.
    pub body: Bytes,
}

/// Why checkpoints could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error("checkpoint: {action} of {file} failed: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Path below the data directory.
        file: String,
        /// The system's words.
        source: io::Error,
    },
    /// The disk is full. The old checkpoint is certainly still there.
    #[error("disk is full while writing checkpoint {file}")]
    Full {
        /// Path below the data directory.
        file: String,
    },
    /// A checkpoint is damaged.
    #[error("checkpoint {file} is damaged")]
    Corrupt {
        /// Path below the data directory.
        file: String,
    },
    /// Another version of the program wrote the file.
    #[error("checkpoint {file} has format {version}, which this version does not know")]
    UnknownVersion {
        /// Path below the data directory.
        file: String,
        /// The format's number.
        version: u32,
    },
    /// The body is larger than a checkpoint may be.
    #[error("a checkpoint of {bytes} bytes, {MAX_CHECKPOINT_BYTES} are allowed")]
    TooLarge {
        /// The body's size.
        bytes: usize,
    },
}

/// The checkpoints of all groups.
pub struct CheckpointStore {
    disk: Arc<dyn Disk>,
}

impl CheckpointStore {
    /// Uses `disk`, making the directory where it is absent.
    pub fn new(disk: Arc<dyn Disk>) -> Result<Self, CheckpointError> {
        let created = disk.create_dir(DIR);
        created.map_err(|error| io_error("creation", DIR, error))?;
        Ok(Self { disk })
    }

    /// Replaces the group's checkpoint. Durable when it returns; after [`CheckpointError::Full`]
    /// the old one is there, after another error the old one or the new one, whole.
    pub fn save(&self, group: GroupId, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let bytes = checkpoint.body.len();
        if bytes > MAX_CHECKPOINT_BYTES {
            return Err(CheckpointError::TooLarge { bytes });
        }
        let (path, unfinished) = (path(group), unfinished_path(group));
        if let Err(error) = self.write(&unfinished, group, checkpoint) {
            // What is left of it is removed by the next start.
            let _ = self.disk.remove(&unfinished);
            let is_full = matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            );
            return Err(if is_full {
                CheckpointError::Full { file: unfinished }
            } else {
                io_error("writing", &unfinished, error)
            });
        }
        let renamed = self.disk.rename(&unfinished, &path);
        renamed.map_err(|error| io_error("rename", &path, error))?;
        let synced = self.disk.sync_dir(DIR);
        synced.map_err(|error| io_error("sync", DIR, error))
    }

    /// Removes the group's checkpoint, durably. Fine where there is none.
    pub fn remove(&self, group: GroupId) -> Result<(), CheckpointError> {
        let path = path(group);
        match self.disk.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(|error| io_error("removal", &path, error))?,
        }
        let synced = self.disk.sync_dir(DIR);
        synced.map_err(|error| io_error("sync", DIR, error))
    }

    fn write(&self, path: &str, group: GroupId, checkpoint: &Checkpoint) -> io::Result<()> {
        let file = self.disk.open(path, FileKind::CreateBuffered)?;
        file.set_size(0)?;
        file.write_at(&encode(group, checkpoint), 0)?;
        file.sync_data()
    }

    /// Reads all checkpoints and makes sure that they are durable. Removes what was never
    /// finished.
    pub fn load_all(&self) -> Result<BTreeMap<GroupId, Checkpoint>, CheckpointError> {
        let listed = self.disk.list(DIR);
        let listed = listed.map_err(|error| io_error("listing", DIR, error))?;
        let mut checkpoints = BTreeMap::new();
        for entry in listed {
            let file = format!("{DIR}/{}", entry.name);
            if entry.name.ends_with(".tmp") {
                let removed = self.disk.remove(&file);
                removed.map_err(|error| io_error("removal", &file, error))?;
            } else if let Some(group) = group_of(&entry.name) {
                checkpoints.insert(group, self.load(file, group, entry.size_bytes)?);
            }
        }
        // A process that was killed leaves names that a power cut would still take back.
        let synced = self.disk.sync_dir(DIR);
        synced.map_err(|error| io_error("sync", DIR, error))?;
        Ok(checkpoints)
    }

    fn load(
        &self,
        file: String,
        group: GroupId,
        size_bytes: u64,
    ) -> Result<Checkpoint, CheckpointError> {
        let max_bytes = HEADER_BYTES + MAX_CHECKPOINT_BYTES;
        let size = usize::try_from(size_bytes).ok();
        let Some(size) = size.filter(|size| (HEADER_BYTES..=max_bytes).contains(size)) else {
            return Err(CheckpointError::Corrupt { file });
        };
        let mut bytes = vec![0; size];
        let opened = self.disk.open(&file, FileKind::Read);
        let read = opened.and_then(|opened| opened.read_at(&mut bytes, 0));
        let read = read.map_err(|error| io_error("reading", &file, error))?;
        bytes.truncate(read);
        decode(file, group, bytes)
    }
}

fn path(group: GroupId) -> String {
    format!("{DIR}/{:05}.ckpt", group.0)
}

fn unfinished_path(group: GroupId) -> String {
    format!("{DIR}/{:05}.ckpt.tmp", group.0)
}

fn group_of(name: &str) -> Option<GroupId> {
    let group = GroupId(name.strip_suffix(".ckpt")?.parse().ok()?);
    (path(group) == format!("{DIR}/{name}")).then_some(group)
}

fn encode(group: GroupId, checkpoint: &Checkpoint) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + checkpoint.body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(group.0.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(checkpoint.index.to_le_bytes());
    bytes.extend(checkpoint.term.0.to_le_bytes());
    bytes.extend((checkpoint.body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&checkpoint.body);
    let crc = crc32c::crc32c(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What the crate's `fuzzing` module is given: a file's bytes, written again.
pub(crate) fn reread(group: GroupId, bytes: Vec<u8>) -> Option<Vec<u8>> {
    let checkpoint = decode(path(group), group, bytes).ok()?;
    Some(encode(group, &checkpoint))
}

fn decode(file: String, group: GroupId, mut bytes: Vec<u8>) -> Result<Checkpoint, CheckpointError> {
    if bytes.len() < HEADER_BYTES || bytes[..8] != MAGIC {
        return Err(CheckpointError::Corrupt { file });
    }
    let (version, crc) = (u32_at(&bytes, 8), u32_at(&bytes, 12));
    bytes[12..16].fill(0);
    if crc32c::crc32c(&bytes) != crc {
        return Err(CheckpointError::Corrupt { file });
    }
    if version != VERSION {
        return Err(CheckpointError::UnknownVersion { file, version });
    }
    let is_ours = u32_at(&bytes, 16) == group.0;
    let is_whole = u64_at(&bytes, 40) == (bytes.len() - HEADER_BYTES) as u64;
    if !is_ours || !is_whole {
        return Err(CheckpointError::Corrupt { file });
    }
    Ok(Checkpoint {
        index: u64_at(&bytes, 24),
        term: Term(u64_at(&bytes, 32)),
        body: Bytes::from(bytes).slice(HEADER_BYTES..),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes[at..at + 4].try_into();
    u32::from_le_bytes(field.expect("a slice of four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes[at..at + 8].try_into();
    u64::from_le_bytes(field.expect("a slice of eight bytes"))
}

fn io_error(action: &'static str, file: &str, source: io::Error) -> CheckpointError {
    CheckpointError::Io {
        action,
        file: file.to_owned(),
        source,
    }
}

impl std::fmt::Debug for CheckpointStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::disk::RealDisk;

    const GROUP: GroupId = GroupId(7);
    const FILE: &str = "groups/00007.ckpt";

    struct TempDir(PathBuf);

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn store(name: &str) -> (TempDir, CheckpointStore) {
        let root = std::env::temp_dir().join(format!("weir-ckpt-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let disk = Arc::new(RealDisk::open(&root).unwrap());
        (TempDir(root), CheckpointStore::new(disk).unwrap())
    }

    fn checkpoint(index: u64, body: &'static [u8]) -> Checkpoint {
        Checkpoint {
            index,
            term: Term(3),
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn the_last_saved_checkpoint_of_each_group_comes_back() {
        let (_dir, store) = store("last");
        assert_eq!(store.load_all().unwrap(), BTreeMap::new());
        store.save(GROUP, &checkpoint(5, b"a longer body")).unwrap();
        store.save(GroupId(70_000), &checkpoint(1, b"")).unwrap();
        store.save(GROUP, &checkpoint(9, b"short")).unwrap();
        let expected = [
            (GROUP, checkpoint(9, b"short")),
            (GroupId(70_000), checkpoint(1, b"")),
        ];
        assert_eq!(store.load_all().unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn a_checkpoint_that_was_never_finished_is_removed_and_the_old_one_counts() {
        let (dir, store) = store("unfinished");
        store.save(GROUP, &checkpoint(5, b"old")).unwrap();
        let leftover = dir.0.join("groups/00007.ckpt.tmp");
        std::fs::write(&leftover, b"half").unwrap();
        assert_eq!(store.load_all().unwrap()[&GROUP], checkpoint(5, b"old"));
        assert!(!leftover.exists());
        store.save(GROUP, &checkpoint(6, b"new")).unwrap();
        assert_eq!(store.load_all().unwrap()[&GROUP].index, 6);
    }

    #[test]
    fn any_flipped_bit_and_any_other_length_is_corruption_by_name() {
        let (dir, store) = store("damage");
        store.save(GROUP, &checkpoint(5, b"body")).unwrap();
        let path = dir.0.join(FILE);
        let good = std::fs::read(&path).unwrap();
        let longer = [good.as_slice(), &[0]].concat();
        let mut damaged: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
        damaged.push(longer);
        damaged.extend((0..good.len() * 8).map(|bit| {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            bad
        }));
        for bad in damaged {
            std::fs::write(&path, &bad).unwrap();
            let error = store.load_all().unwrap_err();
            assert!(
                matches!(&error, CheckpointError::Corrupt { file } if file == FILE),
                "{error}"
            );
        }
    }

    #[test]
    fn another_group_s_checkpoint_and_another_version_are_refused() {
        let (dir, store) = store("foreign");
        store.save(GroupId(8), &checkpoint(5, b"body")).unwrap();
        std::fs::rename(dir.0.join("groups/00008.ckpt"), dir.0.join(FILE)).unwrap();
        let foreign = store.load_all().unwrap_err();
        assert!(matches!(foreign, CheckpointError::Corrupt { .. }));
        let mut bytes = encode(GROUP, &checkpoint(5, b"body"));
        bytes[8..16].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(dir.0.join(FILE), bytes).unwrap();
        let newer = store.load_all().unwrap_err();
        assert!(matches!(
            newer,
            CheckpointError::UnknownVersion { version: 2, .. }
        ));
    }

    #[test]
    fn the_layout_stays() {
        let bytes = encode(GROUP, &checkpoint(5, b"body"));
        let mut expected = b"WEIRCKPT\x01\0\0\0".to_vec();
        expected.extend(&bytes[12..16]);
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([4, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(b"body");
        assert_eq!(bytes, expected);
    }
}
