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

use rustix::buffer::spare_capacity;

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
        create_durably(root)?;
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

/// Makes a directory and its parents. A parent is synced also where the directory is there
/// already: whoever made it may have been killed before its own sync.
fn create_durably(dir: &Path) -> io::Result<()> {
    let parent = dir
        .parent()
        .map(|parent| match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        });
    match (fs::create_dir(dir), parent) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_durably(parent)?;
            fs::create_dir(dir)?;
        }
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => {}
        (made, _) => made?,
    }
    match parent {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
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
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed by another thread since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
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
            path.push(part);
            create_durably(&path)?;
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

    /// Without writing zeros first: every byte that another node catches up with comes this way.
    fn append_at(&self, out: &mut Vec<u8>, size_bytes: usize, offset: u64) -> io::Result<usize> {
        let had_bytes = out.len();
        out.reserve_exact(size_bytes);
        while out.len() < had_bytes + size_bytes {
            let at = offset + (out.len() - had_bytes) as u64;
            match rustix::io::pread(&self.file, spare_capacity(out), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The room that a vector has may be more than was asked for.
        out.truncate(had_bytes + size_bytes);
        Ok(out.len() - had_bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("weir-disk-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            Self(root)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn directories_are_made_with_their_parents_and_may_be_there_already() {
        let dir = TempDir::new("parents");
        let disk = RealDisk::open(&dir.0.join("a/b")).unwrap();
        disk.create_dir("c/d").unwrap();
        disk.create_dir("c/d").unwrap();
        assert_eq!(disk.list_dirs("c").unwrap(), ["d"]);
        RealDisk::open(&dir.0.join("a/b")).unwrap();
    }

    #[test]
    fn a_file_in_place_of_a_directory_is_an_error() {
        let dir = TempDir::new("file");
        fs::create_dir_all(&dir.0).unwrap();
        fs::write(dir.0.join("x"), b"").unwrap();
        let disk = RealDisk::open(&dir.0).unwrap();
        assert!(disk.create_dir("x/y").is_err());
    }

    #[test]
    fn what_is_written_is_read_and_a_short_read_means_the_end() {
        let dir = TempDir::new("read");
        let disk = RealDisk::open(&dir.0).unwrap();
        let file = disk.open("f", FileKind::CreateBuffered).unwrap();
        file.write_at(b"hello", 3).unwrap();
        let mut buf = [9; 10];
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 8);
        assert_eq!(&buf[..8], b"\0\0\0hello");
        file.set_size(4).unwrap();
        assert_eq!(file.size_bytes().unwrap(), 4);
        let listed = disk.list("").unwrap();
        assert_eq!((listed[0].name.as_str(), listed[0].size_bytes), ("f", 4));
    }

    #[test]
    fn only_one_kind_makes_a_file_and_none_writes_through_a_reader() {
        let dir = TempDir::new("kinds");
        let disk = RealDisk::open(&dir.0).unwrap();
        for kind in [FileKind::Read, FileKind::Buffered, FileKind::Direct] {
            let missing = disk.open("absent", kind).err().unwrap();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound, "{kind:?}");
        }
        drop(disk.open("f", FileKind::CreateBuffered).unwrap());
        let reader = disk.open("f", FileKind::Read).unwrap();
        assert!(reader.write_at(b"x", 0).is_err());
    }
}
