//! What the simulated disk holds, and the gate that every operation passes.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use super::{
    super::{Counts, Rng, SimClock, Trace},
    FaultKind,
    faults::{Armed, Op},
    inode::{Inode, Loss, SECTOR_BYTES},
    names::{InodeId, Names},
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// How long a slow operation takes.
const SLOW_OP_MS: u64 = 1_000;
/// Written ranges that are remembered, for bit flips to choose from.
const MAX_WRITTEN_RANGE_COUNT: usize = 256;

/// One write: where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRange {
    /// The file, by the name it has now.
    pub path: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len_bytes: u64,
    /// Which write of the disk it was: the same place may be written again.
    pub serial: u64,
}

/// What the gate lets an operation do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Proceed,
    /// Fails as the kind says; the number seeds what is left behind.
    Fail(FaultKind, u64),
}

pub(super) struct State {
    pub(super) trace: Trace,
    pub(super) clock: SimClock,
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) names: Names,
    pub(super) armed: Armed,
    pub(super) counts: Counts,
    pub(super) supports_direct: bool,
    pub(super) capacity_bytes: u64,
    /// Space that others took.
    pub(super) foreign_bytes: u64,
    pub(super) used_bytes: u64,
    pub(super) incarnation: u64,
    pub(super) is_off: bool,
    /// Errors that were injected since they were last asked for.
    pub(super) error_count: u64,
    /// The latest writes: file, offset, length, serial number.
    pub(super) written: VecDeque<(InodeId, u64, u64, u64)>,
    write_count: u64,
    next_inode: InodeId,
}

impl State {
    pub(super) fn new(
        trace: Trace,
        clock: SimClock,
        capacity_bytes: u64,
        supports_direct: bool,
    ) -> Self {
        Self {
            trace,
            clock,
            inodes: BTreeMap::new(),
            names: Names::default(),
            armed: Armed::default(),
            counts: Counts::default(),
            supports_direct,
            capacity_bytes,
            foreign_bytes: 0,
            used_bytes: 0,
            incarnation: 0,
            is_off: false,
            error_count: 0,
            written: VecDeque::new(),
            write_count: 0,
            next_inode: 1,
        }
    }

    /// Lets an operation in, or fails it. A crash that falls on it lets it through as
    /// `Fail(Crash, _)`, with the power off behind it.
    pub(super) fn begin(&mut self, op: Op, incarnation: u64) -> io::Result<Fate> {
        if self.is_off || incarnation != self.incarnation {
            return Err(power_off());
        }
        self.counts.add("disk_ops", 1);
        let Some(fault) = self.armed.take(op) else {
            return Ok(Fate::Proceed);
        };
        self.counts.add(fault.kind.name(), 1);
        self.trace.event("fault", &[fault.kind as u64], || {
            format!("{} on {op:?}", fault.kind.name())
        });
        match fault.kind {
            FaultKind::Slow => {
                self.clock.advance_ms(SLOW_OP_MS);
                return Ok(Fate::Proceed);
            }
            FaultKind::Crash => self.is_off = true,
            FaultKind::WriteError
            | FaultKind::ShortWrite
            | FaultKind::NoSpace
            | FaultKind::SyncError
            | FaultKind::ReadError
            | FaultKind::NameError => self.error_count += 1,
        }
        Ok(Fate::Fail(fault.kind, fault.salt))
    }

