//! Files made ready before the writer needs them.
//!
//! Every byte of a file is written before the file is used: space that is merely reserved makes
//! each sync wait for the file system's own journal. A file that is no longer needed is the
//! cheapest spare.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::disk::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, FileKind};

use super::{
    WalConfig,
    names::{Inventory, spare_path, unfinished_path, wal_path},
    room::Room,
};

/// How often a full disk is looked at again.
const RECHECK: Duration = Duration::from_millis(500);
/// How many files that are no longer needed are kept as spares, where that is more than the
/// configured number: entries are released in bursts.
const MAX_RECYCLED_COUNT: usize = 8;
/// How much is zeroed at once.
const ZERO_CHUNK_BYTES: usize = 1 << 20;

/// Whether the error says that the disk has no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[derive(Debug, Default)]
struct PoolState {
    /// Paths of files of the configured size, written in full. Some still have the name of
    /// their earlier life, which no recovery takes for a file in use.
    ready: Vec<String>,
    /// Paths of files that are too many or of an odd size.
    unwanted: Vec<String>,
    next_id: u64,
    is_closed: bool,
}

/// Spares, and files to be removed. A mutex rather than a channel: the writer takes from it, the
/// maker looks at both sides, and it is locked a few times per file, never per write.
pub(super) struct SparePool {
    disk: Arc<dyn Disk>,
    file_size_bytes: u64,
    spare_count: usize,
    kind: FileKind,
    room: Arc<Room>,
    state: Mutex<PoolState>,
    changed: Condvar,
}

