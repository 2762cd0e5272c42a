//! What can go wrong with the write-ahead log.

use std::io;

use weir_model::GroupId;

use super::WalConfigError;

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
    /// An entry or a commit is larger than the log takes. Nothing of the commit was written.
    #[error("{bytes} bytes at once, the write-ahead log takes {max_bytes}")]
    TooLarge {
        /// The size.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// An entry does not follow the ones before it. Nothing of the commit was written.
    #[error("entry {index} of group {group} where at most {expected} can follow")]
    Gap {
        /// The group.
        group: GroupId,
        /// The entry's index.
        index: u64,
        /// The highest index that leaves no gap.
        expected: u64,
    },
}

/// Why [`super::Wal::commit`] did not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// There is no room for another file. Nothing changed: try again later.
    #[error("no room on the disk for another file of the write-ahead log")]
    Full,
    /// It will not be written.
    #[error(transparent)]
    Refused(#[from] WalError),
}

/// Why the write-ahead log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] WalConfigError),
    /// The disk refused.
    #[error("write-ahead log: {action} of {file} failed: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Path below the data directory.
        file: String,
        /// The system's words.
        source: io::Error,
    },
    /// What was acknowledged is damaged or gone.
    #[error("write-ahead log is damaged: {file} at byte {position}: {reason}")]
    Corrupt {
        /// Path below the data directory.
        file: String,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong there.
        reason: CorruptReason,
    },
    /// Another version of the program wrote the file.
    #[error("{file} has a format that this version does not know")]
    UnknownVersion {
        /// Path below the data directory.
        file: String,
    },
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorruptReason {
    /// The file's header is damaged.
    #[error("the file's header is damaged")]
    HeaderDamaged,
    /// The header names another file.
    #[error("the header belongs to another file")]
    OtherFile,
    /// The file is shorter than it was.
    #[error("the file was cut short")]
    ShortFile,
    /// The file is needed and not there.
    #[error("the file is missing")]
    MissingFile,
    /// The frame that every file begins with is damaged or gone.
    #[error("the file's first frame is damaged")]
    NoOpening,
    /// A frame is damaged or gone, and a later file exists.
    #[error("a frame is damaged, and a later file exists")]
    NoEnd,
    /// A frame is damaged or gone, and a later one exists.
    #[error("a frame is damaged, and a later one starts at byte {behind}")]
    DamagedFrame {
        /// Where the later frame starts.
        behind: u64,
    },
    /// The checksum is right and the content makes no sense.
    #[error("a frame with the right checksum does not hold records")]
    Undecodable,
    /// Entries are missing between two records.
    #[error("entry {index} of group {group} follows where at most {expected} can")]
    Gap {
        /// The group.
        group: GroupId,
        /// The entry's index.
        index: u64,
        /// The highest index that leaves no gap.
        expected: u64,
    },
}
