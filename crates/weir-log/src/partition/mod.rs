//! One partition's log: the tail in memory over segments on disk, and the store that all
//! partitions of a node share.

mod epochs;
mod error;
pub(crate) mod log;
pub(crate) mod manifest;
pub(crate) mod read;
mod store;
pub(crate) mod tidy;
mod traffic;

#[cfg(test)]
mod tests;

pub use epochs::{EpochEnd, EpochTable, MAX_EPOCHS, NotAscending};
pub use error::{FlushError, ReadError, WatchersFull};
pub use log::{MAX_WATCHERS, MissingRange, NotWhole, PartitionLog, Watcher};
pub use manifest::{MAX_SEGMENTS, ManifestError, PartitionManifest, SegmentMeta};
pub use read::{ColdLookup, ColdRead, Lookup, Read, ReadBatches, TimestampOffset};
pub use store::{FlushJob, PartitionStore, SegmentPolicy, StoreConfig};
pub use traffic::{Traffic, TrafficFigures};

pub use crate::tail::{TailBatch, TailPin};
