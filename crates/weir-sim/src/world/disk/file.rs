//! An open file of the simulated disk.

use std::io;

use weir_log::disk::{BLOCK_BYTES, DiskFile, FileKind};

use super::{
    SimDisk,
    faults::Op,
    names::InodeId,
    state::{Fate, error_of},
};

pub(super) struct SimFile {
    disk: SimDisk,
    path: String,
    inode: InodeId,
    kind: FileKind,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, path: &str, inode: InodeId, kind: FileKind) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            inode,
            kind,
        }
    }

    /// Direct I/O that is not aligned is a bug of the caller, which the real disk answers with
    /// EINVAL; a panic names the place.
    fn check_alignment(&self, buf: &[u8], offset: u64) {
        if self.kind == FileKind::Direct {
            let block = BLOCK_BYTES as u64;
            assert!(
                offset.is_multiple_of(block)
                    && buf.len().is_multiple_of(BLOCK_BYTES)
                    && buf.as_ptr().align_offset(BLOCK_BYTES) == 0,
                "direct I/O on {} is not aligned: {} bytes at {offset}",
                self.path,
                buf.len()
            );
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check_alignment(buf, offset);
        let mut state = self.disk.state();
        let fate = state.begin(Op::Read, self.disk.incarnation())?;
        if let Fate::Fail(kind, _) = fate {
            return Err(error_of(kind));
        }
        let inode = state.inode(self.inode);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = from.min(inode.len());
        let to = from.saturating_add(buf.len()).min(inode.len());
        buf[..to - from].copy_from_slice(&inode.bytes()[from..to]);
        state
            .trace
            .event("read", &[offset, (to - from) as u64], || {
                format!("{} {} B at {offset}", self.path, to - from)
            });
        Ok(to - from)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        assert!(
            self.kind != FileKind::Read,
            "{} was opened for reading only",
            self.path
        );
        self.check_alignment(buf, offset);
        let mut state = self.disk.state();
        let fate = state.begin(Op::Write, self.disk.incarnation())?;
        let sum = u64::from(crc32c::crc32c(buf));
        state
            .trace
            .event("write", &[offset, buf.len() as u64, sum], || {
                format!("{} {} B at {offset} sum {sum:08x}", self.path, buf.len())
            });
        state.write(self.inode, buf, offset, fate)?;
        state.note_written(self.inode, offset, buf.len() as u64);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fate = state.begin(Op::Sync, self.disk.incarnation())?;
        state
            .trace
            .event("sync", &[self.inode], || self.path.clone());
        state.sync(self.inode, fate)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.begin(Op::Look, self.disk.incarnation())?;
        Ok(state.inode(self.inode).len() as u64)
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fate = state.begin(Op::Write, self.disk.incarnation())?;
        state.trace.event("set_size", &[size_bytes], || {
            format!("{} to {size_bytes}", self.path)
        });
        if let Fate::Fail(kind, _) = fate {
            return Err(error_of(kind));
        }
        state.set_size(self.inode, size_bytes);
        Ok(())
    }
}
