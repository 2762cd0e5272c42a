//! What a history of queues amounts to.

use std::fmt;

/// How many findings of a kind are spelled out.
const MAX_EXAMPLES: usize = 3;

/// Counts of a history. Those from `lost` on must be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Messages published.
    pub published: u64,
    /// Of them confirmed.
    pub confirmed: u64,
    /// Of them without an answer that says either.
    pub unsure: u64,
    /// Messages handed out.
    pub delivered: u64,
    /// Of them marked as handed out before.
    pub redelivered: u64,
    /// Settlements that the broker confirmed.
    pub settled: u64,
    /// Messages that came as dead letters.
    pub dead_lettered: u64,
    /// Sessions.
    pub sessions: u64,
    /// Longest time of a publisher without a confirm, in milliseconds.
    pub longest_pause_ms: u64,
    /// Longest time from a message's expiry to its delivery as a dead letter, in milliseconds.
    pub latest_expiry_ms: u64,
    /// Confirmed or delivered once, and then neither delivered until settled nor dead-lettered.
    pub lost: u64,
    /// Due as a dead letter, and not there.
    pub dead_letters_lost: u64,
    /// Returned, although a queue was bound to take it.
    pub returned: u64,
    /// Delivered, but published by nobody, or to another queue, or known to have failed.
    pub unexpected: u64,
    /// Delivered twice as new, or twice to one session that had not given it back.
    pub duplicated: u64,
    /// Delivered again after its settlement was confirmed.
    pub resurrected: u64,
    /// Settled for good twice, both confirmed.
    pub settled_twice: u64,
    /// A dead letter that was not due, or for another reason or more often than it was due.
    pub misdirected: u64,
    /// Handed out more often than its queue's limit allows.
    pub overdelivered: u64,
    /// A message that was to wait, before its time.
    pub early: u64,
    /// Dead since its time to live was over, before it was.
    pub expired_early: u64,
    /// Behind a message that the same connection published later.
    pub reordered: u64,
    /// Given back, and not the next to be handed out.
    pub misplaced: u64,
    /// Two sessions at a time where one was allowed.
    pub overlapping: u64,
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
            ("dead letters lost", self.dead_letters_lost),
            ("returned", self.returned),
            ("unexpected", self.unexpected),
            ("duplicated", self.duplicated),
            ("resurrected", self.resurrected),
            ("settled twice", self.settled_twice),
            ("misdirected", self.misdirected),
            ("overdelivered", self.overdelivered),
            ("early", self.early),
            ("expired early", self.expired_early),
            ("reordered", self.reordered),
            ("misplaced", self.misplaced),
            ("overlapping", self.overlapping),
        ]
    }

    /// Keeps the first findings of each kind, which is what a text begins with.
    pub(super) fn example(&mut self, text: impl FnOnce() -> String) {
        let text = text();
        let kind = text.split(':').next();
        let same = self
            .examples
            .iter()
            .filter(|it| it.split(':').next() == kind);
        if same.count() < MAX_EXAMPLES {
            self.examples.push(text);
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} published, {} confirmed, {} unsure, {} sessions, {} delivered, {} of them again, \
             {} settled for certain, {} dead letters",
            self.published,
            self.confirmed,
            self.unsure,
            self.sessions,
            self.delivered,
            self.redelivered,
            self.settled,
            self.dead_lettered,
        )?;
        for (name, count) in self.findings() {
            write!(f, ", {count} {name}")?;
        }
        write!(
            f,
            ", {} ms longest without a confirm, {} ms latest expiry",
            self.longest_pause_ms, self.latest_expiry_ms
        )
    }
}