impl SparePool {
    /// Takes over the spares that `inventory` has and removes what is of no use, the `obsolete`
    /// files among it.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        config: &WalConfig,
        kind: FileKind,
        inventory: &Inventory,
        obsolete: &[u64],
    ) -> io::Result<Self> {
        let mut state = PoolState {
            next_id: inventory.spares.keys().max().map_or(1, |id| id + 1),
            ..PoolState::default()
        };
        // They may have come back under a second name: never a spare, which would then be used twice.
        for seq in obsolete {
            disk.remove(&wal_path(*seq))?;
        }
        for path in &inventory.unfinished {
            disk.remove(path)?;
        }
        for (id, bytes) in &inventory.spares {
            if *bytes == config.file_size_bytes && state.ready.len() < config.spare_count {
                state.ready.push(spare_path(*id));
            } else {
                disk.remove(&spare_path(*id))?;
            }
        }
        Ok(Self {
            disk,
            file_size_bytes: config.file_size_bytes,
            spare_count: config.spare_count,
            kind,
            room: Arc::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// A file of `min_bytes` or more for use right now, preferably a spare: path and size.
    pub(super) fn take(&self, min_bytes: u64, quick_bytes: u64) -> io::Result<(String, u64)> {
        if min_bytes <= self.file_size_bytes {
            let spare = self.lock().ready.pop();
            if let Some(path) = spare {
                self.look_for_room()?;
                self.changed.notify_all();
                return Ok((path, self.file_size_bytes));
            }
        }
        let bytes = min_bytes.max(quick_bytes.min(self.file_size_bytes));
        let path = self.next_unfinished();
        match self.make_zeroed(&path, bytes) {
            Ok(()) => Ok((path, bytes)),
            Err(error) => {
                if is_full(&error) {
                    self.report_full();
                }
                Err(error)
            }
        }
    }

    /// Says that the disk is full, and has it looked at again before long.
    pub(super) fn report_full(&self) {
        // Under the lock, so that the maker is not between its look and its wait.
        let state = self.lock();
        self.room.set_disk_full(true);
        drop(state);
        self.changed.notify_all();
    }

    /// Gives up a file that was taken and not put to use.
    pub(super) fn discard(&self, path: &str) {
        if let Err(error) = self.disk.remove(path) {
            tracing::warn!(path, %error, "could not remove an unused file");
        }
    }

    /// Hands over files that are no longer needed: number and size. Those of the usual size are
    /// spares at once.
    pub(super) fn recycle(&self, files: BTreeMap<u64, u64>) {
        let mut state = self.lock();
        for (seq, bytes) in files {
            let is_wanted = state.ready.len() < self.spare_count.max(MAX_RECYCLED_COUNT);
            if is_wanted && bytes == self.file_size_bytes {
                state.ready.push(wal_path(seq));
            } else {
                state.unwanted.push(wal_path(seq));
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Opens a file for writing in whole blocks.
    pub(super) fn open_for_writing(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, self.kind)
    }

    fn next_unfinished(&self) -> String {
        unfinished_path(self.next_id())
    }

    fn next_id(&self) -> u64 {
        let mut state = self.lock();
        state.next_id += 1;
        state.next_id
    }

    /// Writes zeros to all of a new file and syncs it. What was made of it is removed on failure.
    fn make_zeroed(&self, path: &str, bytes: u64) -> io::Result<()> {
        // Asked first, so that a full disk is not filled and emptied again and again.
        if self.disk.free_bytes()? < bytes + BLOCK_BYTES as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(self.disk.open(path, FileKind::CreateBuffered)?);
        let written = self.write_zeros(path, bytes);
        if written.is_err() {
            self.discard(path);
        }
        written
    }

    fn write_zeros(&self, path: &str, bytes: u64) -> io::Result<()> {
        let file = self.open_for_writing(path)?;
        let mut zeros = AlignedBuf::with_capacity(ZERO_CHUNK_BYTES);
        zeros.resize(ZERO_CHUNK_BYTES);
        let mut position = 0;
        while position < bytes {
            let left = usize::try_from(bytes - position).unwrap_or(ZERO_CHUNK_BYTES);
            let chunk = &zeros.as_slice()[..left.min(ZERO_CHUNK_BYTES)];
            file.write_at(chunk, position)?;
            position += chunk.len() as u64;
        }
        file.sync_data()
    }

    fn give_up_surplus(&self) {
        let mut state = self.lock();
        let kept = self.spare_count.min(state.ready.len());
        let surplus = state.ready.split_off(kept);
        state.unwanted.extend(surplus);
    }

    /// With no spare at hand there must be room on the disk for one.
    fn look_for_room(&self) -> io::Result<()> {
        let has_spare = !self.lock().ready.is_empty();
        let needed_bytes = self.file_size_bytes + BLOCK_BYTES as u64;
        let is_full = !has_spare && self.disk.free_bytes()? < needed_bytes;
        self.room.set_disk_full(is_full);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps spares ready. Meant for a thread of its own: making one takes as long as writing it.
#[derive(Clone)]
pub struct SpareMaker {
    pool: Arc<SparePool>,
}

impl SpareMaker {
    pub(super) fn new(pool: Arc<SparePool>) -> Self {
        Self { pool }
    }

    /// Removes files that are of no use, makes the spares that are missing, and looks
    /// whether a full disk has room again. A full disk is not an error: it gets back what was
    /// kept beyond the configured number.
    pub fn prepare(&self) -> io::Result<()> {
        if self.pool.disk.free_bytes()? < self.pool.file_size_bytes {
            self.pool.give_up_surplus();
        }
        self.remove_unwanted()?;
        while self.pool.lock().ready.len() < self.pool.spare_count {
            match self.make_one() {
                Ok(()) => {}
                Err(error) if is_full(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.pool.look_for_room()
    }

    /// Prepares whenever there is something to prepare, until [`SpareMaker::close`].
    /// An error is the disk's, and ends it.
    pub fn run(&self) -> io::Result<()> {
        while !self.pool.lock().is_closed {
            self.prepare()?;
            let state = self.pool.lock();
            if state.is_closed {
                break;
            }
            let is_idle = state.unwanted.is_empty()
                && state.ready.len() >= self.pool.spare_count
                && !self.pool.room.is_disk_full();
            if is_idle {
                let changed = self.pool.changed.wait(state);
                drop(changed.unwrap_or_else(PoisonError::into_inner));
            } else {
                let changed = self.pool.changed.wait_timeout(state, RECHECK);
                drop(changed.unwrap_or_else(PoisonError::into_inner));
            }
        }
        Ok(())
    }

    /// Makes [`SpareMaker::run`] return.
    pub fn close(&self) {
        self.pool.lock().is_closed = true;
        self.pool.changed.notify_all();
    }

    fn remove_unwanted(&self) -> io::Result<()> {
        let unwanted = std::mem::take(&mut self.pool.lock().unwanted);
        let mut paths = unwanted.iter();
        paths.try_for_each(|path| self.pool.disk.remove(path))
    }

    fn make_one(&self) -> io::Result<()> {
        let id = self.pool.next_id();
        let unfinished = unfinished_path(id);
        self.pool
            .make_zeroed(&unfinished, self.pool.file_size_bytes)?;
        let path = spare_path(id);
        self.pool.disk.rename(&unfinished, &path)?;
        self.pool.lock().ready.push(path);
        Ok(())
    }
}

impl std::fmt::Debug for SpareMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpareMaker").finish_non_exhaustive()
    }
}
