//! The machine's own disk, clock and random numbers.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{AlignedBuf, BLOCK_BYTES, DirEntry, Disk, DiskFile, FileKind};
use crate::clock::{Clock, Entropy, Millis};

/// A directory of the machine's file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    supports_direct: bool,
}

/// Name of the file that is written to learn whether direct I/O works.
const PROBE_NAME: &str = "direct-io-probe";

impl RealDisk {
    /// Uses `root`, which is made where it is absent.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        if let Some(parent) = root
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            File::open(parent)?.sync_all()?;
        }
        let supports_direct = probe_direct(&root.join(PROBE_NAME));
        Ok(Self {
            root: root.to_owned(),
            supports_direct,
        })
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    fn entries(&self, dir: &str) -> io::Result<Vec<fs::DirEntry>> {
        match fs::read_dir(self.path(dir)) {
            Ok(entries) => entries.collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn direct_flag() -> i32 {
    i32::try_from(rustix::fs::OFlags::DIRECT.bits()).expect("O_DIRECT fits in an int")
}

fn probe_direct(path: &Path) -> bool {
    let mut block = AlignedBuf::with_capacity(BLOCK_BYTES);
    block.resize(BLOCK_BYTES);
    let wrote = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(direct_flag())
        .open(path)
        .and_then(|file| file.write_all_at(block.as_slice(), 0));
    // A leftover probe is overwritten by the next start.
    let _ = fs::remove_file(path);
    wrote.is_ok()
}

impl Disk for RealDisk {
    fn open(&self, path: &str, kind: FileKind) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match kind {
            FileKind::Read => {}
            FileKind::Buffered => {
                options.write(true);
            }
            FileKind::CreateBuffered => {
                options.write(true).create(true);
            }
            FileKind::Direct => {
                options.write(true).custom_flags(direct_flag());
            }
        }
        Ok(Arc::new(RealFile {
            file: options.open(self.path(path))?,
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let mut files = Vec::new();
        for entry in self.entries(dir)? {
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.push(DirEntry {
                    name,
                    size_bytes: metadata.len(),
                });
            }
        }
        files.sort();
        Ok(files)
    }

    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut dirs = Vec::new();
        for entry in self.entries(dir)? {
            if entry.file_type()?.is_dir() {
                dirs.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        dirs.sort();
        Ok(dirs)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut path = self.root.clone();
        for part in dir.split('/') {
            let parent = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => File::open(&parent)?.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn create_dir_unsynced(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(dir))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.path(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }

    fn sync_everything(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.root)?)?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn supports_direct(&self) -> bool {
        self.supports_direct
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The machine's random numbers, by way of the standard library's randomly keyed hasher. Good
/// for ids and nonces, not for secrets.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        RandomState::new().hash_one(Instant::now())
    }
}
