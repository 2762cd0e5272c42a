//! The write-ahead log: one per data directory, shared by all groups.
//!
//! One thread owns [`Wal`] and turns what waits in [`GroupCommit`] into frames: one frame, one
//! write and one sync for everything that waits. Another thread keeps files ready by
//! [`SpareMaker`]. At start [`Wal::open`] reads back what was written.

mod body;
mod config;
mod counters;
mod decide;
mod error;
mod format;
mod group_commit;
mod live;
mod names;
mod pace;
mod record;
mod recovery;
mod replay;
mod report;
pub(crate) mod reread;
mod room;
mod scan;
mod seeded;
mod spares;
#[cfg(test)]
mod tests;
mod writer;

pub use config::{
    MAX_BODY_BYTES, MAX_ENTRY_BYTES, MAX_QUEUE_BYTES, MAX_QUEUE_COUNT, WalConfig, WalConfigError,
};
pub use counters::WalFigures;
pub use error::{CommitError, CorruptReason, RecoveryError, WalError};
pub use group_commit::GroupCommit;
pub use pace::{CommitPace, RECENT_COMMIT_COUNT};
pub use record::{HardState, RecoveredGroup, WalDone, WalEntry, WalPort, WalRecord};
pub use report::{FileReport, FileVerdict, RecoveryReport};
#[cfg(feature = "seeded-bugs")]
pub use seeded::SeededBug;
pub use spares::SpareMaker;
pub use writer::Wal;
