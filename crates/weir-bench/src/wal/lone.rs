//! One small append on an idle log, beside a bare write and fdatasync in the same directory.

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use weir_log::{
    Disk, DiskFile, FileKind,
    disk::{AlignedBuf, BLOCK_BYTES},
};

use super::{
    LogHost,
    appends::{Appender, measure},
};
use crate::drive::{Limit, drive};

/// Appends and bare writes take turns of this many, so that both meet the same disk.
const TURN_COUNT: u32 = 100;
/// Size of a lone append.
const SIZE_BYTES: usize = 100;
/// Blocks of the bare writer's file, which it goes through again and again.
const FILE_BLOCKS: u64 = 4096;

/// Times of both sides, in ns.
pub(crate) struct Lone {
    pub(crate) appends: Histogram<u64>,
    pub(crate) bare: Histogram<u64>,
}

/// Takes the times of `count` lone appends and as many bare writes.
pub(crate) fn measure_lone(host: &LogHost, appender: &mut Appender, count: u32) -> Result<Lone> {
    let mut bare = BareWriter::new(host)?;
    let mut lone = Lone {
        appends: Histogram::new(3)?,
        bare: Histogram::new(3)?,
    };
    measure(
        appender,
        1,
        SIZE_BYTES,
        std::time::Duration::from_millis(100),
    )?;
    for _ in 0..count.div_ceil(TURN_COUNT) {
        for _ in 0..TURN_COUNT {
            let start = Instant::now();
            bare.write()?;
            record(&mut lone.bare, start)?;
        }
        for _ in 0..TURN_COUNT {
            let start = Instant::now();
            drive(appender, 1, Limit::Count(1))?;
            record(&mut lone.appends, start)?;
        }
    }
    Ok(lone)
}

fn record(times: &mut Histogram<u64>, start: Instant) -> Result<()> {
    Ok(times.record(u64::try_from(start.elapsed().as_nanos())?)?)
}

struct BareWriter {
    file: Arc<dyn DiskFile>,
    block: AlignedBuf,
    next_block: u64,
}

impl BareWriter {
    /// Makes its file and writes it in full.
    fn new(host: &LogHost) -> Result<Self> {
        let kind = match host.is_direct() {
            true => FileKind::Direct,
            false => FileKind::Buffered,
        };
        drop(host.disk.open("bare", FileKind::CreateBuffered)?);
        let file = host.disk.open("bare", kind)?;
        let mut block = AlignedBuf::with_capacity(BLOCK_BYTES);
        block.resize(BLOCK_BYTES);
        for at in 0..FILE_BLOCKS {
            file.write_at(block.as_slice(), at * BLOCK_BYTES as u64)?;
        }
        file.sync_data()?;
        Ok(Self {
            file,
            block,
            next_block: 0,
        })
    }

    fn write(&mut self) -> Result<()> {
        let position = self.next_block * BLOCK_BYTES as u64;
        self.next_block = (self.next_block + 1) % FILE_BLOCKS;
        self.file.write_at(self.block.as_slice(), position)?;
        Ok(self.file.sync_data()?)
    }
}
