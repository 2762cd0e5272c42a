//! The disk's front: the trait that production code uses, and the levers of the simulation.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_log::disk::{DirEntry, Disk, DiskFile, FileKind};

use super::{
    super::{Counts, SimClock, Trace},
    Fault, WrittenRange,
    faults::Op,
    file::SimFile,
    state::{Fate, State, error_of},
};

/// What a disk is like, for its whole life.
#[derive(Clone, Copy, Debug)]
pub struct DiskConfig {
    /// Bytes that fit on it.
    pub capacity_bytes: u64,
    /// Whether it takes direct I/O.
    pub supports_direct: bool,
}

/// A simulated data directory. Clones are the same disk, as one run of the process sees it;
/// after a restart, [`SimDisk::reopened`] is what the next run sees.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    incarnation: u64,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(config: DiskConfig, clock: SimClock, trace: Trace) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(
                trace,
                clock,
                config.capacity_bytes,
                config.supports_direct,
            ))),
            incarnation: 0,
        }
    }

    /// The disk after a restart. Everything opened before is dead.
    pub fn reopened(&self) -> Self {
        let incarnation = self.state().incarnation;
        Self {
            state: Arc::clone(&self.state),
            incarnation,
        }
    }

    /// Lets `fault` wait for its operation. A restart forgets it.
    pub fn arm(&self, fault: Fault) {
        self.state().armed.arm(fault);
    }

    /// Forgets the faults that wait.
    pub fn disarm(&self) {
        self.state().armed.clear();
    }

    /// Whether a crash fell on an operation and nothing works until a restart.
    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Injected errors since the last call, full disk included, crashes not.
    pub fn take_error_count(&self) -> u64 {
        std::mem::take(&mut self.state().error_count)
    }

    /// Cuts the power and brings it back; `salt` decides what survives.
    pub fn power_cut(&self, salt: u64) {
        self.state().power_cut(salt);
    }

    /// Kills the process: what was written stays.
    pub fn kill(&self, salt: u64) {
        self.state().kill(salt);
    }

    /// Sets how much space others take, in bytes.
    pub fn set_foreign_bytes(&self, bytes: u64) {
        let mut state = self.state();
        state.foreign_bytes = bytes;
        state
            .trace
            .event("foreign", &[bytes], || format!("others take {bytes} B"));
    }

    /// Bytes that can still be written.
    pub fn free_now_bytes(&self) -> u64 {
        self.state().free_bytes()
    }

    /// Changes one bit of the file, as readers and the disk itself have it.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u32) {
        let mut state = self.state();
        let Some(id) = state.names.get(path) else {
            return;
        };
        let at = usize::try_from(offset).expect("a simulated file is small");
        state.inode(id).flip(at, bit);
        state.counts.add("bit_flips", 1);
        state
            .trace
            .event("bit_flip", &[offset, u64::from(bit)], || {
                format!("{path} byte {offset} bit {bit}")
            });
    }

    /// The latest writes to files below `dir` that are still there, oldest first.
    pub fn written_ranges(&self, dir: &str) -> Vec<WrittenRange> {
        let state = self.state();
        let names: BTreeMap<u64, &str> = state
            .names
            .iter()
            .filter(|(path, _)| path.starts_with(dir))
            .map(|(path, id)| (id, path))
            .collect();
        let there = state
            .written
            .iter()
            .filter_map(|(id, offset, len_bytes, serial)| {
                Some(WrittenRange {
                    path: (*names.get(id)?).to_owned(),
                    offset: *offset,
                    len_bytes: *len_bytes,
                    serial: *serial,
                })
            });
        there.collect()
    }

    /// All file names with their lengths, for traces and tests.
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let named = state.names.iter();
        named
            .map(|(path, id)| {
                let len = state.inodes.get(&id).map_or(0, super::inode::Inode::len);
                (path.to_owned(), len as u64)
            })
            .collect()
    }

    /// What happened on this disk so far.
    pub fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// A change of names: passes the gate, then happens unless a fault falls on it.
    fn change_names(
        &self,
        what: &'static str,
        path: &str,
        change: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.begin(Op::Name, self.incarnation)?;
        state.trace.note(what, path);
        match fate {
            Fate::Proceed => change(&mut state),
            Fate::Fail(kind, salt) => {
                let happens = kind == super::FaultKind::Crash && salt % 2 == 0;
                if happens {
                    change(&mut state)?;
                }
                Err(error_of(kind))
            }
        }
    }
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no {path}"))
}

impl Disk for SimDisk {
    fn open(&self, path: &str, kind: FileKind) -> io::Result<Arc<dyn DiskFile>> {
        let known = self.state().names.get(path);
        if known.is_none() && kind == FileKind::CreateBuffered {
            self.change_names("create", path, |state| {
                if !state.names.has_parent(path) {
                    return Err(not_found(path));
                }
                state.new_inode(path);
                Ok(())
            })?;
        } else {
            self.state().begin(Op::Look, self.incarnation)?;
        }
        let state = self.state();
        let inode = state.names.get(path).ok_or_else(|| not_found(path))?;
        if kind == FileKind::Direct && !state.supports_direct {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        drop(state);
        Ok(Arc::new(SimFile::new(self.clone(), path, inode, kind)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let mut state = self.state();
        state.begin(Op::Look, self.incarnation)?;
        let entries = state.names.list(dir).map(|(name, id)| DirEntry {
            name: name.to_owned(),
            size_bytes: state.inodes.get(&id).map_or(0, |inode| inode.len() as u64),
        });
        Ok(entries.collect())
    }

    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.begin(Op::Look, self.incarnation)?;
        Ok(state.names.list_dirs(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        if self.state().names.has_dir(dir) {
            return Ok(());
        }
        self.change_names("create_dir", dir, |state| {
            state.names.create_dir(dir);
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.change_names("remove_dir", dir, |state| {
            if !state.names.has_dir(dir) {
                return Err(not_found(dir));
            }
            if state.names.remove_dir(dir) {
                Ok(())
            } else {
                Err(io::Error::from(io::ErrorKind::DirectoryNotEmpty))
            }
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change_names("rename", to, |state| {
            if state.names.get(from).is_none() || !state.names.has_parent(to) {
                return Err(not_found(from));
            }
            state.forget_space_of(to);
            state.names.rename(from, to);
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.change_names("remove", path, |state| {
            if state.names.get(path).is_none() {
                return Err(not_found(path));
            }
            state.forget_space_of(path);
            state.names.remove(path);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.begin(Op::Sync, self.incarnation)?;
        state.trace.note("sync_dir", dir);
        if !state.names.has_dir(dir) {
            return Err(not_found(dir));
        }
        match fate {
            Fate::Proceed => {
                state.names.sync_dir(dir);
                Ok(())
            }
            Fate::Fail(kind, _) => Err(error_of(kind)),
        }
    }

    fn sync_everything(&self) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.begin(Op::Sync, self.incarnation)?;
        state.trace.event("sync_all", &[], String::new);
        let ids: Vec<u64> = state.inodes.keys().copied().collect();
        for id in ids {
            // Each file fails for itself; the first error is the answer below.
            let _ = state.sync(id, fate);
        }
        match fate {
            Fate::Proceed => {
                state.names.sync_all();
                Ok(())
            }
            Fate::Fail(kind, _) => Err(error_of(kind)),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let mut state = self.state();
        state.begin(Op::Look, self.incarnation)?;
        Ok(state.free_bytes())
    }

    fn supports_direct(&self) -> bool {
        self.state().supports_direct
    }
}
