//! What is proposed to a group.

use bytes::Bytes;

use crate::NotCommitted;

/// One change of a group's state: a small head and, where there is one, a large payload. The
/// state machine gets both back as one slice, the head first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Tag and fields.
    pub head: Bytes,
    /// For example a record batch, as received.
    pub payload: Bytes,
}

impl Command {
    /// Longest command, in bytes: a bundle with it still fits into one entry of the write-ahead
    /// log.
    pub const MAX_BYTES: usize = 32 << 20;

    /// Length in bytes.
    pub fn size_bytes(&self) -> usize {
        self.head.len() + self.payload.len()
    }
}

/// Called once, on the worker's thread, with what the state machine answered after the command
/// was committed and applied, or with why that did not happen. Must not block.
pub type Done<O> = Box<dyn FnOnce(Result<O, NotCommitted>) + Send>;
