//! The log of one node: a write-ahead log shared by all groups, segments per partition, the tail
//! in memory, checkpoints of groups.
//!
//! This crate knows bytes, offsets and times; it knows neither topics nor protocols. Everything
//! that touches the outside goes through [`Disk`], [`Clock`] and [`Entropy`], so that the
//! simulator runs the production code.

pub mod checkpoint;
pub mod clock;
pub mod codec;
mod cold;
pub mod compaction;
pub mod disk;
mod flush;
pub mod fuzzing;
mod index;
pub mod ingest;
mod lru;
pub mod partition;
pub mod retention;
mod segment;
pub mod tail;
#[cfg(test)]
mod testing;
pub mod thread_priority;
pub mod wal;

pub use checkpoint::{Checkpoint, CheckpointError, CheckpointStore};
pub use clock::{Clock, Entropy, Millis};
pub use disk::{Disk, DiskFile, FileKind};
pub use partition::{
    FlushError, FlushJob, PartitionLog, PartitionManifest, PartitionStore, Read, ReadBatches,
    ReadError, SegmentPolicy, StoreConfig,
};
pub use tail::{TailBatch, TailPin};
