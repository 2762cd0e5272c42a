//! A disk in memory that loses nothing, with a few faults to order. What a crash takes away is
//! the simulator's subject.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use crate::disk::{BLOCK_BYTES, DirEntry, Disk, DiskFile, FileKind};

type Content = Arc<Mutex<Vec<u8>>>;

#[derive(Default)]
pub(super) struct Faults {
    pub(super) fails_sync: AtomicBool,
    pub(super) fails_write: AtomicBool,
    /// Syncs of file contents that succeeded.
    pub(super) sync_count: AtomicU64,
}

pub(super) struct MemDisk {
    files: Mutex<BTreeMap<String, Content>>,
    capacity_bytes: AtomicU64,
    pub(super) faults: Arc<Faults>,
}

impl MemDisk {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            files: Mutex::default(),
            capacity_bytes: AtomicU64::new(u64::MAX),
            faults: Arc::default(),
        })
    }

    /// The same content, apart from this one from here on.
    pub(super) fn copy(&self) -> Arc<Self> {
        let copy = Self::new();
        for (path, content) in self.files.lock().unwrap().iter() {
            copy.put(path, content.lock().unwrap().clone());
        }
        copy
    }

    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) {
        let content = Arc::new(Mutex::new(bytes));
        self.files.lock().unwrap().insert(path.to_owned(), content);
    }

    pub(super) fn get(&self, path: &str) -> Vec<u8> {
        self.content(path).unwrap().lock().unwrap().clone()
    }

    pub(super) fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.content(path).unwrap().lock().unwrap());
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn set_free_bytes(&self, bytes: u64) {
        self.capacity_bytes
            .store(self.used_bytes() + bytes, Relaxed);
    }

    fn used_bytes(&self) -> u64 {
        let files = self.files.lock().unwrap();
        files
            .values()
            .map(|file| file.lock().unwrap().len() as u64)
            .sum()
    }

    fn content(&self, path: &str) -> io::Result<Content> {
        let files = self.files.lock().unwrap();
        files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &str, kind: FileKind) -> io::Result<Arc<dyn DiskFile>> {
        if kind == FileKind::CreateBuffered && self.content(path).is_err() {
            self.put(path, Vec::new());
        }
        let used_bytes = self.used_bytes();
        Ok(Arc::new(MemFile {
            content: self.content(path)?,
            kind,
            faults: Arc::clone(&self.faults),
            free_bytes: AtomicU64::new(
                self.capacity_bytes.load(Relaxed).saturating_sub(used_bytes),
            ),
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let files = self.files.lock().unwrap();
        let entries = files.iter().filter_map(|(path, content)| {
            let name = path.strip_prefix(dir)?.strip_prefix('/')?;
            Some(DirEntry {
                name: name.to_owned(),
                size_bytes: content.lock().unwrap().len() as u64,
            })
        });
        Ok(entries.collect())
    }

    fn list_dirs(&self, _dir: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let content = self.content(from)?;
        let mut files = self.files.lock().unwrap();
        files.remove(from);
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let removed = self.files.lock().unwrap().remove(path);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_everything(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self
            .capacity_bytes
            .load(Relaxed)
            .saturating_sub(self.used_bytes()))
    }

    fn supports_direct(&self) -> bool {
        true
    }
}

struct MemFile {
    content: Content,
    kind: FileKind,
    faults: Arc<Faults>,
    free_bytes: AtomicU64,
}

impl DiskFile for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let from = usize::try_from(offset).unwrap().min(content.len());
        let count = buf.len().min(content.len() - from);
        buf[..count].copy_from_slice(&content[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if self.kind == FileKind::Direct {
            assert_eq!(buf.len() % BLOCK_BYTES, 0, "length is whole blocks");
            assert_eq!(offset % BLOCK_BYTES as u64, 0, "position is on a block");
            assert_eq!(
                buf.as_ptr().align_offset(BLOCK_BYTES),
                0,
                "memory is aligned"
            );
        }
        if self.faults.fails_write.load(Relaxed) {
            return Err(io::Error::other("ordered write failure"));
        }
        let mut content = self.content.lock().unwrap();
        let end = usize::try_from(offset).unwrap() + buf.len();
        let growth = end.saturating_sub(content.len()) as u64;
        if growth > self.free_bytes.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.free_bytes.fetch_sub(growth, Relaxed);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[end - buf.len()..end].copy_from_slice(buf);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.faults.fails_sync.load(Relaxed) {
            return Err(io::Error::other("ordered sync failure"));
        }
        self.faults.sync_count.fetch_add(1, Relaxed);
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().len() as u64)
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        let size = usize::try_from(size_bytes).unwrap();
        self.content.lock().unwrap().resize(size, 0);
        Ok(())
    }
}
