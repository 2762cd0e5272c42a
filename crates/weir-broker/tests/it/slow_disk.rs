//! A real disk whose write-ahead log takes as long to sync as the test wants, and that has as much
//! room.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use weir_log::{
    Disk, DiskFile, FileKind,
    disk::{DirEntry, RealDisk},
};

use super::mesh::HandClock;

/// How long a sync takes, in ms of the cluster's clock.
pub(crate) type SyncMs = Arc<AtomicU64>;

/// Whether there is no room for another file.
pub(crate) type IsFull = Arc<AtomicBool>;

pub(crate) struct SlowDisk {
    pub(crate) disk: RealDisk,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) sync_ms: SyncMs,
    pub(crate) is_full: IsFull,
}

struct SlowFile {
    file: Arc<dyn DiskFile>,
    clock: Arc<HandClock>,
    sync_ms: SyncMs,
}

/// A file that does not grow while there is no room.
struct FullFile {
    file: Arc<dyn DiskFile>,
    is_full: IsFull,
}

impl FullFile {
    fn check(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl Disk for SlowDisk {
    fn open(&self, path: &str, kind: FileKind) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, kind)?;
        if !path.starts_with("wal/") {
            let is_full = Arc::clone(&self.is_full);
            return Ok(Arc::new(FullFile { file, is_full }));
        }
        Ok(Arc::new(SlowFile {
            file,
            clock: Arc::clone(&self.clock),
            sync_ms: Arc::clone(&self.sync_ms),
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }

    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list_dirs(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn sync_everything(&self) -> io::Result<()> {
        self.disk.sync_everything()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Ok(0),
            false => self.disk.free_bytes(),
        }
    }

    fn supports_direct(&self) -> bool {
        self.disk.supports_direct()
    }
}

impl DiskFile for SlowFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.clock.pass(self.sync_ms.load(Ordering::Relaxed));
        self.file.sync_data()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_size(size_bytes)
    }
}

impl DiskFile for FullFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.check()?;
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_size(size_bytes)
    }
}
