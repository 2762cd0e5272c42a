//! Where in its group's log a command stands.

use weir_log::Millis;
use weir_model::{GroupId, Term};

/// What every state machine may know beside its own state and the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The group whose log it is.
    pub group: GroupId,
    /// Position in that log.
    pub index: u64,
    /// Term of the entry.
    pub term: Term,
    /// The leader's time when it proposed the entry.
    pub now: Millis,
}
