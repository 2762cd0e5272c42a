//! Why something did not happen to a group.

use weir_model::{ErrorKind, GroupId};

/// Why a proposal has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCommitted {
    /// This node does not lead the group. The command was not proposed.
    #[error("not the leader")]
    NotLeader,
    /// An earlier change of who takes part is not through yet. This one was not proposed.
    #[error("a change of members is under way")]
    ChangeInProgress,
    /// No group can be changed in this way. It was not proposed.
    #[error("not a possible change of members")]
    ImpossibleChange,
    /// Leadership was lost on the way. The command may be committed yet.
    #[error("leadership lost before the commit was seen")]
    LeadershipLost,
    /// The disk is full. The command was not proposed.
    #[error("disk full")]
    StorageFull,
    /// The disk failed. The command may be durable or not; the node stops.
    #[error("disk failed")]
    StorageFailed,
    /// The command is over [`Command::MAX_BYTES`](crate::Command::MAX_BYTES).
    #[error("command too large")]
    TooLarge,
    /// The node is going down. The command was not proposed.
    #[error("shutting down")]
    ShuttingDown,
}

impl NotCommitted {
    /// The error as doors know it.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::NotLeader | Self::LeadershipLost => ErrorKind::NotLeader,
            Self::ChangeInProgress => ErrorKind::Overloaded,
            Self::ImpossibleChange => ErrorKind::InvalidRequest,
            Self::StorageFull => ErrorKind::StorageFull,
            Self::StorageFailed => ErrorKind::StorageFailed,
            Self::TooLarge => ErrorKind::MessageTooLarge,
            Self::ShuttingDown => ErrorKind::ShuttingDown,
        }
    }

    /// Whether the same proposal may succeed later.
    pub fn retriable(self) -> bool {
        self.kind().retriable()
    }
}

/// Why a committed command cannot be applied: this binary cannot go on with this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group {group}, entry {index}: {reason}")]
pub struct ApplyError {
    /// The group.
    pub group: GroupId,
    /// The entry.
    pub index: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a group cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoundError {
    /// Entries between the checkpoint and the log's first entry are missing.
    #[error("group {group}: checkpoint ends at {checkpoint}, the log begins at {first}")]
    Gap {
        /// The group.
        group: GroupId,
        /// Last index the checkpoint covers.
        checkpoint: u64,
        /// First index in the write-ahead log.
        first: u64,
    },
    /// raft-rs refuses the state.
    #[error("group {group}: {reason}")]
    Refused {
        /// The group.
        group: GroupId,
        /// raft-rs's words.
        reason: String,
    },
}