    pub(super) fn new_inode(&mut self, path: &str) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, Inode::default());
        self.names.create(path, id);
        id
    }

    pub(super) fn inode(&mut self, id: InodeId) -> &mut Inode {
        self.inodes
            .get_mut(&id)
            .expect("an inode lives while names or handles of its incarnation do")
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity_bytes
            .saturating_sub(self.used_bytes + self.foreign_bytes)
    }

    /// Writes what `fate` lets through.
    pub(super) fn write(
        &mut self,
        id: InodeId,
        data: &[u8],
        offset: u64,
        fate: Fate,
    ) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(|_| io::Error::from_raw_os_error(ENOSPC))?;
        let grown = (offset + data.len() as u64).saturating_sub(self.inode(id).used_bytes);
        if grown > self.free_bytes() {
            self.counts.add("disk_full", 1);
            self.error_count += 1;
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        match fate {
            Fate::Proceed => {
                self.put(id, data, at);
                Ok(())
            }
            Fate::Fail(kind, salt) => {
                self.put_part(id, data, at, kind, salt);
                Err(error_of(kind))
            }
        }
    }

    fn put(&mut self, id: InodeId, data: &[u8], at: usize) {
        let inode = self.inode(id);
        inode.write(data, at);
        let end = (at + data.len()) as u64;
        let grown = end.saturating_sub(inode.used_bytes);
        inode.used_bytes = inode.used_bytes.max(end);
        self.used_bytes += grown;
    }

    fn put_part(&mut self, id: InodeId, data: &[u8], at: usize, kind: FaultKind, salt: u64) {
        let mut rng = Rng::new(salt);
        match kind {
            FaultKind::ShortWrite => {
                let len = rng.index(data.len() + 1);
                self.put(id, &data[..len], at);
            }
            FaultKind::WriteError | FaultKind::Crash => {
                let keep_per_mille = rng.pick(&[0, 500, 1_000]);
                let mut from = 0;
                while from < data.len() {
                    let to = ((at + from + 1).next_multiple_of(SECTOR_BYTES) - at).min(data.len());
                    if rng.chance(keep_per_mille) {
                        self.put(id, &data[from..to], at + from);
                    }
                    from = to;
                }
            }
            FaultKind::NoSpace
            | FaultKind::SyncError
            | FaultKind::ReadError
            | FaultKind::NameError
            | FaultKind::Slow => {}
        }
    }

    pub(super) fn set_size(&mut self, id: InodeId, size_bytes: u64) {
        let len = usize::try_from(size_bytes).expect("a simulated file is small");
        let inode = self.inode(id);
        inode.set_len(len);
        let freed = inode.used_bytes.saturating_sub(size_bytes);
        inode.used_bytes -= freed;
        self.used_bytes = self.used_bytes.saturating_sub(freed);
    }

    /// A name is about to go: its file's space is free again.
    pub(super) fn forget_space_of(&mut self, path: &str) {
        if let Some(id) = self.names.get(path) {
            // Kept in the file itself: a power cut may bring it back.
            let freed = self.inode(id).used_bytes;
            self.used_bytes = self.used_bytes.saturating_sub(freed);
        }
    }

    /// Syncs one file as `fate` lets it.
    pub(super) fn sync(&mut self, id: InodeId, fate: Fate) -> io::Result<()> {
        match fate {
            Fate::Proceed => {
                self.inode(id).sync();
                Ok(())
            }
            Fate::Fail(kind, salt) => {
                if kind == FaultKind::SyncError {
                    let mut rng = Rng::new(salt);
                    let loss = Loss::draw(&mut rng);
                    self.inode(id).fail_sync(&mut rng, loss);
                }
                Err(error_of(kind))
            }
        }
    }

    /// The power goes, and comes back: what was not synced is there or not.
    pub(super) fn power_cut(&mut self, salt: u64) {
        let mut rng = Rng::new(salt);
        let undone_count = self.names.crash(&mut rng);
        self.drop_unnamed();
        let mut lost_count = 0;
        for inode in self.inodes.values_mut() {
            if inode.is_clean() {
                inode.crash(&mut rng, Loss::Nothing);
                continue;
            }
            let loss = Loss::draw(&mut rng);
            let taken = inode.crash(&mut rng, loss);
            lost_count += taken.lost_sector_count;
            self.counts.add("sectors_lost", taken.lost_sector_count);
            self.counts.add("lengths_undone", taken.len_count);
            if taken.lost_sector_count > 0 && taken.kept_sector_count > 0 {
                self.counts.add("torn_files", 1);
            }
        }
        self.counts.add("names_undone", undone_count);
        self.counts.add("power_cuts", 1);
        self.trace
            .event("power_cut", &[undone_count, lost_count], || {
                format!("{undone_count} names undone, {lost_count} sectors lost")
            });
        self.restart();
    }

    /// The process goes; all it wrote stays, but what a failed sync left may be dropped.
    pub(super) fn kill(&mut self, salt: u64) {
        let mut rng = Rng::new(salt);
        self.drop_unnamed();
        for inode in self.inodes.values_mut() {
            inode.kill(&mut rng);
        }
        self.counts.add("kills", 1);
        self.trace.event("kill", &[], String::new);
        self.restart();
    }

    /// Notes where a write went, and drops what it covers.
    pub(super) fn note_written(&mut self, id: InodeId, offset: u64, len_bytes: u64) {
        let end = offset + len_bytes;
        self.written
            .retain(|(file, at, len, _)| *file != id || at + len <= offset || *at >= end);
        if self.written.len() == MAX_WRITTEN_RANGE_COUNT {
            self.written.pop_front();
        }
        self.write_count += 1;
        self.written
            .push_back((id, offset, len_bytes, self.write_count));
    }

    fn restart(&mut self) {
        self.incarnation += 1;
        self.is_off = false;
        self.error_count = 0;
        self.armed.clear();
        self.written.clear();
        let inodes = &self.inodes;
        let named = self.names.iter();
        self.used_bytes = named
            .filter_map(|(_, id)| inodes.get(&id))
            .map(|inode| inode.used_bytes)
            .sum();
    }

    fn drop_unnamed(&mut self) {
        let names = &self.names;
        self.inodes.retain(|id, _| names.holds(*id));
    }
}

pub(super) fn power_off() -> io::Error {
    io::Error::other("the simulated power is off")
}

pub(super) fn error_of(kind: FaultKind) -> io::Error {
    match kind {
        FaultKind::NoSpace => io::Error::from_raw_os_error(ENOSPC),
        FaultKind::WriteError
        | FaultKind::ShortWrite
        | FaultKind::SyncError
        | FaultKind::ReadError
        | FaultKind::NameError
        | FaultKind::Slow => io::Error::from_raw_os_error(EIO),
        FaultKind::Crash => power_off(),
    }
}
