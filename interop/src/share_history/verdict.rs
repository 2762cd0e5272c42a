//! What a history of a share group amounts to.

use std::fmt;

/// How many findings are spelled out.
const MAX_EXAMPLES: usize = 9;

/// Counts of a history. Those from `lost` on must be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Messages sent.
    pub sent: u64,
    /// Of them acknowledged.
    pub acked: u64,
    /// Records handed out.
    pub delivered: u64,
    /// Of them those that were handed out before.
    pub again: u64,
    /// Records accepted or rejected for certain.
    pub settled: u64,
    /// Records that were handed out as often as they may be, and not settled.
    pub archived: u64,
    /// Longest time without an acknowledgement, in milliseconds.
    pub longest_pause_ms: u64,
    /// Acknowledged, and never delivered, or given back and not delivered again.
    pub lost: u64,
    /// Delivered, but sent by nobody, or not there, or known to have failed.
    pub unexpected: u64,
    /// Delivered after its acceptance or rejection was confirmed.
    pub resurrected: u64,
    /// Accepted or rejected twice, both confirmed.
    pub settled_twice: u64,
    /// Handed out more often than the group's limit allows.
    pub overdelivered: u64,
    /// The first findings in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings().iter().all(|(_, count)| *count == 0)
    }

    /// Every kind of finding with its count.
    pub(crate) fn findings(&self) -> [(&'static str, u64); 5] {
        [
            ("lost", self.lost),
            ("unexpected", self.unexpected),
            ("resurrected", self.resurrected),
            ("settled twice", self.settled_twice),
            ("overdelivered", self.overdelivered),
        ]
    }

    pub(super) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(text());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sent, {} acked, {} delivered, {} of them again, {} settled for certain, {} at the \
             delivery limit",
            self.sent, self.acked, self.delivered, self.again, self.settled, self.archived
        )?;
        for (name, count) in self.findings() {
            write!(f, ", {count} {name}")?;
        }
        write!(
            f,
            ", {} ms longest without an acknowledgement",
            self.longest_pause_ms
        )
    }
}
