//! What can go wrong with a partition's stored data.

use weir_model::Offset;

/// Why batches could not be read from segments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The pool's queue is full. The same read may succeed later.
    #[error("cold reads are queued up to the limit")]
    Busy,
    /// The pool was closed.
    #[error("cold read pool is closed")]
    Closed,
    /// The log's start moved past the offset, or the offset is past the log's end.
    #[error("offset is outside {start} to {end}")]
    OutOfRange {
        /// First offset of the log.
        start: Offset,
        /// Offset after the last record.
        end: Offset,
    },
    /// Stored data is not what was written.
    #[error("{path} is damaged at byte {position}: {reason}")]
    Corrupt {
        /// The file, relative to the data directory.
        path: String,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The system failed to read.
    #[error("{path} cannot be read: {reason}")]
    Failed {
        /// The file, relative to the data directory.
        path: String,
        /// The system's words.
        reason: String,
    },
}

/// Why a flush, or a compaction, wrote nothing that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// The disk is full. Nothing changed; the same call may succeed once there is space.
    #[error("disk is full while writing {path}")]
    Full {
        /// The file, relative to the data directory.
        path: String,
    },
    /// The system failed to write or to sync. The node must stop.
    #[error("{path} failed: {reason}")]
    Failed {
        /// The file or directory, relative to the data directory.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// Data that was stored before is not there any more, or is damaged.
    #[error("{path} is damaged at byte {position}: {reason}")]
    Corrupt {
        /// The file, relative to the data directory.
        path: String,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
}

/// A partition has as many watchers as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("partition has as many watchers as it may have")]
pub struct WatchersFull;
