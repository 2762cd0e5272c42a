//! What a history amounts to.

use std::fmt;

/// How many findings are spelled out.
const MAX_EXAMPLES: usize = 10;

/// Counts of a history. Those from `lost` on must be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Messages sent.
    pub sent: u64,
    /// Of them acknowledged.
    pub acked: u64,
    /// Of them without an answer that says either.
    pub unsure: u64,
    /// Messages handed out, over all readers.
    pub polled: u64,
    /// Places that hold a message.
    pub present: u64,
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that were aborted.
    pub rolled_back: u64,
    /// Transactions without an answer that says whether they were.
    pub undecided: u64,
    /// Copies made.
    pub copied: u64,
    /// Acknowledged messages that are gone for later ones of their keys.
    pub compacted: u64,
    /// Longest time without an acknowledgement on a partition, in milliseconds.
    pub longest_pause_ms: u64,
    /// Acknowledged or read once, and absent although later offsets were read.
    pub lost: u64,
    /// Acknowledged or read once, behind the end of what final readers got.
    pub unseen: u64,
    /// Two values at one offset, or one at another place than its acknowledgement says.
    pub inconsistent: u64,
    /// One value at two offsets.
    pub duplicated: u64,
    /// Behind a value that the same producer sent later to the partition.
    pub reordered: u64,
    /// Read, but sent by nobody, or to another partition, or known to have failed.
    pub unexpected: u64,
    /// Handed out to a reader that had got that offset or a later one.
    pub nonmonotonic: u64,
    /// Passed over by a reader.
    pub skipped: u64,
    /// A group went on before an offset that it had committed.
    pub rewound: u64,
    /// Read, but of a transaction that was aborted, or whose commit nobody asked for.
    pub aborted: u64,
    /// Read before the commit of its transaction was asked for.
    pub precommitted: u64,
    /// Transactions of which a part can be read, and another cannot.
    pub torn: u64,
    /// Copied more than once.
    pub recopied: u64,
    /// Not copied, or copied behind what lies behind it.
    pub uncopied: u64,
    /// The first findings in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings().iter().all(|(_, count)| *count == 0)
    }

    /// Every kind of finding with its count.
    pub(crate) fn findings(&self) -> [(&'static str, u64); 14] {
        [
            ("lost", self.lost),
            ("unseen", self.unseen),
            ("inconsistent", self.inconsistent),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("unexpected", self.unexpected),
            ("nonmonotonic", self.nonmonotonic),
            ("skipped", self.skipped),
            ("rewound", self.rewound),
            ("aborted", self.aborted),
            ("precommitted", self.precommitted),
            ("torn", self.torn),
            ("recopied", self.recopied),
            ("uncopied", self.uncopied),
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
            "{} sent, {} acked, {} unsure, {} polled, {} checked",
            self.sent, self.acked, self.unsure, self.polled, self.present
        )?;
        if self.committed + self.rolled_back + self.undecided > 0 {
            write!(
                f,
                ", {} transactions committed, {} rolled back, {} undecided",
                self.committed, self.rolled_back, self.undecided
            )?;
        }
        if self.copied > 0 {
            write!(f, ", {} copied", self.copied)?;
        }
        if self.compacted > 0 {
            write!(f, ", {} compacted away", self.compacted)?;
        }
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
