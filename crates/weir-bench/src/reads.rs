//! Reading: what is in memory, and what is on disk only.

use std::{
    fs::{self, File},
    path::Path,
    sync::{Arc, mpsc::channel},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use bytes::Bytes;
use weir_log::{PartitionLog, PartitionStore, Read};
use weir_model::Offset;

/// Size of a read, and of fio's.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Reads {
    /// Bytes per second.
    pub(crate) fn bytes_per_s(self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64()
    }
}

/// Where chunks go: copied once, as a socket's send does.
struct Sink {
    buffer: Vec<u8>,
}

impl Sink {
    fn new() -> Self {
        Self {
            buffer: Vec::with_capacity(2 * READ_BYTES),
        }
    }

    fn take(&mut self, chunks: &[Bytes]) {
        self.buffer.clear();
        chunks
            .iter()
            .for_each(|chunk| self.buffer.extend_from_slice(chunk));
        std::hint::black_box(&self.buffer);
    }
}

/// Reads from `from` to the end again and again: all of it is in memory.
pub(crate) fn tail(log: &Arc<PartitionLog>, from: Offset, time: Duration) -> Result<Reads> {
    let mut sink = Sink::new();
    let start = Instant::now();
    let mut bytes = 0;
    let mut next = from;
    while start.elapsed() < time {
        match log.read(next, READ_BYTES, true) {
            Read::Batches(read) => {
                sink.take(&read.chunks);
                bytes += read.size_bytes as u64;
                next = read.next_offset;
            }
            Read::AtEnd => next = from,
            other @ (Read::Cold(_) | Read::OutOfRange { .. }) => {
                bail!("offset {next} is not in memory: {other:?}")
            }
        }
    }
    Ok(Reads {
        bytes,
        time: start.elapsed(),
    })
}

/// Reads from the beginning up to what is in memory, through the pool for cold reads.
pub(crate) fn cold(store: &Arc<PartitionStore>, log: &Arc<PartitionLog>) -> Result<Reads> {
    let mut sink = Sink::new();
    let start = Instant::now();
    let mut bytes = 0;
    let mut next = log.start_offset();
    while let Read::Cold(wanted) = log.read(next, READ_BYTES, true) {
        let (tell, told) = channel();
        let done = Box::new(move |read| {
            // Whoever asked waits below.
            let _ = tell.send(read);
        });
        store.read_cold(wanted, done);
        let read = told.recv()??;
        sink.take(&read.chunks);
        bytes += read.size_bytes as u64;
        next = read.next_offset;
    }
    Ok(Reads {
        bytes,
        time: start.elapsed(),
    })
}

/// Has the kernel forget the contents of all files below `dir`, as far as they are on disk.
pub(crate) fn forget_pages(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else {
            let file = File::open(&path)?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
