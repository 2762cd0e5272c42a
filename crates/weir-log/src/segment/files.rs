//! The node's segment files as its readers share them: open handles, indexes, data read ahead.
//! All of it bounded; an idle partition has none of it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{SegmentKey, SegmentReader, reader::Window};
use crate::{
    disk::{Disk, DiskFile, FileKind},
    index::{BatchFacts, ENTRY_BYTES, SegmentIndex},
    lru::Lru,
    partition::{ReadError, SegmentMeta, StoreConfig},
};

/// What an index costs in memory besides its entries, in bytes.
const INDEX_OVERHEAD_BYTES: usize = 128;

/// Mutexes rather than one owner: readers on the pool share the caches, and each lock is held for
/// a map operation only.
pub(crate) struct SegmentFiles {
    disk: Arc<dyn Disk>,
    handles: Mutex<Lru<SegmentKey, Arc<dyn DiskFile>>>,
    indexes: Mutex<Lru<SegmentKey, Arc<SegmentIndex>>>,
    windows: Mutex<Lru<SegmentKey, Window>>,
}

impl SegmentFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, config: &StoreConfig) -> Self {
        Self {
            disk,
            handles: Mutex::new(Lru::new(config.open_file_count)),
            indexes: Mutex::new(Lru::new(config.index_cache_bytes)),
            windows: Mutex::new(Lru::new(config.read_ahead_bytes)),
        }
    }

    /// The segment's file, open for reading. A missing file is damage.
    pub(crate) fn open(&self, key: SegmentKey, path: &str) -> Result<Arc<dyn DiskFile>, ReadError> {
        if let Some(file) = lock(&self.handles).get(key) {
            return Ok(file);
        }
        let file = self.disk.open(path, FileKind::Read).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                ReadError::Corrupt {
                    path: path.to_owned(),
                    position: 0,
                    reason: "the file is missing".to_owned(),
                }
            } else {
                ReadError::Failed {
                    path: path.to_owned(),
                    reason: error.to_string(),
                }
            }
        })?;
        let closed = lock(&self.handles).insert(key, 1, Arc::clone(&file));
        drop(closed);
        Ok(file)
    }

    /// The segment's index: from memory, from its file, or made again from the segment.
    pub(crate) fn index(
        &self,
        key: SegmentKey,
        meta: &SegmentMeta,
    ) -> Result<Arc<SegmentIndex>, ReadError> {
        if meta.index_count == 0 {
            return Ok(Arc::default());
        }
        let count = meta.index_count as usize;
        if let Some(index) = lock(&self.indexes).get(key)
            && index.entries.len() >= count
        {
            return Ok(index);
        }
        let index = match self.load_index(key, meta) {
            Some(index) => index,
            None => self.rebuild_index(key, meta)?,
        };
        let index = Arc::new(index);
        let weight = count * size_of::<crate::index::IndexEntry>() + INDEX_OVERHEAD_BYTES;
        let dropped = lock(&self.indexes).insert(key, weight, Arc::clone(&index));
        drop(dropped);
        Ok(index)
    }

    fn load_index(&self, key: SegmentKey, meta: &SegmentMeta) -> Option<SegmentIndex> {
        let file = self.disk.open(&key.index_path(), FileKind::Read).ok()?;
        let size_bytes = meta.index_count as usize * ENTRY_BYTES;
        if file.size_bytes().ok()? < size_bytes as u64 {
            return None;
        }
        let mut bytes = vec![0; size_bytes];
        let read = file.read_at(&mut bytes, 0).ok()?;
        let index = (read == size_bytes).then(|| SegmentIndex::decode(key, &bytes))?;
        index.filter(|index| index.fits(meta))
    }

    /// Reads the segment through and writes the index again, as far as the manifest counts it.
    fn rebuild_index(
        &self,
        key: SegmentKey,
        meta: &SegmentMeta,
    ) -> Result<SegmentIndex, ReadError> {
        tracing::warn!(path = key.index_path(), "index is missing or damaged");
        let mut reader = SegmentReader::open_without_index(self, key, *meta)?;
        let mut walked = SegmentMeta::empty(meta.base_offset, meta.generation, 0);
        let mut index = SegmentIndex::default();
        while let Some((header, _)) = reader.next()? {
            index.entries.extend(walked.add(&BatchFacts::of(&header)));
        }
        if index.entries.len() != meta.index_count as usize || walked.heads_crc != meta.heads_crc {
            return Err(reader.corrupt("the batches are not those that were indexed"));
        }
        let path = key.index_path();
        let written = self
            .disk
            .open(&path, FileKind::CreateBuffered)
            .and_then(|file| file.write_at(&index.encode(key), 0));
        if let Err(error) = written {
            tracing::warn!(path, %error, "index could not be written again");
        }
        Ok(index)
    }

    pub(crate) fn window(&self, key: SegmentKey) -> Option<Window> {
        lock(&self.windows).get(key)
    }

    pub(crate) fn keep_window(&self, key: SegmentKey, window: Window) {
        let size_bytes = window.size_bytes();
        let dropped = lock(&self.windows).insert(key, size_bytes, window);
        drop(dropped);
    }

    pub(crate) fn forget_window(&self, key: SegmentKey) {
        let dropped = lock(&self.windows).remove(key);
        drop(dropped);
    }

    /// Forgets a segment and removes its files. A file that stays is removed when its partition
    /// is written to after the next start.
    pub(crate) fn remove(&self, key: SegmentKey) {
        self.forget(key);
        for path in [key.segment_path(), key.index_path()] {
            if let Err(error) = self.disk.remove(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path, %error, "file could not be removed");
            }
        }
    }

    /// Forgets everything about a segment.
    pub(crate) fn forget(&self, key: SegmentKey) {
        let handle = lock(&self.handles).remove(key);
        let index = lock(&self.indexes).remove(key);
        self.forget_window(key);
        drop((handle, index));
    }

    #[cfg(test)]
    pub(crate) fn open_count(&self) -> usize {
        lock(&self.handles).len()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
