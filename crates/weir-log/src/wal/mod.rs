//! The write-ahead log: one per data directory, shared by all groups.

mod record;

pub use record::{HardState, RecoveredGroup, WalDone, WalEntry, WalPort, WalRecord};

/// Why the write-ahead log did not take something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    /// Writing or syncing failed. Nothing is acknowledged from here on: the node must stop.
    #[error("write-ahead log failed at {stage}: {reason}")]
    Failed {
        /// What was being done.
        stage: &'static str,
        /// The system's words.
        reason: String,
    },
    /// The log was closed before the records were written.
    #[error("write-ahead log is closed")]
    Closed,
}
