//! Messages between nodes as bytes, by plain fields: raft-rs's own protobuf reader never sees
//! what another machine sent. Layout: `docs/formats-peer.md`.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use weir_model::NodeId;

pub use self::{
    decode::decode,
    encode::{encode, size_bytes},
};

/// An entry's data of at least this length, in bytes, is a chunk of its own when it is encoded,
/// and a slice of the received bytes when it is decoded. Smaller data is copied: two more small
/// writes, or a large buffer kept alive for it, would cost more.
pub const MIN_CHUNK_BYTES: usize = 512;

const VERSION: u8 = 1;
/// Version, from, to, count.
const LIST_HEADER_BYTES: usize = 1 + 8 + 8 + 4;
/// Tag and group.
const MESSAGE_HEADER_BYTES: usize = 1 + 4;
const SLEEP_BYTES: usize = MESSAGE_HEADER_BYTES + 8 + 8;
/// Smallest entry: kind, term, index, two empty byte strings.
const ENTRY_MIN_BYTES: usize = 1 + 8 + 8 + 4 + 4;
/// A raft message without context, entries and snapshot.
const RAFT_BYTES: usize = MESSAGE_HEADER_BYTES + 9 * 8 + 1 + 4 + 4 + 1;
/// Index, term, data's length, four empty lists, auto-leave.
const SNAPSHOT_BYTES: usize = 8 + 8 + 5 + 4;

const TAG_SLEEP: u8 = 64;

/// Why bytes are no messages. Positions count from the start of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end too early.
    #[error("at byte {at}: {needed} bytes needed, {left} left")]
    Truncated {
        /// Where the value begins.
        at: usize,
        /// What it takes at least, in bytes.
        needed: usize,
        /// What is left, in bytes.
        left: usize,
    },
    /// Bytes are left over.
    #[error("at byte {at}: {left} bytes left over")]
    Trailing {
        /// Where the last message ended.
        at: usize,
        /// What is left, in bytes.
        left: usize,
    },
    /// A version, kind or flag that this build does not know.
    #[error("at byte {at}: unknown {what} {found}")]
    Unknown {
        /// Where it stands.
        at: usize,
        /// What it selects.
        what: &'static str,
        /// What was found.
        found: u8,
    },
    /// A kind of message that a node only ever sends to itself.
    #[error("at byte {at}: message of kind {tag}, which never leaves a node")]
    Local {
        /// Where it stands.
        at: usize,
        /// The kind.
        tag: u8,
    },
    /// A message's sender is not the node at the other end of the connection.
    #[error("messages from node {found} on a connection of node {expected}")]
    Sender {
        /// Who is at the other end.
        expected: NodeId,
        /// Who the bytes say it is.
        found: u64,
    },
    /// A message for another node.
    #[error("messages for node {found} have come to node {expected}")]
    Receiver {
        /// This node.
        expected: NodeId,
        /// Whom the bytes name.
        found: u64,
    },
    /// A list of a group's members is damaged.
    #[error("at byte {at}: the list of members is damaged")]
    Members {
        /// Where it begins.
        at: usize,
    },
    /// A snapshot stands where there is none, or is missing where there must be one.
    #[error("at byte {at}: a snapshot is there though its message has none, or the reverse")]
    Snapshot {
        /// Where the message begins.
        at: usize,
    },
}
