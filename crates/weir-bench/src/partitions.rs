//! The same bytes to one partition and to many, with flushes to segments under way.

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;

use crate::{
    batch::batch,
    drive::{Driven, Limit, drive},
    group::{PartitionWriters, Rig, RigConfig},
    options::Pace,
    scratch::Scratch,
};

/// Size of a batch, and the records in it.
pub(crate) const BATCH_BYTES: usize = 64 << 10;
/// Records of a batch.
pub(crate) const RECORD_COUNT: u32 = 64;
/// Appends under way at any time.
const WRITER_COUNT: usize = 64;
/// Groups that partitions are spread over.
const GROUP_COUNT: u32 = 16;

/// A rig for partitions.
pub(crate) fn rig_config(pace: Pace) -> RigConfig {
    RigConfig {
        group_count: GROUP_COUNT,
        flush_bytes: pace.flush_bytes,
        tail_bytes: pace.flush_bytes,
    }
}

/// What one partition count reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Produced {
    pub(crate) driven: Driven,
    pub(crate) batch_bytes: usize,
}

impl Produced {
    /// Acknowledged bytes per second.
    pub(crate) fn bytes_per_s(self) -> f64 {
        self.driven.acks_per_s() * self.batch_bytes as f64
    }

    /// Both runs one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            driven: self.driven.and(other.driven),
            batch_bytes: other.batch_bytes,
        }
    }
}

/// Produces the pace's bytes to `partition_count` partitions of a fresh node in `dir`.
pub(crate) fn measure(dir: &Path, partition_count: u32, pace: Pace) -> Result<Produced> {
    let scratch = Scratch::new(dir, "partitions")?;
    let rig = Rig::open(scratch.path(), rig_config(pace))?;
    let batch = batch(BATCH_BYTES, RECORD_COUNT);
    let produced = produce(&rig, partition_count, &batch, pace.produced_bytes)?;
    rig.close()?;
    Ok(produced)
}

/// Produces `bytes` in batches.
pub(crate) fn produce(
    rig: &Rig,
    partition_count: u32,
    batch: &Bytes,
    bytes: u64,
) -> Result<Produced> {
    let mut writers = PartitionWriters::new(rig, partition_count, batch.clone());
    let count = bytes / batch.len() as u64;
    Ok(Produced {
        driven: drive(&mut writers, WRITER_COUNT, Limit::Count(count))?,
        batch_bytes: batch.len(),
    })
}
