//! One thing that a check found.

use std::fmt;

/// Where a habit is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// Path from the workspace's root.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and, where it helps, what to do instead.
    pub what: String,
    /// The habit's short name.
    pub habit: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {} ({})",
            self.path, self.line, self.what, self.habit
        )
    }
}
