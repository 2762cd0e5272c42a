//! The disk as the log sees it: one data directory, flat names below it, explicit syncs.

mod aligned;
mod real;

pub use aligned::AlignedBuf;
pub use real::{RealDisk, SystemClock, SystemEntropy};

use std::{io, sync::Arc};

/// Writes to a file opened as [`FileKind::Direct`] start at, have the length of, and come from
/// memory aligned to multiples of this.
pub const BLOCK_BYTES: usize = 4096;

/// How a file is going to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Reading only. The file must exist.
    Read,
    /// Reading and writing through the page cache. The file must exist.
    Buffered,
    /// As [`FileKind::Buffered`]; created where it is absent.
    CreateBuffered,
    /// Reading and writing past the page cache, in whole blocks. The file must exist.
    Direct,
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// File name, without the directory.
    pub name: String,
    /// Length at the time of listing.
    pub size_bytes: u64,
}

/// One data directory. Paths are relative to it, with `/` between the parts, as in
/// `wal/00000000000000000001.wal`; directories are made by [`Disk::create_dir`].
///
/// What survives a power cut: file contents up to the last [`DiskFile::sync_data`] or
/// [`Disk::sync_everything`]; names (creations, renames, removals) up to the last
/// [`Disk::sync_dir`] of their directory. Anything later may survive or not, in any mix.
///
/// A process that dies without a power cut loses nothing it wrote.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &str, kind: FileKind) -> io::Result<Arc<dyn DiskFile>>;
    /// Files (not directories) directly in `dir`, sorted by name. An absent directory is empty.
    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>>;
    /// Directories directly in `dir`, sorted. An absent directory is empty.
    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes a directory and its parents, durably.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes a directory and its parents; durable once the parent is synced. For making many.
    fn create_dir_unsynced(&self, dir: &str) -> io::Result<()> {
        self.create_dir(dir)
    }
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;
    /// Renames a file, replacing the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes everything written so far durable: contents and names. Meant for many small files,
    /// where a sync each would cost more.
    fn sync_everything(&self) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Whether [`FileKind::Direct`] works here. Asked once at start.
    fn supports_direct(&self) -> bool;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads at `offset`. Fewer bytes than asked mean the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Reads at `offset` to the end of `out`, `size_bytes` at most, and tells how many. Fewer mean the
    /// end of the file. `out` grows by as much, whether the file has it or not: the caller bounds
    /// it.
    fn append_at(&self, out: &mut Vec<u8>, size_bytes: usize, offset: u64) -> io::Result<usize> {
        let had_bytes = out.len();
        out.resize(had_bytes + size_bytes, 0);
        let read = self.read_at(&mut out[had_bytes..], offset);
        out.truncate(had_bytes + read.as_ref().copied().unwrap_or(0));
        read
    }
    /// Writes all of `buf` at `offset`. After an error any part of it may have been written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes contents and length durable. After an error the node must not acknowledge anything.
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn size_bytes(&self) -> io::Result<u64>;
    /// Cuts the file, or extends it by zeros.
    fn set_size(&self, size_bytes: u64) -> io::Result<()>;
}
