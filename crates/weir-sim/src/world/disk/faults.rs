//! Faults that wait for their operation, and what an operation does.

use serde::{Deserialize, Serialize};

/// What an operation on the disk is, as far as faults care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Look,
    Read,
    Write,
    Sync,
    Name,
}

impl Op {
    /// Whether the operation changes the disk, so that a crash may fall on it.
    fn changes(self) -> bool {
        match self {
            Self::Look | Self::Read => false,
            Self::Write | Self::Sync | Self::Name => true,
        }
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The machine stops at the operation, which may be partly done.
    Crash,
    /// A write fails with EIO; any of its sectors may have been written.
    WriteError,
    /// A write stops half way and fails.
    ShortWrite,
    /// A write fails for want of space.
    NoSpace,
    /// A sync fails with EIO: what was dirty counts as clean and is partly lost.
    SyncError,
    /// A read fails with EIO.
    ReadError,
    /// A create, rename or remove fails with EIO and has no effect.
    NameError,
    /// An operation takes a second of simulated time.
    Slow,
}

impl FaultKind {
    /// The counter's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash_at_op",
            Self::WriteError => "write_error",
            Self::ShortWrite => "short_write",
            Self::NoSpace => "no_space",
            Self::SyncError => "sync_error",
            Self::ReadError => "read_error",
            Self::NameError => "name_error",
            Self::Slow => "slow_op",
        }
    }

    fn falls_on(self, op: Op) -> bool {
        match self {
            Self::Crash => op.changes(),
            Self::WriteError | Self::ShortWrite | Self::NoSpace => op == Op::Write,
            Self::SyncError => op == Op::Sync,
            Self::ReadError => op == Op::Read,
            Self::NameError => op == Op::Name,
            Self::Slow => op != Op::Look,
        }
    }
}

/// A fault that falls on one operation to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// How many operations of the kind's sort pass before it happens.
    pub after_count: u64,
    /// Seeds what the fault leaves behind.
    pub salt: u64,
}

/// The faults that wait.
#[derive(Debug, Default)]
pub(super) struct Armed(Vec<Fault>);

impl Armed {
    pub(super) fn arm(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts `op` down and gives the fault that falls on it, where one does.
    pub(super) fn take(&mut self, op: Op) -> Option<Fault> {
        let mut hit = None;
        for (place, fault) in self.0.iter_mut().enumerate() {
            if !fault.kind.falls_on(op) {
                continue;
            }
            if fault.after_count == 0 {
                hit = hit.or(Some(place));
            } else {
                fault.after_count -= 1;
            }
        }
        hit.map(|place| self.0.remove(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_waits_for_its_own_sort_of_operation() {
        let mut armed = Armed::default();
        armed.arm(Fault {
            kind: FaultKind::SyncError,
            after_count: 1,
            salt: 0,
        });
        assert_eq!(armed.take(Op::Sync), None);
        assert_eq!(armed.take(Op::Write), None);
        assert!(armed.take(Op::Sync).is_some());
        assert_eq!(armed.take(Op::Sync), None);
    }
}
