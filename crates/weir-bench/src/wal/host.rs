//! The log's two threads: the writer, and the one that keeps files ready.

use std::{
    io,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::{Result, anyhow};
use weir_log::{
    Disk,
    disk::{RealDisk, SystemEntropy},
    wal::{GroupCommit, SpareMaker, Wal, WalConfig},
};

/// Size of a file of the write-ahead log, and of fio's.
pub(crate) const FILE_BYTES: u64 = 64 << 20;

/// The write-ahead log of one data directory.
pub(crate) struct LogHost {
    pub(crate) disk: Arc<RealDisk>,
    pub(crate) queue: Arc<GroupCommit>,
    spares: SpareMaker,
    writer: JoinHandle<Wal>,
    maker: JoinHandle<io::Result<()>>,
}

impl LogHost {
    /// Opens the log of `dir`, which is empty, and starts its threads.
    #[allow(
        clippy::needless_update,
        reason = "with the feature `seeded-bugs` of weir-log there is one more field"
    )]
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let disk = Arc::new(RealDisk::open(dir)?);
        let config = WalConfig {
            file_size_bytes: FILE_BYTES,
            ..WalConfig::default()
        };
        let log_disk: Arc<dyn Disk> = Arc::<RealDisk>::clone(&disk);
        let (wal, _, _) = Wal::open(log_disk, &SystemEntropy, config)?;
        let queue = GroupCommit::new(&wal);
        let spares = wal.spare_maker();
        let (runs, makes) = (Arc::clone(&queue), spares.clone());
        let writer = thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || runs.run(wal))?;
        let maker = thread::Builder::new()
            .name("wal-spares".to_owned())
            .spawn(move || makes.run())?;
        Ok(Self {
            disk,
            queue,
            spares,
            writer,
            maker,
        })
    }

    /// Whether writes go past the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        self.disk.supports_direct()
    }

    /// Ends both threads.
    pub(crate) fn close(self) -> Result<()> {
        self.queue.close();
        self.spares.close();
        self.writer
            .join()
            .map_err(|_| anyhow!("the log's writer panicked"))?;
        let made = self
            .maker
            .join()
            .map_err(|_| anyhow!("the spare maker panicked"))?;
        Ok(made?)
    }
}
