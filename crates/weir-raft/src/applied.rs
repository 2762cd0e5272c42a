//! Where and when a command is applied.

use weir_log::Millis;
use weir_model::{GroupId, Term};

use crate::Stamp;

/// All that a state machine may know besides its state and the command: the same on every
/// replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The group.
    pub group: GroupId,
    /// Index of the entry in the group's log. Commands of one bundle share it.
    pub index: u64,
    /// Term of the entry.
    pub term: Term,
    /// The proposing leader's wall clock when it built the bundle, which may jump: for what is
    /// stored.
    pub now: Millis,
    /// The group's clock at the same moment: for how long something has lasted. It never jumps, and
    /// goes on from one leader to the next.
    pub elapsed: Millis,
}

impl Applied {
    /// Both times.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            now: self.now,
            elapsed: self.elapsed,
        }
    }
}
