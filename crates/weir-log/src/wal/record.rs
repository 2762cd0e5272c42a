//! What goes into the write-ahead log and what comes back from it.

use bytes::Bytes;
use weir_model::{GroupId, Term};

use super::WalError;

/// One entry of a group's Raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalEntry {
    /// Place in the group's log, from 1, without gaps.
    pub index: u64,
    /// The term under which it was proposed.
    pub term: Term,
    /// Opaque to the log.
    pub kind: u8,
    /// Opaque to the log; small.
    pub context: Bytes,
    /// Opaque to the log.
    pub data: Bytes,
}

/// What a Raft group must never forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// Latest term the group has seen. Never goes back.
    pub term: Term,
    /// The node voted for in that term; 0: none.
    pub vote: u64,
    /// Index of the last entry known to be committed. Never goes back.
    pub commit: u64,
}

/// One change of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalRecord {
    /// Entries with rising indexes. Entries of the same group at the first one's index or above
    /// are replaced.
    Entries {
        /// The group.
        group: GroupId,
        /// The entries; not empty.
        entries: Vec<WalEntry>,
    },
    /// Replaces the group's hard state.
    HardState {
        /// The group.
        group: GroupId,
        /// The state.
        state: HardState,
    },
    /// Forgets all entries of the group: its log goes on behind this index.
    Reset {
        /// The group.
        group: GroupId,
        /// Last index that the group's checkpoint covers.
        index: u64,
        /// That entry's term.
        term: Term,
    },
}

/// One group as the write-ahead log knew it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// The last hard state.
    pub hard_state: HardState,
    /// The entries still in the log, by index without gaps. May begin below the group's
    /// checkpoint, which then counts.
    pub entries: Vec<WalEntry>,
}

/// Called once, on the writer's thread, when the records are on stable storage or never will be.
/// Must not block.
pub type WalDone = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// The way into the write-ahead log.
pub trait WalPort: Send + Sync + 'static {
    /// Hands over records to be written together, in order with all that was handed over before.
    fn submit(&self, records: Vec<WalRecord>, done: WalDone);
    /// Declares the group's entries up to `index` as stored elsewhere.
    fn release(&self, group: GroupId, index: u64);
    /// Whether new work should be taken in: false while the disk is full or the log has its
    /// greatest length. What was taken in before still finds room.
    fn accepts(&self) -> bool;
}
